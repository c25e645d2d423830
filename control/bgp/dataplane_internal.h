/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_DATAPLANE_INTERNAL_H
#define BGP_DATAPLANE_INTERNAL_H

#include "control/bgp/dataplane.h"
#include "control/bgp/netlink.h"

/**
 * Between dataplane.c, which has the connection, sync.c, which knows what Pewter has, and send.c,
 * which knows what it should have.
 */

/** What is read, in this order. */
enum bgp_sync_stage {
	BGP_SYNC_LINKS,
	BGP_SYNC_NEXTHOPS,
	BGP_SYNC_IPV4,
	BGP_SYNC_IPV6,
	BGP_SYNC_MPLS,
	BGP_SYNC_DONE,
};

void bgp_sync_configure(const struct bgp_config *config);
/** Everything is going to be read. */
void bgp_sync_begin(void);
void bgp_sync_link(const struct nlmsghdr *nlh);
void bgp_sync_route(const struct nlmsghdr *nlh, bool dumped);
void bgp_sync_nexthop(const struct nlmsghdr *nlh);
void bgp_sync_stage_done(enum bgp_sync_stage stage);
/** Pewter has this for the route from now on; takes over the reference. */
void bgp_route_set_installed(struct bgp_route *route, struct bgp_hops *hops);
void bgp_route_set_backup(struct bgp_route *route, struct bgp_hops *hops);

void bgp_send_configure(const struct bgp_config *config);
/** The neighbours have said all: bgp_dataplane_release(). */
bool bgp_send_released(void);
/** A label of ours that no VRF has. */
void bgp_send_stray(uint32_t label);
/** Pewter refused a message. */
void bgp_send_refused(const struct nlmsghdr *request, int error, const char *text);
/** Sends what Pewter should have and has not, as far as there is room. */
void bgp_send_all(void);

/** Where messages are put. @p full: the last one had no room. NULL: no more for now. */
struct pw_api_batch *bgp_dataplane_batch(bool full);
struct bgp_dataplane_counts *bgp_dataplane_counters(void);

#endif
