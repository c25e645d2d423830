/* SPDX-License-Identifier: BSD-3-Clause */
/* The store of policies, and which comes first. */
#include "control/policy.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <rte_byteorder.h>
#include <rte_jhash.h>

#include "control/loop.h"
#include "control/spd.h"
#include "lib/log.h"

#define BUCKETS      16384
#define DIRECTIONS   XFRM_POLICY_MAX
#define FAMILIES     2
#define INDEX_STEP   8 /* the lowest bits are the direction */
#define AGE_CHECK_MS 1000
#define WARN_EVERY   30 /* seconds between soft expiries, as in the kernel */

RB_HEAD(policy_tree, pw_policy);
TAILQ_HEAD(policy_queue, pw_policy);
LIST_HEAD(policy_list, pw_policy);

static struct policy_tree all = RB_INITIALIZER(&all);
/* Between two hosts: by direction, source and destination. Wider ones: all that there are. */
static struct policy_queue between_hosts[BUCKETS];
static struct policy_queue wider[DIRECTIONS][FAMILIES];
static struct policy_list by_identity[BUCKETS];
static struct policy_list by_index[BUCKETS];
static struct policy_list ageing;
static struct pw_timer *age_timer;
static unsigned int counts[DIRECTIONS];
static uint8_t defaults[DIRECTIONS];
static uint64_t serials;
static uint32_t indices;
static bool started;

static uint64_t monotonic_seconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec;
}

/* ---- where a policy is kept --------------------------------------------------------------- */

static int newest_first(const struct pw_policy *a, const struct pw_policy *b)
{
	return a->serial > b->serial ? -1 : a->serial < b->serial;
}

RB_GENERATE_INTERNAL(policy_tree, pw_policy, all, newest_first, static __attribute__((unused)))

static bool is_between_hosts(const struct pw_policy *policy)
{
	unsigned int bits = 8 * pw_address_size(policy->selector.family);

	return policy->selector.prefixlen_s == bits && policy->selector.prefixlen_d == bits;
}

static struct policy_queue *hosts_bucket(uint8_t direction, const struct pw_address *source,
					 const struct pw_address *destination)
{
	uint32_t words[8];

	memcpy(words, source->bytes, 16);
	memcpy(words + 4, destination->bytes, 16);
	return &between_hosts[rte_jhash_32b(words, 8, direction) % BUCKETS];
}

static struct policy_queue *queue_of(const struct pw_policy *policy)
{
	if (is_between_hosts(policy))
		return hosts_bucket(policy->direction, &policy->source, &policy->destination);
	return &wider[policy->direction][policy->selector.family == AF_INET6];
}

static struct policy_list *identity_bucket(const struct pw_policy *policy)
{
	uint32_t hash = rte_jhash(&policy->selector, sizeof(policy->selector), policy->if_id);

	return &by_identity[(hash + policy->direction) % BUCKETS];
}

/* Lower priority numbers come first, and among equals the older. */
bool pw_policy_comes_before(const struct pw_policy *a, const struct pw_policy *b)
{
	return a->priority != b->priority ? a->priority < b->priority : a->order < b->order;
}

static void queue_insert(struct policy_queue *queue, struct pw_policy *policy)
{
	struct pw_policy *before;

	TAILQ_FOREACH_REVERSE(before, queue, policy_queue, tried)
	if (!pw_policy_comes_before(policy, before))
		break;
	if (before)
		TAILQ_INSERT_AFTER(queue, before, policy, tried);
	else
		TAILQ_INSERT_HEAD(queue, policy, tried);
}

/* ---- finding ------------------------------------------------------------------------------ */

static bool same_scope(const struct pw_policy *a, const struct pw_policy *b)
{
	return a->direction == b->direction && a->if_id == b->if_id &&
	       a->mark.value == b->mark.value && a->mark.mask == b->mark.mask;
}

struct pw_policy *pw_policy_find(const struct pw_policy *model)
{
	struct pw_policy *policy;

	LIST_FOREACH (policy, identity_bucket(model), by_identity)
		if (same_scope(policy, model) &&
		    memcmp(&policy->selector, &model->selector, sizeof(model->selector)) == 0)
			return policy;
	return NULL;
}

static struct pw_policy *find_index(uint32_t index)
{
	struct pw_policy *policy;

