/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_VRF_H
#define PW_TABLE_VRF_H

#include <stdbool.h>
#include <stdint.h>

#include "lib/lpm.h"

/**
 * Routing tables as workers see them. A dataplane "vrf" is the dense index of a Linux routing
 * table (RTA_TABLE): index 0 is the main table (254, with 255 "local" folded in), any other
 * table gets an index when it is first used. A VRF device binds interfaces to a table.
 */
#define PW_VRFS        4097
#define PW_VRF_DEFAULT 0

struct pw_vrf {
	struct pw_lpm *lpm4; /* value = next-hop id */
	struct pw_lpm *lpm6;
	uint32_t table; /* Linux routing table */
	uint32_t icmp_source4;
	uint8_t icmp_source6[16];
	uint32_t spd; /* policies of what is looked up here (policy.h), 0 = none */
};

/** NULL where no such VRF is. Published by pointer, never edited. */
extern struct pw_vrf *pw_vrfs[PW_VRFS];

static inline const struct pw_vrf *pw_vrf_get(uint16_t vrf)
{
	return __atomic_load_n(&pw_vrfs[vrf], __ATOMIC_CONSUME);
}

/** Control thread. Creates VRF 0. @p lpm_bytes bounds all tables' memory. */
int pw_vrf_table_init(size_t lpm_bytes);
void pw_vrf_table_fini(void);
size_t pw_vrf_memory_used(void);

/** The VRF of a Linux table, created if need be. Returns the index, -ENOSPC or -ENOMEM. */
int pw_vrf_take(uint32_t table);

/** The VRF of a Linux table, or -ENOENT. */
int pw_vrf_find(uint32_t table);

/** Removes an unused VRF (never 0); packets on their way there are dropped. */
void pw_vrf_free(uint16_t vrf);

/** Source addresses of ICMP errors where the ingress interface has none. 0 or -ENOMEM. */
int pw_vrf_set_icmp_source(uint16_t vrf, uint32_t source4, const uint8_t source6[16]);

/**
 * Policies of what is looked up in a VRF: an id in pw_spds, 0 = none of its own. 0, -ENOENT or
 * -ENOMEM.
 */
int pw_vrf_set_spd(uint16_t vrf, uint32_t spd);

/**
 * Policies of VRFs that have none of their own, those that come later among them; 0 = none at all.
 * 0, or -ENOMEM: some have them, and it is to be tried again.
 */
int pw_vrf_set_spd_default(uint32_t spd);

/**
 * Route -> next hop, see lib/lpm.h for arguments and errors.
 * @param family  AF_INET or AF_INET6
 */
int pw_vrf_route_add(uint16_t vrf, int family, const uint8_t *prefix, unsigned int length,
		     uint32_t nexthop);
int pw_vrf_route_delete(uint16_t vrf, int family, const uint8_t *prefix, unsigned int length);
uint32_t pw_vrf_route_lookup(uint16_t vrf, int family, const uint8_t *address);

#endif
