/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/route.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include "control/endpoint.h"
#include "control/face.h"
#include "control/label.h"
#include "dataplane/table/vrf.h"
#include "lib/pool.h"
#include "lib/retire.h"

static struct pw_table *tables[PW_VRFS]; /* in order of id */
static unsigned int table_count;
static struct pw_table *by_id[4096]; /* the same, by hash */
static bool tables_stale;            /* one may be empty */

/* ---- tables ------------------------------------------------------------------------------ */

static struct pw_pool route_pool = {.size = sizeof(struct pw_route)};

static uint32_t table_fold(uint32_t id)
{
	return id == RT_TABLE_LOCAL || id == RT_TABLE_UNSPEC ? RT_TABLE_MAIN : id;
}

/* Index of the first table with an id of at least this. */
static unsigned int table_index(uint32_t id)
{
	unsigned int low = 0, high = table_count;

	while (low < high) {
		unsigned int middle = (low + high) / 2;

		if (tables[middle]->id < id)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static struct pw_table **table_bucket(uint32_t id)
{
	return &by_id[id * 2654435761u >> 20];
}

struct pw_table *pw_table_find(uint32_t id)
{
	struct pw_table *table;

	id = table_fold(id);
	for (table = *table_bucket(id); table && table->id != id;)
		table = table->hash_next;
	return table;
}

void pw_table_ahead(uint32_t id, bool chain)
{
	struct pw_table **bucket = table_bucket(table_fold(id));

	__builtin_prefetch(bucket);
	if (chain)
		__builtin_prefetch(*bucket);
}

static void table_hash(struct pw_table *table)
{
	struct pw_table **bucket = table_bucket(table->id);

	table->hash_next = *bucket;
	*bucket = table;
}

static void table_unhash(struct pw_table *table)
{
	struct pw_table **at = table_bucket(table->id);

	while (*at != table)
		at = &(*at)->hash_next;
	*at = table->hash_next;
}

struct pw_table *pw_table_next(uint32_t after, bool inclusive)
{
	unsigned int index = table_index(after);

	if (!inclusive && index < table_count && tables[index]->id == after)
		index++;
	return index < table_count ? tables[index] : NULL;
}

struct pw_table *pw_table_take(uint32_t id, int *error)
{
	struct pw_table *table = pw_table_find(id);
	unsigned int index;
	int vrf;

	if (table)
		return table;
	id = table_fold(id);
	*error = -ENOSPC;
	if (table_count == PW_VRFS)
		return NULL;
	*error = -ENOMEM;
	table = calloc(1, sizeof(*table));
	if (!table)
		return NULL;
	vrf = pw_vrf_take(id);
	if (vrf < 0) {
		*error = vrf;
		free(table);
		return NULL;
	}
	*error = 0;
	table->id = id;
	table->vrf = (uint16_t)vrf;
	table->trees[0].bits = 32;
	table->trees[1].bits = 128;
	index = table_index(id);
	memmove(&tables[index + 1], &tables[index], (table_count - index) * sizeof(*tables));
	tables[index] = table;
	table_count++;
	table_hash(table);
	tables_stale = true; /* should the route not come after all */
	return table;
}

static bool table_bound(uint32_t id)
{
	struct pw_link *link = NULL;

	while ((link = pw_link_next(link ? link->index : 0)))
		if (link->kind == PW_LINK_VRF && link->table == id)
			return true;
	return false;
}

/* Nobody can be on the way into the VRF any more; unless it was taken again, it goes. */
static void vrf_reclaim(void *context, uint64_t id)
{
	int vrf = pw_vrf_find((uint32_t)id);

	(void)context;
	if (vrf > 0 && !pw_table_find((uint32_t)id) && !table_bound((uint32_t)id))
		pw_vrf_free((uint16_t)vrf);
}

void pw_tables_collect(void)
{
	if (!tables_stale)
		return;
	tables_stale = false;
	for (unsigned int i = 0; i < table_count; i++) {
		struct pw_table *table = tables[i];

		if (table->entries || table->id == RT_TABLE_MAIN)
			continue;
		table_count--;
		table_unhash(table);
		memmove(&tables[i], &tables[i + 1], (table_count - i) * sizeof(*tables));
		i--;
		if (!table_bound(table->id))
			pw_retire(vrf_reclaim, NULL, table->id);
		free(table);
	}
}

/* ---- one prefix -------------------------------------------------------------------------- */

/* Local addresses first, then what is configured or connected by metric, then what feeds say,
 * then neighbours. */
static unsigned int route_rank(const struct pw_route *route)
{
	if (route->source == PW_ROUTE_LOCAL || (route->flags & PW_ROUTE_LOCAL_TABLE))
		return 0;
	switch (route->source) {
	case PW_ROUTE_REVERSE:
		return 2;
	case PW_ROUTE_FPM:
		return 3;
	case PW_ROUTE_KERNEL:
		return 4;
	case PW_ROUTE_NEIGHBOUR:
		return 5;
	default:
		return 1;
	}
}

bool pw_route_peers(const struct pw_route *a, const struct pw_route *b)
{
	return route_rank(a) == route_rank(b) && a->metric == b->metric;
}

struct pw_route **pw_route_position(struct pw_prefix *prefix, const struct pw_route *like)
{
	struct pw_route **at = &prefix->routes;
	unsigned int rank = route_rank(like);

	while (*at && (route_rank(*at) < rank ||
		       (route_rank(*at) == rank && (*at)->metric < like->metric)))
		at = &(*at)->next;
	return at;
}

struct pw_route *pw_route_new(struct pw_path *path)
{
	struct pw_route *route = pw_pool_alloc(&route_pool);

	if (!route)
		return NULL;
	*route = (struct pw_route){.path = path};
	pw_path_hold(path);
	path->routes++;
	return route;
}

void pw_route_free(struct pw_route *route)
{
	route->path->routes--;
	pw_path_drop(route->path);
	free(route->prefsrc);
	pw_pool_free(&route_pool, route);
}

static void table_count_route(struct pw_table *table, int family, const struct pw_route *route,
			      int change)
{
	table->entries += change;
	if (!(route->flags & PW_ROUTE_HIDDEN))
		table->shown[pw_tree_of(family)] += change;
	tables_stale |= !table->entries;
}

void pw_route_prefix_leave(struct pw_table *table, int family, struct pw_prefix *prefix)
{
	if (!prefix->routes)
		pw_prefix_remove(&table->trees[pw_tree_of(family)], prefix);
}

int pw_route_insert_at(struct pw_table *table, int family, struct pw_prefix *prefix,
		       struct pw_route *route, struct pw_route **at, uint16_t flags)
{
	int ret;

	if (!at)
		at = pw_route_position(prefix, route);
	route->next = *at;
	*at = route;
	ret = pw_prefix_install(table, family, prefix);
	if (ret) {
		*at = route->next;
		return ret;
	}
	table_count_route(table, family, route, 1);
	pw_path_note_table(route->path, table->id);
	if (!(route->flags & PW_ROUTE_HIDDEN))
		pw_route_notify(table, family, prefix, route, RTM_NEWROUTE, flags);
	return 0;
}

int pw_route_insert(struct pw_table *table, int family, const uint8_t *bytes, unsigned int length,
		    struct pw_route *route, struct pw_route **at, uint16_t flags)
{
	struct pw_prefix *prefix = pw_prefix_add(&table->trees[pw_tree_of(family)], bytes, length);
	int ret = -ENOMEM;

	if (prefix) {
		ret = pw_route_insert_at(table, family, prefix, route, at, flags);
		pw_route_prefix_leave(table, family, prefix);
	}
	return ret;
}

int pw_route_take_out(struct pw_table *table, int family, struct pw_prefix *prefix,
		      struct pw_route *route)
{
	struct pw_route **at = &prefix->routes;
	int ret;

	while (*at != route)
		at = &(*at)->next;
	*at = route->next;
	ret = pw_prefix_install(table, family, prefix);
	if (ret) {
		*at = route;
		return ret;
	}
	if (!(route->flags & PW_ROUTE_HIDDEN))
		pw_route_notify(table, family, prefix, route, RTM_DELROUTE, 0);
	pw_route_prefix_leave(table, family, prefix);
	table_count_route(table, family, route, -1);
	pw_route_free(route);
	return 0;
}

int pw_route_exchange(struct pw_table *table, int family, struct pw_prefix *prefix,
		      struct pw_route *route, struct pw_route *with)
{
	struct pw_route *next = route->next;
	struct pw_route old = *route;
	int ret;

	*route = *with;
	route->next = next;
	*with = old;
	ret = pw_prefix_install(table, family, prefix);
	if (ret) {
		old = *route;
		*route = *with;
		*with = old;
		route->next = next;
	}
	pw_path_note_table(route->path, table->id);
	return ret;
}

/* ---- paths that died, revived or went ---------------------------------------------------- */

static bool leg_gone(const struct pw_path *path)
{
	return path->kind == PW_PATH_LEG && ((const struct pw_leg *)path)->gone;
}

/* What is left of a path whose legs went: NULL when nothing is. Held for the caller. */
static struct pw_path *path_remains(struct pw_path *path)
{
	struct pw_multi *multi = (struct pw_multi *)path;
	struct pw_path *legs[PW_GROUP_BUCKETS];
	uint32_t weights[PW_GROUP_BUCKETS];
	unsigned int count = 0;
	struct pw_path *rest;

	if (leg_gone(path) ||
	    (path->kind == PW_PATH_OBJECT && ((const struct pw_object *)path)->gone))
		return NULL;
	pw_path_hold(path);
	if (path->kind != PW_PATH_MULTI)
		return path;
	for (unsigned int i = 0; i < multi->count; i++) {
		if (leg_gone(multi->members[i].child))
			continue;
		legs[count] = multi->members[i].child;
		weights[count++] = multi->members[i].weight;
	}
	if (count == multi->count)
		return path;
	if (count && pw_multi_take(legs, weights, count, &rest))
		return path; /* no memory: its group leaves out what is gone anyway */
	pw_path_drop(path);
	return count ? rest : NULL;
}

/* True when the route went. */
static bool route_settle(struct pw_table *table, int family, struct pw_prefix *prefix,
			 struct pw_route *route)
{
	struct pw_path *rest = path_remains(route->path);

	if (!rest)
		return pw_route_take_out(table, family, prefix, route) == 0;
	if (rest != route->path) {
		rest->routes++;
		pw_path_note_table(rest, table->id);
		route->path->routes--;
		pw_path_drop(route->path);
		route->path = rest;
	} else {
		pw_path_drop(rest);
	}
	return false;
}

static void tree_settle(struct pw_table *table, int family)
{
	struct pw_prefix_tree *tree = &table->trees[pw_tree_of(family)];
	struct pw_prefix *prefix = NULL;
	uint8_t bytes[16] = {0};
	unsigned int length = 0;
	bool inclusive = true;

	while ((prefix = pw_prefix_next(tree, bytes, length, inclusive))) {
		struct pw_route *route, *next;
		bool left = true;

		inclusive = false;
		length = prefix->length;
		memcpy(bytes, prefix->bytes, tree->bits / 8);
		for (route = prefix->routes; route; route = next) {
			next = route->next;
			if (pw_path_affected(route->path) &&
			    route_settle(table, family, prefix, route))
				left = next || pw_prefix_get(tree, bytes, length);
		}
		/* Without memory for the change the id that is there reads as unreachable. */
		if (left)
			pw_prefix_install(table, family, prefix);
	}
}

void pw_routes_settle(void)
{
	if (!pw_paths_affected())
		return;
	for (unsigned int i = 0; i < table_count; i++) {
		if (!pw_paths_affect_table(tables[i]->id))
			continue;
		tree_settle(tables[i], AF_INET);
		tree_settle(tables[i], AF_INET6);
	}
	pw_labels_settle();
	pw_paths_settled();
}

/* ---- life -------------------------------------------------------------------------------- */

int pw_route_init(void)
{
	int error = pw_nexthop_init();

	if (!error)
		error = pw_endpoint_init();
	if (!error)
		error = pw_labels_init();
	if (!error)
		pw_table_take(RT_TABLE_MAIN, &error);
	if (error) {
		pw_route_fini();
		return error;
	}
	pw_netlink_route_init();
	pw_netlink_nexthop_init();
	pw_netlink_mpls_init();
	pw_netlink_endpoint_init();
	return 0;
}

static void tree_empty(struct pw_table *table, int family)
{
	struct pw_prefix_tree *tree = &table->trees[pw_tree_of(family)];
	uint8_t bytes[16] = {0};
	struct pw_prefix *prefix;

	while ((prefix = pw_prefix_next(tree, bytes, 0, true))) {
		pw_prefix_withdraw(table, family, prefix);
		while (prefix->routes) {
			struct pw_route *route = prefix->routes;

			prefix->routes = route->next;
			pw_route_free(route);
		}
		pw_prefix_remove(tree, prefix);
	}
}

void pw_route_fini(void)
{
	for (unsigned int i = 0; i < table_count; i++) {
		tree_empty(tables[i], AF_INET);
		tree_empty(tables[i], AF_INET6);
		free(tables[i]);
	}
	table_count = 0;
	memset(by_id, 0, sizeof(by_id));
	pw_prefix_trim();
	pw_pool_trim(&route_pool);
	pw_labels_fini();
	pw_objects_fini();
	pw_paths_settled();
	pw_faces_release();
	pw_endpoints_release();
	pw_retire_drain();
	pw_endpoint_fini();
	pw_nexthop_fini();
}
