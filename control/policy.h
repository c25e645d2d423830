/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_POLICY_H
#define PW_CONTROL_POLICY_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/request.h"
#include "control/xfrm.h"
#include "dataplane/table/endpoint.h"

/**
 * The security policy database (RFC 4301 4.4.1) as XFRM has it, between policy.c,
 * netlink_policy.c, netlink_policy_show.c and protection.c. Control thread only.
 */

/** Bits of an index that are its direction. */
#define PW_POLICY_INDEX_DIRECTION 7

struct pw_policy {
	TAILQ_ENTRY(pw_policy) all;   /* newest first */
	TAILQ_ENTRY(pw_policy) tried; /* among those that are tried together, first to last */
	LIST_ENTRY(pw_policy) by_identity;
	LIST_ENTRY(pw_policy) by_index;
	LIST_ENTRY(pw_policy) ageing; /* with a lifetime only */

	/* What identifies it, padding and unused bytes zero. */
	struct xfrm_selector selector;
	struct pw_mark mark;
	uint32_t if_id;
	uint8_t direction; /* XFRM_POLICY_IN, _OUT, _FWD */

	uint8_t action; /* XFRM_POLICY_ALLOW, _BLOCK */
	uint8_t flags;  /* XFRM_POLICY_LOCALOK, _ICMP: shown */
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

/** What is done where no policy selects: XFRM_USERPOLICY_ACCEPT or _BLOCK. */
uint8_t pw_policy_default(uint8_t direction);
void pw_policy_default_set(uint8_t direction, uint8_t action);

/** True for a policy that lets pass only what an SA protects. */
static inline bool pw_policy_requires(const struct pw_policy *policy)
{
	return policy->action == XFRM_POLICY_ALLOW && policy->templated &&
	       !policy->template.optional;
}

/* netlink_policy.c, netlink_policy_show.c */
void pw_netlink_policy_register(void);
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

#endif
