/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/netlink.h"

#include <arpa/inet.h>
#include <string.h>

#include <linux/if_link.h>
#include <linux/if_tunnel.h>
#include <linux/lwtunnel.h>
#include <linux/mpls.h>
#include <linux/mpls_iptunnel.h>
#include <linux/nexthop.h>
#include <linux/rtnetlink.h>

#include "lib/pewter_netlink.h"

#define LABEL_BITS 20
#define ROUTE_ROOM 160
#define HOP_ROOM   64

/* ---- encoding ---------------------------------------------------------------------------- */

static uint32_t label_entry(uint32_t label)
{
	return htonl(label << MPLS_LS_LABEL_SHIFT | 1 << MPLS_LS_S_SHIFT);
}

/* An IPv6 route to an IPv4 PE has the mapped address (RFC 4659), an IPv4 one to IPv6 a via. */
static void put_gateway(struct nlmsghdr *nlh, enum bgp_family family, const struct bgp_address *via)
{
	uint8_t bytes[18] = {0};

	if (family == BGP_VPNV4 && via->family == AF_INET) {
		mnl_attr_put(nlh, RTA_GATEWAY, 4, via->bytes);
	} else if (family == BGP_VPNV4) {
		const uint16_t inet6 = AF_INET6;

		memcpy(bytes, &inet6, sizeof(inet6));
		memcpy(bytes + 2, via->bytes, 16);
		mnl_attr_put(nlh, RTA_VIA, 18, bytes);
	} else if (via->family == AF_INET) {
		bytes[10] = bytes[11] = 0xff;
		memcpy(bytes + 12, via->bytes, 4);
		mnl_attr_put(nlh, RTA_GATEWAY, 16, bytes);
	} else {
		mnl_attr_put(nlh, RTA_GATEWAY, 16, via->bytes);
	}
}

static void put_hop(struct nlmsghdr *nlh, enum bgp_family family, const struct bgp_hop *hop)
{
	struct nlattr *nest;

	put_gateway(nlh, family, &hop->via);
	mnl_attr_put_u16(nlh, RTA_ENCAP_TYPE, LWTUNNEL_ENCAP_MPLS);
	nest = mnl_attr_nest_start(nlh, RTA_ENCAP);
	mnl_attr_put_u32(nlh, MPLS_IPTUNNEL_DST, label_entry(hop->label));
	mnl_attr_nest_end(nlh, nest);
}

static void put_multipath(struct nlmsghdr *nlh, enum bgp_family family, const struct bgp_hops *hops)
{
	struct nlattr *nest = mnl_attr_nest_start(nlh, RTA_MULTIPATH);

	for (unsigned int i = 0; i < hops->count; i++) {
		struct rtnexthop *rtnh = mnl_nlmsg_get_payload_tail(nlh);
		uint32_t before = nlh->nlmsg_len;

		memset(rtnh, 0, sizeof(*rtnh));
		rtnh->rtnh_ifindex = (int)hops->hops[i].oif;
		nlh->nlmsg_len += RTNH_ALIGN(sizeof(*rtnh));
		put_hop(nlh, family, &hops->hops[i]);
		rtnh->rtnh_len = (uint16_t)(nlh->nlmsg_len - before);
	}
	mnl_attr_nest_end(nlh, nest);
}

bool bgp_netlink_put_route(struct pw_api_batch *batch, uint32_t table, uint32_t metric,
			   const struct bgp_prefix *prefix, const struct bgp_hops *hops)
{
	struct nlmsghdr *nlh = pw_api_batch_begin(
		batch, hops ? RTM_NEWROUTE : RTM_DELROUTE, hops ? NLM_F_CREATE | NLM_F_REPLACE : 0,
		sizeof(struct rtmsg), ROUTE_ROOM + (hops ? hops->count * HOP_ROOM : 0));
	struct rtmsg *rtm;

	if (!nlh)
		return false;
	rtm = mnl_nlmsg_get_payload(nlh);
	*rtm = (struct rtmsg){
		.rtm_family = prefix->family == BGP_VPNV4 ? AF_INET : AF_INET6,
		.rtm_dst_len = prefix->length,
		.rtm_table = table < 256 ? (uint8_t)table : RT_TABLE_COMPAT,
		.rtm_protocol = RTPROT_BGP,
		.rtm_type = RTN_UNICAST,
		.rtm_scope = hops ? RT_SCOPE_UNIVERSE : RT_SCOPE_NOWHERE,
	};
	mnl_attr_put_u32(nlh, RTA_TABLE, table);
	mnl_attr_put_u32(nlh, RTA_PRIORITY, metric);
	mnl_attr_put(nlh, RTA_DST, prefix->family == BGP_VPNV4 ? 4 : 16, prefix->bytes);
	if (hops && hops->count == 1) {
		mnl_attr_put_u32(nlh, RTA_OIF, hops->hops[0].oif);
		put_hop(nlh, prefix->family, &hops->hops[0]);
	} else if (hops) {
		put_multipath(nlh, prefix->family, hops);
	}
	pw_api_batch_end(batch, nlh);
	return true;
}

