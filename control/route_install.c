/* SPDX-License-Identifier: BSD-3-Clause */
/* From the routes of a prefix to the one next hop that workers have for it. */
#include <string.h>

#include <linux/rtnetlink.h>

#include "control/endpoint.h"
#include "control/route.h"
#include "dataplane/table/vrf.h"

/* May be in a pair: what forwards. An unreachable route is not meant to be got round. */
static bool route_forwards(const struct pw_route *route)
{
	return route->type == RTN_UNICAST && !(route->flags & PW_ROUTE_HIDDEN);
}

/* The route that takes over from @p route when its path dies, or NULL. */
static const struct pw_route *route_after(const struct pw_route *route)
{
	const struct pw_route *first = NULL;

	for (const struct pw_route *next = route->next; next; next = next->next) {
		if (!route_forwards(next) || next->path == route->path)
			continue;
		if (!next->path->dead)
			return next;
		if (!first)
			first = next;
	}
	return first;
}

/*
 * The host route of the neighbour that a route through a device finds, once it is known: the same
 * way without asking the control thread for each packet. NULL when there is none.
 */
static const struct pw_route *route_resolved(const struct pw_route *route)
{
	const struct pw_leg *leg = pw_leg_const(route->path);
	struct pw_hop hop;

	if (!leg || route->type != RTN_UNICAST || leg->hop.gateway.family)
		return NULL;
	hop = leg->hop;
	hop.flags &= (uint8_t)~PW_HOP_ONLINK;
	for (route = route->next; route; route = route->next) {
		leg = pw_leg_const(route->path);
		if (route->source != PW_ROUTE_NEIGHBOUR || !leg || route->path->dead)
			continue;
		hop.gateway = leg->hop.gateway;
		if (memcmp(&hop, &leg->hop, sizeof(hop)) == 0)
			return route;
	}
	return NULL;
}

/*
 * The paths that a prefix should have: of the first route that is not dead and, where there is
 * another one to go with it, of that. A dead route before the first keeps its place in the pair,
 * so that nothing need change when its link goes or comes back.
 */
static struct pw_path *choose(const struct pw_prefix *prefix, struct pw_path **backup)
{
	const struct pw_route *route = prefix->routes, *before = NULL, *after, *resolved;
	struct pw_path *path;

	*backup = NULL;
	for (; route && route->path->dead; route = route->next)
		before = route;
	if (!route)
		return NULL;
	if (!route_forwards(route))
		return route->path;
	resolved = route_resolved(route);
	path = resolved ? resolved->path : route->path;
	if (before && route_forwards(before) && before->path != route->path) {
		*backup = path;
		return before->path;
	}
	after = route_after(route);
	if (after)
		*backup = after->path;
	return path;
}

int pw_prefix_install(struct pw_table *table, int family, struct pw_prefix *prefix)
{
	struct pw_path *old = prefix->installed ? pw_pair_of(prefix->installed) : NULL;
	struct pw_path *backup, *path = choose(prefix, &backup), *pair = NULL;
	uint32_t id = path ? path->id : 0;
	int ret;

	/* Without room for a pair it is one path, and another one when that dies. */
	if (backup && !pw_pair_take(path, backup, &pair))
		id = pair->id;
	else if (backup && path->dead)
		id = backup->id;
	if (id == prefix->installed) {
		if (pair)
			pw_path_drop(pair);
		return 0;
	}
	if (id)
		ret = pw_vrf_route_add(table->vrf, family, prefix->bytes, prefix->length, id);
	else
		ret = pw_vrf_route_delete(table->vrf, family, prefix->bytes, prefix->length);
	if (ret) {
		if (pair)
			pw_path_drop(pair);
		return ret;
	}
	prefix->installed = id;
	if (pair) {
		pw_path_note_table(pair, table->id);
		pw_pair_installed(pair, 1);
	}
	if (old) {
		pw_pair_installed(old, -1);
		pw_path_drop(old);
	}
	pw_endpoint_underlay_changed(table->vrf);
	return 0;
}

void pw_prefix_withdraw(struct pw_table *table, int family, struct pw_prefix *prefix)
{
	struct pw_path *pair = prefix->installed ? pw_pair_of(prefix->installed) : NULL;

	if (!prefix->installed)
		return;
	pw_vrf_route_delete(table->vrf, family, prefix->bytes, prefix->length);
	prefix->installed = 0;
	if (!pair)
		return;
	pw_pair_installed(pair, -1);
	pw_path_drop(pair);
}

const struct pw_route *pw_route_best(const struct pw_prefix *prefix)
{
	const struct pw_path *pair = prefix->installed ? pw_pair_of(prefix->installed) : NULL;
	const struct pw_path *path = pair ? pw_pair_active(pair) : NULL;
	const struct pw_route *route = prefix->routes;

	while (route && (path ? route->path != path : route->path->dead))
		route = route->next;
	return route;
}
