/* SPDX-License-Identifier: BSD-3-Clause */
/* Asks the key daemon for an SA that a policy wants and that is not there. */
#include <string.h>
#include <time.h>

#include "control/bundle.h"
#include "control/feed/xfrm.h"
#include "control/loop.h"
#include "control/policy.h"

#define ACQUIRE_SECONDS  30 /* a daemon has this long to answer one */
#define ACQUIRE_UNHEARD  1  /* with no daemon there */
#define ACQUIRE_CHECK_MS 500

static uint64_t acquires[PW_ENDPOINTS]; /* when it may ask again, milliseconds; 0 = it did not */
static unsigned int acquire_count;
static struct pw_timer *acquire_timer;

void pw_protection_acquired(uint32_t id)
{
	if (!acquires[id])
		return;
	acquires[id] = 0;
	acquire_count--;
	pw_sa_acquire_clear(id);
}

static uint64_t milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

/* Where no SA came in time, the next packet asks again. */
static void acquires_expire(void *context)
{
	uint64_t now = milliseconds();

	for (uint32_t id = 0; acquire_count && id < PW_ENDPOINTS; id++)
		if (acquires[id] && acquires[id] <= now)
			pw_protection_acquired(id);
	if (acquire_count || !acquire_timer)
		return;
	pw_timer_stop(acquire_timer);
	acquire_timer = NULL;
}

static void acquire_begin(uint32_t id, unsigned int seconds)
{
	acquire_count += !acquires[id];
	acquires[id] = milliseconds() + seconds * 1000;
	if (!acquire_timer)
		acquire_timer = pw_loop_timer(ACQUIRE_CHECK_MS, acquires_expire, NULL);
	if (!acquire_timer)
		pw_protection_acquired(id); /* without a timer it asks with every packet */
}

static const struct pw_policy *first_of(const struct pw_bundle *bundle)
{
	const struct pw_policy *policy, *first = LIST_FIRST(&bundle->policies);

	LIST_FOREACH (policy, &bundle->policies, in_bundle)
		if (pw_policy_comes_before(policy, first))
			first = policy;
	return first;
}

/* For forwarded packets. */
static void bundle_acquire(const struct pw_bundle *bundle)
{
	const struct pw_policy *policy = first_of(bundle);
	struct pw_sa_wanted wanted;
	bool asked;

	if (!policy || bundle->sa) {
		pw_sa_acquire_clear(bundle->endpoint);
		return;
	}
	pw_bundle_wanted(bundle, &wanted);
	if (policy->mirrored)
		asked = pw_xfrm_mirror_acquire_tunnel(policy, &wanted.source, &wanted.destination);
	else
		asked = pw_notify_xfrm_wanted(XFRMNLGRP_ACQUIRE);
	if (!asked) {
		acquire_begin(bundle->endpoint, ACQUIRE_UNHEARD);
		return;
	}
	acquire_begin(bundle->endpoint, ACQUIRE_SECONDS);
	pw_netlink_policy_notify_acquire(policy, &wanted.source, &wanted.destination,
					 policy->selector.proto,
					 pw_sa_acquire_larva(&wanted, bundle->endpoint));
}

void pw_protection_acquire(uint32_t id)
{
	const struct pw_policy *policy;
	struct pw_sa_wanted wanted;

	if (pw_bundle_of(id)) {
		bundle_acquire(pw_bundle_of(id));
		return;
	}
	if (!pw_protection_lacking(id)) {
		if (id < PW_ENDPOINTS)
			pw_sa_acquire_clear(id);
		return;
	}
	policy = pw_protection_lacked_by(id, &wanted);
	if (!policy ||
	    !(policy->mirrored
		      ? pw_xfrm_mirror_acquire(&wanted.source, &wanted.destination, wanted.protocol)
		      : pw_notify_xfrm_wanted(XFRMNLGRP_ACQUIRE))) {
		acquire_begin(id, ACQUIRE_UNHEARD);
		return;
	}
	acquire_begin(id, ACQUIRE_SECONDS);
	pw_netlink_policy_notify_acquire(policy, &wanted.source, &wanted.destination,
					 wanted.protocol, pw_sa_acquire_larva(&wanted, id));
}

void pw_protection_acquires_forget(void)
{
	if (acquire_timer)
		pw_timer_stop(acquire_timer);
	acquire_timer = NULL;
	acquire_count = 0;
	memset(acquires, 0, sizeof(acquires));
}
