/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Changes of the trie. Every one first allocates what it needs, then publishes by single
 * stores (a node's reference, the inherited values below it, the jump's entries), then
 * retires what it unlinked. Readers that are in an unlinked node find what was right when
 * they entered it.
 */
#include <errno.h>
#include <string.h>

#include "lib/lpm_change.h"

static uint64_t change_made(struct lpm_change *change, uint64_t offset)
{
	if (offset)
		change->made[change->made_count++] = offset;
	return offset;
}

int lpm_change_undo(struct lpm_change *change)
{
	while (change->made_count)
		lpm_arena_free(change->lpm->arena, change->made[--change->made_count]);
	return -ENOMEM;
}

void lpm_list_free(struct pw_lpm *lpm, uint32_t list)
{
	if (list)
		lpm_arena_free(lpm->arena, (uint64_t)list * LPM_LIST_UNIT);
}

/* Everything is published: the trie is right, so bring the jump in line, then let go. */
void lpm_change_done(struct lpm_change *change, const struct lpm_key *key)
{
	struct pw_lpm *lpm = change->lpm;

	lpm_jump_refresh(lpm, key->word[0], key->length + key->half * LPM_HALF_BITS);
	for (unsigned int i = 0; i < change->old_count; i++)
		if (change->old[i])
			lpm_arena_retire(lpm->arena, (uint64_t)change->old[i] * LPM_NODE_UNIT);
	lpm_jump_review(lpm);
}

void lpm_publish(uint32_t *link, uint32_t node)
{
	__atomic_store_n(link, node, __ATOMIC_RELEASE);
}

/* A new node that shares the prefix list @p list; 0 without memory. */
uint32_t lpm_node_make(struct lpm_change *change, const struct lpm_image *image, uint32_t list)
{
	struct lpm_packed packed;
	uint64_t offset;

	lpm_image_pack(image, &packed);
	offset = change_made(change, lpm_node_alloc(change->lpm->arena, packed.count));
	if (offset)
		lpm_node_write((struct lpm_node *)(change->lpm->base + offset), image, &packed,
			       list);
	return (uint32_t)(offset / LPM_NODE_UNIT);
}

/* A new node with one prefix; @p image is painted with it. 0 without memory. */
static uint32_t node_make_home(struct lpm_change *change, struct lpm_image *image,
			       const struct lpm_key *key, uint32_t value)
{
	struct lpm_list list = {.count = 1, .position = {key->position}, .value = {value}};
	uint64_t offset = change_made(change, lpm_list_alloc(change->lpm->arena, 1));

	if (!offset)
		return 0;
	lpm_list_write(change->lpm, (uint32_t)(offset / LPM_LIST_UNIT), &list);
	lpm_image_paint(image, &list);
	return lpm_node_make(change, image, (uint32_t)(offset / LPM_LIST_UNIT));
}

static void image_add_child(struct lpm_image *image, uint64_t word, uint32_t child)
{
	unsigned int slot = word >> image->shift & (LPM_SLOTS - 1);

	image->children |= 1ull << slot;
	image->child[slot] = child;
}

/*
 * The prefix's home, to hang where the path so far has compared all of half 0 (@p half is 1)
 * or not: then a node of shift 0 must lead from half 0 to half 1.
 */
static uint32_t chain_make(struct lpm_change *change, const struct lpm_key *key, uint32_t value,
			   unsigned int half, uint32_t fallback)
{
	struct lpm_image image = {.key = key->word[key->half],
				  .shift = (uint8_t)key->shift,
				  .half = (uint8_t)key->half,
				  .fallback = fallback};
	uint32_t node = node_make_home(change, &image, key, value);

	if (!node || half == key->half)
		return node;
	image = (struct lpm_image){.key = key->word[0], .fallback = fallback};
	image_add_child(&image, key->word[0], node);
	return lpm_node_make(change, &image, 0);
}

static unsigned int half_below(unsigned int half, unsigned int shift)
{
	return half || !shift;
}

