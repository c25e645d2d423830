/* SPDX-License-Identifier: BSD-3-Clause */
/* RTM_GETLINK and link events: what a link looks like, as the kernel would say it. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>

#include <net/if.h> /* before its twin in linux/ */
#include <linux/if.h>

#include <linux/if_arp.h>
#include <linux/if_ether.h>
#include <linux/if_link.h>
#include <linux/if_vlan.h>
#include <linux/rtnetlink.h>

#include "control/links.h"
#include "dataplane/worker.h"
#include "drivers/port.h"

#define LINK_ROOM 2048 /* the largest message: names, alias, statistics, tunnel */

static const struct pw_attribute_policy get_policy[IFLA_MAX + 1] = {
	[IFLA_IFNAME] = {.name = "IFLA_IFNAME", .min = 1, .max = 128},
	[IFLA_ALT_IFNAME] = {.name = "IFLA_ALT_IFNAME", .min = 1, .max = 128},
	[IFLA_EXT_MASK] = {.name = "IFLA_EXT_MASK", .min = 4, .max = 4, .ignored = true},
	[IFLA_MASTER] = {.name = "IFLA_MASTER", .min = 4, .max = 4},
	[IFLA_LINKINFO] = {.name = "IFLA_LINKINFO"},
};

static const struct pw_attribute_policy get_info_policy[IFLA_INFO_MAX + 1] = {
	[IFLA_INFO_KIND] = {.name = "IFLA_INFO_KIND", .min = 1, .max = 32},
	[IFLA_INFO_DATA] = {.name = "IFLA_INFO_DATA", .ignored = true},
};

static uint16_t link_type(const struct pw_link *link)
{
	switch (link->kind) {
	case PW_LINK_LOOPBACK:
		return ARPHRD_LOOPBACK;
	case PW_LINK_TUNNEL:
		if (link->tunnel.ip_in_ip && link->tunnel.local.family == AF_INET6)
			return ARPHRD_TUNNEL6;
		if (link->tunnel.sit)
			return ARPHRD_SIT;
		if (link->tunnel.mpls_in_ip || link->tunnel.ip_in_ip)
			return ARPHRD_TUNNEL;
		return link->tunnel.local.family == AF_INET6 ? ARPHRD_IP6GRE : ARPHRD_IPGRE;
	case PW_LINK_IPSEC:
		if (!link->ipsec.family)
			return ARPHRD_NONE;
		return link->ipsec.family == AF_INET6 ? ARPHRD_TUNNEL6 : ARPHRD_TUNNEL;
	default:
		return ARPHRD_ETHER;
	}
}

static unsigned int link_flags(const struct pw_link *link)
{
	unsigned int flags = link->admin_up ? IFF_UP : 0;

	if (pw_link_operational(link))
		flags |= IFF_RUNNING | IFF_LOWER_UP;
	switch (link->kind) {
	case PW_LINK_LOOPBACK:
		return flags | IFF_LOOPBACK;
	case PW_LINK_VRF:
		return flags | IFF_NOARP | IFF_MASTER;
	case PW_LINK_TUNNEL:
		return flags | IFF_NOARP | (link->tunnel.remote.family ? IFF_POINTOPOINT : 0);
	case PW_LINK_IPSEC:
		return flags | IFF_NOARP | (link->ipsec.remote.family ? IFF_POINTOPOINT : 0);
	default:
		return flags | IFF_BROADCAST | IFF_MULTICAST;
	}
}

static uint8_t operstate(const struct pw_link *link)
{
	bool up = pw_link_operational(link);

	if (link->kind == PW_LINK_LOOPBACK || link->kind == PW_LINK_TUNNEL ||
	    link->kind == PW_LINK_IPSEC)
		return link->admin_up ? IF_OPER_UNKNOWN : IF_OPER_DOWN;
	if (link->kind == PW_LINK_VLAN && link->admin_up && !up)
		return IF_OPER_LOWERLAYERDOWN;
	return up ? IF_OPER_UP : IF_OPER_DOWN;
}

