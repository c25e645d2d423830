/* SPDX-License-Identifier: BSD-3-Clause */
/* RTM_GETROUTE for one destination: what would become of a packet to it. */
#include <errno.h>
#include <string.h>

#include "control/netlink_hop.h"
#include "control/netlink_route.h"

#define LOOKUPS_MAX 4 /* tables that one packet may go through, as in forwarding */

static const struct pw_attribute_policy policy[RTA_MAX + 1] = {
	[RTA_DST] = {"RTA_DST", 4, 16, false},         [RTA_OIF] = {"RTA_OIF", 4, 4, false},
	[RTA_IIF] = {"RTA_IIF", 4, 4, false},          [RTA_TABLE] = {"RTA_TABLE", 4, 4, false},
	[RTA_SRC] = {"RTA_SRC", 4, 16, true}, /* routes do not depend on any of these */
	[RTA_MARK] = {"RTA_MARK", 4, 4, true},         [RTA_UID] = {"RTA_UID", 4, 4, true},
	[RTA_IP_PROTO] = {"RTA_IP_PROTO", 1, 1, true}, [RTA_SPORT] = {"RTA_SPORT", 2, 2, true},
	[RTA_DPORT] = {"RTA_DPORT", 2, 2, true},
};

struct question {
	struct pw_address address;
	uint32_t table;
	uint32_t oif; /* only routes that leave there; 0 = any */
};

struct answer {
	const struct pw_table *table;
	const struct pw_prefix *prefix;
	const struct pw_route *route;
	const struct pw_leg *leg;
};

static const struct pw_route *prefix_choose(const struct pw_prefix *prefix, uint32_t oif)
{
	const struct pw_route *route = pw_route_best(prefix);

	if (!oif && route && route->source != PW_ROUTE_NEIGHBOUR)
		return route;
	for (route = prefix->routes; route; route = route->next)
		if (!route->path->dead && route->source != PW_ROUTE_NEIGHBOUR &&
		    (!oif || route->type != RTN_UNICAST || pw_path_uses_link(route->path, oif)))
			return route;
	return NULL;
}

static const struct pw_leg *leg_choose(const struct pw_path *path, uint32_t oif)
{
	const struct pw_leg *leg, *first = NULL;
	uint32_t weight;

	for (unsigned int i = 0; (leg = pw_path_leg(path, i, &weight)); i++) {
		if (oif && leg->hop.oif != oif)
			continue;
		if (leg->path.usable)
			return leg;
		if (!first)
			first = leg;
	}
	return first;
}

static bool lookup(const struct question *question, struct answer *answer)
{
	struct pw_prefix *covering[PW_PREFIX_COVERING_MAX];
	uint32_t table = question->table;
	const struct pw_link *link;
	unsigned int count;

	for (unsigned int i = 0; i < LOOKUPS_MAX; i++) {
		answer->table = pw_table_find(table);
		if (!answer->table)
			return false;
		count = pw_prefix_covering(
			&answer->table->trees[pw_tree_of(question->address.family)],
			question->address.bytes, covering);
		answer->route = NULL;
		while (count-- > 0 && !answer->route) {
			answer->prefix = covering[count];
			answer->route = prefix_choose(covering[count], i ? 0 : question->oif);
		}
		if (!answer->route)
			return false;
		answer->leg = leg_choose(answer->route->path, i ? 0 : question->oif);
		link = answer->leg ? pw_link_by_index(answer->leg->hop.oif) : NULL;
		if (answer->route->type != RTN_UNICAST || !link || link->kind != PW_LINK_VRF)
			return answer->leg;
		table = link->table; /* a route into another VRF: look there */
	}
	return false;
}

static int refuse_answer(struct pw_request *request, const struct pw_route *route)
{
	switch (route ? route->type : RTN_UNSPEC) {
	case RTN_UNICAST:
	case RTN_LOCAL:
		return 0;
	case RTN_BLACKHOLE:
		return pw_refuse(request, NULL, -EINVAL, "Invalid argument: a blackhole route");
	case RTN_PROHIBIT:
		return pw_refuse(request, NULL, -EACCES, "Permission denied: a prohibit route");
	case RTN_UNREACHABLE:
		return pw_refuse(request, NULL, -EHOSTUNREACH,
				 "No route to host: an unreachable route");
	default:
		return pw_refuse(request, NULL, -ENETUNREACH, "Network is unreachable");
	}
}

