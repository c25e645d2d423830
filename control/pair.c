/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A path with the one that takes over from it, known before it is needed: what routes of one
 * prefix and different metrics lead to (BGP PIC edge, draft-ietf-rtgwg-bgp-pic). All prefixes
 * with the same two paths share a pair, so what dies below moves them all by one store.
 */
#include <stdlib.h>

#include <errno.h>
#include <rte_jhash.h>

#include "control/nexthop.h"

enum { PRIMARY, BACKUP, MEMBERS };

struct pw_pair {
	struct pw_path path;
	struct pw_member members[MEMBERS];
};

static struct pw_pair **pairs; /* by next-hop id */

int pw_pairs_init(void)
{
	pairs = calloc(PW_NEXTHOPS, sizeof(*pairs));
	return pairs ? 0 : -ENOMEM;
}

void pw_pairs_fini(void)
{
	free(pairs);
	pairs = NULL;
}

static bool pair_equal(const struct pw_path *path, const void *key)
{
	const struct pw_pair *pair = (const struct pw_pair *)path;
	struct pw_path *const *paths = key;

	return path->kind == PW_PATH_PAIR && pair->members[PRIMARY].child == paths[PRIMARY] &&
	       pair->members[BACKUP].child == paths[BACKUP];
}

/* While neither will do, what the primary says is the answer, unless its link is down. */
static const struct pw_path *pair_choose(const struct pw_path *primary,
					 const struct pw_path *backup)
{
	if (!primary->usable && (backup->usable || (primary->dead && !backup->dead)))
		return backup;
	return primary;
}

int pw_pair_publish(struct pw_path *path)
{
	const struct pw_pair *pair = (const struct pw_pair *)path;
	const struct pw_path *primary = pair->members[PRIMARY].child;
	const struct pw_path *backup = pair->members[BACKUP].child;
	struct pw_nexthop nexthop = *pw_nexthop_get(pair_choose(primary, backup)->id);
	int ret = pw_path_store(path, &nexthop);

	if (!ret)
		pw_path_set_state(path, primary->dead && backup->dead,
				  primary->usable || backup->usable);
	return ret;
}

int pw_pair_take(struct pw_path *primary, struct pw_path *backup, struct pw_path **path)
{
	struct pw_path *paths[MEMBERS] = {[PRIMARY] = primary, [BACKUP] = backup};
	uint32_t value = rte_jhash_2words(primary->id, backup->id, PW_PATH_PAIR);
	struct pw_pair *pair;
	int ret;

	*path = pw_path_hash_find(value, pair_equal, paths);
	if (*path) {
		pw_path_hold(*path);
		return 0;
	}
	pair = calloc(1, sizeof(*pair));
	if (!pair)
		return -ENOMEM;
	ret = pw_path_init(&pair->path, PW_PATH_PAIR);
	if (ret) {
		free(pair);
		return ret;
	}
	pw_members_link(&pair->path, pair->members, paths, NULL, MEMBERS);
	pairs[pair->path.id] = pair;
	ret = pw_pair_publish(&pair->path);
	if (ret) {
		pw_pair_reclaim(&pair->path);
		return ret;
	}
	pw_path_hash_add(&pair->path, value);
	*path = &pair->path;
	return 0;
}

void pw_pair_reclaim(struct pw_path *path)
{
	struct pw_pair *pair = (struct pw_pair *)path;

	pairs[path->id] = NULL;
	pw_slot_free(&pw_nexthops, path->id);
	pw_members_unlink(pair->members, MEMBERS);
	free(pair);
}

struct pw_path *pw_pair_of(uint32_t id)
{
	return pairs[id] ? &pairs[id]->path : NULL;
}

const struct pw_path *pw_pair_active(const struct pw_path *path)
{
	const struct pw_pair *pair = (const struct pw_pair *)path;

	return pair_choose(pair->members[PRIMARY].child, pair->members[BACKUP].child);
}

void pw_pair_installed(struct pw_path *path, int change)
{
	struct pw_pair *pair = (struct pw_pair *)path;

	path->routes += (uint32_t)change;
	pair->members[PRIMARY].child->paired += (uint32_t)change;
	pair->members[BACKUP].child->paired += (uint32_t)change;
}