static void put_hardware(struct nlmsghdr *nlh, const struct pw_link *link)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	static const uint8_t zero[6];
	const struct pw_tunnel *tunnel = &link->tunnel;
	const struct pw_ipsec *ipsec = &link->ipsec;

	switch (link->kind) {
	case PW_LINK_LOOPBACK:
		mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(zero), zero);
		mnl_attr_put(nlh, IFLA_BROADCAST, sizeof(zero), zero);
		break;
	case PW_LINK_TUNNEL:
		mnl_attr_put(nlh, IFLA_ADDRESS, pw_address_size(tunnel->local.family),
			     tunnel->local.bytes);
		mnl_attr_put(nlh, IFLA_BROADCAST, pw_address_size(tunnel->local.family),
			     tunnel->remote.bytes);
		break;
	case PW_LINK_IPSEC:
		if (!ipsec->family)
			break;
		mnl_attr_put(nlh, IFLA_ADDRESS, pw_address_size(ipsec->family), ipsec->local.bytes);
		mnl_attr_put(nlh, IFLA_BROADCAST, pw_address_size(ipsec->family),
			     ipsec->remote.bytes);
		break;
	default:
		mnl_attr_put(nlh, IFLA_ADDRESS, sizeof(link->mac), link->mac);
		mnl_attr_put(nlh, IFLA_BROADCAST, sizeof(broadcast), broadcast);
	}
}

static void put_statistics(struct nlmsghdr *nlh, const struct pw_link *link)
{
	struct rtnl_link_stats64 stats = {0};
	struct pw_port_statistics port;

	for (uint16_t w = 0; w < pw_worker_count; w++) {
		const struct pw_interface_counters *counters;

		if (!pw_workers[w])
			continue;
		counters = &pw_workers[w]->counters[link->index];
		stats.rx_packets += counters->rx_packets;
		stats.rx_bytes += counters->rx_bytes;
		stats.tx_packets += counters->tx_packets;
		stats.tx_bytes += counters->tx_bytes;
	}
	if (link->kind == PW_LINK_PORT && !pw_port_statistics(link->port, &port)) {
		stats.rx_errors = port.rx_errors;
		stats.rx_missed_errors = port.rx_missed;
		stats.rx_dropped = port.rx_nombuf;
		stats.tx_errors = port.tx_errors;
	}
	mnl_attr_put(nlh, IFLA_STATS64, sizeof(stats), &stats);
}

static const char *kind_name(const struct pw_link *link)
{
	switch (link->kind) {
	case PW_LINK_VLAN:
		return "vlan";
	case PW_LINK_VRF:
		return "vrf";
	case PW_LINK_TUNNEL:
		return pw_netlink_tunnel_kind(&link->tunnel);
	case PW_LINK_IPSEC:
		return pw_netlink_ipsec_kind(&link->ipsec);
	default:
		return NULL;
	}
}

static void put_data(struct nlmsghdr *nlh, const struct pw_link *link)
{
	struct ifla_vlan_flags flags = {.flags = VLAN_FLAG_REORDER_HDR, .mask = ~0U};

	switch (link->kind) {
	case PW_LINK_VLAN:
		mnl_attr_put_u16(nlh, IFLA_VLAN_PROTOCOL, htons(ETH_P_8021Q));
		mnl_attr_put_u16(nlh, IFLA_VLAN_ID, link->vlan);
		mnl_attr_put(nlh, IFLA_VLAN_FLAGS, sizeof(flags), &flags);
		break;
	case PW_LINK_VRF:
		mnl_attr_put_u32(nlh, IFLA_VRF_TABLE, link->table);
		break;
	case PW_LINK_IPSEC:
		pw_netlink_ipsec_put(nlh, &link->ipsec);
		break;
	default:
		pw_netlink_tunnel_put(nlh, &link->tunnel);
	}
}

/* Without NLA_F_NESTED, as the kernel has these: "ip vrf" compares types as they are. */
static struct nlattr *nest_start(struct nlmsghdr *nlh, uint16_t type)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	nest->nla_type = type;
	return nest;
}

