/* SPDX-License-Identifier: BSD-3-Clause */
/* Next hops into messages. */
#include "control/netlink_hop.h"

#include <string.h>

#include <linux/lwtunnel.h>
#include <linux/mpls.h>
#include <linux/mpls_iptunnel.h>
#include <rte_byteorder.h>

/* rtnexthop 8, via 4 + 20, encap 4 + 8 + 4 + 4 + 16 + 8, rounded up. */
#define HOP_ROOM 96

size_t pw_hop_room(const struct pw_path *path)
{
	unsigned int count = 0;
	uint32_t weight;

	while (pw_path_leg(path, count, &weight))
		count++;
	return (size_t)(count + 1) * HOP_ROOM;
}

uint32_t pw_hop_flags(const struct pw_leg *leg)
{
	uint32_t flags = leg->hop.flags & PW_HOP_ONLINK ? RTNH_F_ONLINK : 0;

	return flags | (leg->path.dead ? RTNH_F_DEAD | RTNH_F_LINKDOWN : 0);
}

/* Without NLA_F_NESTED, as the kernel has these: iproute2 compares types as they are. */
static struct nlattr *nest_start(struct nlmsghdr *nlh, uint16_t type)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, type);

	nest->nla_type = type;
	return nest;
}

void pw_hop_put_labels(struct nlmsghdr *nlh, uint16_t type, const uint32_t *labels,
		       unsigned int count)
{
	uint32_t entries[PW_NEXTHOP_LABELS];

	for (unsigned int i = 0; i < count; i++)
		entries[i] = rte_cpu_to_be_32(labels[i] << MPLS_LS_LABEL_SHIFT |
					      (i == count - 1) << MPLS_LS_S_SHIFT);
	mnl_attr_put(nlh, type, count * sizeof(*entries), entries);
}

void pw_hop_put_encap(struct nlmsghdr *nlh, uint16_t type, uint16_t encap, const struct pw_hop *hop)
{
	struct nlattr *nest;

	if (!hop->label_count)
		return;
	nest = nest_start(nlh, encap);
	pw_hop_put_labels(nlh, MPLS_IPTUNNEL_DST, hop->labels, hop->label_count);
	if (hop->label_ttl)
		mnl_attr_put_u8(nlh, MPLS_IPTUNNEL_TTL, hop->label_ttl);
	mnl_attr_nest_end(nlh, nest);
	mnl_attr_put_u16(nlh, type, LWTUNNEL_ENCAP_MPLS);
}

static void put_via(struct nlmsghdr *nlh, const struct pw_address *gateway)
{
	uint8_t via[sizeof(struct rtvia) + 16];
	__kernel_sa_family_t family = gateway->family;
	unsigned int size = pw_address_size(gateway->family);

	memcpy(via, &family, sizeof(family));
	memcpy(via + sizeof(struct rtvia), gateway->bytes, size);
	mnl_attr_put(nlh, RTA_VIA, sizeof(struct rtvia) + size, via);
}

static void put_gateway(struct nlmsghdr *nlh, int family, const struct pw_hop *hop)
{
	if (!hop->gateway.family)
		return;
	if (hop->gateway.family == family)
		mnl_attr_put(nlh, RTA_GATEWAY, pw_address_size(family), hop->gateway.bytes);
	else
		put_via(nlh, &hop->gateway);
}

static void put_rest(struct nlmsghdr *nlh, int family, const struct pw_hop *hop)
{
	if (family != AF_MPLS)
		pw_hop_put_encap(nlh, RTA_ENCAP_TYPE, RTA_ENCAP, hop);
	else if (hop->label_count)
		pw_hop_put_labels(nlh, RTA_NEWDST, hop->labels, hop->label_count);
}

void pw_hop_put(struct nlmsghdr *nlh, int family, const struct pw_hop *hop)
{
	put_gateway(nlh, family, hop);
	if (hop->oif)
		mnl_attr_put_u32(nlh, RTA_OIF, hop->oif);
	put_rest(nlh, family, hop);
}

void pw_hop_put_multipath(struct nlmsghdr *nlh, int family, const struct pw_path *path)
{
	struct nlattr *nest = nest_start(nlh, RTA_MULTIPATH);
	const struct pw_leg *leg;
	uint32_t weight;

	for (unsigned int i = 0; (leg = pw_path_leg(path, i, &weight)); i++) {
		struct rtnexthop *rtnh = mnl_nlmsg_get_payload_tail(nlh);

		*rtnh = (struct rtnexthop){
			.rtnh_flags = (unsigned char)pw_hop_flags(leg),
			.rtnh_hops = (unsigned char)(weight - 1),
			.rtnh_ifindex = (int)leg->hop.oif,
		};
		nlh->nlmsg_len += sizeof(*rtnh);
		put_gateway(nlh, family, &leg->hop);
		put_rest(nlh, family, &leg->hop);
		rtnh->rtnh_len =
			(unsigned short)((char *)mnl_nlmsg_get_payload_tail(nlh) - (char *)rtnh);
	}
	mnl_attr_nest_end(nlh, nest);
}