bool bgp_netlink_put_label(struct pw_api_batch *batch, uint32_t label, uint32_t ifindex)
{
	struct nlmsghdr *nlh = pw_api_batch_begin(batch, ifindex ? RTM_NEWROUTE : RTM_DELROUTE,
						  ifindex ? NLM_F_CREATE | NLM_F_REPLACE : 0,
						  sizeof(struct rtmsg), ROUTE_ROOM);
	struct rtmsg *rtm;

	if (!nlh)
		return false;
	rtm = mnl_nlmsg_get_payload(nlh);
	*rtm = (struct rtmsg){
		.rtm_family = AF_MPLS,
		.rtm_dst_len = LABEL_BITS,
		.rtm_table = RT_TABLE_MAIN,
		.rtm_protocol = RTPROT_BGP,
		.rtm_type = RTN_UNICAST,
	};
	mnl_attr_put_u32(nlh, RTA_DST, label_entry(label));
	if (ifindex)
		mnl_attr_put_u32(nlh, RTA_OIF, ifindex);
	pw_api_batch_end(batch, nlh);
	return true;
}

bool bgp_netlink_put_nexthop(struct pw_api_batch *batch, const struct bgp_address *address,
			     uint32_t oif, uint32_t id)
{
	struct nlmsghdr *nlh = pw_api_batch_begin(batch, id ? RTM_DELNEXTHOP : RTM_NEWNEXTHOP,
						  id ? 0 : NLM_F_CREATE | NLM_F_EXCL,
						  sizeof(struct nhmsg), ROUTE_ROOM);
	struct nhmsg *nhm;

	if (!nlh)
		return false;
	nhm = mnl_nlmsg_get_payload(nlh);
	if (id) {
		mnl_attr_put_u32(nlh, NHA_ID, id);
	} else {
		nhm->nh_family = address->family;
		nhm->nh_protocol = RTPROT_BGP;
		mnl_attr_put_u32(nlh, NHA_OIF, oif);
		mnl_attr_put(nlh, NHA_GATEWAY, address->family == AF_INET ? 4 : 16, address->bytes);
	}
	pw_api_batch_end(batch, nlh);
	return true;
}

bool bgp_netlink_put_dump(struct pw_api_batch *batch, uint16_t type, uint8_t family)
{
	size_t header = type == RTM_GETLINK      ? sizeof(struct ifinfomsg)
			: type == RTM_GETNEXTHOP ? sizeof(struct nhmsg)
						 : sizeof(struct rtmsg);
	struct nlmsghdr *nlh = pw_api_batch_begin(batch, type, NLM_F_DUMP, header, ROUTE_ROOM);

	if (!nlh)
		return false;
	*(uint8_t *)mnl_nlmsg_get_payload(nlh) = family;
	pw_api_batch_end(batch, nlh);
	return true;
}

bool bgp_netlink_put_subscribe(struct pw_api_batch *batch, uint32_t group)
{
	struct nlmsghdr *nlh = pw_api_batch_begin(batch, PW_MSG_SUBSCRIBE, NLM_F_ACK,
						  sizeof(struct pw_msg_group), ROUTE_ROOM);

	if (!nlh)
		return false;
	*(struct pw_msg_group *)mnl_nlmsg_get_payload(nlh) = (struct pw_msg_group){group};
	pw_api_batch_end(batch, nlh);
	return true;
}

/* ---- decoding ---------------------------------------------------------------------------- */

static bool get_label(const struct nlattr *attribute, uint32_t *label)
{
	uint32_t entry;

	if (mnl_attr_get_payload_len(attribute) != sizeof(entry))
		return false; /* a stack of several is nobody's VPN label */
	memcpy(&entry, mnl_attr_get_payload(attribute), sizeof(entry));
	*label = ntohl(entry) >> MPLS_LS_LABEL_SHIFT;
	return true;
}

static void get_gateway(const uint8_t *bytes, size_t size, struct bgp_address *via)
{
	memset(via, 0, sizeof(*via));
	if (size != 4 && size != 16)
		return;
	via->family = size == 4 ? AF_INET : AF_INET6;
	memcpy(via->bytes, bytes, size);
	bgp_address_unmap(via);
}

