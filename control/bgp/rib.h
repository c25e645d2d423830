/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_RIB_H
#define BGP_RIB_H

#include <assert.h>
#include <sys/queue.h>

#include "control/bgp/hash.h"
#include "control/bgp/message.h"
#include "control/bgp/remote.h"

/**
 * What the neighbours sent, and what becomes of it in the VRFs.
 *
 *     path       one route as one neighbour sent it: (neighbour, family, path id, RD, prefix)
 *     candidate  a path in a VRF that imports one of its route targets
 *     route      a prefix of a VRF: its candidates, and what Pewter has been given for it
 *
 * Paths that no VRF imports are not kept: after a change of the configuration the neighbours are
 * asked for them again.
 */

struct bgp_peer;
struct bgp_vrf;

/** Attributes that many paths share. */
struct bgp_interned {
	struct bgp_hash_node node;
	uint32_t refs;
	uint32_t paths;            /* that have them */
	struct bgp_remote *remote; /* where these lead to, while there are any */
	uint32_t generation;       /* of the VRFs' import targets, when vrfs[] was made */
	struct bgp_vrf **vrfs;     /* that import it, each once */
	unsigned int vrf_count;
	struct bgp_attributes attributes;
	uint64_t targets[]; /* attributes.target_count of them */
};

struct bgp_path {
	struct bgp_hash_node node;
	TAILQ_ENTRY(bgp_path) next; /* of the neighbour's in this family */
	struct bgp_peer *peer;
	struct bgp_interned *attributes;
	struct bgp_candidate *candidates;
	uint64_t rd;
	uint32_t path_id;
	uint32_t label;
	struct bgp_prefix prefix;
	bool stale; /* the session that it came over is gone */
};
TAILQ_HEAD(bgp_path_list, bgp_path);

struct bgp_candidate {
	struct bgp_candidate *next_of_path;
	struct bgp_candidate *next_of_route;
	struct bgp_path *path;
	struct bgp_route *route;
};

/** One way to a prefix. Compared as bytes. */
struct bgp_hop {
	struct bgp_address via; /* the remote PE */
	uint8_t reserved[3];    /* 0 */
	uint32_t oif;           /* the tunnel */
	uint32_t label;
};
static_assert(sizeof(struct bgp_hop) == 28, "no padding: hops are compared as bytes");

/** The hops of a route, sorted; many routes share them. */
struct bgp_hops {
	struct bgp_hash_node node;
	uint32_t refs;
	unsigned int count;
	struct bgp_hop hops[];
};

enum bgp_route_state {
	BGP_ROUTE_CLEAN,
	BGP_ROUTE_DIRTY,   /* to be looked at */
	BGP_ROUTE_WAITING, /* will be deleted unless another path comes soon */
};

struct bgp_route {
	struct bgp_hash_node node;
	TAILQ_ENTRY(bgp_route) next;    /* of the VRF's */
	TAILQ_ENTRY(bgp_route) pending; /* by state */
	struct bgp_vrf *vrf;
	struct bgp_candidate *candidates;
	struct bgp_hops *installed; /* what Pewter has; NULL: no such route */
	struct bgp_hops *backup;    /* the same of the route behind it, of the next metric */
	uint64_t delete_at;         /* ms: when it waits */
	struct bgp_prefix prefix;
	uint8_t state;
	bool held; /* Pewter had it before this process did: kept until the neighbours are done */
	bool seen, backup_seen; /* in the dump that runs */
	bool refused;           /* by Pewter: tried again now and then */
};
TAILQ_HEAD(bgp_route_list, bgp_route);

struct bgp_rib_counts {
	size_t paths, routes, attributes, hops;
};

/** One reference for the caller. NULL: out of memory. */
struct bgp_interned *bgp_attributes_intern(const struct bgp_attributes *attributes,
					   const uint64_t *targets);
void bgp_attributes_release(struct bgp_interned *interned);
/** The same for a path, which makes the remote PE a known one. */
void bgp_attributes_hold(struct bgp_interned *interned);
void bgp_attributes_drop(struct bgp_interned *interned);
/** The VRFs that import these targets. */
unsigned int bgp_attributes_vrfs(struct bgp_interned *interned, struct bgp_vrf ***vrfs);
/** Import targets changed: look them up again, and every path's candidates with them. */
void bgp_rib_reimport(void);

/** A route came. 0, -ENOMEM, or -ENOSPC: the neighbour has sent more than it may. */
int bgp_path_announce(struct bgp_peer *peer, const struct bgp_nlri *nlri,
		      struct bgp_interned *interned);
void bgp_path_withdraw(struct bgp_peer *peer, const struct bgp_nlri *nlri);
/** The session is gone: its paths stay, marked. */
void bgp_paths_stale(struct bgp_peer *peer);
/** Forgets the stale paths of a family; returns how many. */
size_t bgp_paths_sweep(struct bgp_peer *peer, enum bgp_family family);
/** Forgets all paths of a neighbour that is no longer configured. */
void bgp_paths_drop(struct bgp_peer *peer);

/** NULL: out of memory when @p create, else not there. */
struct bgp_route *bgp_route_get(struct bgp_vrf *vrf, const struct bgp_prefix *prefix, bool create);
void bgp_route_touch(struct bgp_route *route);
void bgp_route_wait(struct bgp_route *route, uint64_t delete_at);
/** Makes it clean: it is looked at. */
void bgp_route_done(struct bgp_route *route);
/** Frees a clean route that nothing needs. */
void bgp_route_collect(struct bgp_route *route);
/** The next route to be looked at; it is clean then. NULL at the end. */
struct bgp_route *bgp_route_next_dirty(void);
/** The route that has waited longest, or NULL. */
struct bgp_route *bgp_route_first_waiting(void);

/**
 * The hops of the best candidates that are equally good, sorted: RFC 4271 9.1.2.2. Writes at most
 * @p max; returns how many. (select.c)
 */
unsigned int bgp_route_select(const struct bgp_route *route, struct bgp_hop *hops,
			      unsigned int max);
/**
 * The same of what is left without the PEs of @p best: what takes over when those are of
 * no use.
 */
unsigned int bgp_route_select_backup(const struct bgp_route *route, const struct bgp_hop *best,
				     unsigned int best_count, struct bgp_hop *hops,
				     unsigned int max);
/** The best candidate, NULL without any. */
const struct bgp_path *bgp_route_best(const struct bgp_route *route);

/** @p count hops, sorted. One reference for the caller; NULL: out of memory. */
struct bgp_hops *bgp_hops_intern(const struct bgp_hop *hops, unsigned int count);
void bgp_hops_release(struct bgp_hops *hops);
/** Sorts and takes out duplicates; returns how many are left. */
unsigned int bgp_hops_sort(struct bgp_hop *hops, unsigned int count);

void bgp_rib_count(struct bgp_rib_counts *counts);

#endif
