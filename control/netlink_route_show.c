/* SPDX-License-Identifier: BSD-3-Clause */
/* Routes in messages: dumps and events. */
#include <errno.h>
#include <string.h>

#include "control/netlink_hop.h"
#include "control/netlink_route.h"

#define ROUTE_ROOM   256
#define SOURCE_TRIES 64

/* ---- one route --------------------------------------------------------------------------- */

/* A connected prefix's address: the link's own within the prefix. */
static bool connected_source(const struct pw_table *table, int family,
			     const struct pw_prefix *prefix, uint32_t oif,
			     struct pw_address *source)
{
	const struct pw_prefix_tree *tree = &table->trees[pw_tree_of(family)];
	const struct pw_prefix *at = prefix;

	if (!pw_address_primary(oif, family, source) &&
	    pw_prefix_contains(prefix->bytes, prefix->length, source->bytes))
		return true;
	for (unsigned int i = 0; i < SOURCE_TRIES; i++) {
		at = pw_prefix_next(tree, at->bytes, at->length, false);
		if (!at || !pw_prefix_contains(prefix->bytes, prefix->length, at->bytes))
			return false;
		for (const struct pw_route *route = at->routes; route; route = route->next) {
			const struct pw_leg *leg = pw_leg_const(route->path);

			if (route->source != PW_ROUTE_LOCAL || !leg || leg->hop.oif != oif)
				continue;
			memset(source, 0, sizeof(*source));
			source->family = (uint8_t)family;
			memcpy(source->bytes, at->bytes, tree->bits / 8);
			return true;
		}
	}
	return false;
}

bool pw_netlink_route_source(const struct pw_table *table, int family,
			     const struct pw_prefix *prefix, const struct pw_route *route,
			     struct pw_address *source)
{
	const struct pw_leg *leg = pw_leg_const(route->path);

	if (route->prefsrc) {
		*source = *route->prefsrc;
		return true;
	}
	if (family != AF_INET || !leg)
		return false;
	if (route->source == PW_ROUTE_CONNECTED)
		return connected_source(table, family, prefix, leg->hop.oif, source);
	if (route->source != PW_ROUTE_LOCAL)
		return false;
	memset(source, 0, sizeof(*source));
	source->family = AF_INET;
	memcpy(source->bytes, prefix->bytes, 4);
	return true;
}

static void put_path(struct nlmsghdr *nlh, struct rtmsg *rtm, int family,
		     const struct pw_path *path)
{
	const struct pw_leg *leg;
	uint32_t weight;

	if (path->kind == PW_PATH_OBJECT)
		mnl_attr_put_u32(nlh, RTA_NH_ID, ((const struct pw_object *)path)->nhid);
	leg = pw_path_leg(path, 0, &weight);
	if (!leg)
		return;
	if (path->kind == PW_PATH_LEG || !pw_path_leg(path, 1, &weight)) {
		rtm->rtm_flags |= pw_hop_flags(leg);
		pw_hop_put(nlh, family, &leg->hop);
		return;
	}
	pw_hop_put_multipath(nlh, family, path);
}

void pw_netlink_route_put(struct nlmsghdr *nlh, const struct pw_table *table, int family,
			  const struct pw_prefix *prefix, const struct pw_route *route)
{
	uint32_t id = route->flags & PW_ROUTE_LOCAL_TABLE ? RT_TABLE_LOCAL : table->id;
	struct rtmsg *rtm = mnl_nlmsg_put_extra_header(nlh, sizeof(*rtm));
	unsigned int size = pw_address_size(family);
	struct rta_cacheinfo cache = {0};
	struct pw_address source;

	*rtm = (struct rtmsg){
		.rtm_family = (unsigned char)family,
		.rtm_dst_len = prefix->length,
		.rtm_table = id < 256 ? (unsigned char)id : RT_TABLE_COMPAT,
		.rtm_protocol = route->protocol,
		.rtm_scope = route->scope,
		.rtm_type = route->type,
	};
	mnl_attr_put_u32(nlh, RTA_TABLE, id);
	if (prefix->length)
		mnl_attr_put(nlh, RTA_DST, size, prefix->bytes);
	if (route->metric || family == AF_INET6)
		mnl_attr_put_u32(nlh, RTA_PRIORITY, route->metric);
	if (pw_netlink_route_source(table, family, prefix, route, &source))
		mnl_attr_put(nlh, RTA_PREFSRC, size, source.bytes);
	put_path(nlh, rtm, family, route->path);
	if (family != AF_INET6)
		return;
	mnl_attr_put(nlh, RTA_CACHEINFO, sizeof(cache), &cache);
	mnl_attr_put_u8(nlh, RTA_PREF, 0 /* ICMPV6_ROUTER_PREF_MEDIUM */);
}