	LIST_FOREACH (policy, &by_index[(index / INDEX_STEP) % BUCKETS], by_index)
		if (policy->index == index)
			return policy;
	return NULL;
}

struct pw_policy *pw_policy_find_index(const struct pw_policy *model, uint32_t index)
{
	struct pw_policy *policy = find_index(index);

	return policy && same_scope(policy, model) ? policy : NULL;
}

static bool prefix_covers(const struct pw_address *prefix, unsigned int length,
			  const struct pw_address *address)
{
	unsigned int bytes = length / 8, bits = length % 8;

	if (memcmp(prefix->bytes, address->bytes, bytes) != 0)
		return false;
	return !bits || !((prefix->bytes[bytes] ^ address->bytes[bytes]) & (0xff00 >> bits));
}

bool pw_policy_passes_by_tunnels(const struct pw_policy *policy)
{
	return (policy->mark.mask || policy->if_id || policy->selector.ifindex) &&
	       !policy->mirrored && pw_spd_takes(policy);
}

static bool selects(const struct pw_policy *policy, const struct pw_address *source,
		    const struct pw_address *destination, uint8_t protocol)
{
	const struct xfrm_selector *selector = &policy->selector;

	bool scoped = policy->mark.mask || policy->if_id;

	if (pw_policy_passes_by_tunnels(policy))
		return false;
	/* These have no mark and no xfrm device: what asks for one opens nothing. */
	if (scoped && policy->action == XFRM_POLICY_ALLOW && !pw_policy_requires(policy))
		return false;
	/* They have no ports, and GRE's key is not looked at: get_selector() sees to that. */
	if (selector->sport_mask || selector->dport_mask)
		return false;
	return selector->family == source->family &&
	       (!selector->proto || selector->proto == protocol) &&
	       prefix_covers(&policy->source, selector->prefixlen_s, source) &&
	       prefix_covers(&policy->destination, selector->prefixlen_d, destination);
}

const struct pw_policy *pw_policy_select(uint8_t direction, const struct pw_address *source,
					 const struct pw_address *destination, uint8_t protocol)
{
	const struct pw_policy *exact, *wide;

	TAILQ_FOREACH (exact, hosts_bucket(direction, source, destination), tried)
		if (exact->direction == direction && selects(exact, source, destination, protocol))
			break;
	TAILQ_FOREACH (wide, &wider[direction][source->family == AF_INET6], tried) {
		if (exact && pw_policy_comes_before(exact, wide))
			return exact;
		if (selects(wide, source, destination, protocol))
			return wide;
	}
	return exact;
}

const struct pw_policy *pw_policy_next(uint64_t serial)
{
	struct pw_policy key = {.serial = serial - 1}; /* of 0: the greatest there is */

	return RB_NFIND(policy_tree, &all, &key);
}

unsigned int pw_policy_count(uint8_t direction)
{
	return counts[direction];
}

void pw_policy_hash_size(uint32_t *now, uint32_t *most)
{
	*now = *most = BUCKETS;
}

uint8_t pw_policy_default(uint8_t direction)
{
	return defaults[direction] == XFRM_USERPOLICY_BLOCK ? XFRM_USERPOLICY_BLOCK
							    : XFRM_USERPOLICY_ACCEPT;
}

void pw_policy_default_set(uint8_t direction, uint8_t action)
{
	defaults[direction] = action;
}

/* ---- lifetimes ---------------------------------------------------------------------------- */

static bool policy_ages(const struct pw_policy *policy)
{
	return policy->lifetime.soft_add_expires_seconds ||
	       policy->lifetime.hard_add_expires_seconds;
}

static void policies_age(void *context)
{
	struct pw_policy *policy, *next;
	uint64_t now = monotonic_seconds();

	for (policy = LIST_FIRST(&ageing); policy; policy = next) {
		uint64_t hard = policy->lifetime.hard_add_expires_seconds;

		next = LIST_NEXT(policy, ageing);
		if (hard && now - policy->born >= hard) {
			pw_netlink_policy_notify_expire(policy, true);
			pw_policy_delete(policy);
		} else if (policy->lifetime.soft_add_expires_seconds && now >= policy->warn_at) {
			policy->warn_at = now + WARN_EVERY;
			pw_netlink_policy_notify_expire(policy, false);
		}
	}
	if (LIST_EMPTY(&ageing) && age_timer) {
		pw_timer_stop(age_timer);
		age_timer = NULL;
	}
}

