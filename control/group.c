/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/nexthop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>
#include <rte_common.h>
#include <rte_jhash.h>

RB_HEAD(object_tree, pw_object);

static struct object_tree objects = RB_INITIALIZER(&objects);

static int object_compare(const struct pw_object *a, const struct pw_object *b)
{
	return a->nhid < b->nhid ? -1 : a->nhid > b->nhid;
}

RB_GENERATE_INTERNAL(object_tree, pw_object, node, object_compare, static __attribute__((unused)))

/* ---- buckets ----------------------------------------------------------------------------- */

/* Shares of buckets by weight, at least one each. */
static void buckets_share(const struct pw_member *members, unsigned int count,
			  unsigned int share[PW_GROUP_BUCKETS])
{
	uint64_t total = 0;
	unsigned int given = 0;

	for (unsigned int i = 0; i < count; i++)
		total += members[i].weight;
	for (unsigned int i = 0; i < count; i++) {
		share[i] =
			RTE_MAX(1u, (unsigned int)(members[i].weight * PW_GROUP_BUCKETS / total));
		given += share[i];
	}
	while (given != PW_GROUP_BUCKETS) {
		unsigned int pick = 0;

		/* Whose share is furthest from its weight, and can give or take one. */
		for (unsigned int i = 1; i < count; i++) {
			int64_t lack = (int64_t)(members[i].weight * PW_GROUP_BUCKETS) -
				       (int64_t)(share[i] * total);
			int64_t best = (int64_t)(members[pick].weight * PW_GROUP_BUCKETS) -
				       (int64_t)(share[pick] * total);

			if (given < PW_GROUP_BUCKETS
				    ? lack > best
				    : share[i] > 1 && (share[pick] == 1 || lack < best))
				pick = i;
		}
		if (given < PW_GROUP_BUCKETS) {
			share[pick]++;
			given++;
		} else {
			share[pick]--;
			given--;
		}
	}
}

/*
 * Buckets are first shared as if every member worked; those of members that don't are then
 * spread over the others. So flows of working members stay where they are when one fails.
 */
static bool buckets_fill(const struct pw_member *members, unsigned int count,
			 struct pw_group *group)
{
	unsigned int share[PW_GROUP_BUCKETS];
	unsigned int owner[PW_GROUP_BUCKETS];
	unsigned int at = 0;
	bool any = false;

	buckets_share(members, count, share);
	for (unsigned int i = 0; i < count; i++) {
		any |= members[i].child->usable;
		for (unsigned int n = 0; n < share[i]; n++)
			owner[at++] = i;
	}
	if (!any)
		return false;
	for (unsigned int b = 0; b < PW_GROUP_BUCKETS; b++) {
		unsigned int pick = owner[b];

		if (!members[pick].child->usable) {
			pick = count;
			for (unsigned int i = 0; i < count; i++)
				if (members[i].child->usable &&
				    (pick == count ||
				     (uint64_t)share[i] * members[pick].weight <
					     (uint64_t)share[pick] * members[i].weight))
					pick = i;
			share[pick]++;
		}
		group->bucket[b] = members[pick].child->id;
	}
	return true;
}

static int group_store(struct pw_path *path, const struct pw_member *members, unsigned int count,
		       uint32_t group)
{
	struct pw_nexthop nexthop = {.type = PW_NEXTHOP_UNREACHABLE};
	struct pw_group buckets = {0};
	bool dead = true, usable;
	int ret;

	for (unsigned int i = 0; i < count; i++)
		dead &= members[i].child->dead;
	usable = count && buckets_fill(members, count, &buckets);
	if (usable) {
		if (memcmp(pw_slot_get(&pw_groups, group), &buckets, sizeof(buckets)) != 0) {
			ret = pw_slot_set(&pw_groups, group, &buckets);
			if (ret)
				return ret;
		}
		nexthop.type = PW_NEXTHOP_GROUP;
		nexthop.group = group;
	}
	ret = pw_path_store(path, &nexthop);
	if (!ret)
		pw_path_set_state(path, dead, usable);
	return ret;
}

int pw_group_publish(struct pw_path *path)
{
	struct pw_object *object = (struct pw_object *)path;
	struct pw_nexthop nexthop;
	int ret;

	if (path->kind == PW_PATH_MULTI) {
		struct pw_multi *multi = (struct pw_multi *)path;

		return group_store(path, multi->members, multi->count, multi->group);
	}
	if (object->is_group)
		return group_store(path, object->members, object->count, object->group);
	nexthop = *pw_nexthop_get(object->members[0].child->id);
	ret = pw_path_store(path, &nexthop);
	if (!ret)
		pw_path_set_state(path, object->members[0].child->dead,
				  object->members[0].child->usable);
	return ret;
}