void pw_route_notify(const struct pw_table *table, int family, const struct pw_prefix *prefix,
		     const struct pw_route *route, uint16_t type, uint16_t flags)
{
	static char buffer[16384] __attribute__((aligned(8)));
	uint32_t group = family == AF_INET ? RTNLGRP_IPV4_ROUTE : RTNLGRP_IPV6_ROUTE;
	struct nlmsghdr *nlh;

	if (!pw_notify_wanted(group))
		return;
	nlh = mnl_nlmsg_put_header(buffer);
	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = flags;
	pw_netlink_route_put(nlh, table, family, prefix, route);
	pw_notify(group, nlh);
}

/* ---- dumps ------------------------------------------------------------------------------- */

/* Where a dump goes on. */
enum cursor {
	CURSOR_STAGE, /* IPv4, IPv6, MPLS */
	CURSOR_TABLE,
	CURSOR_LENGTH,                   /* of the prefix, + 1; 0 = at the beginning */
	CURSOR_BYTES,                    /* two words */
	CURSOR_ROUTE = CURSOR_BYTES + 2, /* 1 + how many of the prefix's routes are done; 0 = all */
};

struct filter {
	uint32_t table; /* 0 = all */
	uint32_t oif;
	uint8_t protocol;
	uint8_t type;
};

static const struct pw_attribute_policy dump_policy[RTA_MAX + 1] = {
	[RTA_TABLE] = {"RTA_TABLE", 4, 4, false},
	[RTA_OIF] = {"RTA_OIF", 4, 4, false},
	/* The asker filters by these itself. */
	[RTA_DST] = {"RTA_DST", 0, 0, true},
	[RTA_SRC] = {"RTA_SRC", 0, 0, true},
	[RTA_IIF] = {"RTA_IIF", 0, 0, true},
	[RTA_GATEWAY] = {"RTA_GATEWAY", 0, 0, true},
	[RTA_PREFSRC] = {"RTA_PREFSRC", 0, 0, true},
	[RTA_PRIORITY] = {"RTA_PRIORITY", 0, 0, true},
	[RTA_MARK] = {"RTA_MARK", 0, 0, true},
	[RTA_METRICS] = {"RTA_METRICS", 0, 0, true},
	[RTA_MULTIPATH] = {"RTA_MULTIPATH", 0, 0, true},
	[RTA_VIA] = {"RTA_VIA", 0, 0, true},
	[RTA_NEWDST] = {"RTA_NEWDST", 0, 0, true},
	[RTA_ENCAP_TYPE] = {"RTA_ENCAP_TYPE", 0, 0, true},
	[RTA_ENCAP] = {"RTA_ENCAP", 0, 0, true},
	[RTA_NH_ID] = {"RTA_NH_ID", 0, 0, true},
};

/* Old programs send a struct rtgenmsg, or a whole ifinfomsg, instead of a struct rtmsg. */
static int filter_get(struct pw_dump *dump, struct filter *filter, bool *cache)
{
	struct pw_request request = {.nlh = dump->nlh};
	const struct nlattr *table[RTA_MAX + 1];
	const struct rtmsg *rtm = mnl_nlmsg_get_payload(dump->nlh);
	int ret;

	*filter = (struct filter){0};
	*cache = false;
	if (mnl_nlmsg_get_payload_len(dump->nlh) < sizeof(*rtm))
		return 0;
	ret = pw_request_attributes(&request, sizeof(*rtm), "route dump", dump_policy, RTA_MAX,
				    table);
	if (ret) {
		if (dump->request)
			pw_refuse(dump->request, NULL, ret, "%s", request.text);
		return ret;
	}
	/* As in the kernel rtm_table does not count: pyroute2 sends "main" and means all. */
	filter->table = table[RTA_TABLE] ? mnl_attr_get_u32(table[RTA_TABLE]) : 0;
	filter->oif = table[RTA_OIF] ? mnl_attr_get_u32(table[RTA_OIF]) : 0;
	filter->protocol = rtm->rtm_protocol;
	filter->type = rtm->rtm_type;
	*cache = rtm->rtm_flags & RTM_F_CLONED;
	return 0;
}

static bool route_wanted(const struct filter *filter, const struct pw_route *route)
{
	bool local = route->flags & PW_ROUTE_LOCAL_TABLE;

	if (route->flags & PW_ROUTE_HIDDEN)
		return false;
	if (filter->table && local != (filter->table == RT_TABLE_LOCAL))
		return false;
	return (!filter->type || filter->type == route->type) &&
	       (!filter->protocol || filter->protocol == route->protocol) &&
	       (!filter->oif || pw_path_uses_link(route->path, filter->oif));
}

