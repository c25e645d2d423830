/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_POLICY_H
#define PW_CONTROL_POLICY_H

#include <bsd/sys/tree.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/request.h"
#include "control/xfrm.h"
#include "dataplane/table/endpoint.h"

/**
 * The security policy database (RFC 4301 4.4.1) as XFRM has it, between policy.c,
 * netlink_policy.c, netlink_policy_show.c, protection.c and acquire.c. Control thread only.
 */

/** Bits of an index that are its direction. */
#define PW_POLICY_INDEX_DIRECTION 7

/** Beside XFRM_POLICY_*: the remote selector is a route through the policy's IPsec interface. */
#define PW_POLICY_REVERSE_ROUTE 0x80

struct pw_bundle;
struct pw_spd_owner;

struct pw_policy {
	RB_ENTRY(pw_policy) all;      /* by serial, newest first */
	TAILQ_ENTRY(pw_policy) tried; /* among those that are tried together, first to last */
	LIST_ENTRY(pw_policy) by_identity;
	LIST_ENTRY(pw_policy) by_index;
	LIST_ENTRY(pw_policy) ageing;      /* with a lifetime only */
	LIST_ENTRY(pw_policy) by_template; /* sa_inside.c: those that name a device */
	LIST_ENTRY(pw_policy) numbered;    /* spd.c: by if_id, mark or device */
	TAILQ_ENTRY(pw_policy) in_owner;   /* spd.c */
	LIST_ENTRY(pw_policy) in_bundle;   /* bundle.c */

	/* What identifies it, padding and unused bytes zero. */
	struct xfrm_selector selector;
	struct pw_mark mark;
	uint32_t if_id;
	uint8_t direction; /* XFRM_POLICY_IN, _OUT, _FWD */

	uint8_t action; /* XFRM_POLICY_ALLOW, _BLOCK */
	uint8_t flags;  /* XFRM_POLICY_LOCALOK, _ICMP: shown; PW_POLICY_REVERSE_ROUTE */
	uint8_t share;  /* shown */
	uint32_t priority;
	uint32_t index;  /* wanted, 0 = any; then its own */
	uint64_t serial; /* of arrival, never twice */
	uint64_t order;  /* of arrival, or of what it replaced without a change of priority */
	bool templated;
	struct xfrm_user_tmpl template;
	struct pw_address source, destination; /* the selector's, whole */

	struct xfrm_lifetime_cfg lifetime;
	uint64_t added;   /* seconds since 1970 */
	uint64_t born;    /* seconds, monotonic */
	uint64_t warn_at; /* monotonic: the next soft expiry */

	struct pw_spd_owner *owner; /* whose SPD it is in (spd.h); NULL: in none */
	struct pw_bundle *bundle;   /* what it sends by (bundle.h), or NULL */
	/* spd_patch.c: its number in the compiled list, plus one, or 0; among what changed since,
	 * how many rules of that list come before it. */
	uint32_t listed;
	bool patched;
	uint32_t place;
	TAILQ_ENTRY(pw_policy) in_patch;
	bool device_gone; /* its device was deleted; another has its index now, perhaps */

	uint8_t mirrored; /* a copy of the kernel's (feed/xfrm_policy.c) */
	bool stale;       /* not seen yet in the dump that is read */
};

/** The policy with the identity of @p model, or NULL. */
struct pw_policy *pw_policy_find(const struct pw_policy *model);

/** The policy with this index and the direction, mark and interface id of @p model, or NULL. */
struct pw_policy *pw_policy_find_index(const struct pw_policy *model, uint32_t index);

/**
 * Adds a copy of @p model or, with @p replace, puts it in the place of the one with the same
 * identity, whose index it takes over. 0, -EEXIST or -ENOMEM.
 */
int pw_policy_put(const struct pw_policy *model, bool replace, const struct pw_policy **policy);
void pw_policy_delete(struct pw_policy *policy);

/** Deletes all. How many there were. */
unsigned int pw_policy_flush(void);

/** Which of two is tried first: the lower priority number, among equals the older. */
bool pw_policy_comes_before(const struct pw_policy *a, const struct pw_policy *b);

/** The newest that is older than @p serial (0: of all); NULL at the end. */
const struct pw_policy *pw_policy_next(uint64_t serial);

