/* SPDX-License-Identifier: BSD-3-Clause */
/* Which policies an IPsec interface or a VRF has, and the lists of them that workers search. */
#include "control/spd.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/bundle.h"
#include "control/links.h"
#include "control/loop.h"
#include "dataplane/table/vrf.h"
#include "lib/log.h"
#include "lib/retire.h"

#define BUCKETS  4096
#define RETRY_MS 10

LIST_HEAD(numbered_list, pw_policy);
TAILQ_HEAD(owner_queue, pw_spd_owner);

static struct pw_spd_owner *of_link[PW_INTERFACES];
static struct pw_spd_owner *of_vrf[PW_VRFS];
static struct owner_queue dirty = TAILQ_HEAD_INITIALIZER(dirty);
static uint32_t default_spd; /* of VRFs without policies; 0: none, all passes */
static bool default_changed;
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

static void mark(struct pw_spd_owner *owner)
{
	if (owner->dirty)
		return;
	owner->dirty = true;
	TAILQ_INSERT_TAIL(&dirty, owner, waiting);
}

static struct pw_spd_owner *owner_make(struct pw_spd_owner **place)
{
	if (*place)
		return *place;
	*place = calloc(1, sizeof(**place));
	if (*place)
		TAILQ_INIT(&(*place)->policies);
	else
		pw_error("out of memory: a policy is in no SPD");
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
	policy->owner = NULL;
	mark(owner);
}

