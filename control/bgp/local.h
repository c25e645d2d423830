/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_LOCAL_H
#define BGP_LOCAL_H

#include <sys/queue.h>

#include "control/bgp/hash.h"
#include "control/bgp/types.h"

/** The VRFs' own routes, as Pewter has them, and which neighbour has been told of them. */

struct bgp_peer;
struct bgp_vrf;

/** Pewter may have several routes for a prefix; one that is redistributed is enough. */
struct bgp_local_source {
	struct bgp_local_source *next;
	uint32_t metric;
	uint8_t protocol; /* RTPROT_* */
	bool seen;
};

struct bgp_local {
	struct bgp_hash_node node;
	TAILQ_ENTRY(bgp_local) next;
	TAILQ_ENTRY(bgp_local) next_pending;
	struct bgp_vrf *vrf;
	struct bgp_local_source *sources;
	struct bgp_prefix prefix;
	uint32_t pending;    /* neighbours that are to be told, by index */
	uint32_t advertised; /* neighbours that have been told it is there */
};
TAILQ_HEAD(bgp_local_list, bgp_local);

/** A route of Pewter's came, changed, or went. */
void bgp_local_update(struct bgp_vrf *vrf, const struct bgp_prefix *prefix, uint8_t protocol,
		      uint32_t metric, bool present);

/** Around a dump: what was not seen in it is gone. */
void bgp_locals_unsee(void);
void bgp_locals_sweep(void);

/** What is said of the VRF's routes changed: says it again to everyone. */
void bgp_locals_touch(struct bgp_vrf *vrf);
/** Withdraws what was sent, since the RD changes or the VRF goes. */
void bgp_locals_withdraw(struct bgp_vrf *vrf);
/** Forgets the VRF's routes. */
void bgp_locals_drop(struct bgp_vrf *vrf);

/** A session began, or its peer asks for a family again. */
void bgp_locals_offer(struct bgp_peer *peer, enum bgp_family family);
/** A session ended. */
void bgp_locals_forget(struct bgp_peer *peer);
/** Writes what is due to a neighbour into its session, End-of-RIB last. */
void bgp_locals_send(struct bgp_peer *peer);

#endif
