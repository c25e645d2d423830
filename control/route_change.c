/* SPDX-License-Identifier: BSD-3-Clause */
/* What NLM_F_* mean for a configured route: net/ipv4/fib_trie.c and net/ipv6/ip6_fib.c's rules. */
#include "control/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "control/endpoint.h"

struct pw_route *pw_route_of_spec(const struct pw_route_spec *spec, struct pw_path *path)
{
	struct pw_route *route = pw_route_new(path);

	if (!route)
		return NULL;
	route->source = spec->feed ? spec->feed->source : PW_ROUTE_CONFIGURED;
	route->session = spec->feed ? spec->feed->session : 0;
	route->metric = spec->metric;
	route->type = spec->type;
	route->protocol = spec->protocol;
	route->scope = spec->family == AF_INET6 ? RT_SCOPE_UNIVERSE : spec->scope;
	if (spec->table == RT_TABLE_LOCAL)
		route->flags |= PW_ROUTE_LOCAL_TABLE;
	if (!spec->prefsrc.family)
		return route;
	route->prefsrc = malloc(sizeof(*route->prefsrc));
	if (!route->prefsrc) {
		pw_route_free(route);
		return NULL;
	}
	*route->prefsrc = spec->prefsrc;
	return route;
}

static bool prefsrc_equal(const struct pw_address *a, const struct pw_address *b)
{
	if (!a || !b)
		return a == b;
	return memcmp(a, b, sizeof(*a)) == 0;
}

/* The same route in all that the kernel keeps in a fib_info. */
bool pw_route_same(const struct pw_route *a, const struct pw_route *b)
{
	return a->path == b->path && a->type == b->type && a->protocol == b->protocol &&
	       a->scope == b->scope && prefsrc_equal(a->prefsrc, b->prefsrc);
}

static bool shown(const struct pw_route *route)
{
	return !(route->flags & PW_ROUTE_HIDDEN);
}

/* ---- IPv4 -------------------------------------------------------------------------------- */

struct change {
	struct pw_table *table;
	const struct pw_route_spec *spec;
	struct pw_prefix *prefix;
	struct pw_route *route; /* the new one; freed by the caller when it isn't taken over */
};

static int change_insert(struct change *change, struct pw_route **at, uint16_t flags)
{
	const struct pw_route_spec *spec = change->spec;
	int ret = pw_route_insert_at(change->table, spec->family, change->prefix, change->route, at,
				     flags | NLM_F_CREATE);

	if (!ret)
		change->route = NULL;
	return ret;
}

static int change_replace(struct change *change, struct pw_route *old)
{
	int ret = pw_route_exchange(change->table, change->spec->family, change->prefix, old,
				    change->route);

	if (!ret)
		pw_route_notify(change->table, change->spec->family, change->prefix, old,
				RTM_NEWROUTE, NLM_F_REPLACE);
	return ret;
}

static int configure_ipv4(struct change *change)
{
	uint16_t flags = change->spec->flags;
	struct pw_route **at, **end;
	struct pw_route *first = NULL, *match = NULL;

	if (change->prefix) {
		at = pw_route_position(change->prefix, change->route);
		while (*at && !shown(*at) && pw_route_peers(*at, change->route))
			at = &(*at)->next;
		end = at;
		if (*at && pw_route_peers(*at, change->route))
			first = *at;
		for (; *end && pw_route_peers(*end, change->route); end = &(*end)->next)
			if (!match && shown(*end) && pw_route_same(*end, change->route))
				match = *end;
	}
	if (first) {
		if (flags & NLM_F_EXCL)
			return -EEXIST;
		if (flags & NLM_F_REPLACE) {
			if (match)
				return match == first ? 0 : -EEXIST;
			return change_replace(change, first);
		}
		if (match)
			return -EEXIST;
		if (flags & NLM_F_APPEND)
			at = end;
	}
	if (!(flags & NLM_F_CREATE))
		return -ENOENT;
	return change_insert(change, at, first ? flags & NLM_F_APPEND : NLM_F_EXCL);
}

/* ---- IPv6 -------------------------------------------------------------------------------- */

/* Next hops with a gateway join into one multipath route (rt6_qualify_for_ecmp). */
static bool can_join(const struct pw_route *route)
{
	const struct pw_leg *leg;
	uint32_t weight;

	if (route->path->kind == PW_PATH_OBJECT || route->type != RTN_UNICAST)
		return false;
	for (unsigned int i = 0; (leg = pw_path_leg(route->path, i, &weight)); i++)
		if (!leg->hop.gateway.family)
			return false;
	return true;
}

