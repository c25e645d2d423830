/* SPDX-License-Identifier: BSD-3-Clause */
/* Workers get what an SPD says, and where there is none, what the default says. */
#include <errno.h>
#include <string.h>

#include "control/links.h"
#include "control/spd.h"
#include "dataplane/table/vrf.h"
#include "lib/log.h"
#include "lib/retire.h"

static uint32_t default_spd; /* of VRFs without policies; 0: none, all passes */
static bool default_changed;

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
	struct pw_spd_list none[2];

	if (!owner->lists[0].base && !owner->lists[1].base)
		return;
	pw_spd_lists_init(none);
	pw_spd_lists_set(owner, none);
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
	if (owner->link)
		return false;
	return !owner->count || (!owner->restricting && !default_blocks());
}

static int set(struct pw_spd_owner *owner, const struct pw_policy_list *out,
	       const struct pw_policy_list *in)
{
	struct pw_spd spd = owner->link ? link_spd(out, in) : vrf_spd(out, in);
	int ret = 0;

	if (owner->link)
		pw_spd_all(owner, spd.all);
	if (!owner->spd)
		ret = spd_alloc(&owner->spd);
	return ret ? ret : slot_set(owner->spd, &spd);
}

/* Both lists as their owner's policies say. */
static int publish_whole(struct pw_spd_owner *owner)
{
	struct pw_spd_list lists[2];
	int ret;

	pw_spd_lists_init(lists);
	ret = pw_spd_list_build(owner, true, &lists[true]);
	ret = ret ? ret : pw_spd_list_build(owner, false, &lists[false]);
	ret = ret ? ret : set(owner, lists[true].list, lists[false].list);
	if (ret) {
		pw_spd_list_retire(&lists[true]);
		pw_spd_list_retire(&lists[false]);
		return ret;
	}
	pw_spd_lists_set(owner, lists);
	return owner->link ? 0 : pw_vrf_set_spd(owner->vrf, owner->spd);
}

/* The lists that are compiled already, and what changed since. */
static int publish_patches(struct pw_spd_owner *owner)
{
	struct pw_policy_list *lists[2] = {NULL, NULL};
	int ret = pw_spd_list_patch(&owner->lists[true], true, &lists[true]);

	ret = ret ? ret : pw_spd_list_patch(&owner->lists[false], false, &lists[false]);
	ret = ret ? ret : set(owner, lists[true], lists[false]);
	for (unsigned int outward = 0; outward < 2; outward++) {
		struct pw_spd_list *list = &owner->lists[outward];
		struct pw_policy_list *unused = ret ? lists[outward] : list->list;

		if (unused != list->base)
			pw_policy_list_retire(unused);
		if (!ret)
			list->list = lists[outward];
	}
	return ret;
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

int pw_spd_publish(struct pw_spd_owner *owner)
{
	int ret;

	if (asks_for_nothing(owner))
		return vrf_without(owner);
	if (!owner->whole && owner->count && !publish_patches(owner))
		return 0;
	owner->whole = true;
	ret = publish_whole(owner);
	if (ret)
		close_all(owner, ret);
	return ret;
}

void pw_spd_withdraw(struct pw_spd_owner *owner)
{
	if (owner->link)
		lists_retire(owner); /* the id is the link's */
	else
		vrf_without(owner);
}

bool pw_spd_default_publish(void)
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

void pw_spd_default_mark(void)
{
	default_changed = true;
}

void pw_spd_default_fini(void)
{
	pw_vrf_set_spd_default(0);
	if (default_spd)
		pw_slot_free(&pw_spds, default_spd);
	default_spd = 0;
	default_changed = false;
}
