/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TRANSMIT_TEMPLATE_H
#define PW_TRANSMIT_TEMPLATE_H

#include <assert.h>

#include "dataplane/path.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/table/sa.h"
#include "dataplane/worker.h"

/**
 * Everything that goes before a packet towards one next hop, from Ethernet header to bottom
 * label, ready-made: the packet's way is one copy and the few fields that differ. It serves the
 * common case: labels or an IP packet as it is, IPv4 outside, GRE without checksum and sequence
 * number (or none at all), a neighbour that is there, ESP or not. Everything else goes the general
 * way.
 *
 * Each worker composes its own when it first needs one, and again when any table has changed
 * since (pw_slots_generation); so nothing need be told to anybody when a million routes move.
 */
#define PW_TEMPLATE_MOVE        64
#define PW_TEMPLATE_SIZE        (2 * PW_TEMPLATE_MOVE)
#define PW_TEMPLATE_LINK_MOVE   32 /* enough for an Ethernet header */

#define PW_TEMPLATE_USABLE      0x01
#define PW_TEMPLATE_ID          0x02 /* the outer packet may be cut, so it has an id */
#define PW_TEMPLATE_TOS_INHERIT 0x04
#define PW_TEMPLATE_TTL_INHERIT 0x08
#define PW_TEMPLATE_UDP         0x10  /* ESP in UDP */
#define PW_TEMPLATE_TTL_UNIFORM 0x20  /* label TTL from the packet */
#define PW_TEMPLATE_PLAIN       0x40  /* no labels: the packet's version says what is inside */
#define PW_TEMPLATE_GRE         0x80  /* with PLAIN: in GRE, whose protocol type says so */
#define PW_TEMPLATE_INNER4      0x100 /* with PLAIN: IPv4 goes in */
#define PW_TEMPLATE_INNER6      0x200
#define PW_TEMPLATE_DF_INHERIT  0x400
#define PW_TEMPLATE_FAST4       0x800 /* serves IPv4 packets */
#define PW_TEMPLATE_FAST6       0x1000
#define PW_TEMPLATE_LINK        0x2000 /* no tunnel: a neighbour's Ethernet header for IP packets */
#define PW_TEMPLATE_SEALED      0x4000 /* by packet.sa */
#define PW_TEMPLATE_FAR         0x8000 /* does not fit in near[] */
/** Any of these: more to do than copy, lengths, TC and checksum. */
#define PW_TEMPLATE_UNUSUAL                                                                        \
	(PW_TEMPLATE_TOS_INHERIT | PW_TEMPLATE_TTL_INHERIT | PW_TEMPLATE_UDP |                     \
	 PW_TEMPLATE_TTL_UNIFORM | PW_TEMPLATE_DF_INHERIT)

struct pw_template {
	uint8_t near[PW_TEMPLATE_MOVE]; /* the last bytes before the packet */
	/* Second line: what is known of it */
	uint32_t generation;  /* pw_slots_generation when it was composed; 0 = never */
	uint16_t flags;       /* PW_TEMPLATE_* */
	uint8_t length;       /* bytes before the packet */
	uint8_t ip_from_end;  /* of these, from the outer IP header on */
	uint16_t room;        /* largest packet, in bytes */
	uint16_t tail;        /* room wanted behind the packet */
	uint32_t partial_sum; /* of the outer IPv4 header as it is here */
	uint32_t tunnel;      /* interfaces to count for */
	uint32_t link;
	struct pw_packet packet; /* what the stages are to know of it */
	uint8_t inside;          /* bytes behind ESP header and IV: GRE and labels */
	uint8_t next_header;     /* of ESP; PLAIN without GRE: of IPv4 inside */
	uint8_t align;
	uint8_t icv;
	uint8_t labels;   /* bytes of labels, last of all */
	uint8_t tos_mask; /* TOS_INHERIT: these bits of it */
	uint8_t gre_from_end;
	uint8_t pad[9];
	/* Third line */
	uint8_t far[PW_TEMPLATE_MOVE]; /* what does not fit in near[] */
};
static_assert(sizeof(struct pw_template) == 3 * 64, "three cache lines");

/** Composes the template for next hop @p id, usable or not. Any worker. */
void pw_template_compose(struct pw_template *template, uint32_t id, uint32_t generation);

/** A worker's templates, by next-hop id. */
#define PW_TEMPLATES_BYTES ((size_t)PW_NEXTHOPS * sizeof(struct pw_template))

#endif
