/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables: from prefixes in bytes to changes of the trie. */
#include <errno.h>

#include "lib/lpm_change.h"

static uint64_t load_be(const uint8_t *bytes, unsigned int count)
{
	uint64_t word = 0;

	while (count--)
		word = word << 8 | *bytes++;
	return word;
}

int lpm_key_make(const struct pw_lpm *lpm, const uint8_t *prefix, unsigned int length,
		 struct lpm_key *key)
{
	uint64_t last;
	unsigned int local;

	*key = (struct lpm_key){0};
	if (length > (lpm->wide ? 128 : 32))
		return -EINVAL;
	if (lpm->wide) {
		key->word[0] = load_be(prefix, 8);
		key->word[1] = load_be(prefix + 8, 8);
		key->half = length > LPM_HALF_BITS;
		key->length = length - key->half * LPM_HALF_BITS;
	} else {
		key->word[0] = load_be(prefix, 4) << LPM_IPV4_SHIFT;
		key->length = length ? length + LPM_HALF_BITS - 32 - LPM_IPV4_SHIFT : 0;
	}
	last = key->word[key->half];
	if (key->length < LPM_HALF_BITS && last & UINT64_MAX >> key->length)
		return -EINVAL;
	if (!key->half && key->word[1])
		return -EINVAL;
	if (!key->length)
		return 0;
	key->shift = (LPM_HALF_BITS - key->length) / LPM_STRIDE * LPM_STRIDE;
	local = key->length + key->shift + LPM_STRIDE - LPM_HALF_BITS;
	last = last >> key->shift & (LPM_SLOTS - 1);
	key->position = (uint8_t)(1u << local | last >> (LPM_STRIDE - local));
	return 0;
}

static enum lpm_path_end path_find(struct pw_lpm *lpm, const struct lpm_key *key,
				   struct lpm_path *path)
{
	uint32_t *link = &lpm->root;

	lpm_jump_prefetch(lpm, key->word[0]);
	for (path->depth = 0;;) {
		struct lpm_node *node = lpm_node_at(lpm, *link);
		bool last = node->half == key->half;
		unsigned int compared = node->shift;
		uint64_t difference;

		path->link[path->depth] = link;
		path->node[path->depth++] = *link;
		if (!node->own) /* only a root has nothing of its own */
			return LPM_PATH_EMPTY;
		if (last && compared < key->shift)
			compared = key->shift;
		difference =
			lpm_bits_from(key->word[node->half] ^ node->key, compared + LPM_STRIDE);
		if (difference) {
			unsigned int highest = 63 - (unsigned int)__builtin_clzll(difference);

			path->split = highest / LPM_STRIDE * LPM_STRIDE;
			return LPM_PATH_SPLIT;
		}
		path->split = compared;
		if (last && node->shift == key->shift)
			return LPM_PATH_HOME;
		if (last && node->shift < key->shift)
			return LPM_PATH_SPLIT;
		if (!(lpm_node_children(node) >> lpm_key_slot(key, node) & 1))
			return LPM_PATH_SLOT;
		link = &node->word[lpm_node_index(node, lpm_key_slot(key, node))];
	}
}

/* The value of the prefix of length 0, or 0 for none. */
static int set_fallback(struct pw_lpm *lpm, uint32_t value)
{
	static const struct lpm_key all = {0};
	struct lpm_change change = {.lpm = lpm};
	struct lpm_image image = {.shift = LPM_TOP_SHIFT, .fallback = value};
	uint32_t root = lpm->root;

	if (!root) {
		root = lpm_node_make(&change, &image, 0);
		if (!root)
			return -ENOMEM;
		lpm_publish(&lpm->root, root);
	} else if (!value && !lpm_node_at(lpm, root)->own) {
		change.old[change.old_count++] = root;
		lpm_publish(&lpm->root, 0);
	} else {
		lpm_node_inherit(lpm, root, value);
	}
	lpm->count += !lpm->fallback;
	lpm->count -= !value;
	lpm->fallback = value;
	lpm_change_done(&change, &all);
	return 0;
}

int pw_lpm_add(struct pw_lpm *lpm, const uint8_t *prefix, unsigned int length, uint32_t value)
{
	struct lpm_change change = {.lpm = lpm};
	struct lpm_path path;
	struct lpm_list list;
	struct lpm_key key;
	size_t added = 1;
	int error = lpm_key_make(lpm, prefix, length, &key);

	if (error || !value)
		return -EINVAL;
	if (!length)
		return set_fallback(lpm, value);
	switch (path_find(lpm, &key, &path)) {
	case LPM_PATH_EMPTY:
		error = lpm_add_first(&change, &path, &key, value);
		break;
	case LPM_PATH_SLOT:
		error = lpm_add_child(&change, &path, &key, value);
		break;
	case LPM_PATH_SPLIT:
		error = lpm_add_split(&change, &path, &key, value);
		break;
	case LPM_PATH_HOME:
		lpm_list_read(lpm, lpm_node_list_ref(lpm_node_at(lpm, path.node[path.depth - 1])),
			      &list);
		added = lpm_list_find(&list, key.position) < 0;
		lpm_list_insert(&list, key.position, value);
		error = lpm_relist(&change, &path, &list, lpm_position_slots(key.position));
		break;
	}
	if (error)
		return error;
	lpm->count += added;
	lpm_change_done(&change, &key);
	return 0;
}

