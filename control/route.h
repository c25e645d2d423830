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
#define PW_ROUTE_FPM           17 /* zebra's, by FPM (feed/fpm.h) */
#define PW_ROUTE_KERNEL        18 /* of the kernel's main table (feed/kernel.h) */
#define PW_ROUTE_REVERSE       19 /* of an IPsec interface's policies (reverse.c) */

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
	uint32_t session; /* of the feed that has last named it */
};

struct pw_table {
	uint32_t id;
	uint16_t vrf; /* workers' index */
	struct pw_table *hash_next;
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
	const struct pw_feed *feed; /* NULL: the operator's */
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

/** Fetches into the cache what pw_table_find() reads: first the bucket, then what is in it. */
void pw_table_ahead(uint32_t id, bool chain);

/** As pw_table_find(), made if need be: NULL with 0 errors meant -ENOSPC or -ENOMEM in @p error. */
struct pw_table *pw_table_take(uint32_t id, int *error);

/* route_install.c */

/** Makes workers see what the prefix's routes come to now. 0, -ENOMEM. */
int pw_prefix_install(struct pw_table *table, int family, struct pw_prefix *prefix);

/** Takes from the workers what they have for it, at the end. */
void pw_prefix_withdraw(struct pw_table *table, int family, struct pw_prefix *prefix);

/** The route that packets take now, NULL when none is alive. */
const struct pw_route *pw_route_best(const struct pw_prefix *prefix);

/**
 * Adds, replaces, appends as NLM_F_* in the spec say, with the kernel's results: -EEXIST,
 * -ENOENT; or -ENOSPC, -ENOMEM. Holds @p path for itself. (route_change.c)
 */
int pw_route_configure(const struct pw_route_spec *spec, struct pw_path *path);

/** Deletes the first route that fits. 0, -ESRCH, -ENOMEM. (route_change.c) */
int pw_route_unconfigure(const struct pw_route_spec *spec);

/**
 * A feed has one route a prefix and metric, beside the operator's and behind them: what the
 * operator configured is preferred, whatever its metric, and stays when the feed's goes.
 * Adds, replaces or refreshes it; holds @p path for itself. 0, -ENOSPC, -ENOMEM. (route_feed.c)
 */
int pw_route_feed_set(const struct pw_route_spec *spec, struct pw_path *path);

/** Takes the feed's route out. 0, -ESRCH, -ENOMEM. */
int pw_route_feed_delete(const struct pw_route_spec *spec);

/** The feed's route, NULL without. @p bytes are zero past the length. */
const struct pw_route *pw_route_feed_find(const struct pw_feed *feed, uint32_t table, int family,
					  const uint8_t *bytes, unsigned int length,
					  uint32_t metric);

/** The feed's routes, and of these those that an earlier session left and this did not name. */
void pw_route_feed_count(const struct pw_feed *feed, size_t *routes, size_t *stale);

/** Where a sweep goes on; all zero at first. */
struct pw_route_sweep {
	uint32_t table;
	uint8_t family;
	uint8_t length;
	bool seen; /* it was looked at: go on after it */
	uint8_t bytes[16];
	size_t swept; /* routes taken out */
};

/**
 * Takes out the feed's routes of earlier sessions, looking at @p budget prefixes at most.
 * True when there is more to look at.
 */
bool pw_route_feed_sweep(const struct pw_feed *feed, struct pw_route_sweep *sweep, size_t budget);

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

/** The same for a prefix that pw_prefix_add() gave; after an error it may be left empty. */
int pw_route_insert_at(struct pw_table *table, int family, struct pw_prefix *prefix,
		       struct pw_route *route, struct pw_route **at, uint16_t flags);

/** pw_prefix_remove() in the table's tree, if the prefix has no routes. */
void pw_route_prefix_leave(struct pw_table *table, int family, struct pw_prefix *prefix);

/** Takes a route out, tells subscribers, frees it; the prefix may be gone afterwards. 0, or
 * -ENOMEM (kept). */
int pw_route_take_out(struct pw_table *table, int family, struct pw_prefix *prefix,
		      struct pw_route *route);

/** Swaps what a route is for @p with's contents; the old contents are in @p with afterwards. */
int pw_route_exchange(struct pw_table *table, int family, struct pw_prefix *prefix,
		      struct pw_route *route, struct pw_route *with);

/** A route as the spec says, and whether two are alike in all that is kept of a message. */
struct pw_route *pw_route_of_spec(const struct pw_route_spec *spec, struct pw_path *path);
bool pw_route_same(const struct pw_route *a, const struct pw_route *b);

struct pw_route *pw_route_new(struct pw_path *path);
void pw_route_free(struct pw_route *route);

/* Shown by netlink_route_show.c: */

/** Tells subscribers of a route that came or changed (@p type RTM_NEWROUTE) or goes. */
void pw_route_notify(const struct pw_table *table, int family, const struct pw_prefix *prefix,
		     const struct pw_route *route, uint16_t type, uint16_t flags);

/** (route_ahead.c) Fetches what the route messages among these will need. */
struct nlmsghdr;
void pw_routes_ahead(const struct nlmsghdr *const *messages, unsigned int count);

/** Message handlers. */
void pw_netlink_route_init(void);
void pw_netlink_nexthop_init(void);
void pw_netlink_mpls_init(void);
void pw_netlink_endpoint_init(void);

#endif
