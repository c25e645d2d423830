/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_NEXTHOP_H
#define PW_TABLE_NEXTHOP_H

#include <assert.h>
#include <stdint.h>

#include "dataplane/table/slot.h"

#define PW_NEXTHOPS       131072
#define PW_GROUPS         16384
#define PW_GROUP_BUCKETS  64 /* a flow's hash picks one; weights are shares of buckets */
#define PW_NEXTHOP_LABELS 4

/** What becomes of a packet. The order is that of the lookup stage's edges. */
enum pw_nexthop_type {
	PW_NEXTHOP_NONE,        /* no route: net unreachable */
	PW_NEXTHOP_BLACKHOLE,   /* silently dropped, counted */
	PW_NEXTHOP_UNREACHABLE, /* host unreachable */
	PW_NEXTHOP_PROHIBIT,    /* administratively prohibited */
	PW_NEXTHOP_LOCAL,       /* addressed to this PE */
	PW_NEXTHOP_GLEAN,       /* on the link; the neighbour is the packet's destination */
	PW_NEXTHOP_NEIGHBOUR,   /* through a known neighbour, with labels when there are any */
	PW_NEXTHOP_TUNNEL,      /* to an endpoint, with labels when there are any */
	PW_NEXTHOP_LOOKUP,      /* look up again in another VRF */
	PW_NEXTHOP_GROUP,       /* several, by flow hash (group_id) */
	PW_NEXTHOP_POLICY,      /* an IPsec interface: its policies choose the SA (policy.h) */
	PW_NEXTHOP_TYPES,
};

/** TTL of the pushed labels (RFC 3443). */
#define PW_NEXTHOP_TTL_UNIFORM 0x01 /* from the packet; otherwise label_ttl (pipe) */

struct pw_nexthop {
	uint8_t type; /* enum pw_nexthop_type */
	uint8_t label_count;
	uint8_t label_ttl; /* pipe and short pipe: TTL of the pushed labels */
	uint8_t flags;     /* PW_NEXTHOP_TTL_* */
	uint32_t interface;
	union {
		uint32_t neighbour; /* NEIGHBOUR */
		uint32_t endpoint;  /* TUNNEL */
		uint32_t vrf;       /* LOOKUP */
		uint32_t group;     /* GROUP */
		uint32_t spd;       /* POLICY */
	};
	uint32_t labels[PW_NEXTHOP_LABELS]; /* host order, label << 12, outermost first; S bit set
					     * on the last; TC and TTL zero: the stage fills them */
	uint32_t id;
	uint8_t pad[32];
};
static_assert(sizeof(struct pw_nexthop) == 64, "one cache line");

/** Bucket -> next-hop id (never itself a group). */
struct pw_group {
	uint32_t bucket[PW_GROUP_BUCKETS];
};
static_assert(sizeof(struct pw_group) == 256, "four cache lines");

extern struct pw_slots pw_nexthops; /* of struct pw_nexthop */
extern struct pw_slots pw_groups;   /* of struct pw_group */

/** Control thread. 0 or -ENOMEM. */
int pw_nexthop_table_init(void);
void pw_nexthop_table_fini(void);

static inline const struct pw_nexthop *pw_nexthop_get(uint32_t id)
{
	return (const struct pw_nexthop *)pw_slot_get(&pw_nexthops, id);
}

/** The member a flow takes; the next hop itself when it is no group. */
static inline const struct pw_nexthop *pw_nexthop_select(const struct pw_nexthop *nexthop,
							 uint32_t hash)
{
	const struct pw_group *group;

	if (likely(nexthop->type != PW_NEXTHOP_GROUP))
		return nexthop;
	group = (const struct pw_group *)pw_slot_get(&pw_groups, nexthop->group);
	return pw_nexthop_get(group->bucket[hash % PW_GROUP_BUCKETS]);
}

#endif
