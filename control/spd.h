/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_SPD_H
#define PW_CONTROL_SPD_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/control.h"
#include "control/policy.h"
#include "dataplane/table/policy.h"

/**
 * The SPDs of IPsec interfaces and VRFs (RFC 4301 4.4.1): which policies are in each, in what
 * order, as the workers have them. Policies of tunnels between PEs, in transport mode, are in none:
 * those are protection.c's. Control thread only.
 */

struct pw_bundle;

/** Whose policies they are. */
struct pw_spd_owner {
	uint32_t spd;                     /* id in pw_spds; a VRF's: 0 while it needs none */
	uint32_t link;                    /* IPsec interface; 0: of a VRF */
	uint16_t vrf;                     /* that VRF, or the one that the interface is in */
	TAILQ_HEAD(, pw_policy) policies; /* in no order */
	unsigned int count;
	bool dirty;
	bool crowded; /* there was no room for what some policy sends by: it blocks */
	TAILQ_ENTRY(pw_spd_owner) waiting; /* while dirty */
	struct pw_policy_list *out, *in;   /* published */
	struct pw_reverse *reverse;        /* routes installed (reverse.c) */
	unsigned int reverse_count;
};

/** True when it says what happens to forwarded packets, not to those of tunnels between PEs. */
bool pw_spd_takes(const struct pw_policy *policy);

/** A policy is there, or is about to go. */
void pw_spd_policy_added(struct pw_policy *policy);
void pw_spd_policy_removed(struct pw_policy *policy);
void pw_spd_default_changed(void);

/** A link was made, has another number or VRF, or is about to go (its numbers are still there). */
void pw_spd_link_changed(const struct pw_link *link);
void pw_spd_link_deleted(const struct pw_link *link);

/** A bundle got its first SA, or lost its last one. */
void pw_spd_bundle_changed(const struct pw_bundle *bundle);

/** Once a batch: policies find their SPD, bundles their SAs; lists that changed are published. */
void pw_spds_resolve(void);
void pw_spds_fini(void);

/* ---- spd_list.c --------------------------------------------------------------------------- */

/** enum pw_policy_action of what a policy says. */
uint8_t pw_spd_action(const struct pw_policy *policy);

/** The part of a rule that says which packets it selects. */
void pw_spd_rule_select(struct pw_policy_rule *rule, const struct xfrm_selector *selector);

/**
 * The list of an owner's policies in one direction; NULL when there are none. Bundles have been
 * taken: a policy without one blocks. 0, -ENOMEM, -E2BIG.
 */
int pw_spd_list_build(const struct pw_spd_owner *owner, bool outward, struct pw_policy_list **list);

/** The next hop of all that goes out, by address family (IPv6: 1); 0 where the list is asked. */
void pw_spd_all(const struct pw_spd_owner *owner, uint32_t all[2]);

/* ---- reverse.c ---------------------------------------------------------------------------- */

/**
 * Reverse route injection: routes to the remote selectors of the owner's policies, through its
 * interface, are those that should be there.
 */
void pw_reverse_update(struct pw_spd_owner *owner);

/** Takes all of them out. */
void pw_reverse_clear(struct pw_spd_owner *owner);

/** True when somebody's route had to wait for another's that went since. */
bool pw_reverse_retry(void);

#endif