/* ---- members ----------------------------------------------------------------------------- */

void pw_members_link(struct pw_path *parent, struct pw_member *members,
		     struct pw_path *const *children, const uint32_t *weights, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		members[i].child = children[i];
		members[i].parent = parent;
		members[i].weight = weights ? weights[i] : 1;
		pw_path_hold(children[i]);
		LIST_INSERT_HEAD(&children[i]->users, &members[i], by_child);
	}
}

void pw_members_unlink(struct pw_member *members, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		LIST_REMOVE(&members[i], by_child);
		pw_path_drop(members[i].child);
	}
}

void pw_group_reclaim(struct pw_path *path)
{
	struct pw_multi *multi = (struct pw_multi *)path;
	struct pw_object *object = (struct pw_object *)path;
	uint32_t group = path->kind == PW_PATH_MULTI ? multi->group : object->group;

	pw_slot_free(&pw_nexthops, path->id);
	if (group)
		pw_slot_free(&pw_groups, group);
	if (path->kind == PW_PATH_MULTI) {
		pw_members_unlink(multi->members, multi->count);
	} else {
		pw_members_unlink(object->members, object->count);
		free(object->members);
	}
	free(path);
}

/* ---- several legs ------------------------------------------------------------------------ */

struct multi_key {
	struct pw_path *const *legs;
	const uint32_t *weights;
	unsigned int count;
};

static bool multi_equal(const struct pw_path *path, const void *context)
{
	const struct pw_multi *multi = (const struct pw_multi *)path;
	const struct multi_key *key = context;

	if (path->kind != PW_PATH_MULTI || multi->count != key->count)
		return false;
	for (unsigned int i = 0; i < key->count; i++)
		if (multi->members[i].child != key->legs[i] ||
		    multi->members[i].weight != key->weights[i])
			return false;
	return true;
}

int pw_multi_take(struct pw_path *const *legs, const uint32_t *weights, unsigned int count,
		  struct pw_path **path)
{
	struct multi_key key = {legs, weights, count};
	uint32_t value = rte_jhash(weights, count * sizeof(*weights), count);
	struct pw_multi *multi;
	int ret;

	if (count == 1) {
		*path = legs[0];
		pw_path_hold(legs[0]);
		return 0;
	}
	for (unsigned int i = 0; i < count; i++)
		value = rte_jhash_1word(legs[i]->id, value);
	*path = pw_path_hash_find(value, multi_equal, &key);
	if (*path) {
		pw_path_hold(*path);
		return 0;
	}
	multi = calloc(1, sizeof(*multi) + count * sizeof(*multi->members));
	if (!multi)
		return -ENOMEM;
	ret = pw_path_init(&multi->path, PW_PATH_MULTI);
	if (ret) {
		free(multi);
		return ret;
	}
	ret = pw_slot_alloc(&pw_groups, &multi->group);
	multi->count = count;
	pw_members_link(&multi->path, multi->members, legs, weights, count);
	if (!ret)
		ret = pw_group_publish(&multi->path);
	if (ret) {
		pw_group_reclaim(&multi->path);
		return ret;
	}
	pw_path_hash_add(&multi->path, value);
	*path = &multi->path;
	return 0;
}

/* ---- objects ----------------------------------------------------------------------------- */

int pw_object_make(uint32_t nhid, bool is_group, struct pw_path *const *members,
		   const uint32_t *weights, unsigned int count, struct pw_object **result)
{
	struct pw_object *object = calloc(1, sizeof(*object));
	int ret = -ENOMEM;

	if (!object)
		return ret;
	object->members = calloc(count, sizeof(*object->members));
	if (object->members)
		ret = pw_path_init(&object->path, PW_PATH_OBJECT);
	if (ret) {
		free(object->members);
		free(object);
		return ret;
	}
	object->nhid = nhid;
	object->is_group = is_group;
	object->count = count;
	if (is_group)
		ret = pw_slot_alloc(&pw_groups, &object->group);
	pw_members_link(&object->path, object->members, members, weights, count);
	if (!ret)
		ret = pw_group_publish(&object->path);
	if (ret) {
		pw_group_reclaim(&object->path);
		return ret;
	}
	*result = object;
	return 0;
}

