/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_REMOTE_H
#define BGP_REMOTE_H

#include <sys/queue.h>

#include "control/bgp/hash.h"
#include "control/bgp/message.h"

/**
 * The PEs that the VRFs' paths come from. Pewter takes packets from a tunnel's known ends only,
 * and knows those that a route or a next-hop object leads to. A PE whose paths are not the best
 * here may still send: so each gets a next-hop object, whether a route uses it or not. It stays
 * for a while when the last path is gone: a speaker that restarts withdraws and announces again,
 * and the PE's packets go on meanwhile.
 */
struct bgp_remote {
	struct bgp_hash_node node;
	TAILQ_ENTRY(bgp_remote) next;
	struct bgp_address address;
	bool has_key;
	uint32_t key;
	uint32_t refs;
	uint32_t oif;          /* of the object, when there is one or it was asked for */
	uint32_t id;           /* of the object; 0 = none, or Pewter has not said yet */
	uint64_t linger_until; /* ms: without references it stays so long */
	bool asked;
	bool found; /* in a dump, from an earlier life: nobody has referred to it yet */
	bool seen;
};

/** The remote end that a path with these attributes has. NULL: out of memory. */
struct bgp_remote *bgp_remote_hold(const struct bgp_attributes *attributes);
void bgp_remote_release(struct bgp_remote *remote);

/** Around a dump of next-hop objects. */
void bgp_remotes_unsee(void);
void bgp_remotes_settle(void);
/** One of ours is there; it @p went. */
void bgp_remote_see(const struct bgp_address *address, uint32_t oif, uint32_t id, bool went);

/** Asks again for those that were refused. */
void bgp_remotes_retry(void);

/**
 * Calls back for each object that is to be made (@p id 0) or deleted, until it returns false:
 * no room. @p sweep: also those of an earlier life that nobody has referred to.
 */
typedef bool (*bgp_remote_fn)(const struct bgp_address *address, uint32_t oif, uint32_t id);
bool bgp_remotes_send(bgp_remote_fn fn, bool sweep);

#endif
