/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_NEIGHBOUR_H
#define PW_TABLE_NEIGHBOUR_H

#include <assert.h>
#include <stdint.h>

#include "dataplane/table/slot.h"

#define PW_NEIGHBOURS 131072

enum pw_neighbour_state {
	PW_NEIGHBOUR_NONE,
	PW_NEIGHBOUR_INCOMPLETE, /* packets are held by the control thread while it asks */
	PW_NEIGHBOUR_REACHABLE,
	PW_NEIGHBOUR_FAILED, /* nobody answered: host unreachable */
};

/** A neighbour on a link with Ethernet framing, with its ready-made header. One cache line. */
struct pw_neighbour {
	uint8_t state;       /* enum pw_neighbour_state */
	uint8_t rewrite_len; /* bytes of the Ethernet header: 14, or 18 with a VLAN tag */
	uint16_t port;       /* where it leaves */
	uint16_t mtu;        /* bytes at layer 3 */
	uint16_t family;     /* AF_INET or AF_INET6 */
	uint32_t interface;
	uint32_t id;
	uint8_t rewrite[18]; /* the first rewrite_len bytes; the last two (EtherType) are the
				packet's */
	uint8_t reserved[2];
	uint8_t address[16]; /* network byte order, IPv4 in the first 4 bytes */
	uint8_t pad[12];
};
static_assert(sizeof(struct pw_neighbour) == 64, "one cache line");

extern struct pw_slots pw_neighbours; /* of struct pw_neighbour */

/** Control thread. 0 or -ENOMEM. */
int pw_neighbour_table_init(void);
void pw_neighbour_table_fini(void);

static inline const struct pw_neighbour *pw_neighbour_get(uint32_t id)
{
	return (const struct pw_neighbour *)pw_slot_get(&pw_neighbours, id);
}

#endif
