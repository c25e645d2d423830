/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The jump: an array over some bits of the address's first word that says for each of their
 * combinations either the answer or the first node of the trie below. The nodes above stay in
 * the trie, so a jump is only a cache of it: it is made anew when the table has doubled or
 * shrunk to a quarter, placed where most prefixes are, and published by one store. Addresses
 * outside of it, and values that would look like a node, start at the trie's root.
 */
#include "lib/lpm_internal.h"

#define JUMP_BITS_MAX       22
#define JUMP_ENTRIES_FREE   256 /* what every table may have that has branches */
#define JUMP_ENTRIES_PREFIX 8   /* and for each prefix */
#define DOMINANT(part, all) ((part)*8 >= (all)*7)

static uint32_t jump_value(uint32_t value)
{
	return value & LPM_CHILD ? LPM_CHILD : value;
}

/*
 * The entry for the addresses that share the bits of @p word from @p shift up. The same entry
 * is right for all that share only the bits from @p same up.
 */
static uint32_t jump_resolve(const struct pw_lpm *lpm, uint64_t word, unsigned int shift,
			     unsigned int *same)
{
	uint32_t index = lpm->root;

	for (;;) {
		const struct lpm_node *node = lpm_node_at(lpm, index);
		unsigned int compared = node->shift + LPM_STRIDE, slot;
		uint64_t difference;

		*same = shift;
		if (node->half)
			return LPM_CHILD | index;
		difference = lpm_bits_from(word ^ node->key, compared > shift ? compared : shift);
		if (difference) {
			*same = 63 - (unsigned int)__builtin_clzll(difference);
			return jump_value(node->word[0]);
		}
		if (node->shift < shift)
			return LPM_CHILD | index;
		slot = word >> node->shift & (LPM_SLOTS - 1);
		if (!((node->mark | node->own) >> slot & 1)) {
			*same = node->shift;
			return jump_value(node->word[0]);
		}
		index = node->word[lpm_node_index(node, slot)];
		if (!(lpm_node_children(node) >> slot & 1)) {
			*same = node->shift;
			return jump_value(index);
		}
	}
}

/* With @p values_only, entries that refer to nodes are known to be right. */
static void jump_fill(const struct pw_lpm *lpm, struct lpm_jump *jump, uint64_t first,
		      uint64_t last, bool values_only)
{
	while (first <= last) {
		unsigned int same;
		uint32_t entry;
		uint64_t end;

		if (values_only && jump->entry[first] > LPM_CHILD) {
			first++;
			continue;
		}
		entry = jump_resolve(lpm, jump->key | first << jump->shift, jump->shift, &same);
		end = first | ((1ull << (same - jump->shift)) - 1);
		for (; first <= last && first <= end; first++)
			__atomic_store_n(&jump->entry[first], entry, __ATOMIC_RELEASE);
	}
}

/* The nodes that a change will need first are on their way while the trie is walked. */
void lpm_jump_prefetch(const struct pw_lpm *lpm, uint64_t word)
{
	const struct lpm_jump *jump = lpm->jump;
	uint64_t index = (word ^ jump->key) >> jump->shift;

	if (index < jump->size && jump->entry[index] > LPM_CHILD)
		__builtin_prefetch(lpm_node_at(lpm, jump->entry[index] & ~LPM_CHILD));
}

/*
 * Brings the jump in line with the trie after a change under a prefix, whose first word is
 * @p word and whose @p length counts from there on.
 */
void lpm_jump_refresh(struct pw_lpm *lpm, uint64_t word, unsigned int length)
{
	struct lpm_jump *jump = lpm->jump;
	uint64_t low = word;
	uint64_t high = length < LPM_HALF_BITS ? word | UINT64_MAX >> length : word;
	uint64_t jump_high = jump->key + (((uint64_t)jump->size << jump->shift) - 1);

	if (!jump->size)
		return;
	if (low < jump->key)
		low = jump->key;
	if (high > jump_high)
		high = jump_high;
	if (low > high)
		return;
	low = (low ^ jump->key) >> jump->shift;
	high = (high ^ jump->key) >> jump->shift;
	/* a prefix that lives above the jump's nodes changes which values are inherited */
	jump_fill(lpm, jump, low, high, length + jump->shift <= LPM_HALF_BITS);
}

/* Prefixes in a node and below. */
static size_t node_weight(const struct pw_lpm *lpm, uint32_t index)
{
	const struct lpm_node *node = lpm_node_at(lpm, index);
	size_t weight = lpm_list_count(lpm, lpm_node_list_ref(node));

	for (uint64_t rest = lpm_node_children(node); rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);

		weight += node_weight(lpm, node->word[lpm_node_index(node, slot)]);
	}
	return weight;
}