static bool legs_overlap(const struct pw_path *a, const struct pw_path *b)
{
	const struct pw_leg *left, *right;
	uint32_t weight;

	for (unsigned int i = 0; (left = pw_path_leg(a, i, &weight)); i++)
		for (unsigned int n = 0; (right = pw_path_leg(b, n, &weight)); n++)
			if (left->hop.oif == right->hop.oif &&
			    memcmp(&left->hop.gateway, &right->hop.gateway,
				   sizeof(left->hop.gateway)) == 0 &&
			    left->hop.label_count == right->hop.label_count &&
			    memcmp(left->hop.labels, right->hop.labels, sizeof(left->hop.labels)) ==
				    0)
				return true;
	return false;
}

static int join(struct change *change, struct pw_route *old)
{
	const struct pw_path *parts[2] = {old->path, change->route->path};
	struct pw_path *legs[PW_GROUP_BUCKETS];
	uint32_t weights[PW_GROUP_BUCKETS];
	const struct pw_leg *leg;
	struct pw_route *joined;
	unsigned int count = 0;
	struct pw_path *path;
	uint32_t weight;
	int ret;

	for (unsigned int part = 0; part < 2; part++)
		for (unsigned int i = 0; (leg = pw_path_leg(parts[part], i, &weight)); i++) {
			if (count == PW_GROUP_BUCKETS)
				return -ENOSPC;
			legs[count] = (struct pw_path *)&leg->path;
			weights[count++] = weight;
		}
	ret = pw_multi_take(legs, weights, count, &path);
	if (ret)
		return ret;
	joined = pw_route_new(path);
	pw_path_drop(path);
	if (!joined)
		return -ENOMEM;
	/* What else the route is, the first of the siblings says. */
	joined->source = old->source;
	joined->metric = old->metric;
	joined->type = old->type;
	joined->protocol = old->protocol;
	if (old->prefsrc) {
		joined->prefsrc = malloc(sizeof(*joined->prefsrc));
		if (!joined->prefsrc) {
			pw_route_free(joined);
			return -ENOMEM;
		}
		*joined->prefsrc = *old->prefsrc;
	}
	pw_route_free(change->route);
	change->route = joined;
	ret = pw_route_exchange(change->table, AF_INET6, change->prefix, old, joined);
	if (!ret)
		pw_route_notify(change->table, AF_INET6, change->prefix, old, RTM_NEWROUTE,
				NLM_F_APPEND | NLM_F_CREATE);
	return ret;
}

static int configure_ipv6(struct change *change)
{
	struct pw_route **at, *peer, *fallback = NULL;
	uint16_t flags = change->spec->flags;
	bool joins = can_join(change->route);
	struct pw_route *sibling = NULL;

	at = pw_route_position(change->prefix, change->route);
	for (; (peer = *at) && pw_route_peers(peer, change->route); at = &peer->next) {
		if (!shown(peer))
			continue;
		if (flags & NLM_F_EXCL)
			return -EEXIST;
		if (can_join(peer) == joins && !sibling)
			sibling = peer;
		if (!fallback)
			fallback = peer;
		if (!(flags & NLM_F_REPLACE) && legs_overlap(peer->path, change->route->path))
			return -EEXIST;
	}
	if (flags & NLM_F_REPLACE) {
		if (sibling || fallback)
			return change_replace(change, sibling ? sibling : fallback);
		if (!(flags & NLM_F_CREATE))
			return -ENOENT;
	} else if (sibling && joins) {
		return join(change, sibling);
	}
	/* Like the kernel's, a new IPv6 route needs no NLM_F_CREATE. */
	return change_insert(change, at, fallback ? flags & NLM_F_APPEND : NLM_F_EXCL);
}

int pw_route_configure(const struct pw_route_spec *spec, struct pw_path *path)
{
	struct change change = {.spec = spec};
	int ret = 0;

	change.table = pw_table_take(spec->table, &ret);
	if (!change.table)
		return ret;
	change.route = pw_route_of_spec(spec, path);
	if (!change.route)
		return -ENOMEM;
	change.prefix = pw_prefix_add(&change.table->trees[pw_tree_of(spec->family)],
				      spec->dst.bytes, spec->length);
	if (!change.prefix)
		ret = -ENOMEM;
	else if (spec->family == AF_INET)
		ret = configure_ipv4(&change);
	else
		ret = configure_ipv6(&change);
	if (change.route)
		pw_route_free(change.route);
	if (change.prefix)
		pw_route_prefix_leave(change.table, spec->family, change.prefix);
	return ret;
}

/* ---- deletion ---------------------------------------------------------------------------- */