int pw_object_replace(struct pw_object *object, struct pw_path *const *members,
		      const uint32_t *weights, unsigned int count)
{
	struct pw_member *new = calloc(count, sizeof(*new));
	struct pw_member *old = object->members;
	unsigned int old_count = object->count;
	int ret;

	if (!new)
		return -ENOMEM;
	pw_members_link(&object->path, new, members, weights, count);
	object->members = new;
	object->count = count;
	ret = pw_group_publish(&object->path);
	if (ret) {
		object->members = old;
		object->count = old_count;
		old = new;
		old_count = count;
	}
	pw_members_unlink(old, old_count);
	free(old);
	return ret;
}

void pw_object_add(struct pw_object *object)
{
	RB_INSERT(object_tree, &objects, object);
}

/* A group without the member; without any member the group goes as well, as in the kernel. */
static void group_leave(struct pw_object *group, const struct pw_path *member)
{
	struct pw_path *children[PW_GROUP_BUCKETS];
	uint32_t weights[PW_GROUP_BUCKETS];
	unsigned int count = 0;

	for (unsigned int i = 0; i < group->count; i++) {
		if (group->members[i].child == member)
			continue;
		children[count] = group->members[i].child;
		weights[count++] = group->members[i].weight;
	}
	if (!count)
		pw_object_delete(group);
	else if (pw_object_replace(group, children, weights, count))
		pw_path_queue(&group->path);
}

void pw_object_delete(struct pw_object *object)
{
	struct pw_member *user, *next;

	if (object->gone)
		return;
	pw_object_notify(object, RTM_DELNEXTHOP, 0);
	object->gone = true;
	RB_REMOVE(object_tree, &objects, object);
	object->path.usable = false;
	pw_path_affect(&object->path);
	for (user = LIST_FIRST(&object->path.users); user; user = next) {
		next = LIST_NEXT(user, by_child);
		if (user->parent->kind == PW_PATH_OBJECT &&
		    !((struct pw_object *)user->parent)->gone)
			group_leave((struct pw_object *)user->parent, &object->path);
	}
	pw_path_drop(&object->path);
}

struct pw_object *pw_object_find(uint32_t nhid)
{
	struct pw_object key = {.nhid = nhid};

	return RB_FIND(object_tree, &objects, &key);
}

struct pw_object *pw_object_next(uint32_t after)
{
	struct pw_object key = {.nhid = after + 1};

	return after == UINT32_MAX ? NULL : RB_NFIND(object_tree, &objects, &key);
}

uint32_t pw_object_unused(void)
{
	static uint32_t last;

	for (uint32_t tries = 0; tries < PW_NEXTHOPS + 1; tries++) {
		if (++last == 0)
			last = 1;
		if (!pw_object_find(last))
			return last;
	}
	return 0;
}

void pw_objects_link_deleted(uint32_t oif)
{
	struct pw_object *object = NULL;
	uint32_t after = 0;

	while ((object = pw_object_next(after))) {
		after = object->nhid;
		if (!object->is_group && pw_path_uses_link(object->members[0].child, oif))
			pw_object_delete(object);
	}
}

void pw_objects_fini(void)
{
	struct pw_object *object;

	while ((object = pw_object_next(0)))
		pw_object_delete(object);
}

/* ---- looking at paths -------------------------------------------------------------------- */

const struct pw_leg *pw_path_leg(const struct pw_path *path, unsigned int index, uint32_t *weight)
{
	const struct pw_multi *multi = (const struct pw_multi *)path;
	const struct pw_object *object = (const struct pw_object *)path;
	const struct pw_member *members;
	unsigned int count;

	*weight = 1;
	if (path->kind == PW_PATH_LEG)
		return index ? NULL : (const struct pw_leg *)path;
	members = path->kind == PW_PATH_MULTI ? multi->members : object->members;
	count = path->kind == PW_PATH_MULTI ? multi->count : object->count;
	if (index >= count)
		return NULL;
	*weight = members[index].weight;
	path = members[index].child;
	if (path->kind == PW_PATH_OBJECT)
		path = ((const struct pw_object *)path)->members[0].child;
	return (const struct pw_leg *)path;
}

bool pw_path_uses_link(const struct pw_path *path, uint32_t oif)
{
	const struct pw_leg *leg;
	uint32_t weight;

	for (unsigned int i = 0; (leg = pw_path_leg(path, i, &weight)); i++)
		if (leg->hop.oif == oif)
			return true;
	return false;
}
