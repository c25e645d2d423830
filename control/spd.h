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

/**
 * The policies of one direction, as the workers have them. To compile a long list takes long: what
 * changes in one is a patch at first, and is in force as soon as it is published. The list is
 * compiled anew some moments later, or as soon as the patch is long.
 */
struct pw_spd_list {
	struct pw_policy_list *list; /* published: the base, or the base with a patch; or NULL */
	struct pw_policy_list *base; /* as compiled */
	struct pw_spd_place *places; /* its rules, first to last */
	uint32_t count;
	uint64_t *gone; /* rules that are no longer there, a bit each */
	bool any_gone;
	TAILQ_HEAD(pw_spd_patch, pw_policy) patch; /* first to last */
	uint32_t patched;
};

/** What a rule of a compiled list was made from. */
struct pw_spd_place {
	struct pw_policy *policy; /* NULL: it is gone */
	uint64_t order;
	uint32_t priority;
};

/** Whose policies they are. */
struct pw_spd_owner {
	uint32_t spd;                     /* id in pw_spds; a VRF's: 0 while it needs none */
	uint32_t link;                    /* IPsec interface; 0: of a VRF */
	uint16_t vrf;                     /* that VRF, or the one that the interface is in */
	TAILQ_HEAD(, pw_policy) policies; /* in no order */
	unsigned int count;
	unsigned int restricting;          /* policies but those that let all pass */
	const struct pw_policy *firsts[2]; /* outward, by address family (IPv6: 1), or NULL */
	bool firsts_known;
	unsigned int left; /* policies, since the lists were published */
	bool dirty;
	bool whole; /* while dirty: both lists are to be compiled, not only patched */
	bool reverse_changed;
	bool crowded; /* there was no room for what some policy sends by: it blocks */
	TAILQ_ENTRY(pw_spd_owner) waiting;    /* while dirty */
	struct pw_spd_list lists[2];          /* 1: outward */
	uint64_t compile_at;                  /* monotonic ms; 0: the lists are as compiled */
	uint64_t compile_ms;                  /* what that took */
	TAILQ_ENTRY(pw_spd_owner) in_patched; /* while compile_at */
	struct pw_reverse *reverse;           /* routes installed (reverse.c) */
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
 * Compiles an owner's policies of one direction: base, places and count; nothing where there are
 * none. Bundles have been taken: a policy without one blocks. 0, -ENOMEM, -E2BIG.
 */
int pw_spd_list_build(const struct pw_spd_owner *owner, bool outward, struct pw_spd_list *list);

/** The base with its patch. 0 or -ENOMEM. */
int pw_spd_list_patch(const struct pw_spd_list *from, bool outward, struct pw_policy_list **list);

/** The next hop of all that goes out, by address family (IPv6: 1); 0 where the list is asked. */
void pw_spd_all(struct pw_spd_owner *owner, uint32_t all[2]);

/** The policy that says the same in XFRM's other inward direction, or NULL. */
struct pw_policy *pw_spd_twin(const struct pw_policy *policy);

/* ---- spd.c -------------------------------------------------------------------------------- */

/** Both lists are to be compiled at the end of the batch. */
void pw_spd_mark(struct pw_spd_owner *owner);

/** Something in its patches changed. */
void pw_spd_mark_patch(struct pw_spd_owner *owner, const struct pw_policy *policy);

/* ---- spd_patch.c -------------------------------------------------------------------------- */

/** A policy of the owner's is there now, says something else now, or is no longer the owner's. */
void pw_spd_patch_changed(struct pw_policy *policy);
void pw_spd_patch_left(struct pw_spd_owner *owner, struct pw_policy *policy);

/** Both lists are as compiled, and the owner's policies where these lists have them. */
void pw_spd_lists_set(struct pw_spd_owner *owner, const struct pw_spd_list lists[2]);
void pw_spd_lists_init(struct pw_spd_list lists[2]);

/** Frees what it is made of, a grace period from now. */
void pw_spd_list_retire(struct pw_spd_list *list);

/* ---- spd_publish.c ------------------------------------------------------------------------ */

/** The workers have what the owner's policies say. 0, or an error: nothing passes. */
int pw_spd_publish(struct pw_spd_owner *owner);

/** It has no policies any more; an interface's id is kept. */
void pw_spd_withdraw(struct pw_spd_owner *owner);

/** The default reaches VRFs without policies. False when it is to be tried again. */
bool pw_spd_default_publish(void);
void pw_spd_default_mark(void);
void pw_spd_default_fini(void);

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