/* One attribute of a hop, which may be the route's own. */
static void get_hop_attribute(const struct nlattr *attribute, struct bgp_netlink_route *route,
			      struct bgp_hop *hop)
{
	const struct nlattr *nested;
	size_t size = mnl_attr_get_payload_len(attribute);

	switch (mnl_attr_get_type(attribute)) {
	case RTA_OIF:
		if (size == 4)
			hop->oif = mnl_attr_get_u32(attribute);
		break;
	case RTA_GATEWAY:
		get_gateway(mnl_attr_get_payload(attribute), size, &hop->via);
		break;
	case RTA_VIA:
		if (size > 2)
			get_gateway((const uint8_t *)mnl_attr_get_payload(attribute) + 2, size - 2,
				    &hop->via);
		break;
	case RTA_ENCAP:
		route->encapsulated = true;
		mnl_attr_for_each_nested(nested, attribute)
		{
			if (mnl_attr_get_type(nested) == MPLS_IPTUNNEL_DST)
				get_label(nested, &hop->label);
		}
		break;
	default:
		break;
	}
}

static void get_multipath(const struct nlattr *nest, struct bgp_netlink_route *route)
{
	const uint8_t *at = mnl_attr_get_payload(nest);
	size_t size = mnl_attr_get_payload_len(nest);

	while (size >= sizeof(struct rtnexthop)) {
		const struct rtnexthop *rtnh = (const struct rtnexthop *)at;
		const struct nlattr *attribute;
		struct bgp_hop *hop;

		if (rtnh->rtnh_len < sizeof(*rtnh) || rtnh->rtnh_len > size ||
		    route->hop_count == BGP_PATHS_MAX)
			return;
		hop = &route->hops[route->hop_count++];
		memset(hop, 0, sizeof(*hop));
		hop->oif = (uint32_t)rtnh->rtnh_ifindex;
		attribute = (const struct nlattr *)(at + sizeof(*rtnh));
		while (mnl_attr_ok(attribute,
				   (int)(at + rtnh->rtnh_len - (const uint8_t *)attribute))) {
			get_hop_attribute(attribute, route, hop);
			attribute = mnl_attr_next(attribute);
		}
		if ((size_t)RTNH_ALIGN(rtnh->rtnh_len) >= size)
			return;
		at += RTNH_ALIGN(rtnh->rtnh_len);
		size -= RTNH_ALIGN(rtnh->rtnh_len);
	}
}

static bool get_destination(const struct nlattr *attribute, struct bgp_netlink_route *route)
{
	size_t size = mnl_attr_get_payload_len(attribute);

	if (route->family == AF_MPLS)
		return get_label(attribute, &route->label);
	if (size != (route->family == AF_INET ? 4 : 16))
		return false;
	memcpy(route->prefix.bytes, mnl_attr_get_payload(attribute), size);
	return true;
}

bool bgp_netlink_parse(const struct nlmsghdr *nlh, struct bgp_netlink_route *route)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attribute;
	struct bgp_hop single;

	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*rtm))
		return false;
	memset(route, 0, offsetof(struct bgp_netlink_route, hops));
	memset(&single, 0, sizeof(single));
	route->family = rtm->rtm_family;
	if (route->family != AF_INET && route->family != AF_INET6 && route->family != AF_MPLS)
		return false;
	route->table = rtm->rtm_table;
	route->protocol = rtm->rtm_protocol;
	route->type = rtm->rtm_type;
	route->prefix.family = route->family == AF_INET ? BGP_VPNV4 : BGP_VPNV6;
	route->prefix.length = rtm->rtm_dst_len;
	if (route->family != AF_MPLS &&
	    rtm->rtm_dst_len > bgp_prefix_bits((enum bgp_family)route->prefix.family))
		return false;
	mnl_attr_for_each(attribute, nlh, sizeof(*rtm))
	{
		size_t size = mnl_attr_get_payload_len(attribute);

		switch (mnl_attr_get_type(attribute)) {
		case RTA_DST:
			if (!get_destination(attribute, route))
				return false;
			break;
		case RTA_TABLE:
			if (size == 4)
				route->table = mnl_attr_get_u32(attribute);
			break;
		case RTA_PRIORITY:
			if (size == 4)
				route->metric = mnl_attr_get_u32(attribute);
			break;
		case RTA_MULTIPATH:
			get_multipath(attribute, route);
			break;
		default:
			get_hop_attribute(attribute, route, &single);
		}
	}
	if (!route->hop_count && single.oif)
		route->hops[route->hop_count++] = single;
	if (route->family != AF_MPLS)
		bgp_prefix_mask(&route->prefix);
	return true;
}

