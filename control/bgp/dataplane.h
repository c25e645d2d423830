/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_DATAPLANE_H
#define BGP_DATAPLANE_H

#include "control/bgp/config.h"
#include "control/bgp/message.h"

/**
 * The connection to pewterd: what links and routes it has, and the routes that it is given.
 * A lost connection is tried again; what Pewter has is then read and compared, and what is
 * missing is sent.
 */

struct bgp_route;
struct bgp_vrf;

/** Takes over the parts of the configuration that matter here; connects the first time. */
void bgp_dataplane_configure(const struct bgp_config *config);
void bgp_dataplane_stop(void);

/** All links and routes have been read. */
bool bgp_dataplane_ready(void);
bool bgp_dataplane_connected(void);

/** The tunnel for a route, by the GRE key it came with (RFC 9012): its ifindex, or 0. */
uint32_t bgp_dataplane_tunnel(const struct bgp_attributes *attributes);
/** This PE's own address, where its tunnel ends. False: not known yet. */
bool bgp_dataplane_next_hop(struct bgp_address *next_hop);
/** The key that the tunnel wants of what it is sent, if it has one. */
bool bgp_dataplane_key(uint32_t *key);

/** Sends what changed. Called at the end of each round. */
void bgp_dataplane_flush(void);
/** Reads everything again soon. */
void bgp_dataplane_resync(void);
/** The neighbours have said all: routes of an earlier life that nobody sent are deleted. */
void bgp_dataplane_release(void);
/** The VRF's label is not to be used any longer; it is deleted when the neighbours know. */
void bgp_dataplane_retire_label(struct bgp_vrf *vrf);
/** Deletes a route of a VRF that goes, and frees it. */
void bgp_dataplane_remove(struct bgp_route *route);

struct bgp_dataplane_counts {
	uint64_t added, deleted, refused, batches;
	size_t pending; /* messages that are not acknowledged */
};
void bgp_dataplane_count(struct bgp_dataplane_counts *counts);

/** Milliseconds of the monotonic clock. */
uint64_t bgp_now(void);

#endif
