/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_XFRM_H
#define PW_CONTROL_XFRM_H

#include <linux/xfrm.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/control.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/sa.h"

/**
 * IPsec as the control thread has it, in XFRM's terms.
 *
 *   sa.c             security associations: store, lifetimes, what workers say of them
 *   netlink_sa.c     XFRM_MSG_{NEW,UPD,DEL,GET,FLUSH}SA, ALLOCSPI, NEWAE, GETAE, EXPIRE, MAPPING
 *   policy.c         policies: store and order
 *   netlink_policy.c XFRM_MSG_{NEW,UPD,DEL,GET,FLUSH}POLICY, GETSPDINFO, ACQUIRE, POLEXPIRE
 *   protection.c     which policy and which SA protect the endpoint of a tunnel
 *   acquire.c        asks for an SA that is not there
 *   spd.c            the policies of IPsec interfaces and VRFs, and what they send by (bundle.c)
 */

struct pw_mark {
	uint32_t value, mask;
};

struct pw_sa_detail;

/** What identifies an SA (with its protocol, which is always ESP), and what chooses one. */
struct pw_sa_entry {
	TAILQ_ENTRY(pw_sa_entry) all;
	LIST_ENTRY(pw_sa_entry) by_spi;  /* (destination, SPI) */
	LIST_ENTRY(pw_sa_entry) by_pair; /* (source, destination) */
	struct pw_address source, destination;
	uint32_t spi; /* network byte order; 0 in an acquire's larva */
	struct pw_mark mark;
	uint32_t if_id;
	uint32_t reqid;
	uint8_t mode;                /* XFRM_MODE_TRANSPORT, XFRM_MODE_TUNNEL, ... */
	bool larval;                 /* from ALLOCSPI: it has an SPI and no keys yet */
	bool dying;                  /* soft lifetime is over */
	uint64_t order;              /* of arrival: the newest is preferred, as in the kernel */
	uint32_t id;                 /* in pw_sas; 0 while larval */
	struct pw_sa_detail *detail; /* sa.c's own: lifetimes, keys for root's eyes, NAT-T, ... */
};

/** What a policy's template asks of an SA. Unset (family 0, 0) fields are wild. */
struct pw_sa_wanted {
	struct pw_address source, destination;
	uint32_t spi;
	uint32_t reqid;
	uint8_t mode;
	struct pw_mark mark; /* the SA's mark must match it as in the kernel */
	uint32_t if_id;      /* the same, 0 too; so must the mode be */
	uint8_t protocol;    /* that the SA's selector must have, between its addresses; 0: any */
	/** May this SA be used, for reasons of the caller's? NULL: any may. */
	bool (*suits)(const struct pw_sa_detail *sa, const void *context);
	const void *context;
};

/**
 * The SA that is used for what a template asks: valid, not larval, not dead; not dying before
 * dying, newest before older. NULL when there is none. (sa.c)
 */
const struct pw_sa_entry *pw_sa_choose(const struct pw_sa_wanted *wanted);

/**
 * When an SA between these two addresses was last used, of @p reqid unless that is 0: seconds
 * since 1970, 0 = never. (sa.c)
 */
uint64_t pw_sa_pair_used(const struct pw_address *source, const struct pw_address *destination,
			 uint32_t reqid);

/** By id in pw_sas, or NULL. (sa.c) */
const struct pw_sa_entry *pw_sa_entry_get(uint32_t id);

/**
 * Inward rights of an SA, decided by policy: what it may carry between its addresses (PW_SA_GRE,
 * MPLS, IP4, IP6), and the endpoint of GRE without key between them (0: none, or several).
 * Publishes the SA anew when that is a change. (sa.c)
 */
void pw_sa_set_rights(uint32_t id, uint16_t rights, uint32_t endpoint);

/** An SA between these two came, became usable, died or went: called by sa.c (protection.c). */
void pw_protection_sa_changed(const struct pw_sa_entry *entry);

/** What policy and SAs say of what is sent to and taken from a tunnel's remote end. */
struct pw_protection {
	uint8_t protect;         /* PW_PROTECT_* */
	uint32_t sa;             /* to send with; 0 = none */
	const struct pw_sa *hot; /* its object, for the header and the MTU; NULL with sa 0 */
};

/**
 * For pw_remote_publish(): of an endpoint of which at least encapsulation, flags and match are
 * filled in. Where it carries IPv4 and IPv6 in IP, whose policies differ, it has the stricter of
 * both, and no SA unless the same serves both. (protection.c)
 */
void pw_protection_of(const struct pw_endpoint *endpoint, struct pw_protection *protection);

/**
 * The MTU of the first link on the way of what endpoints in a front-door VRF send by an SA in
 * transport mode; 0: none of them does. (protection.c)
 */
uint16_t pw_protection_way_mtu(const struct pw_sa_entry *entry, uint16_t vrf);

/** (sa_path_mtu.c) ICMP about ESP, from a worker's punt ring; takes the mbuf. */
struct rte_mbuf;
void pw_sa_path_mtu_take(struct rte_mbuf *mbuf);

/** Called in pw_resolve(): endpoints and SAs whose protection changed follow. (protection.c) */
void pw_protection_resolve(void);

/** A local address came into or left a VRF: SAs to it are found there or no more. (sa.c) */
void pw_sa_address_changed(uint16_t vrf, const struct pw_address *address, bool add);

/** (sa_inside.c) An IPsec interface or another link came, changed or goes: SAs follow. */
void pw_sa_link_changed(const struct pw_link *link);

/** (sa_inside.c) A policy came into the store, or is about to leave it. */
struct pw_policy;
void pw_sa_policy_linked(struct pw_policy *policy);
void pw_sa_policy_unlinked(struct pw_policy *policy);

/** (sa_inside.c) Called in pw_resolve(): SAs whose policies or links changed follow. */
void pw_sa_resolve(void);

/** The wake event: takes pw_sa_notice_take() until it is empty. (sa.c; ACQUIRE by acquire.c) */
void pw_sa_notices(void);
void pw_protection_acquire(uint32_t endpoint);

/**
 * A larva for an acquire in the kernel's manner (state ACQ, seq), so that GETSA and the daemon's
 * NEWSA/UPDSA with its seq find it; expires after 30 s unless fulfilled. Returns the sequence
 * number for XFRM_MSG_ACQUIRE. (sa.c)
 */
uint32_t pw_sa_acquire_larva(const struct pw_sa_wanted *wanted, uint32_t endpoint);

/** A message to all clients of NETLINK_XFRM that subscribed to @p group (XFRMNLGRP_*). */
void pw_notify_xfrm(uint32_t group, const struct nlmsghdr *nlh);
bool pw_notify_xfrm_wanted(uint32_t group);

/** The policies' part of it, for pw_xfrm_init() and pw_xfrm_fini(). (policy.c) */
int pw_policy_init(void);
void pw_policy_fini(void);

int pw_xfrm_init(void);
void pw_xfrm_fini(void);

#endif
