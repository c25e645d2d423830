/* SPDX-License-Identifier: BSD-3-Clause */
/* Which policies an IPsec interface or a VRF has, and the lists of them that workers search. */
#include "control/spd.h"

#include <errno.h>
#include <stdlib.h>
#include <time.h>

#include "control/bundle.h"
#include "control/links.h"
#include "control/loop.h"
#include "dataplane/table/vrf.h"
#include "lib/log.h"

#define BUCKETS  4096
#define RETRY_MS 10
/* From a patch until its list is compiled; and four times what that takes. */
#define COMPILE_MS 100

LIST_HEAD(numbered_list, pw_policy);
TAILQ_HEAD(owner_queue, pw_spd_owner);

static struct pw_spd_owner *of_link[PW_INTERFACES];
static struct pw_spd_owner *of_vrf[PW_VRFS];
static struct owner_queue dirty = TAILQ_HEAD_INITIALIZER(dirty);
static struct owner_queue patched = TAILQ_HEAD_INITIALIZER(patched);
/* By what says whose they are, which may come, go and change: by a mark that is one number, by
 * another mark. */
static struct numbered_list by_if_id[BUCKETS], by_mark[BUCKETS], masked, by_device[BUCKETS];

static struct numbered_list *numbered(struct numbered_list *lists, uint32_t number)
{
	return &lists[(number * 2654435761U) >> 20];
}

/* NULL: they name nothing, and are the default VRF's. */
static struct numbered_list *list_of(const struct pw_policy *policy)
{
	if (policy->if_id)
		return numbered(by_if_id, policy->if_id);
	if (policy->mark.value | policy->mark.mask)
		return policy->mark.mask == UINT32_MAX ? numbered(by_mark, policy->mark.value)
						       : &masked;
	if (policy->selector.ifindex)
		return numbered(by_device, (uint32_t)policy->selector.ifindex);
	return NULL;
}

bool pw_spd_takes(const struct pw_policy *policy)
{
	return !policy->templated || policy->template.mode == XFRM_MODE_TUNNEL;
}

/* ---- owners -------------------------------------------------------------------------------- */

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void mark_dirty(struct pw_spd_owner *owner)
{
	if (owner->dirty)
		return;
	owner->dirty = true;
	TAILQ_INSERT_TAIL(&dirty, owner, waiting);
}

void pw_spd_mark(struct pw_spd_owner *owner)
{
	owner->whole = owner->reverse_changed = true;
	mark_dirty(owner);
}

void pw_spd_mark_patch(struct pw_spd_owner *owner, const struct pw_policy *policy)
{
	const struct pw_link *link = owner->link ? pw_link_by_index(owner->link) : NULL;

	if (link && policy->direction == XFRM_POLICY_OUT &&
	    (link->reverse_route || policy->flags & PW_POLICY_REVERSE_ROUTE))
		owner->reverse_changed = true;
	mark_dirty(owner);
}

static struct pw_spd_owner *owner_make(struct pw_spd_owner **place)
{
	if (*place)
		return *place;
	*place = calloc(1, sizeof(**place));
	if (*place) {
		TAILQ_INIT(&(*place)->policies);
		pw_spd_lists_init((*place)->lists);
	} else {
		pw_error("out of memory: a policy is in no SPD");
	}
	return *place;
}

static struct pw_spd_owner *owner_of_link(const struct pw_link *link)
{
	struct pw_spd_owner *owner = owner_make(&of_link[link->index]);

	if (owner) {
		owner->link = link->index;
		owner->spd = link->ipsec.spd;
		owner->vrf = pw_link_vrf(link);
	}
	return owner;
}

static struct pw_spd_owner *owner_of_vrf(uint16_t vrf)
{
	struct pw_spd_owner *owner = owner_make(&of_vrf[vrf]);

	if (owner)
		owner->vrf = vrf;
	return owner;
}

/* NULL: what it names is not there. */
static struct pw_spd_owner *owner_of(const struct pw_policy *policy)
{
	bool outward = policy->direction == XFRM_POLICY_OUT;
	const struct pw_link *link;

	if (policy->if_id) {
		link = pw_link_by_if_id(policy->if_id);
		return link ? owner_of_link(link) : NULL;
	}
	if (policy->mark.value | policy->mark.mask) {
		link = pw_link_by_mark(policy->mark.value, policy->mark.mask, !outward);
		return link ? owner_of_link(link) : NULL;
	}
	if (!policy->selector.ifindex)
		return owner_of_vrf(PW_VRF_DEFAULT);
	if (policy->device_gone)
		return NULL;
	link = pw_link_by_index((uint32_t)policy->selector.ifindex);
	return link ? owner_of_vrf(pw_link_vrf(link)) : NULL;
}