unsigned int pw_policy_count(uint8_t direction);
void pw_policy_hash_size(uint32_t *now, uint32_t *most);

/**
 * The first policy of a direction that selects a tunnel's packets: from and to these addresses,
 * GRE (47) or MPLS-in-IP (137). NULL when none does.
 */
const struct pw_policy *pw_policy_select(uint8_t direction, const struct pw_address *source,
					 const struct pw_address *destination, uint8_t protocol);

/** True when it is for the packets of an IPsec interface or of a VRF, and so for no tunnel's. */
bool pw_policy_passes_by_tunnels(const struct pw_policy *policy);

/** What is done where no policy selects: XFRM_USERPOLICY_ACCEPT or _BLOCK. */
uint8_t pw_policy_default(uint8_t direction);
void pw_policy_default_set(uint8_t direction, uint8_t action);

/** True for a policy that lets pass only what an SA protects. */
static inline bool pw_policy_requires(const struct pw_policy *policy)
{
	return policy->action == XFRM_POLICY_ALLOW && policy->templated &&
	       !policy->template.optional;
}

/* netlink_policy.c, netlink_policy_check.c, netlink_policy_show.c */
void pw_netlink_policy_register(void);

/** Decodes XFRMA_TMPL into a policy whose selector and direction are there. 0 or refused. */
int pw_netlink_policy_template(struct pw_request *request, const struct nlattr *attribute,
			       struct pw_policy *policy);

/** Can it be met as a whole? 0 or refused. */
int pw_netlink_policy_check(struct pw_request *request, const struct pw_policy *policy);
int pw_netlink_policy_dump(struct pw_dump *dump);
void pw_netlink_policy_reply(struct pw_request *request, const struct pw_policy *policy);

/** XFRM_MSG_GETDEFAULT as answer or event, into 64 bytes, aligned and zero. */
struct nlmsghdr *pw_netlink_policy_default(void *buffer);

/** XFRM_MSG_NEWPOLICY or _UPDPOLICY. */
void pw_netlink_policy_notify(const struct pw_policy *policy, uint16_t type);
void pw_netlink_policy_notify_delete(const struct pw_policy *policy, bool by_index);
void pw_netlink_policy_notify_flush(void);
void pw_netlink_policy_notify_default(void);
void pw_netlink_policy_notify_expire(const struct pw_policy *policy, bool hard);

/**
 * XFRM_MSG_ACQUIRE for an SA between these two addresses. The selector is the tunnel's packets', of
 * @p protocol, or, in tunnel mode, the policy's: the packet that asks has been dropped. Into a
 * message of 1024 bytes that has its header; or as event.
 */
void pw_netlink_policy_put_acquire(struct nlmsghdr *nlh, const struct pw_policy *policy,
				   const struct pw_address *source,
				   const struct pw_address *destination, uint8_t protocol,
				   uint32_t seq);
void pw_netlink_policy_notify_acquire(const struct pw_policy *policy,
				      const struct pw_address *source,
				      const struct pw_address *destination, uint8_t protocol,
				      uint32_t seq);

/* ---- protection.c ------------------------------------------------------------------------- */

/** A policy came, changed or went, or a default: what it may select is looked at again. */
void pw_protection_policy_changed(const struct pw_policy *policy);
void pw_protection_default_changed(void);

/** The remote end of a tunnel was made, or its packets have other addresses now. */
void pw_protection_endpoint_added(uint32_t id, const struct pw_endpoint_key *match);
void pw_protection_endpoint_removed(uint32_t id);

void pw_protection_init(void);
void pw_protection_fini(void);

/** Has this remote end of a tunnel to be protected outward, and no SA to do it? */
bool pw_protection_lacking(uint32_t id);

/** The policy that wants the SA, and which; NULL: none does any more. */
const struct pw_policy *pw_protection_lacked_by(uint32_t id, struct pw_sa_wanted *wanted);

/* ---- acquire.c ---------------------------------------------------------------------------- */

/** An endpoint has an SA now, or goes: nobody is asked for one any more. */
void pw_protection_acquired(uint32_t endpoint);

/** Nobody was asked for anything. */
void pw_protection_acquires_forget(void);

#endif
