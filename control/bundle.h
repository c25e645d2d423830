/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_BUNDLE_H
#define PW_CONTROL_BUNDLE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/endpoint.h"
#include "control/policy.h"
#include "control/xfrm.h"

/**
 * Bundles: what outward policies in tunnel mode send by. A bundle is an endpoint (outer header, SA
 * and way) and the next hop of type TUNNEL that leads to it. Policies that ask for the same share
 * one. Control thread only.
 */

/** What a bundle is made of. Hashed and compared as bytes. */
struct pw_bundle_key {
	uint8_t local[16]; /* all zero: any, the SA's own */
	uint8_t remote[16];
	uint32_t spi; /* network byte order, 0 = any */
	uint32_t reqid;
	uint32_t if_id;
	uint32_t mark, mask;
	uint32_t interface; /* whose packets these are: an IPsec interface, a VRF device or "lo" */
	uint8_t family;     /* of the outer addresses */
	uint8_t inner;      /* of the packets */
	uint8_t zero[2];
};

struct pw_bundle {
	LIST_ENTRY(pw_bundle) by_key;
	LIST_ENTRY(pw_bundle) by_remote;
	LIST_ENTRY(pw_bundle) by_vrf;
	TAILQ_ENTRY(pw_bundle) waiting;
	LIST_HEAD(, pw_policy) policies;
	struct pw_bundle_key key;
	uint32_t endpoint, nexthop; /* ids */
	uint32_t sa;                /* id, 0 = none */
	uint16_t vrf;               /* front door */
	bool dirty;                 /* waits to be published anew */
	bool unused;                /* waits to be freed */
	struct pw_way way;
};

/**
 * The bundle of a policy (outward, its template in tunnel mode) for packets of @p interface, made
 * when there is none, found again by policy->bundle. 0, -ENOMEM, -ENOSPC.
 */
int pw_bundle_take(struct pw_policy *policy, uint32_t interface);

/** The policy needs its bundle no longer; one that nobody needs goes with pw_bundles_collect(). */
void pw_bundle_leave(struct pw_policy *policy);

/** Frees bundles without policies, once no list leads to them. True when there were some. */
bool pw_bundles_collect(void);

/** The bundle that an endpoint is of, or NULL. */
const struct pw_bundle *pw_bundle_of(uint32_t endpoint);

/** What it asks of an SA; without an address in the template, from one of the front door. */
void pw_bundle_wanted(const struct pw_bundle *bundle, struct pw_sa_wanted *wanted);

/* What bundles may depend on changed; they follow in pw_bundles_resolve(). */
void pw_bundles_sa_changed(const struct pw_sa_entry *entry);
void pw_bundles_address_changed(const struct pw_address *address);
void pw_bundle_changed(struct pw_bundle *bundle);

/** As pw_protection_way_mtu(), of bundles and SAs in tunnel mode. */
uint16_t pw_bundles_way_mtu(const struct pw_sa_entry *entry, uint16_t vrf);

/** Routes changed in a front-door VRF: looks for the ways again, at once. */
void pw_bundles_underlay_changed(uint16_t vrf);

void pw_bundles_resolve(void);

/** At the end: lets go of paths, so that they can be reclaimed. */
void pw_bundles_release(void);

#endif
