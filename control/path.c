/* SPDX-License-Identifier: BSD-3-Clause */
/* What legs, multipaths and next-hop objects share: interning, counting, what is to be done. */
#include "control/nexthop.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/retire.h"

static struct {
	struct pw_path **buckets;
	uint32_t mask;
	uint32_t count;
} hash;

static TAILQ_HEAD(, pw_path) dirty = TAILQ_HEAD_INITIALIZER(dirty);
static struct pw_path **affected;
static size_t affected_count, affected_room;
static bool affected_all; /* no memory to note which */

int pw_path_table_init(void)
{
	hash.mask = 1023;
	hash.buckets = calloc(hash.mask + 1, sizeof(*hash.buckets));
	return hash.buckets ? 0 : -ENOMEM;
}

void pw_path_table_fini(void)
{
	free(hash.buckets);
	free(affected);
	memset(&hash, 0, sizeof(hash));
	affected = NULL;
	affected_count = affected_room = 0;
	affected_all = false;
	TAILQ_INIT(&dirty);
}

struct pw_path *pw_path_hash_find(uint32_t value,
				  bool (*equal)(const struct pw_path *, const void *),
				  const void *key)
{
	struct pw_path *path = hash.buckets[value & hash.mask];

	while (path && (path->hash != value || !equal(path, key)))
		path = path->hash_next;
	return path;
}

void pw_path_hash_ahead(uint32_t value, bool chain)
{
	const struct pw_path *path;

	__builtin_prefetch(&hash.buckets[value & hash.mask]);
	if (!chain)
		return;
	path = hash.buckets[value & hash.mask];
	if (!path)
		return;
	__builtin_prefetch(path, 1);
	/* What a leg is compared by stands behind what all paths have. */
	__builtin_prefetch(path + 1);
}

static void hash_grow(void)
{
	uint32_t mask = 2 * hash.mask + 1;
	struct pw_path **buckets = calloc(mask + 1, sizeof(*buckets));

	if (!buckets)
		return; /* longer chains are no harm */
	for (uint32_t i = 0; i <= hash.mask; i++) {
		struct pw_path *path = hash.buckets[i];

		while (path) {
			struct pw_path *next = path->hash_next;

			path->hash_next = buckets[path->hash & mask];
			buckets[path->hash & mask] = path;
			path = next;
		}
	}
	free(hash.buckets);
	hash.buckets = buckets;
	hash.mask = mask;
}

void pw_path_hash_add(struct pw_path *path, uint32_t value)
{
	if (hash.count >= hash.mask / 2)
		hash_grow();
	path->hash = value;
	path->hash_next = hash.buckets[value & hash.mask];
	hash.buckets[value & hash.mask] = path;
	path->hashed = true;
	hash.count++;
}

void pw_path_hash_remove(struct pw_path *path)
{
	struct pw_path **at = &hash.buckets[path->hash & hash.mask];

	if (!path->hashed)
		return;
	while (*at != path)
		at = &(*at)->hash_next;
	*at = path->hash_next;
	path->hashed = false;
	hash.count--;
}

int pw_path_init(struct pw_path *path, enum pw_path_kind kind)
{
	path->kind = kind;
	path->refs = 1;
	LIST_INIT(&path->users);
	return pw_slot_alloc(&pw_nexthops, &path->id);
}

int pw_path_store(struct pw_path *path, struct pw_nexthop *nexthop)
{
	const struct pw_nexthop *old = pw_nexthop_get(path->id);
	int ret;

	nexthop->id = path->id;
	if (old->id && memcmp(old, nexthop, sizeof(*old)) == 0)
		return 0;
	ret = pw_slot_set(&pw_nexthops, path->id, nexthop);
	if (!ret)
		pw_path_users_queue(path);
	return ret;
}

void pw_path_queue(struct pw_path *path)
{
	if (path->queued)
		return;
	path->queued = true;
	TAILQ_INSERT_TAIL(&dirty, path, dirty);
}

void pw_path_users_queue(struct pw_path *path)
{
	struct pw_member *user;

	LIST_FOREACH (user, &path->users, by_child)
		pw_path_queue(user->parent);
}

static void path_affect(struct pw_path *path, bool labels_only)
{
	path->labels_only &= labels_only;
	if (!path->routes || path->affected)
		return;
	if (affected_count == affected_room) {
		size_t room = affected_room ? 2 * affected_room : 64;
		void *paths = realloc(affected, room * sizeof(*affected));

		if (!paths) {
			affected_all = true;
			return;
		}
		affected = paths;
		affected_room = room;
	}
	pw_path_hold(path);
	path->affected = true;
	path->labels_only = labels_only;
	affected[affected_count++] = path;
}

void pw_path_affect(struct pw_path *path)
{
	struct pw_member *user;

	LIST_FOREACH (user, &path->users, by_child)
		pw_path_affect(user->parent);
	path_affect(path, false);
}

void pw_path_affect_labels(struct pw_path *path)
{
	struct pw_member *user;

	LIST_FOREACH (user, &path->users, by_child)
		pw_path_affect_labels(user->parent);
	path_affect(path, true);
}

bool pw_paths_affected(void)
{
	return affected_all || affected_count;
}

bool pw_path_affected(const struct pw_path *path)
{
	return affected_all || path->affected;
}

void pw_path_note_table(struct pw_path *path, uint32_t table)
{
	if (path->table == 0)
		path->table = table;
	else if (path->table != table)
		path->table = PW_TABLES_MANY;
}

bool pw_paths_affect_table(uint32_t table)
{
	for (size_t i = 0; i < affected_count; i++)
		if (!affected[i]->labels_only &&
		    (affected[i]->table == table || affected[i]->table == PW_TABLES_MANY))
			return true;
	return affected_all;
}

void pw_paths_settled(void)
{
	affected_all = false;
	while (affected_count) {
		struct pw_path *path = affected[--affected_count];

		path->affected = false;
		pw_path_drop(path);
	}
}

void pw_path_set_state(struct pw_path *path, bool dead, bool usable)
{
	bool was_dead = path->dead;

	if (path->dead == dead && path->usable == usable)
		return;
	path->dead = dead;
	path->usable = usable;
	pw_path_users_queue(path);
	/* Prefixes with a pair go on with its other path; who uses this one is told apart. */
	if (was_dead != dead && path->routes > path->paired)
		path_affect(path, false);
}

static void path_reclaim(void *context, uint64_t argument)
{
	struct pw_path *path = context;

	(void)argument;
	if (path->kind == PW_PATH_LEG)
		pw_leg_reclaim(path);
	else if (path->kind == PW_PATH_PAIR)
		pw_pair_reclaim(path);
	else
		pw_group_reclaim(path);
}

void pw_path_hold(struct pw_path *path)
{
	path->refs++;
}

void pw_path_drop(struct pw_path *path)
{
	if (--path->refs)
		return;
	pw_path_hash_remove(path);
	if (path->queued)
		TAILQ_REMOVE(&dirty, path, dirty);
	path->queued = true; /* never again */
	pw_retire(path_reclaim, path, 0);
}

bool pw_paths_publish(void)
{
	struct pw_path *path;
	bool any = false;

	while ((path = TAILQ_FIRST(&dirty))) {
		TAILQ_REMOVE(&dirty, path, dirty);
		path->queued = false;
		any = true;
		/* -ENOSPC means that everything waits for a grace period: what is published
		 * stays, and the next change below tries again. */
		if (path->kind == PW_PATH_LEG)
			pw_leg_publish(path);
		else if (path->kind == PW_PATH_PAIR)
			pw_pair_publish(path);
		else
			pw_group_publish(path);
	}
	return any;
}