static void leave(struct pw_policy *policy)
{
	struct pw_spd_owner *owner = policy->owner;

	pw_bundle_leave(policy);
	if (!owner)
		return;
	TAILQ_REMOVE(&owner->policies, policy, in_owner);
	owner->count--;
	owner->restricting -= pw_spd_action(policy) != PW_POLICY_BYPASS;
	if (policy == owner->firsts[0] || policy == owner->firsts[1])
		owner->firsts_known = false;
	policy->owner = NULL;
	pw_spd_patch_left(owner, policy);
}

static void place(struct pw_policy *policy)
{
	struct pw_spd_owner *owner = owner_of(policy);
	const struct pw_policy **first;

	if (owner == policy->owner)
		return;
	leave(policy);
	if (!owner)
		return;
	policy->owner = owner;
	TAILQ_INSERT_TAIL(&owner->policies, policy, in_owner);
	owner->count++;
	owner->restricting += pw_spd_action(policy) != PW_POLICY_BYPASS;
	first = &owner->firsts[policy->selector.family == AF_INET6];
	if (owner->firsts_known && policy->direction == XFRM_POLICY_OUT &&
	    (!*first || pw_policy_comes_before(policy, *first)))
		*first = policy;
	pw_spd_patch_changed(policy);
}

static void place_all(struct numbered_list *list)
{
	struct pw_policy *policy;

	LIST_FOREACH (policy, list, numbered)
		place(policy);
}

/* Of those that may be the link's, or are no longer. */
static void place_of(const struct pw_link *link)
{
	const struct pw_ipsec *ipsec = &link->ipsec;

	if (link->kind != PW_LINK_IPSEC) {
		place_all(numbered(by_device, link->index));
	} else if (!ipsec->family) {
		place_all(numbered(by_if_id, ipsec->if_id));
	} else {
		place_all(numbered(by_mark, ipsec->ikey));
		place_all(numbered(by_mark, ipsec->okey));
		place_all(&masked);
	}
}

void pw_spd_policy_added(struct pw_policy *policy)
{
	struct numbered_list *list = list_of(policy);

	if (!pw_spd_takes(policy))
		return;
	if (list)
		LIST_INSERT_HEAD(list, policy, numbered);
	place(policy);
}

void pw_spd_policy_removed(struct pw_policy *policy)
{
	if (!pw_spd_takes(policy))
		return;
	leave(policy);
	if (list_of(policy))
		LIST_REMOVE(policy, numbered);
}

static void owner_free(struct pw_spd_owner *owner)
{
	struct pw_spd_owner **place = owner->link ? &of_link[owner->link] : &of_vrf[owner->vrf];

	if (owner->dirty)
		TAILQ_REMOVE(&dirty, owner, waiting);
	if (owner->compile_at)
		TAILQ_REMOVE(&patched, owner, in_patched);
	pw_reverse_clear(owner);
	pw_spd_withdraw(owner);
	*place = NULL;
	free(owner);
}

/* ---- once a batch -------------------------------------------------------------------------- */

/* The interface whose packets a VRF's policies send. */
static uint32_t interface_of(const struct pw_spd_owner *owner)
{
	const struct pw_vrf *vrf = pw_vrf_get(owner->vrf);
	const struct pw_link *link;

	if (owner->link)
		return owner->link;
	link = vrf && owner->vrf != PW_VRF_DEFAULT ? pw_link_by_table(vrf->table) : NULL;
	return link ? link->index : PW_LINK_LOOPBACK_INDEX;
}

/* True when there is no room for one that it needs. */
static bool bundle_lacks(struct pw_policy *policy, uint32_t interface)
{
	if (policy->direction != XFRM_POLICY_OUT || pw_spd_action(policy) != PW_POLICY_PROTECT ||
	    !pw_bundle_take(policy, interface))
		return false;
	pw_bundle_leave(policy);
	return true;
}

static void bundles_take(struct pw_spd_owner *owner)
{
	uint32_t interface = interface_of(owner);
	struct pw_policy *policy;
	unsigned int blocked = 0;

	if (owner->whole)
		TAILQ_FOREACH (policy, &owner->policies, in_owner)
			blocked += bundle_lacks(policy, interface);
	else
		TAILQ_FOREACH (policy, &owner->lists[true].patch, in_patch)
			blocked += !policy->bundle && bundle_lacks(policy, interface);
	if (blocked && !owner->crowded)
		pw_error("no room for another remote end: %u policies of VRF %u block", blocked,
			 owner->vrf);
	owner->crowded = blocked || (owner->crowded && !owner->whole);
}

/* There is room again: a grace period from now. */
static void crowded_again(void)
{
	for (uint32_t i = 0; i < PW_INTERFACES; i++)
		if (of_link[i] && of_link[i]->crowded)
			pw_spd_mark(of_link[i]);
	for (uint32_t i = 0; i < PW_VRFS; i++)
		if (of_vrf[i] && of_vrf[i]->crowded)
			pw_spd_mark(of_vrf[i]);
	if (!TAILQ_EMPTY(&dirty))
		pw_loop_again(RETRY_MS);
}