bool bgp_netlink_parse_nexthop(const struct nlmsghdr *nlh, struct bgp_address *address,
			       uint32_t *oif, uint32_t *id)
{
	const struct nhmsg *nhm = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attribute;
	bool plain = true;

	*address = (struct bgp_address){0};
	*oif = *id = 0;
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*nhm) || nhm->nh_protocol != RTPROT_BGP)
		return false;
	mnl_attr_for_each(attribute, nlh, sizeof(*nhm))
	{
		size_t size = mnl_attr_get_payload_len(attribute);

		switch (mnl_attr_get_type(attribute)) {
		case NHA_ID:
			*id = size == 4 ? mnl_attr_get_u32(attribute) : 0;
			break;
		case NHA_OIF:
			*oif = size == 4 ? mnl_attr_get_u32(attribute) : 0;
			break;
		case NHA_GATEWAY:
			get_gateway(mnl_attr_get_payload(attribute), size, address);
			break;
		case NHA_GROUP:
		case NHA_ENCAP:
		case NHA_BLACKHOLE:
			plain = false;
			break;
		default:
			break;
		}
	}
	return plain && *id && *oif && address->family;
}

/* ---- links ------------------------------------------------------------------------------- */

static void get_text(const struct nlattr *attribute, char *text, size_t size)
{
	size_t length = mnl_attr_get_payload_len(attribute);

	length = length < size - 1 ? length : size - 1;
	memcpy(text, mnl_attr_get_payload(attribute), length);
	text[length] = '\0';
}

static void get_gre(const struct nlattr *data, struct bgp_netlink_link *link)
{
	const struct nlattr *attribute;

	mnl_attr_for_each_nested(attribute, data)
	{
		size_t size = mnl_attr_get_payload_len(attribute);

		switch (mnl_attr_get_type(attribute)) {
		case IFLA_GRE_LOCAL:
			get_gateway(mnl_attr_get_payload(attribute), size, &link->local);
			break;
		case IFLA_GRE_IFLAGS:
			if (size == 2)
				link->has_key = mnl_attr_get_u16(attribute) & GRE_KEY;
			break;
		case IFLA_GRE_IKEY:
			if (size == 4)
				link->key = ntohl(mnl_attr_get_u32(attribute));
			break;
		default:
			break;
		}
	}
}

static void get_info(const struct nlattr *info, struct bgp_netlink_link *link)
{
	const struct nlattr *attribute, *data = NULL, *nested;

	mnl_attr_for_each_nested(attribute, info)
	{
		if (mnl_attr_get_type(attribute) == IFLA_INFO_KIND)
			get_text(attribute, link->kind, sizeof(link->kind));
		else if (mnl_attr_get_type(attribute) == IFLA_INFO_DATA)
			data = attribute;
	}
	if (!data)
		return;
	if (strcmp(link->kind, "gre") == 0 || strcmp(link->kind, "ip6gre") == 0)
		get_gre(data, link);
	if (strcmp(link->kind, "vrf") != 0)
		return;
	mnl_attr_for_each_nested(nested, data)
	{
		if (mnl_attr_get_type(nested) == IFLA_VRF_TABLE &&
		    mnl_attr_get_payload_len(nested) == 4)
			link->table = mnl_attr_get_u32(nested);
	}
}

bool bgp_netlink_parse_link(const struct nlmsghdr *nlh, struct bgp_netlink_link *link)
{
	const struct ifinfomsg *info = mnl_nlmsg_get_payload(nlh);
	const struct nlattr *attribute;

	memset(link, 0, sizeof(*link));
	if (mnl_nlmsg_get_payload_len(nlh) < sizeof(*info))
		return false;
	link->ifindex = (uint32_t)info->ifi_index;
	link->flags = info->ifi_flags;
	mnl_attr_for_each(attribute, nlh, sizeof(*info))
	{
		switch (mnl_attr_get_type(attribute)) {
		case IFLA_IFNAME:
			get_text(attribute, link->name, sizeof(link->name));
			break;
		case IFLA_MASTER:
			if (mnl_attr_get_payload_len(attribute) == 4)
				link->master = mnl_attr_get_u32(attribute);
			break;
		case IFLA_LINKINFO:
			get_info(attribute, link);
			break;
		default:
			break;
		}
	}
	return *link->name != '\0';
}