static bool hop_fits(const struct pw_hop *wanted, const struct pw_hop *hop)
{
	if (wanted->oif && wanted->oif != hop->oif)
		return false;
	if (wanted->gateway.family &&
	    memcmp(&wanted->gateway, &hop->gateway, sizeof(hop->gateway)) != 0)
		return false;
	return !wanted->label_count ||
	       (wanted->label_count == hop->label_count &&
		memcmp(wanted->labels, hop->labels, sizeof(hop->labels)) == 0);
}

/* The hop's place among the route's legs, or -1. */
static int hop_place(const struct pw_hop *wanted, const struct pw_path *path)
{
	const struct pw_leg *leg;
	uint32_t weight;

	for (unsigned int i = 0; (leg = pw_path_leg(path, i, &weight)); i++)
		if (hop_fits(wanted, &leg->hop))
			return (int)i;
	return -1;
}

static bool path_fits(const struct pw_route_spec *spec, const struct pw_path *path)
{
	const struct pw_leg *leg;
	uint32_t weight;

	if (spec->nhid)
		return path->kind == PW_PATH_OBJECT &&
		       ((const struct pw_object *)path)->nhid == spec->nhid;
	if (!spec->hop_count)
		return true;
	if (path->kind == PW_PATH_OBJECT)
		return false;
	/* IPv6 next hops of one prefix are siblings: any of them may be named alone. */
	if (spec->family == AF_INET6 && spec->hop_count == 1)
		return hop_place(&spec->hops[0], path) >= 0;
	for (unsigned int i = 0; i < spec->hop_count; i++) {
		leg = pw_path_leg(path, i, &weight);
		if (!leg || !hop_fits(&spec->hops[i], &leg->hop))
			return false;
	}
	return !spec->multipath || !pw_path_leg(path, spec->hop_count, &weight);
}

static bool route_fits(const struct pw_route_spec *spec, const struct pw_route *route)
{
	bool local = spec->table == RT_TABLE_LOCAL;

	if (!shown(route))
		return false;
	if (local != !!(route->flags & PW_ROUTE_LOCAL_TABLE))
		return false;
	if (spec->metric && spec->metric != route->metric)
		return false;
	if (spec->protocol && spec->protocol != route->protocol)
		return false;
	if (spec->family == AF_INET) {
		if (spec->type && spec->type != route->type)
			return false;
		if (spec->scope != RT_SCOPE_NOWHERE && spec->scope != route->scope)
			return false;
	}
	/* Addresses' own routes show a source that they need not keep. */
	if (spec->prefsrc.family && route->source >= PW_ROUTE_CONFIGURED &&
	    !prefsrc_equal(&spec->prefsrc, route->prefsrc))
		return false;
	return path_fits(spec, route->path);
}

/* One sibling of an IPv6 multipath route goes, the others stay. */
static int leave(struct pw_table *table, struct pw_prefix *prefix, struct pw_route *route,
		 unsigned int place)
{
	struct pw_path *legs[PW_GROUP_BUCKETS];
	uint32_t weights[PW_GROUP_BUCKETS];
	const struct pw_leg *leg;
	struct pw_route with = *route;
	unsigned int count = 0;
	uint32_t weight;
	int ret;

	for (unsigned int i = 0; (leg = pw_path_leg(route->path, i, &weight)); i++) {
		if (i == place)
			continue;
		legs[count] = (struct pw_path *)&leg->path;
		weights[count++] = weight;
	}
	ret = pw_multi_take(legs, weights, count, &with.path);
	if (ret)
		return ret;
	with.path->routes++;
	ret = pw_route_exchange(table, AF_INET6, prefix, route, &with);
	/* Whichever path is now in @with is nobody's. */
	with.path->routes--;
	pw_path_drop(with.path);
	if (!ret)
		pw_route_notify(table, AF_INET6, prefix, route, RTM_NEWROUTE, NLM_F_REPLACE);
	return ret;
}

int pw_route_unconfigure(const struct pw_route_spec *spec)
{
	struct pw_table *table = pw_table_find(spec->table);
	struct pw_prefix *prefix;
	struct pw_route *route;

	if (!table)
		return -ESRCH;
	prefix = pw_prefix_get(&table->trees[pw_tree_of(spec->family)], spec->dst.bytes,
			       spec->length);
	for (route = prefix ? prefix->routes : NULL; route; route = route->next)
		if (route_fits(spec, route))
			break;
	if (!route)
		return -ESRCH;
	if (spec->family == AF_INET6 && route->path->kind == PW_PATH_MULTI &&
	    spec->hop_count == 1 && spec->hops[0].gateway.family)
		return leave(table, prefix, route,
			     (unsigned int)hop_place(&spec->hops[0], route->path));
	return pw_route_take_out(table, spec->family, prefix, route);
}