/* When what was published now is to be compiled. */
static void compile_plan(struct pw_spd_owner *owner, uint64_t began)
{
	bool compiled = owner->whole;

	if (compiled)
		owner->compile_ms = now_ms() - began;
	if (compiled && owner->compile_at) {
		TAILQ_REMOVE(&patched, owner, in_patched);
		owner->compile_at = 0;
	} else if (!compiled && !owner->compile_at) {
		TAILQ_INSERT_TAIL(&patched, owner, in_patched);
		owner->compile_at = began + COMPILE_MS + 4 * owner->compile_ms;
	}
	owner->whole = false;
	owner->left = 0;
}

static bool owner_resolve(struct pw_spd_owner *owner)
{
	uint64_t began = now_ms();
	int ret = pw_spd_publish(owner);

	if (owner->reverse_changed) {
		owner->reverse_changed = false;
		pw_reverse_update(owner);
	}
	if (ret)
		return false;
	compile_plan(owner, began);
	if (!owner->count && (owner->link || !owner->spd))
		owner_free(owner);
	return true;
}

static void patched_compile(void)
{
	struct pw_spd_owner *owner;
	uint64_t now = now_ms();

	TAILQ_FOREACH (owner, &patched, in_patched)
		if (owner->compile_at <= now) {
			owner->whole = true;
			mark_dirty(owner);
		}
}

static void patched_wait(void)
{
	struct pw_spd_owner *owner;
	uint64_t now = now_ms();

	TAILQ_FOREACH (owner, &patched, in_patched)
		pw_loop_again(owner->compile_at > now ? (uint32_t)(owner->compile_at - now) : 0);
}

static void reverse_all(void)
{
	for (uint32_t i = 0; i < PW_INTERFACES; i++)
		if (of_link[i])
			pw_reverse_update(of_link[i]);
}

void pw_spds_resolve(void)
{
	struct owner_queue turn = TAILQ_HEAD_INITIALIZER(turn);
	struct pw_spd_owner *owner;
	bool done = pw_spd_default_publish();

	patched_compile();
	TAILQ_FOREACH (owner, &dirty, waiting)
		bundles_take(owner);
	pw_bundles_resolve();
	TAILQ_CONCAT(&turn, &dirty, waiting);
	while ((owner = TAILQ_FIRST(&turn))) {
		TAILQ_REMOVE(&turn, owner, waiting);
		owner->dirty = false;
		if (owner_resolve(owner))
			continue;
		pw_spd_mark(owner);
		done = false;
	}
	if (!done)
		pw_loop_again(RETRY_MS);
	else if (pw_bundles_collect())
		crowded_again();
	if (pw_reverse_retry())
		reverse_all();
	patched_wait();
}

/* ---- following changes --------------------------------------------------------------------- */

void pw_spd_bundle_changed(const struct pw_bundle *bundle)
{
	struct pw_policy *policy;

	LIST_FOREACH (policy, &bundle->policies, in_bundle)
		if (policy->template.optional && policy->owner)
			pw_spd_patch_changed(policy);
}

void pw_spd_default_changed(void)
{
	pw_spd_default_mark();
	for (unsigned int vrf = 0; vrf < PW_VRFS; vrf++)
		if (of_vrf[vrf])
			pw_spd_mark(of_vrf[vrf]);
}

void pw_spd_link_changed(const struct pw_link *link)
{
	struct pw_policy *policy;

	place_of(link);
	if (link->kind != PW_LINK_IPSEC || !of_link[link->index])
		return;
	pw_spd_mark(owner_of_link(link));
	TAILQ_FOREACH (policy, &of_link[link->index]->policies, in_owner)
		if (policy->bundle)
			pw_bundle_changed(policy->bundle);
}

/* An index is given out again, and policies of one VRF never become another's. */
void pw_spd_link_deleted(const struct pw_link *link)
{
	struct pw_policy *policy;

	LIST_FOREACH (policy, numbered(by_device, link->index), numbered)
		if ((uint32_t)policy->selector.ifindex == link->index)
			policy->device_gone = true;
	place_of(link);
	if (link->kind != PW_LINK_IPSEC)
		return;
	while (of_link[link->index] && (policy = TAILQ_FIRST(&of_link[link->index]->policies)))
		leave(policy);
	if (of_link[link->index])
		owner_free(of_link[link->index]);
}

void pw_spds_fini(void)
{
	for (uint32_t i = 0; i < PW_INTERFACES; i++)
		if (of_link[i])
			owner_free(of_link[i]);
	for (uint32_t i = 0; i < PW_VRFS; i++)
		if (of_vrf[i])
			owner_free(of_vrf[i]);
	pw_bundles_collect();
	pw_spd_default_fini();
}
