/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_ROUTE_H
#define PW_CONTROL_ROUTE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/control.h"
#include "control/nexthop.h"
#include "control/table.h"

/**
 * Routes of all tables. A prefix may have several (by metric, from several sources); the first
 * whose path is not dead is what workers get.
 */

/** Where a route came from: enum pw_route_source, or this. */
#define PW_ROUTE_CONFIGURED    16

#define PW_ROUTE_LOCAL_TABLE   0x01 /* of table 255, kept with the main table's */
#define PW_ROUTE_HIDDEN        0x02 /* not shown: a neighbour's, or a tunnel's end */
#define PW_ROUTE_IPV6_PRIORITY 1024 /* the kernel's default metric */

struct pw_route {
	struct pw_route *next;
	struct pw_path *path;
	struct pw_address *prefsrc; /* NULL without */
	uint32_t metric;
	uint16_t refs; /* reasons for a route that is not configured */
	uint8_t source;
	uint8_t type; /* RTN_* */
	uint8_t protocol;
	uint8_t scope;
	uint8_t flags;
};

struct pw_table {
	uint32_t id;
	uint16_t vrf; /* workers' index */
	struct pw_prefix_tree trees[2];
	size_t entries;  /* routes of any kind */
	size_t shown[2]; /* routes that a dump shows */
};

static inline unsigned int pw_tree_of(int family)
{
	return family == AF_INET6;
}

/** A route as a message describes it; hops are checked, or patterns for a deletion. */
struct pw_route_spec {
	uint32_t table;
	uint8_t family;
	uint8_t length;
	uint8_t type;     /* deletion: 0 = any */
	uint8_t protocol; /* deletion: 0 = any */
	uint8_t scope;    /* deletion: RT_SCOPE_NOWHERE = any */
	bool multipath;
	uint16_t flags; /* NLM_F_* */
	uint32_t metric;
	uint32_t nhid;
	struct pw_address dst;
	struct pw_address prefsrc;
	unsigned int hop_count;
	/* From here on only the first hop_count are meant: begin with PW_ROUTE_SPEC_HEAD zeroed. */
	uint32_t weights[PW_GROUP_BUCKETS];
	struct pw_hop hops[PW_GROUP_BUCKETS];
};
#define PW_ROUTE_SPEC_HEAD offsetof(struct pw_route_spec, weights)

/** Table by Linux id (255 is 254's); NULL when it has no routes. */
struct pw_table *pw_table_find(uint32_t id);
struct pw_table *pw_table_next(uint32_t after, bool inclusive);

/** The same, made if need be: NULL with 0 errors meant -ENOSPC or -ENOMEM in @p error. */
struct pw_table *pw_table_take(uint32_t id, int *error);

/** The route workers have for a prefix, NULL when none is alive. */
const struct pw_route *pw_route_best(const struct pw_prefix *prefix);

/**
 * Adds, replaces, appends as NLM_F_* in the spec say, with the kernel's results: -EEXIST,
 * -ENOENT; or -ENOSPC, -ENOMEM. Holds @p path for itself. (route_change.c)
 */
int pw_route_configure(const struct pw_route_spec *spec, struct pw_path *path);

/** Deletes the first route that fits. 0, -ESRCH, -ENOMEM. (route_change.c) */
int pw_route_unconfigure(const struct pw_route_spec *spec);

/** A tunnel's local address: mine in the front-door VRF, not shown as a route. */
int pw_route_tunnel_end(uint16_t vrf, const struct pw_address *local, bool add);

/** The host route to a station that an NBMA tunnel has (not) an entry for. Idempotent. */
int pw_route_nbma(struct pw_link *tunnel, const struct pw_address *address, bool present);

/** Frees tables that have become empty and that no VRF link has. */
void pw_tables_collect(void);

/** Looks again at routes whose paths died, revived or went. */
void pw_routes_settle(void);

/* Between route.c and route_change.c: */

/** Position of the first route of @p prefix that a new one of this rank and metric precedes or
 * equals. */
struct pw_route **pw_route_position(struct pw_prefix *prefix, const struct pw_route *like);
bool pw_route_peers(const struct pw_route *a, const struct pw_route *b);

/** Puts a filled-in route at @p at (NULL: its position) and tells subscribers with @p flags
 * (NLM_F_*). 0, or -errno: the route is still the caller's. */
int pw_route_insert(struct pw_table *table, int family, const uint8_t *bytes, unsigned int length,
		    struct pw_route *route, struct pw_route **at, uint16_t flags);

/** Takes a route out, tells subscribers, frees it; the prefix may be gone afterwards. 0, or
 * -ENOMEM (kept). */
int pw_route_take_out(struct pw_table *table, int family, struct pw_prefix *prefix,
		      struct pw_route *route);

/** Swaps what a route is for @p with's contents; the old contents are in @p with afterwards. */
int pw_route_exchange(struct pw_table *table, int family, struct pw_prefix *prefix,
		      struct pw_route *route, struct pw_route *with);

struct pw_route *pw_route_new(struct pw_path *path);
void pw_route_free(struct pw_route *route);

/* Shown by netlink_route_show.c: */

/** Tells subscribers of a route that came or changed (@p type RTM_NEWROUTE) or goes. */
void pw_route_notify(const struct pw_table *table, int family, const struct pw_prefix *prefix,
		     const struct pw_route *route, uint16_t type, uint16_t flags);

/** Message handlers. */
void pw_netlink_route_init(void);
void pw_netlink_nexthop_init(void);
void pw_netlink_mpls_init(void);

#endif