static void place(struct pw_policy *policy)
{
	struct pw_spd_owner *owner = owner_of(policy);

	if (owner == policy->owner)
		return;
	leave(policy);
	if (!owner)
		return;
	policy->owner = owner;
	TAILQ_INSERT_TAIL(&owner->policies, policy, in_owner);
	owner->count++;
	mark(owner);
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

/* ---- publishing ---------------------------------------------------------------------------- */

static int slot_set(uint32_t id, const struct pw_spd *spd)
{
	int ret = pw_slot_set(&pw_spds, id, spd);

	if (ret != -ENOSPC)
		return ret;
	pw_retire_drain();
	return pw_slot_set(&pw_spds, id, spd);
}

static int spd_alloc(uint32_t *id)
{
	int ret = pw_slot_alloc(&pw_spds, id);

	if (ret != -ENOSPC)
		return ret;
	pw_retire_drain();
	ret = pw_slot_alloc(&pw_spds, id);
	*id = ret ? 0 : *id;
	return ret;
}

static void lists_retire(struct pw_spd_owner *owner)
{
	pw_policy_list_retire(owner->out);
	pw_policy_list_retire(owner->in);
	owner->out = owner->in = NULL;
}

/* A VRF whose policies ask for nothing costs its packets nothing. 0 or -ENOMEM. */
static int vrf_without(struct pw_spd_owner *owner)
{
	if (owner->spd) {
		/* While the VRF names it, the id must not become another's. */
		if (pw_vrf_set_spd(owner->vrf, 0) == -ENOMEM)
			return -ENOMEM;
		pw_slot_free(&pw_spds, owner->spd);
		owner->spd = 0;
	}
	lists_retire(owner);
	return 0;
}

static uint8_t default_of(uint8_t direction)
{
	return pw_policy_default(direction) == XFRM_USERPOLICY_BLOCK ? PW_POLICY_DISCARD
								     : PW_POLICY_BYPASS;
}

static bool default_blocks(void)
{
	for (uint8_t direction = XFRM_POLICY_IN; direction <= XFRM_POLICY_FWD; direction++)
		if (default_of(direction) != PW_POLICY_BYPASS)
			return true;
	return false;
}

static struct pw_spd vrf_spd(const struct pw_policy_list *out, const struct pw_policy_list *in)
{
	return (struct pw_spd){
		.out = out,
		.in = in,
		.out_default = default_of(XFRM_POLICY_OUT),
		.in_default = default_of(XFRM_POLICY_IN),
		.fwd_default = default_of(XFRM_POLICY_FWD),
		.interface_default = PW_POLICY_BYPASS,
	};
}

static struct pw_spd link_spd(const struct pw_policy_list *out, const struct pw_policy_list *in)
{
	return (struct pw_spd){
		.out = out,
		.in = in,
		.out_default = PW_POLICY_DISCARD,
		.in_default = PW_POLICY_DISCARD,
		.fwd_default = PW_POLICY_DISCARD,
		.interface_default = PW_POLICY_DISCARD,
	};
}

static bool asks_for_nothing(const struct pw_spd_owner *owner)
{
	const struct pw_policy *policy;

	if (owner->link)
		return false;
	if (!owner->count)
		return true;
	if (default_blocks())
		return false;
	TAILQ_FOREACH (policy, &owner->policies, in_owner)
		if (pw_spd_action(policy) != PW_POLICY_BYPASS)
			return false;
	return true;
}

/* Takes over the lists. */
static int publish(struct pw_spd_owner *owner, struct pw_policy_list *out,
		   struct pw_policy_list *in)
{
	struct pw_spd spd = owner->link ? link_spd(out, in) : vrf_spd(out, in);
	int ret = 0;

	if (owner->link)
		pw_spd_all(owner, spd.all);
	if (!owner->spd)
		ret = spd_alloc(&owner->spd);
	ret = ret ? ret : slot_set(owner->spd, &spd);
	if (ret) {
		pw_policy_list_retire(out);
		pw_policy_list_retire(in);
		return ret;
	}
	lists_retire(owner);
	owner->out = out;
	owner->in = in;
	return owner->link ? 0 : pw_vrf_set_spd(owner->vrf, owner->spd);
}

/* Where the list that should be there cannot be made, nothing passes. */
static void close_all(struct pw_spd_owner *owner, int error)
{
	const struct pw_spd closed = link_spd(NULL, NULL);
	const struct pw_link *link = pw_link_by_index(owner->link);

	pw_error("%s %u: its %u policies cannot be applied, nothing passes: %s",
		 link ? link->name : "VRF", link ? link->index : owner->vrf, owner->count,
		 strerror(-error));
	if ((owner->spd || !spd_alloc(&owner->spd)) && !slot_set(owner->spd, &closed)) {
		lists_retire(owner);
		if (!owner->link)
			pw_vrf_set_spd(owner->vrf, owner->spd);
	}
}

static int owner_publish(struct pw_spd_owner *owner)
{
	struct pw_policy_list *out, *in;
	int ret;

	if (asks_for_nothing(owner))
		return vrf_without(owner);
	ret = pw_spd_list_build(owner, true, &out);
	if (!ret) {
		ret = pw_spd_list_build(owner, false, &in);
		if (ret)
			pw_policy_list_retire(out);
	}
	ret = ret ? ret : publish(owner, out, in);
	if (ret)
		close_all(owner, ret);
	return ret;
}

static void owner_free(struct pw_spd_owner *owner)
{
	struct pw_spd_owner **place = owner->link ? &of_link[owner->link] : &of_vrf[owner->vrf];

	if (owner->dirty)
		TAILQ_REMOVE(&dirty, owner, waiting);
	pw_reverse_clear(owner);
	if (owner->link)
		lists_retire(owner); /* the id is the link's */
	else
		vrf_without(owner);
	*place = NULL;
	free(owner);
}

/* The default reaches VRFs without policies. False when it is to be tried again. */
static bool default_publish(void)
{
	const struct pw_spd spd = vrf_spd(NULL, NULL);

	if (!default_changed)
		return true;
	if (!default_blocks()) {
		if (pw_vrf_set_spd_default(0))
			return false;
		if (default_spd)
			pw_slot_free(&pw_spds, default_spd);
		default_spd = 0;
	} else if ((!default_spd && spd_alloc(&default_spd)) || slot_set(default_spd, &spd) ||
		   pw_vrf_set_spd_default(default_spd)) {
		return false;
	}
	default_changed = false;
	return true;
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

static void bundles_take(struct pw_spd_owner *owner)
{
	uint32_t interface = interface_of(owner);
	struct pw_policy *policy;
	unsigned int blocked = 0;

	TAILQ_FOREACH (policy, &owner->policies, in_owner) {
		if (policy->direction != XFRM_POLICY_OUT ||
		    pw_spd_action(policy) != PW_POLICY_PROTECT ||
		    !pw_bundle_take(policy, interface))
			continue;
		pw_bundle_leave(policy);
		blocked++;
	}
	if (blocked && !owner->crowded)
		pw_error("no room for another remote end: %u policies of VRF %u block", blocked,
			 owner->vrf);
	owner->crowded = blocked;
}

/* There is room again: a grace period from now. */
static void crowded_again(void)
{
	for (uint32_t i = 0; i < PW_INTERFACES; i++)
		if (of_link[i] && of_link[i]->crowded)
			mark(of_link[i]);
	for (uint32_t i = 0; i < PW_VRFS; i++)
		if (of_vrf[i] && of_vrf[i]->crowded)
			mark(of_vrf[i]);
	if (!TAILQ_EMPTY(&dirty))
		pw_loop_again(RETRY_MS);
}

static bool owner_resolve(struct pw_spd_owner *owner)
{
	int ret = owner_publish(owner);

	pw_reverse_update(owner);
	if (ret)
		return false;
	if (!owner->count && (owner->link || !owner->spd))
		owner_free(owner);
	return true;
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
	bool done = default_publish();

	TAILQ_FOREACH (owner, &dirty, waiting)
		bundles_take(owner);
	pw_bundles_resolve();
	TAILQ_CONCAT(&turn, &dirty, waiting);
	while ((owner = TAILQ_FIRST(&turn))) {
		TAILQ_REMOVE(&turn, owner, waiting);
		owner->dirty = false;
		if (owner_resolve(owner))
			continue;
		mark(owner);
		done = false;
	}
	if (!done)
		pw_loop_again(RETRY_MS);
	else if (pw_bundles_collect())
		crowded_again();
	if (pw_reverse_retry())
		reverse_all();
}

/* ---- following changes --------------------------------------------------------------------- */

void pw_spd_bundle_changed(const struct pw_bundle *bundle)
{
	const struct pw_policy *policy;

	LIST_FOREACH (policy, &bundle->policies, in_bundle)
		if (policy->template.optional && policy->owner)
			mark(policy->owner);
}

void pw_spd_default_changed(void)
{
	default_changed = true;
	for (unsigned int vrf = 0; vrf < PW_VRFS; vrf++)
		if (of_vrf[vrf])
			mark(of_vrf[vrf]);
}

void pw_spd_link_changed(const struct pw_link *link)
{
	struct pw_policy *policy;

	place_of(link);
	if (link->kind != PW_LINK_IPSEC || !of_link[link->index])
		return;
	mark(owner_of_link(link));
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
	pw_vrf_set_spd_default(0);
	if (default_spd)
		pw_slot_free(&pw_spds, default_spd);
	default_spd = 0;
	default_changed = false;
}
