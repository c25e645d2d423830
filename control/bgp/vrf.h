/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_VRF_H
#define BGP_VRF_H

#include "control/bgp/config.h"
#include "control/bgp/local.h"
#include "control/bgp/rib.h"

/** The VRFs of the configuration, as far as Pewter has them. */

struct bgp_vrf {
	TAILQ_ENTRY(bgp_vrf) next;
	struct bgp_vrf_config config;
	uint32_t label;                      /* own: 0 = none was free */
	uint32_t label_installed;            /* in Pewter: 0 = none */
	bool label_refused;                  /* tried again now and then */
	uint32_t ifindex;                    /* the VRF device, 0 = not there */
	uint32_t table;                      /* 0 = not there */
	uint32_t found_ifindex, found_table; /* in the dump that runs */
	struct bgp_route_list routes;
	size_t route_count;
	size_t installed; /* routes that Pewter has */
	bool limited;     /* max-prefixes is reached, and was said */
	struct bgp_local_list locals;
	struct bgp_local_list pending; /* locals that are to be sent to some neighbour */
	size_t local_count;
	bool wanted; /* while a configuration is taken over */
};
TAILQ_HEAD(bgp_vrf_list, bgp_vrf);
extern struct bgp_vrf_list bgp_vrfs;

/**
 * Takes over the VRFs of a configuration: new ones come, changed ones change, others go with
 * their routes. 0 or -ENOMEM.
 */
int bgp_vrfs_configure(const struct bgp_config *config);

/** The VRF of a Linux table, or NULL. */
struct bgp_vrf *bgp_vrf_by_table(uint32_t table);
struct bgp_vrf *bgp_vrf_by_name(const char *name);
/** Say so after changing a VRF's table. */
void bgp_vrfs_index(void);

/** The VRFs that import a target: calls back for each. */
typedef void (*bgp_vrf_fn)(struct bgp_vrf *vrf, void *context);
void bgp_vrfs_import(uint64_t target, bgp_vrf_fn fn, void *context);
/** Changes whenever import targets do. */
uint32_t bgp_vrfs_generation(void);

#endif
