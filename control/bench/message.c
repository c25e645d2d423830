/* SPDX-License-Identifier: BSD-3-Clause */
/* The messages that `ip` would send, given to the daemon's handlers as a client's would be. */
#include "control/bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <libmnl/libmnl.h>
#include <net/if.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/lwtunnel.h>
#include <linux/mpls.h>
#include <linux/mpls_iptunnel.h>
#include <linux/neighbour.h>
#include <linux/rtnetlink.h>

#include "control/request.h"

#define CREATE (NLM_F_REQUEST | NLM_F_CREATE | NLM_F_EXCL)

static char buffer[PW_BENCH_MESSAGE] __attribute__((aligned(NLMSG_ALIGNTO)));

struct nlmsghdr *pw_bench_message(uint16_t type, uint16_t flags, size_t header, void **payload)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	*payload = mnl_nlmsg_put_extra_header(nlh, header);
	return nlh;
}

int pw_bench_message_handle(uint32_t protocol, const struct nlmsghdr *nlh, const char *what,
			    const char *name)
{
	char error[200] = "";
	int ret = pw_request_internal_protocol(protocol, nlh, error, sizeof(error));

	if (ret)
		fprintf(stderr, "pewter-bench: %s %s: %s\n", what, name,
			error[0] ? error : strerror(-ret));
	return ret;
}

static int finish(const struct nlmsghdr *nlh, const char *what, const char *name)
{
	return pw_bench_message_handle(NETLINK_ROUTE, nlh, what, name);
}

static const char *text4(uint32_t address)
{
	static char text[INET_ADDRSTRLEN];
	struct in_addr in = {.s_addr = htonl(address)};

	return inet_ntop(AF_INET, &in, text, sizeof(text));
}

/* A new link, up, whose kind's own attributes follow. */
struct new_link {
	struct nlmsghdr *nlh;
	struct nlattr *info, *data;
};

static struct new_link link_begin(const char *kind, const char *name)
{
	struct ifinfomsg *link;
	struct new_link new = {
		.nlh = pw_bench_message(RTM_NEWLINK, CREATE, sizeof(*link), (void **)&link),
	};

	link->ifi_flags = link->ifi_change = IFF_UP;
	mnl_attr_put_strz(new.nlh, IFLA_IFNAME, name);
	new.info = mnl_attr_nest_start(new.nlh, IFLA_LINKINFO);
	mnl_attr_put_strz(new.nlh, IFLA_INFO_KIND, kind);
	new.data = mnl_attr_nest_start(new.nlh, IFLA_INFO_DATA);
	return new;
}

static void link_data_end(const struct new_link *new)
{
	mnl_attr_nest_end(new->nlh, new->data);
	mnl_attr_nest_end(new->nlh, new->info);
}

int pw_bench_vrf(const char *name, uint32_t table)
{
	struct new_link new = link_begin("vrf", name);

	mnl_attr_put_u32(new.nlh, IFLA_VRF_TABLE, table);
	link_data_end(&new);
	return finish(new.nlh, "VRF", name);
}

int pw_bench_vlan(const char *name, uint32_t parent, uint16_t id)
{
	struct new_link new = link_begin("vlan", name);

	mnl_attr_put_u16(new.nlh, IFLA_VLAN_ID, id);
	link_data_end(&new);
	mnl_attr_put_u32(new.nlh, IFLA_LINK, parent);
	return finish(new.nlh, "VLAN", name);
}

int pw_bench_gre(const char *name, uint32_t local)
{
	struct new_link new = link_begin("gre", name);

	mnl_attr_put_u32(new.nlh, IFLA_GRE_LOCAL, htonl(local));
	mnl_attr_put_u8(new.nlh, IFLA_GRE_TTL, 255);
	mnl_attr_put_u8(new.nlh, IFLA_GRE_PMTUDISC, 1);
	link_data_end(&new);
	return finish(new.nlh, "tunnel", name);
}

int pw_bench_xfrm(const char *name, uint32_t if_id)
{
	struct new_link new = link_begin("xfrm", name);

	mnl_attr_put_u32(new.nlh, IFLA_XFRM_IF_ID, if_id);
	link_data_end(&new);
	return finish(new.nlh, "IPsec interface", name);
}

int pw_bench_link_set(uint32_t index, uint32_t master, uint32_t mtu)
{
	struct ifinfomsg *link;
	struct nlmsghdr *nlh =
		pw_bench_message(RTM_NEWLINK, NLM_F_REQUEST, sizeof(*link), (void **)&link);

	link->ifi_index = (int)index;
	link->ifi_flags = link->ifi_change = IFF_UP;
	if (master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, master);
	if (mtu)
		mnl_attr_put_u32(nlh, IFLA_MTU, mtu);
	return finish(nlh, "link", "set");
}