int pw_lpm_delete(struct pw_lpm *lpm, const uint8_t *prefix, unsigned int length)
{
	struct lpm_change change = {.lpm = lpm};
	const struct lpm_node *node;
	struct lpm_path path;
	struct lpm_list list;
	struct lpm_key key;
	uint64_t children;
	int index, error = lpm_key_make(lpm, prefix, length, &key);

	if (error)
		return error;
	if (!length)
		return lpm->fallback ? set_fallback(lpm, 0) : -ENOENT;
	if (path_find(lpm, &key, &path) != LPM_PATH_HOME)
		return -ENOENT;
	node = lpm_node_at(lpm, path.node[path.depth - 1]);
	lpm_list_read(lpm, lpm_node_list_ref(node), &list);
	index = lpm_list_find(&list, key.position);
	if (index < 0)
		return -ENOENT;
	lpm_list_remove(&list, (unsigned int)index);
	children = lpm_node_children(node);
	lpm_arena_reserve(lpm->arena, true);
	if (!list.count && !children)
		error = lpm_remove_node(&change, &path, &key);
	else if (!list.count && !(children & (children - 1)) && (node->half || node->shift))
		error = lpm_replace_by_child(&change, &path);
	else
		error = lpm_relist(&change, &path, &list, lpm_position_slots(key.position));
	lpm_arena_reserve(lpm->arena, false);
	if (error)
		return lpm_change_undo(&change);
	lpm->count--;
	lpm_change_done(&change, &key);
	return 0;
}

uint32_t pw_lpm_get(const struct pw_lpm *lpm, const uint8_t *prefix, unsigned int length)
{
	struct lpm_list list;
	struct lpm_path path;
	struct lpm_key key;
	int index;

	if (lpm_key_make(lpm, prefix, length, &key))
		return 0;
	if (!length)
		return lpm->fallback;
	/* the path is only read here */
	if (path_find((struct pw_lpm *)(uintptr_t)lpm, &key, &path) != LPM_PATH_HOME)
		return 0;
	lpm_list_read(lpm, lpm_node_list_ref(lpm_node_at(lpm, path.node[path.depth - 1])), &list);
	index = lpm_list_find(&list, key.position);
	return index < 0 ? 0 : list.value[index];
}

size_t pw_lpm_count(const struct pw_lpm *lpm)
{
	return lpm->count;
}

struct pw_lpm *pw_lpm_create(struct pw_lpm_arena *arena, unsigned int bits)
{
	uint64_t offset;
	struct pw_lpm *lpm;

	if (bits != 32 && bits != 128) {
		errno = EINVAL;
		return NULL;
	}
	offset = lpm_arena_alloc(arena, sizeof(*lpm));
	if (!offset) {
		errno = ENOMEM;
		return NULL;
	}
	lpm = (struct pw_lpm *)(lpm_arena_base(arena) + offset);
	*lpm = (struct pw_lpm){.jump = lpm_arena_nowhere(arena),
			       .base = lpm_arena_base(arena),
			       .arena = arena,
			       .grow_at = 2,
			       .wide = bits == 128};
	return lpm;
}

static void nodes_free(struct pw_lpm *lpm, uint32_t index)
{
	const struct lpm_node *node = lpm_node_at(lpm, index);

	for (uint64_t rest = lpm_node_children(node); rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);

		nodes_free(lpm, node->word[lpm_node_index(node, slot)]);
	}
	lpm_list_free(lpm, lpm_node_list_ref(node));
	lpm_arena_free(lpm->arena, (uint64_t)index * LPM_NODE_UNIT);
}

static void table_reclaim(void *context, uint64_t argument)
{
	struct pw_lpm *lpm = context;

	(void)argument;
	if (lpm->root)
		nodes_free(lpm, lpm->root);
	lpm_jump_free(lpm);
	lpm_arena_free(lpm->arena, (uint64_t)((uint8_t *)lpm - lpm->base));
}

void pw_lpm_destroy(struct pw_lpm *lpm)
{
	if (lpm)
		lpm_arena_call_retire(lpm->arena, table_reclaim, lpm);
}