static void put_info(struct nlmsghdr *nlh, const struct pw_link *link)
{
	const struct pw_link *master = link->master ? pw_link_by_index(link->master) : NULL;
	const char *kind = kind_name(link);
	struct nlattr *info, *data;

	if (!kind && !master)
		return;
	info = nest_start(nlh, IFLA_LINKINFO);
	if (kind) {
		mnl_attr_put_strz(nlh, IFLA_INFO_KIND, kind);
		data = nest_start(nlh, IFLA_INFO_DATA);
		put_data(nlh, link);
		mnl_attr_nest_end(nlh, data);
	}
	if (master) {
		mnl_attr_put_strz(nlh, IFLA_INFO_SLAVE_KIND, "vrf");
		data = nest_start(nlh, IFLA_INFO_SLAVE_DATA);
		mnl_attr_put_u32(nlh, IFLA_VRF_PORT_TABLE, master->table);
		mnl_attr_nest_end(nlh, data);
	}
	mnl_attr_nest_end(nlh, info);
}

static void put_link(struct nlmsghdr *nlh, const struct pw_link *link, uint32_t changed)
{
	struct ifinfomsg *header = mnl_nlmsg_put_extra_header(nlh, sizeof(*header));
	uint32_t min, max;

	header->ifi_family = AF_UNSPEC;
	header->ifi_type = link_type(link);
	header->ifi_index = (int)link->index;
	header->ifi_flags = link_flags(link);
	header->ifi_change = changed;
	mnl_attr_put_strz(nlh, IFLA_IFNAME, link->name);
	mnl_attr_put_u32(nlh, IFLA_TXQLEN, 1000);
	mnl_attr_put_u8(nlh, IFLA_OPERSTATE, operstate(link));
	mnl_attr_put_u8(nlh, IFLA_LINKMODE, 0);
	mnl_attr_put_u32(nlh, IFLA_MTU, link->mtu);
	pw_link_mtu_range(link, &min, &max);
	mnl_attr_put_u32(nlh, IFLA_MIN_MTU, min);
	mnl_attr_put_u32(nlh, IFLA_MAX_MTU, max);
	mnl_attr_put_u32(nlh, IFLA_GROUP, 0);
	mnl_attr_put_u32(nlh, IFLA_PROMISCUITY, 0);
	mnl_attr_put_u8(nlh, IFLA_CARRIER, link->carrier);
	mnl_attr_put_strz(nlh, IFLA_QDISC, "noqueue");
	put_hardware(nlh, link);
	if (link->kind == PW_LINK_VLAN)
		mnl_attr_put_u32(nlh, IFLA_LINK, link->parent);
	if (link->kind == PW_LINK_TUNNEL)
		mnl_attr_put_u32(nlh, IFLA_LINK, link->tunnel.underlay_link);
	if (link->kind == PW_LINK_IPSEC)
		mnl_attr_put_u32(nlh, IFLA_LINK, link->ipsec.underlay_link);
	if (link->master)
		mnl_attr_put_u32(nlh, IFLA_MASTER, link->master);
	if (link->alias[0])
		mnl_attr_put_strz(nlh, IFLA_IFALIAS, link->alias);
	put_statistics(nlh, link);
	put_info(nlh, link);
}

void pw_link_notify(const struct pw_link *link, uint16_t type, uint32_t changed)
{
	char buffer[LINK_ROOM];
	struct nlmsghdr *nlh;

	if (!pw_notify_wanted(RTNLGRP_LINK))
		return;
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = type;
	put_link(nlh, link, changed);
	pw_notify(RTNLGRP_LINK, nlh);
}

int pw_netlink_link_get(struct pw_request *request)
{
	const struct nlattr *in[IFLA_MAX + 1] = {NULL};
	const struct nlattr *name;
	const struct ifinfomsg *header;
	const struct pw_link *link = NULL;
	char text[IFNAMSIZ] = "";
	char buffer[LINK_ROOM];
	struct nlmsghdr *nlh;
	int ret;

	ret = pw_request_attributes(request, sizeof(*header), "link", get_policy, IFLA_MAX, in);
	if (ret < 0)
		return ret;
	header = mnl_nlmsg_get_payload(request->nlh);
	name = in[IFLA_IFNAME] ? in[IFLA_IFNAME] : in[IFLA_ALT_IFNAME];
	if (header->ifi_index > 0) {
		link = pw_link_by_index((uint32_t)header->ifi_index);
	} else if (name) {
		size_t length = strnlen(mnl_attr_get_payload(name), mnl_attr_get_payload_len(name));

		if (length < sizeof(text)) {
			memcpy(text, mnl_attr_get_payload(name), length);
			link = pw_link_by_name(text);
		}
	} else {
		return pw_refuse(request, NULL, -EINVAL, "which link? neither name nor index");
	}
	if (!link)
		return pw_refuse(request, name, -ENODEV, "there is no such link");
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = RTM_NEWLINK;
	put_link(nlh, link, 0);
	return pw_reply(request, nlh);
}