static int get_question(struct pw_request *request, const struct nlattr **table,
			struct question *question)
{
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(request->nlh);
	unsigned int size = pw_address_size(rtm->rtm_family);
	const struct nlattr *device;
	const struct pw_link *link;

	if (!table[RTA_DST] || mnl_attr_get_payload_len(table[RTA_DST]) != size)
		return pw_refuse(request, table[RTA_DST], -EINVAL,
				 "RTA_DST: an address is needed to look up");
	question->address.family = rtm->rtm_family;
	memcpy(question->address.bytes, mnl_attr_get_payload(table[RTA_DST]), size);
	question->table = table[RTA_TABLE] ? mnl_attr_get_u32(table[RTA_TABLE]) : RT_TABLE_MAIN;
	device = table[RTA_IIF] ? table[RTA_IIF] : table[RTA_OIF];
	if (!device)
		return 0;
	link = pw_link_by_index(mnl_attr_get_u32(device));
	if (!link)
		return pw_refuse(request, device, -ENODEV, "Device does not exist");
	question->table = pw_link_table(link);
	if (table[RTA_OIF]) {
		link = pw_link_by_index(mnl_attr_get_u32(table[RTA_OIF]));
		if (!link)
			return pw_refuse(request, table[RTA_OIF], -ENODEV, "Device does not exist");
		if (link->kind != PW_LINK_VRF)
			question->oif = link->index;
	}
	return 0;
}

static void put_answer(struct nlmsghdr *nlh, const struct question *question,
		       const struct answer *answer)
{
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	int family = question->address.family;
	uint32_t id = answer->table->id;
	struct pw_address source;

	if (answer->route->flags & PW_ROUTE_LOCAL_TABLE)
		id = RT_TABLE_LOCAL;
	*rtm = (struct rtmsg){
		.rtm_family = (unsigned char)family,
		.rtm_dst_len = 8 * pw_address_size(family),
		.rtm_table = id < 256 ? (unsigned char)id : RT_TABLE_COMPAT,
		.rtm_protocol = family == AF_INET6 ? answer->route->protocol : RTPROT_UNSPEC,
		.rtm_type = answer->route->type,
		.rtm_flags = family == AF_INET ? RTM_F_CLONED : 0,
	};
	mnl_attr_put_u32(nlh, RTA_TABLE, id);
	mnl_attr_put(nlh, RTA_DST, pw_address_size(family), question->address.bytes);
	if (pw_netlink_route_source(answer->table, family, answer->prefix, answer->route,
				    &source) ||
	    !pw_address_primary(answer->leg->hop.oif, family, &source))
		mnl_attr_put(nlh, RTA_PREFSRC, pw_address_size(family), source.bytes);
	if (family == AF_INET6)
		mnl_attr_put_u32(nlh, RTA_PRIORITY, answer->route->metric);
	pw_hop_put(nlh, family, &answer->leg->hop);
	if (family == AF_INET6)
		mnl_attr_put_u8(nlh, RTA_PREF, 0 /* ICMPV6_ROUTER_PREF_MEDIUM */);
}

int pw_netlink_route_get(struct pw_request *request)
{
	static char buffer[16384] __attribute__((aligned(8)));
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(request->nlh);
	const struct nlattr *table[RTA_MAX + 1];
	struct question question = {0};
	struct answer answer = {0};
	struct nlmsghdr *nlh;
	int ret = pw_request_attributes(request, sizeof(*rtm), "route lookup", policy, RTA_MAX,
					table);

	if (!ret)
		ret = get_question(request, table, &question);
	if (ret)
		return ret;
	if (!lookup(&question, &answer))
		answer.route = NULL;
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = RTM_NEWROUTE;
	if (answer.route && rtm->rtm_flags & RTM_F_FIB_MATCH) {
		pw_netlink_route_put(nlh, answer.table, question.address.family, answer.prefix,
				     answer.route);
		return pw_reply(request, nlh);
	}
	ret = refuse_answer(request, answer.route);
	if (ret)
		return ret;
	put_answer(nlh, &question, &answer);
	return pw_reply(request, nlh);
}