static int age_start(const struct pw_policy *model)
{
	if (!policy_ages(model) || age_timer)
		return 0;
	age_timer = pw_loop_timer(AGE_CHECK_MS, policies_age, NULL);
	return age_timer ? 0 : -ENOMEM;
}

/* ---- changes ------------------------------------------------------------------------------ */

/* As the kernel numbers them: the direction, and steps of 8 that all directions share. */
static uint32_t index_new(uint8_t direction, uint32_t wanted)
{
	uint32_t index = wanted;

	while (!index || find_index(index)) {
		index = indices | direction;
		indices += INDEX_STEP;
	}
	return index;
}

static void policy_unlink(struct pw_policy *policy)
{
	RB_REMOVE(policy_tree, &all, policy);
	TAILQ_REMOVE(queue_of(policy), policy, tried);
	LIST_REMOVE(policy, by_identity);
	LIST_REMOVE(policy, by_index);
	if (policy_ages(policy))
		LIST_REMOVE(policy, ageing);
	counts[policy->direction]--;
	pw_sa_policy_unlinked(policy);
	pw_spd_policy_removed(policy);
}

static void policy_link(struct pw_policy *policy)
{
	RB_INSERT(policy_tree, &all, policy);
	queue_insert(queue_of(policy), policy);
	LIST_INSERT_HEAD(identity_bucket(policy), policy, by_identity);
	LIST_INSERT_HEAD(&by_index[(policy->index / INDEX_STEP) % BUCKETS], policy, by_index);
	if (policy_ages(policy))
		LIST_INSERT_HEAD(&ageing, policy, ageing);
	counts[policy->direction]++;
	pw_sa_policy_linked(policy);
	pw_spd_policy_added(policy);
}

int pw_policy_put(const struct pw_policy *model, bool replace, const struct pw_policy **result)
{
	struct pw_policy *old = pw_policy_find(model), *policy;
	int ret;

	if (old && !replace)
		return -EEXIST;
	ret = age_start(model);
	if (ret)
		return ret;
	policy = malloc(sizeof(*policy));
	if (!policy)
		return -ENOMEM;
	*policy = *model;
	policy->serial = policy->order = ++serials;
	policy->added = (uint64_t)time(NULL);
	policy->born = monotonic_seconds();
	policy->warn_at = policy->born + policy->lifetime.soft_add_expires_seconds;
	policy->index = old ? old->index : index_new(model->direction, model->index);
	if (old) {
		if (old->priority == policy->priority)
			policy->order = old->order;
		policy_unlink(old);
		free(old);
	}
	policy_link(policy);
	pw_protection_policy_changed(policy);
	*result = policy;
	return 0;
}

void pw_policy_delete(struct pw_policy *policy)
{
	policy_unlink(policy);
	pw_protection_policy_changed(policy);
	free(policy);
}

unsigned int pw_policy_flush(void)
{
	struct pw_policy *policy;
	unsigned int count = 0;

	while ((policy = RB_MIN(policy_tree, &all))) {
		pw_policy_delete(policy);
		count++;
	}
	return count;
}

/* ---- start and end ------------------------------------------------------------------------ */

int pw_policy_init(void)
{
	RB_INIT(&all);
	LIST_INIT(&ageing);
	for (unsigned int i = 0; i < BUCKETS; i++) {
		TAILQ_INIT(&between_hosts[i]);
		LIST_INIT(&by_identity[i]);
		LIST_INIT(&by_index[i]);
	}
	for (unsigned int i = 0; i < DIRECTIONS; i++) {
		TAILQ_INIT(&wider[i][0]);
		TAILQ_INIT(&wider[i][1]);
		defaults[i] = XFRM_USERPOLICY_ACCEPT;
	}
	indices = 0;
	started = true;
	pw_protection_init();
	pw_netlink_policy_register();
	return 0;
}

void pw_policy_fini(void)
{
	if (!started)
		return;
	started = false;
	pw_policy_flush();
	pw_spds_fini();
	if (age_timer)
		pw_timer_stop(age_timer);
	age_timer = NULL;
	pw_protection_fini();
}
