/* SPDX-License-Identifier: BSD-3-Clause */
/* What changes in an SPD whose lists are long, until they are compiled again. */
#include <stdlib.h>

#include "control/spd.h"

/* Up to here a list is compiled anew for every change. */
#define SHORT 64
/* Of so many that go at once each would be compared with all others. */
#define LEAVE_MAX 64
/* Workers try a patch rule by rule. It grows with the list, so that N changes compile N rules
 * some few times over, not N times. */
#define PATCH_MAX(count) (256 + (count) / 32)

static struct pw_spd_list *list_of(struct pw_spd_owner *owner, const struct pw_policy *policy)
{
	return &owner->lists[policy->direction == XFRM_POLICY_OUT];
}

/* How many of the rules that are compiled come before it. */
static uint32_t place_of(const struct pw_spd_list *list, const struct pw_policy *policy)
{
	uint32_t low = 0, high = list->count;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;
		const struct pw_spd_place *place = &list->places[middle];

		if (place->priority != policy->priority ? place->priority < policy->priority
							: place->order < policy->order)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void insert(struct pw_spd_list *list, struct pw_policy *policy)
{
	struct pw_policy *next = NULL, *before = TAILQ_LAST(&list->patch, pw_spd_patch);

	for (; before && pw_policy_comes_before(policy, before);
	     before = TAILQ_PREV(before, pw_spd_patch, in_patch))
		next = before;
	if (next)
		TAILQ_INSERT_BEFORE(next, policy, in_patch);
	else
		TAILQ_INSERT_TAIL(&list->patch, policy, in_patch);
	policy->place = policy->listed ? policy->listed - 1 : place_of(list, policy);
	policy->patched = true;
	list->patched++;
}

/* False when it must be compiled instead. */
static bool patch(struct pw_spd_owner *owner, struct pw_policy *policy)
{
	struct pw_spd_list *list = list_of(owner, policy);

	if (owner->whole)
		return false;
	if (!policy->patched) {
		if (list->count <= SHORT || list->patched >= PATCH_MAX(list->count))
			return false;
		insert(list, policy);
	}
	pw_spd_mark_patch(owner, policy);
	return true;
}

void pw_spd_patch_changed(struct pw_policy *policy)
{
	if (!patch(policy->owner, policy))
		pw_spd_mark(policy->owner);
}

/* What was selected by the rule that is gone is now, perhaps, selected by these. */
static bool patch_overlapped(struct pw_spd_owner *owner, struct pw_spd_list *list, uint32_t number)
{
	uint32_t next = number;

	while ((next = pw_policy_list_overlapped(list->base, number, next)) < list->count)
		if (list->places[next].policy && !patch(owner, list->places[next].policy))
			return false;
	return true;
}

/* The other one of two that say the same was not compiled (spd_list.c). */
static bool patch_twin(struct pw_spd_owner *owner, const struct pw_policy *policy)
{
	struct pw_policy *twin = pw_spd_twin(policy);

	return !twin || twin->owner != owner || twin->listed || patch(owner, twin);
}

void pw_spd_patch_left(struct pw_spd_owner *owner, struct pw_policy *policy)
{
	struct pw_spd_list *list = list_of(owner, policy);
	uint32_t number = policy->listed - 1;
	bool done = !owner->whole && list->count > SHORT && ++owner->left <= LEAVE_MAX;

	if (policy->patched) {
		TAILQ_REMOVE(&list->patch, policy, in_patch);
		list->patched--;
	}
	if (policy->listed) {
		list->places[number].policy = NULL;
		list->gone[number / 64] |= UINT64_C(1) << number % 64;
		list->any_gone = true;
		done = done && patch_overlapped(owner, list, number);
	}
	policy->patched = false;
	policy->listed = 0;
	if (done && patch_twin(owner, policy))
		pw_spd_mark_patch(owner, policy);
	else
		pw_spd_mark(owner);
}

void pw_spd_lists_init(struct pw_spd_list lists[2])
{
	for (unsigned int outward = 0; outward < 2; outward++) {
		lists[outward] = (struct pw_spd_list){0};
		TAILQ_INIT(&lists[outward].patch);
	}
}

void pw_spd_list_retire(struct pw_spd_list *list)
{
	if (list->list != list->base)
		pw_policy_list_retire(list->list);
	pw_policy_list_retire(list->base);
	free(list->places);
	free(list->gone);
	list->list = list->base = NULL;
	list->places = NULL;
	list->gone = NULL;
	list->count = 0;
}

void pw_spd_lists_set(struct pw_spd_owner *owner, const struct pw_spd_list lists[2])
{
	struct pw_policy *policy;

	TAILQ_FOREACH (policy, &owner->policies, in_owner) {
		policy->listed = 0;
		policy->patched = false;
	}
	for (unsigned int outward = 0; outward < 2; outward++) {
		struct pw_spd_list *list = &owner->lists[outward];

		pw_spd_list_retire(list);
		*list = lists[outward];
		TAILQ_INIT(&list->patch);
		for (uint32_t i = 0; i < list->count; i++)
			list->places[i].policy->listed = i + 1;
	}
}
