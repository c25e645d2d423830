/* SPDX-License-Identifier: BSD-3-Clause */
/* Routes of feeds: one a prefix and metric for each feed, beside what the operator configured. */
#include "control/route.h"

#include <errno.h>
#include <string.h>

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

static struct pw_route *feed_route(const struct pw_prefix *prefix, uint8_t source, uint32_t metric)
{
	struct pw_route *route = prefix ? prefix->routes : NULL;

	while (route && (route->source != source || route->metric != metric))
		route = route->next;
	return route;
}

int pw_route_feed_set(const struct pw_route_spec *spec, struct pw_path *path)
{
	int ret = 0;
	struct pw_table *table = pw_table_take(spec->table, &ret);
	struct pw_route *route, *old;
	struct pw_prefix *prefix;

	if (!table)
		return ret;
	route = pw_route_of_spec(spec, path);
	if (!route)
		return -ENOMEM;
	prefix = pw_prefix_get(&table->trees[pw_tree_of(spec->family)], spec->dst.bytes,
			       spec->length);
	old = feed_route(prefix, spec->feed->source, spec->metric);
	if (!old) {
		ret = pw_route_insert(table, spec->family, spec->dst.bytes, spec->length, route,
				      NULL, NLM_F_CREATE);
		if (ret)
			pw_route_free(route);
		return ret;
	}
	if (pw_route_same(old, route)) {
		old->session = route->session;
	} else {
		ret = pw_route_exchange(table, spec->family, prefix, old, route);
		if (!ret)
			pw_route_notify(table, spec->family, prefix, old, RTM_NEWROUTE,
					NLM_F_REPLACE);
	}
	pw_route_free(route);
	return ret;
}

const struct pw_route *pw_route_feed_find(const struct pw_feed *feed, uint32_t id, int family,
					  const uint8_t *bytes, unsigned int length,
					  uint32_t metric)
{
	const struct pw_table *table = pw_table_find(id);

	if (!table)
		return NULL;
	return feed_route(pw_prefix_get(&table->trees[pw_tree_of(family)], bytes, length),
			  feed->source, metric);
}

int pw_route_feed_delete(const struct pw_route_spec *spec)
{
	struct pw_table *table = pw_table_find(spec->table);
	struct pw_prefix *prefix;
	struct pw_route *route;

	if (!table)
		return -ESRCH;
	prefix = pw_prefix_get(&table->trees[pw_tree_of(spec->family)], spec->dst.bytes,
			       spec->length);
	route = feed_route(prefix, spec->feed->source,
			   spec->metric || spec->family == AF_INET ? spec->metric
								   : PW_ROUTE_IPV6_PRIORITY);
	return route ? pw_route_take_out(table, spec->family, prefix, route) : -ESRCH;
}

void pw_route_feed_count(const struct pw_feed *feed, size_t *routes, size_t *stale)
{
	struct pw_table *table = pw_table_next(0, true);

	*routes = *stale = 0;
	for (; table; table = pw_table_next(table->id, false)) {
		for (unsigned int tree = 0; tree < 2; tree++) {
			const struct pw_prefix *prefix;
			uint8_t zero[16] = {0};

			prefix = pw_prefix_next(&table->trees[tree], zero, 0, true);
			for (; prefix; prefix = pw_prefix_next(&table->trees[tree], prefix->bytes,
							       prefix->length, false)) {
				const struct pw_route *route = prefix->routes;

				for (; route; route = route->next) {
					if (route->source != feed->source)
						continue;
					++*routes;
					*stale += route->session != feed->session;
				}
			}
		}
	}
}

/* Takes out what is stale of a prefix, which may be gone afterwards. */
static void prefix_sweep(const struct pw_feed *feed, struct pw_table *table, int family,
			 struct pw_prefix *prefix, struct pw_route_sweep *sweep)
{
	struct pw_route *route = prefix->routes;

	while (route) {
		struct pw_route *next = route->next;

		if (route->source == feed->source && route->session != feed->session &&
		    !pw_route_take_out(table, family, prefix, route))
			sweep->swept++;
		route = next;
	}
}

static void sweep_begin(struct pw_route_sweep *sweep, uint32_t table, uint8_t family)
{
	size_t swept = sweep->swept;

	*sweep = (struct pw_route_sweep){.table = table, .family = family, .swept = swept};
}

bool pw_route_feed_sweep(const struct pw_feed *feed, struct pw_route_sweep *sweep, size_t budget)
{
	struct pw_table *table;
	struct pw_prefix *prefix;

	while ((table = pw_table_next(sweep->table, true))) {
		/* Tables come and go in between two calls. */
		if (table->id != sweep->table)
			sweep_begin(sweep, table->id, AF_INET);
		prefix = pw_prefix_next(&table->trees[pw_tree_of(sweep->family)], sweep->bytes,
					sweep->length, !sweep->seen);
		if (prefix) {
			if (!budget--)
				return true;
			memcpy(sweep->bytes, prefix->bytes, pw_address_size(sweep->family));
			sweep->length = prefix->length;
			sweep->seen = true;
			prefix_sweep(feed, table, sweep->family, prefix, sweep);
		} else if (sweep->family == AF_INET) {
			sweep_begin(sweep, table->id, AF_INET6);
		} else if (table->id < UINT32_MAX) {
			sweep_begin(sweep, table->id + 1, AF_INET);
		} else {
			break;
		}
	}
	return false;
}