/* The last node of the path gets a new child. */
int lpm_add_child(struct lpm_change *change, const struct lpm_path *path, const struct lpm_key *key,
		  uint32_t value)
{
	uint32_t index = path->node[path->depth - 1], child, made;
	struct lpm_node *node = lpm_node_at(change->lpm, index);
	uint32_t list_ref = lpm_node_list_ref(node);
	struct lpm_image image;
	struct lpm_list list;

	lpm_image_read(node, &image);
	lpm_list_read(change->lpm, list_ref, &list);
	lpm_image_paint(&image, &list);
	child = chain_make(change, key, value, half_below(image.half, image.shift),
			   lpm_image_value(&image, lpm_key_slot(key, node)));
	if (!child)
		return lpm_change_undo(change);
	image_add_child(&image, key->word[image.half], child);
	made = lpm_node_make(change, &image, list_ref);
	if (!made)
		return lpm_change_undo(change);
	change->old[change->old_count++] = index;
	lpm_publish(path->link[path->depth - 1], made);
	return 0;
}

/* The same node in another block; 0 without memory. */
static uint32_t node_copy(struct lpm_change *change, const struct lpm_node *node)
{
	unsigned int words = (unsigned int)__builtin_popcountll(node->own);
	uint64_t offset = change_made(change, lpm_node_alloc(change->lpm->arena, words));

	if (offset)
		memcpy(change->lpm->base + offset, node,
		       offsetof(struct lpm_node, word) + (words + 2) * sizeof(uint32_t));
	return (uint32_t)(offset / LPM_NODE_UNIT);
}

/*
 * A new node goes above the last node of the path, with the prefix in it or below it.
 *
 * The last node answers with what it inherits for all addresses that its link leads to it,
 * also those that its key rejects. From now on it may inherit what is not for these, and a
 * reader may be on its way there with one of them: so the new node gets a copy for a child.
 */
int lpm_add_split(struct lpm_change *change, const struct lpm_path *path, const struct lpm_key *key,
		  uint32_t value)
{
	uint32_t index = path->node[path->depth - 1], made = 0, child;
	const struct lpm_node *node = lpm_node_at(change->lpm, index);
	uint64_t word = node->half ? key->word[0] : node->key;
	uint32_t copy = node_copy(change, node);
	struct lpm_image image = {.key = node->key,
				  .shift = (uint8_t)path->split,
				  .half = node->half,
				  .fallback = node->word[0]};
	unsigned int slot = node->key >> path->split & (LPM_SLOTS - 1);

	if (!copy)
		return -ENOMEM;
	image_add_child(&image, node->key, copy);
	if (key->half == image.half && key->shift == path->split) {
		made = node_make_home(change, &image, key, value);
	} else {
		child = chain_make(change, key, value, half_below(image.half, image.shift),
				   image.fallback);
		if (child) {
			image_add_child(&image, key->word[image.half], child);
			made = lpm_node_make(change, &image, 0);
		}
	}
	if (!made)
		return lpm_change_undo(change);
	change->old[change->old_count++] = index;
	lpm_publish(path->link[path->depth - 1], made);
	lpm_node_inherit(change->lpm, copy, lpm_image_value(&image, slot));
	lpm_jump_refresh(change->lpm, word, LPM_HALF_BITS + 1);
	return 0;
}

int lpm_add_first(struct lpm_change *change, const struct lpm_path *path, const struct lpm_key *key,
		  uint32_t value)
{
	uint32_t made = chain_make(change, key, value, 0, change->lpm->fallback);

	if (!made)
		return lpm_change_undo(change);
	change->old[change->old_count++] = path->node[0];
	lpm_publish(path->link[0], made);
	return 0;
}

/*
 * A node's prefixes become @p list, in place where its bitmaps stay the same. The list's
 * block is kept where the size allows; it is the writer's own.
 */