enum { CURSOR_LAST, CURSOR_STARTED, CURSOR_MASTER, CURSOR_KIND, CURSOR_ONLY };

/* Kinds as numbers, for the cursor: 0 any, else place in this list + 1. */
static const char *const kinds[] = {"vlan", "vrf",    "gre",  "ip6gre", "ipip",
				    "sit",  "ip6tnl", "xfrm", "vti",    "vti6"};

static uint64_t kind_number(const char *kind)
{
	for (size_t i = 0; kind && i < MNL_ARRAY_SIZE(kinds); i++)
		if (!strcmp(kinds[i], kind))
			return i + 1;
	return MNL_ARRAY_SIZE(kinds) + 1;
}

static int dump_filters(struct pw_dump *dump)
{
	const struct nlattr *in[IFLA_MAX + 1] = {NULL}, *info[IFLA_INFO_MAX + 1] = {NULL};
	const struct ifinfomsg *header = mnl_nlmsg_get_payload(dump->nlh);
	char kind[33] = "";
	int ret;

	dump->cursor[CURSOR_STARTED] = 1;
	/* Old tools send the one-byte rtgenmsg. */
	if (mnl_nlmsg_get_payload_len(dump->nlh) < sizeof(*header))
		return 0;
	ret = pw_request_attributes(dump->request, sizeof(*header), "link", get_policy, IFLA_MAX,
				    in);
	if (ret < 0)
		return ret;
	dump->cursor[CURSOR_ONLY] = header->ifi_index > 0 ? (uint64_t)header->ifi_index : 0;
	if (in[IFLA_MASTER])
		dump->cursor[CURSOR_MASTER] = mnl_attr_get_u32(in[IFLA_MASTER]);
	if (!in[IFLA_LINKINFO])
		return 0;
	ret = pw_request_nested(dump->request, in[IFLA_LINKINFO], "link info", get_info_policy,
				IFLA_INFO_MAX, info);
	if (ret < 0 || !info[IFLA_INFO_KIND])
		return ret;
	memcpy(kind, mnl_attr_get_payload(info[IFLA_INFO_KIND]),
	       mnl_attr_get_payload_len(info[IFLA_INFO_KIND]));
	dump->cursor[CURSOR_KIND] = kind_number(kind);
	return 0;
}

static bool dump_wants(const struct pw_dump *dump, const struct pw_link *link)
{
	const uint64_t *cursor = dump->cursor;

	return (!cursor[CURSOR_ONLY] || cursor[CURSOR_ONLY] == link->index) &&
	       (!cursor[CURSOR_MASTER] || cursor[CURSOR_MASTER] == link->master) &&
	       (!cursor[CURSOR_KIND] ||
		(kind_name(link) && cursor[CURSOR_KIND] == kind_number(kind_name(link))));
}

int pw_netlink_link_dump(struct pw_dump *dump)
{
	const struct pw_link *link;
	int ret;

	if (!dump->cursor[CURSOR_STARTED]) {
		ret = dump_filters(dump);
		if (ret < 0)
			return ret;
	}
	for (link = pw_link_next((uint32_t)dump->cursor[CURSOR_LAST]); link;
	     link = pw_link_next(link->index)) {
		if (dump_wants(dump, link)) {
			struct nlmsghdr *nlh = pw_dump_message(dump, RTM_NEWLINK, LINK_ROOM);

			if (!nlh)
				return 1;
			put_link(nlh, link, 0);
			pw_dump_commit(dump, nlh);
		}
		dump->cursor[CURSOR_LAST] = link->index;
	}
	return 0;
}