int pw_bench_address(uint32_t link, uint32_t address, uint8_t length)
{
	struct ifaddrmsg *ifa;
	struct nlmsghdr *nlh = pw_bench_message(RTM_NEWADDR, CREATE, sizeof(*ifa), (void **)&ifa);

	ifa->ifa_family = AF_INET;
	ifa->ifa_prefixlen = length;
	ifa->ifa_index = link;
	mnl_attr_put_u32(nlh, IFA_LOCAL, htonl(address));
	mnl_attr_put_u32(nlh, IFA_ADDRESS, htonl(address));
	return finish(nlh, "address", text4(address));
}

int pw_bench_neighbour(uint32_t link, uint32_t address, const uint8_t *mac, size_t size)
{
	struct ndmsg *neighbour;
	struct nlmsghdr *nlh =
		pw_bench_message(RTM_NEWNEIGH, CREATE, sizeof(*neighbour), (void **)&neighbour);

	neighbour->ndm_family = AF_INET;
	neighbour->ndm_ifindex = (int)link;
	neighbour->ndm_state = NUD_PERMANENT;
	mnl_attr_put_u32(nlh, NDA_DST, htonl(address));
	mnl_attr_put(nlh, NDA_LLADDR, size, mac);
	return finish(nlh, "neighbour", text4(address));
}

static struct nlmsghdr *route_begin(uint32_t table, uint32_t prefix, uint8_t length,
				    uint32_t gateway, uint32_t link)
{
	struct rtmsg *route;
	struct nlmsghdr *nlh =
		pw_bench_message(RTM_NEWROUTE, CREATE, sizeof(*route), (void **)&route);

	route->rtm_family = AF_INET;
	route->rtm_dst_len = length;
	route->rtm_table = table < 256 ? (unsigned char)table : RT_TABLE_UNSPEC;
	route->rtm_protocol = RTPROT_BGP;
	route->rtm_scope = RT_SCOPE_UNIVERSE;
	route->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(nlh, RTA_DST, htonl(prefix));
	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	mnl_attr_put_u32(nlh, RTA_GATEWAY, htonl(gateway));
	if (link)
		mnl_attr_put_u32(nlh, RTA_OIF, link);
	return nlh;
}

int pw_bench_route_delete(uint32_t table, uint32_t prefix, uint8_t length)
{
	struct rtmsg *route;
	struct nlmsghdr *nlh =
		pw_bench_message(RTM_DELROUTE, NLM_F_REQUEST, sizeof(*route), (void **)&route);

	route->rtm_family = AF_INET;
	route->rtm_dst_len = length;
	route->rtm_scope = RT_SCOPE_NOWHERE;
	mnl_attr_put_u32(nlh, RTA_DST, htonl(prefix));
	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	return finish(nlh, "deletion of route", text4(prefix));
}

int pw_bench_route(uint32_t table, uint32_t prefix, uint8_t length, uint32_t gateway, uint32_t link)
{
	return finish(route_begin(table, prefix, length, gateway, link), "route", text4(prefix));
}

/* The label stack entry of a route's attributes: bottom of stack, no TTL. */
static uint32_t label_entry(uint32_t label)
{
	return htonl(label << MPLS_LS_LABEL_SHIFT | 1u << MPLS_LS_S_SHIFT);
}

int pw_bench_route_encap(uint32_t table, uint32_t prefix, uint8_t length, uint32_t gateway,
			 uint32_t link, uint32_t label)
{
	struct nlmsghdr *nlh = route_begin(table, prefix, length, gateway, link);
	struct nlattr *nest;

	mnl_attr_put_u16(nlh, RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_MPLS);
	nest = mnl_attr_nest_start(nlh, RTA_ENCAP);
	mnl_attr_put_u32(nlh, MPLS_IPTUNNEL_DST, label_entry(label));
	mnl_attr_nest_end(nlh, nest);
	return finish(nlh, "route", text4(prefix));
}

int pw_bench_label(uint32_t label, uint32_t vrf_link)
{
	struct rtmsg *route;
	struct nlmsghdr *nlh =
		pw_bench_message(RTM_NEWROUTE, CREATE, sizeof(*route), (void **)&route);

	route->rtm_family = AF_MPLS;
	route->rtm_dst_len = 20;
	route->rtm_table = RT_TABLE_MAIN;
	route->rtm_protocol = RTPROT_BGP;
	route->rtm_scope = RT_SCOPE_UNIVERSE;
	route->rtm_type = RTN_UNICAST;
	mnl_attr_put_u32(nlh, RTA_DST, label_entry(label));
	mnl_attr_put_u32(nlh, RTA_OIF, vrf_link);
	return finish(nlh, "label", "to a VRF");
}