int lpm_relist(struct lpm_change *change, const struct lpm_path *path, const struct lpm_list *list,
	       uint64_t affected)
{
	struct pw_lpm *lpm = change->lpm;
	uint32_t index = path->node[path->depth - 1];
	struct lpm_node *node = lpm_node_at(lpm, index);
	uint32_t old_list = lpm_node_list_ref(node), new_list = old_list, made = index;
	struct lpm_packed packed;
	struct lpm_image image;

	lpm_image_read(node, &image);
	lpm_image_paint(&image, list);
	lpm_image_pack(&image, &packed);
	if (!list->count) {
		new_list = 0;
	} else if (!lpm_list_same_size(list->count, lpm_list_count(lpm, old_list))) {
		uint64_t offset = change_made(change, lpm_list_alloc(lpm->arena, list->count));

		if (!offset)
			return lpm_change_undo(change);
		new_list = (uint32_t)(offset / LPM_LIST_UNIT);
	}
	if (packed.mark != node->mark || packed.own != node->own) {
		uint64_t offset = change_made(change, lpm_node_alloc(lpm->arena, packed.count));

		if (!offset)
			return lpm_change_undo(change);
		made = (uint32_t)(offset / LPM_NODE_UNIT);
	}
	if (new_list)
		lpm_list_write(lpm, new_list, list);
	if (made != index) {
		lpm_node_write(lpm_node_at(lpm, made), &image, &packed, new_list);
		change->old[change->old_count++] = index;
		lpm_publish(path->link[path->depth - 1], made);
	} else {
		for (unsigned int i = 1; i <= packed.count; i++)
			if (node->word[i] != packed.word[i])
				lpm_publish(&node->word[i], packed.word[i]);
		*lpm_node_list(node) = new_list;
	}
	if (new_list != old_list)
		lpm_list_free(lpm, old_list);
	for (uint64_t rest = image.children & affected; rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);

		lpm_node_inherit(lpm, image.child[slot], lpm_image_value(&image, slot));
	}
	return 0;
}

/* The node that @p path ends with has nothing left: unlink it, and what it alone justified. */
int lpm_remove_node(struct lpm_change *change, const struct lpm_path *path,
		    const struct lpm_key *key)
{
	struct pw_lpm *lpm = change->lpm;
	uint32_t list_unused = lpm_node_list_ref(lpm_node_at(lpm, path->node[path->depth - 1]));
	struct lpm_image image = {.shift = LPM_TOP_SHIFT, .fallback = lpm->fallback};
	unsigned int level = path->depth - 1;
	uint32_t made = 0;

	for (; level; level--) {
		const struct lpm_node *parent = lpm_node_at(lpm, path->node[level - 1]);
		uint32_t list_ref = lpm_node_list_ref(parent);
		struct lpm_list list;

		change->old[change->old_count++] = path->node[level];
		lpm_image_read(parent, &image);
		image.children &= ~(1ull << lpm_key_slot(key, parent));
		if (!list_ref && !image.children)
			continue;
		if (!list_ref && !(image.children & (image.children - 1)) &&
		    (image.half || image.shift)) {
			made = image.child[__builtin_ctzll(image.children)];
		} else {
			lpm_list_read(lpm, list_ref, &list);
			lpm_image_paint(&image, &list);
			made = lpm_node_make(change, &image, list_ref);
			if (!made)
				return -ENOMEM;
		}
		break;
	}
	if (level) {
		level--;
	} else if (lpm->fallback) {
		image = (struct lpm_image){.shift = LPM_TOP_SHIFT, .fallback = lpm->fallback};
		made = lpm_node_make(change, &image, 0);
		if (!made)
			return -ENOMEM;
	}
	change->old[change->old_count++] = path->node[level];
	lpm_publish(path->link[level], made);
	lpm_list_free(lpm, list_unused);
	return 0;
}

/* The node that @p path ends with has only one child left, which takes its place. */
int lpm_replace_by_child(struct lpm_change *change, const struct lpm_path *path)
{
	struct pw_lpm *lpm = change->lpm;
	uint32_t index = path->node[path->depth - 1];
	struct lpm_node *node = lpm_node_at(lpm, index);
	unsigned int slot = (unsigned int)__builtin_ctzll(lpm_node_children(node));
	uint32_t child = node->word[lpm_node_index(node, slot)];

	change->old[change->old_count++] = index;
	/* in this order: the child will have to answer for addresses that its key rejects */
	lpm_node_inherit(lpm, child, node->word[0]);
	lpm_publish(path->link[path->depth - 1], child);
	lpm_list_free(lpm, lpm_node_list_ref(node));
	return 0;
}