/* The child below which nearly all prefixes of the table are, if there is one; or 0. */
static uint32_t dominant_child(const struct pw_lpm *lpm, const struct lpm_node *node)
{
	size_t others = 0;

	for (uint64_t rest = lpm_node_children(node); rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);
		uint32_t index = node->word[lpm_node_index(node, slot)];
		const struct lpm_node *child = lpm_node_at(lpm, index);
		size_t weight = node_weight(lpm, index);

		if (DOMINANT(weight, lpm->count))
			return child->half || !lpm_node_children(child) ? 0 : index;
		others += weight;
		if (!DOMINANT(lpm->count - others, lpm->count))
			return 0; /* too many are elsewhere for any child to have them */
	}
	return 0;
}

/* Where a jump for this table belongs and how large it should be; false: it needs none. */
static bool jump_place(const struct pw_lpm *lpm, struct lpm_jump *place)
{
	const struct lpm_node *node = lpm_node_at(lpm, lpm->root);
	size_t entries = lpm->count * JUMP_ENTRIES_PREFIX;
	unsigned int top, shift;
	uint64_t children, first, last;
	uint32_t child;

	while ((child = dominant_child(lpm, node)))
		node = lpm_node_at(lpm, child);
	children = lpm_node_children(node);
	if (node->half || !children)
		return false;
	/* the bits from top up are common to all children */
	first = (uint64_t)__builtin_ctzll(children);
	last = 63 - (uint64_t)__builtin_clzll(children);
	top = node->shift;
	if (first != last)
		top += 64 - (unsigned int)__builtin_clzll(first ^ last);
	shift = node->shift;
	if (entries < JUMP_ENTRIES_FREE)
		entries = JUMP_ENTRIES_FREE;
	while (shift >= LPM_STRIDE && top - shift + LPM_STRIDE <= JUMP_BITS_MAX &&
	       1ull << (top - shift + LPM_STRIDE) <= entries)
		shift -= LPM_STRIDE;
	place->key = lpm_bits_from(node->key | first << node->shift, top);
	place->shift = (uint8_t)shift;
	place->size = 1u << (top - shift);
	return true;
}

static struct lpm_jump *jump_build(struct pw_lpm *lpm, const struct lpm_jump *place)
{
	uint64_t header = lpm_arena_alloc(lpm->arena, sizeof(struct lpm_jump));
	uint64_t entries = lpm_arena_alloc(lpm->arena, place->size * sizeof(uint32_t));
	struct lpm_jump *jump;

	if (!header || !entries) {
		if (header)
			lpm_arena_free(lpm->arena, header);
		if (entries)
			lpm_arena_free(lpm->arena, entries);
		return NULL;
	}
	jump = (struct lpm_jump *)(lpm->base + header);
	*jump = *place;
	jump->entry = (uint32_t *)(lpm->base + entries);
	jump_fill(lpm, jump, 0, jump->size - 1, false);
	return jump;
}

static void jump_replace(struct pw_lpm *lpm, struct lpm_jump *jump)
{
	struct lpm_jump *old = lpm->jump;

	__atomic_store_n(&lpm->jump, jump, __ATOMIC_RELEASE);
	if (!old->size)
		return;
	lpm_arena_retire(lpm->arena, (uint64_t)((uint8_t *)old->entry - lpm->base));
	lpm_arena_retire(lpm->arena, (uint64_t)((uint8_t *)old - lpm->base));
}

/* Without memory for another jump the old one stays: it is right, if not the best. */
void lpm_jump_review(struct pw_lpm *lpm)
{
	struct lpm_jump place, *jump;

	if (lpm->count < lpm->grow_at && lpm->count > lpm->shrink_at)
		return;
	lpm->grow_at = lpm->count * 2 < 4 ? 4 : lpm->count * 2;
	lpm->shrink_at = lpm->count / 4;
	if (!jump_place(lpm, &place)) {
		if (lpm->jump->size)
			jump_replace(lpm, lpm_arena_nowhere(lpm->arena));
		return;
	}
	if (lpm->jump->size == place.size && lpm->jump->key == place.key &&
	    lpm->jump->shift == place.shift)
		return;
	jump = jump_build(lpm, &place);
	if (jump)
		jump_replace(lpm, jump);
}

void lpm_jump_free(struct pw_lpm *lpm)
{
	struct lpm_jump *jump = lpm->jump;

	if (!jump->size)
		return;
	lpm_arena_free(lpm->arena, (uint64_t)((uint8_t *)jump->entry - lpm->base));
	lpm_arena_free(lpm->arena, (uint64_t)((uint8_t *)jump - lpm->base));
}
