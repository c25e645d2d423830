/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_POLICY_H
#define PW_TABLE_POLICY_H

#include <assert.h>
#include <stdbool.h>
#include <stdint.h>

#include <rte_mbuf.h>

#include "dataplane/table/sa.h"
#include "dataplane/table/slot.h"

/**
 * Security policies for what customers send (RFC 4301 4.4.1): an SPD is one ordered list outward
 * and one inward, of an IPsec interface (XFRM's if_id, or the mark of a VTI) or of a VRF. The
 * policies of tunnels between PEs are no part of it: they are in the endpoints already.
 *
 * A list is built new for each change and published by pointer. Short ones are tried one by one,
 * long ones by rte_acl, which takes long to compile: a change of a long one is a patch of it first,
 * a list that shares what is compiled and tries a few rules more, one by one, each in its place.
 */
#define PW_SPDS 32768

enum pw_policy_action {
	PW_POLICY_BYPASS,
	PW_POLICY_PROTECT,
	PW_POLICY_DISCARD,
};

#define PW_POLICY_OPTIONAL 0x01 /* inward: what comes in clear passes too (level use) */
#define PW_POLICY_TUNNEL   0x02 /* inward: the SA must be in tunnel mode */

/** One policy. Selectors are the inner packet's; unset parts of what it asks of an SA are wild. */
struct pw_policy_rule {
	uint8_t family;                            /* AF_INET, AF_INET6 */
	uint8_t protocol;                          /* 0 = any */
	uint8_t source_length, destination_length; /* prefix lengths */
	uint8_t source[16], destination[16];       /* IPv4 in the first 4 bytes */
	/* Network byte order, as XFRM has them: for ICMP the type is the source port, the code the
	 * destination port, for GRE the key. Mask 0 = any. What does not say its ports (a
	 * fragment but the first) is selected by no rule that asks for any. */
	uint16_t source_port, source_port_mask;
	uint16_t destination_port, destination_port_mask;
	uint8_t action; /* enum pw_policy_action */
	uint8_t flags;  /* PW_POLICY_* */
	uint8_t zero[2];
	uint32_t index;   /* the policy's, for people */
	uint32_t nexthop; /* outward, PROTECT: of type TUNNEL, to an endpoint with the SA */
	/* Inward, PROTECT: what SA it must have come by. */
	uint32_t reqid;
	uint32_t spi; /* network byte order */
	uint8_t sa_source[16], sa_destination[16];
};
static_assert(sizeof(struct pw_policy_rule) == 96, "no padding");

struct pw_policy_list; /* policy.c */

struct pw_spd {
	const struct pw_policy_list *out; /* SPD-O; NULL: empty */
	const struct pw_policy_list *in;  /* SPD-I: of XFRM's directions in and fwd; NULL: empty */
	/* Where no policy selects, BYPASS or DISCARD: */
	uint8_t out_default;
	uint8_t in_default;        /* of what is for this PE */
	uint8_t fwd_default;       /* of what passes through */
	uint8_t interface_default; /* outward, where another SPD is asked next: of the IPsec
				    * interface, or of the VRF, that it goes into */
	/* Of an IPsec interface: where the first rule of IPv4, IPv6 selects all and protects, its
	 * next hop, and nobody need ask the list. 0: it is to be asked. */
	uint32_t all[2];
	uint8_t pad[36];
};
static_assert(sizeof(struct pw_spd) == 64, "one cache line");

extern struct pw_slots pw_spds; /* of struct pw_spd; what is not set lets nothing pass */

static inline const struct pw_spd *pw_spd_get(uint32_t id)
{
	return (const struct pw_spd *)pw_slot_get(&pw_spds, id);
}

/**
 * The first rule that selects each of @p n packets (data begins at the IP header, which was
 * checked; all of one version), NULL where none does. Any worker. At most 64.
 *
 * What does not say all that rules ask for, and would pass in clear, though a rule before perhaps
 * selects it that protects or discards, gets a rule that discards (RFC 4301 7).
 */
void pw_policy_select_burst(const struct pw_policy_list *list, struct rte_mbuf *const *mbufs,
			    unsigned int n, bool v6, const struct pw_policy_rule **rules);

struct pw_selector;

/** The same, of selectors that are known already (selector.h). */
void pw_policy_list_select(const struct pw_policy_list *list, const struct pw_selector **selectors,
			   unsigned int n, bool v6, const struct pw_policy_rule **rules);

/** True when what came by @p sa is what @p rule, inward and PROTECT, asks for. */
bool pw_policy_accepts(const struct pw_policy_rule *rule, const struct pw_sa *sa);

/* ---- control thread ------------------------------------------------------------------------ */

int pw_policy_table_init(void);
void pw_policy_table_fini(void);

/** A list of @p count rules, first to last; NULL with errno ENOMEM, E2BIG. Rules are copied. */
struct pw_policy_list *pw_policy_list_new(const struct pw_policy_rule *rules, unsigned int count);

/**
 * A list as it is in force at once: @p base without the rules whose bits are set in @p gone, and
 * with @p count others, first to last; @p places[i] of the base's rules come before the i-th one.
 * A base's rule that is to say something else is among the others, at the place that it has.
 *
 * For each rule that is gone, the rules of the base that are still there, come after it and
 * overlap it (pw_policy_list_overlapped()) must be among the others too: what selected the one
 * that is gone is never looked up in the base again. Where a packet does not say its ports or
 * protocol, a rule that is gone may still keep it from passing in clear; never does one that was
 * added not do so.
 *
 * The base stays as long as it is needed, also when it is retired before. NULL with errno ENOMEM.
 */
struct pw_policy_list *pw_policy_list_patch(struct pw_policy_list *base, const uint64_t *gone,
					    const struct pw_policy_rule *rules,
					    const uint32_t *places, unsigned int count);

/**
 * The first rule after the one with number @p after that selects something that rule @p number
 * selects too; the number of rules when there is none.
 */
uint32_t pw_policy_list_overlapped(const struct pw_policy_list *base, uint32_t number,
				   uint32_t after);

/** Frees it a grace period from now. NULL is allowed. */
void pw_policy_list_retire(struct pw_policy_list *list);

#endif