/* 1 when the buffer is full. */
static int dump_prefix(struct pw_dump *dump, const struct filter *filter,
		       const struct pw_table *table, int family, const struct pw_prefix *prefix)
{
	const struct pw_route *route = prefix->routes;

	for (uint64_t i = 0; route; route = route->next, i++) {
		struct nlmsghdr *nlh;

		if (i + 1 < dump->cursor[CURSOR_ROUTE] || !route_wanted(filter, route))
			continue;
		nlh = pw_dump_message(dump, RTM_NEWROUTE, ROUTE_ROOM + pw_hop_room(route->path));
		if (!nlh) {
			dump->cursor[CURSOR_ROUTE] = i + 1;
			return 1;
		}
		pw_netlink_route_put(nlh, table, family, prefix, route);
		pw_dump_commit(dump, nlh);
	}
	dump->cursor[CURSOR_ROUTE] = 0;
	return 0;
}

static int dump_table(struct pw_dump *dump, const struct filter *filter,
		      const struct pw_table *table, int family)
{
	const struct pw_prefix_tree *tree = &table->trees[pw_tree_of(family)];
	uint64_t *length = &dump->cursor[CURSOR_LENGTH];
	uint8_t *bytes = (uint8_t *)&dump->cursor[CURSOR_BYTES];
	const struct pw_prefix *prefix;

	while ((prefix = pw_prefix_next(tree, bytes, *length ? (unsigned int)*length - 1 : 0,
					!*length || dump->cursor[CURSOR_ROUTE]))) {
		/* Another prefix than the one where the buffer was full: begin with its first. */
		if (*length != prefix->length + 1u || memcmp(bytes, prefix->bytes, tree->bits / 8))
			dump->cursor[CURSOR_ROUTE] = 0;
		*length = prefix->length + 1u;
		memcpy(bytes, prefix->bytes, tree->bits / 8);
		if (dump_prefix(dump, filter, table, family, prefix))
			return 1;
	}
	*length = 0;
	memset(bytes, 0, 16);
	return 0;
}

static int dump_family(struct pw_dump *dump, const struct filter *filter, int family)
{
	const struct pw_table *table;

	if (filter->table) {
		table = pw_table_find(filter->table);
		return table ? dump_table(dump, filter, table, family) : 0;
	}
	while ((table = pw_table_next((uint32_t)dump->cursor[CURSOR_TABLE], true))) {
		/* A table that went while the dump stood in it: the next one from its start. */
		if (table->id != dump->cursor[CURSOR_TABLE])
			memset(&dump->cursor[CURSOR_LENGTH], 0, 4 * sizeof(*dump->cursor));
		dump->cursor[CURSOR_TABLE] = table->id;
		if (dump_table(dump, filter, table, family))
			return 1;
		if (table->id == UINT32_MAX)
			break;
		dump->cursor[CURSOR_TABLE] = table->id + 1;
	}
	dump->cursor[CURSOR_TABLE] = 0;
	return 0;
}

static bool table_exists(uint32_t id)
{
	struct pw_link *link = NULL;

	if (pw_table_find(id))
		return true;
	while ((link = pw_link_next(link ? link->index : 0)))
		if (link->kind == PW_LINK_VRF && link->table == id)
			return true;
	return false;
}

int pw_netlink_route_dump(struct pw_dump *dump)
{
	const struct rtgenmsg *gen = mnl_nlmsg_get_payload(dump->nlh);
	static const int stages[] = {AF_INET, AF_INET6, AF_MPLS};
	bool one = gen->rtgen_family == AF_INET || gen->rtgen_family == AF_INET6 ||
		   gen->rtgen_family == AF_MPLS;
	struct filter filter;
	bool cache;
	int ret = filter_get(dump, &filter, &cache);

	if (ret || cache)
		return ret; /* there is no route cache */
	if (filter.table && gen->rtgen_family == AF_INET && !table_exists(filter.table)) {
		if (dump->request)
			pw_refuse(dump->request, NULL, -ENOENT, "ipv4: FIB table does not exist");
		return -ENOENT;
	}
	for (; dump->cursor[CURSOR_STAGE] < 3; dump->cursor[CURSOR_STAGE]++) {
		int family = stages[dump->cursor[CURSOR_STAGE]];

		if (one && gen->rtgen_family != family)
			continue;
		if (family == AF_MPLS)
			ret = pw_netlink_label_dump(dump, filter.oif, filter.protocol);
		else
			ret = dump_family(dump, &filter, family);
		if (ret)
			return ret;
	}
	return 0;
}
