/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_RECEIVE_ENTRY_H
#define PW_RECEIVE_ENTRY_H

#include <assert.h>
#include <stdint.h>

#include "dataplane/table/interface.h"
#include "lib/lpm.h"

/**
 * Where frames of one (port, VLAN) enter: what a worker needs of interface and VRF, in one place.
 * Composed by each worker when it first needs it, and again when a table has changed.
 */
struct pw_entry {
	uint64_t mac;              /* as the first 8 bytes of a frame, the last 2 zero */
	const struct pw_lpm *lpm4; /* NULL: nothing enters by the fast way */
	uint32_t generation;       /* pw_slots_generation when it was composed; 0 = never */
	uint32_t interface;
	uint16_t vrf;
	uint16_t pad[3];
};
static_assert(sizeof(struct pw_entry) == 32, "two in a cache line");

/** A worker's entries: [port * PW_VLANS + VLAN id, 0 = untagged]. */
#define PW_ENTRIES_BYTES ((size_t)PW_PORTS * PW_VLANS * sizeof(struct pw_entry))

#endif
