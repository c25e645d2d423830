/* SPDX-License-Identifier: BSD-3-Clause */
/* Nodes and prefix lists, packed and unpacked. */
#include <string.h>

#include "lib/lpm_internal.h"

/*
 * A prefix list of k units: 4k bytes for the count and the positions, 12k for the values,
 * so 3k prefixes. k follows from the count alone.
 */
static unsigned int list_units(unsigned int count)
{
	static const uint8_t units[] = {1, 2, 3, 4, 6, 8, 12, 16, 24, 42};
	unsigned int i = 0;

	while (units[i] * 3u < count)
		i++;
	return units[i];
}

static uint8_t *list_at(const struct pw_lpm *lpm, uint32_t list)
{
	return lpm->base + (uint64_t)list * LPM_LIST_UNIT;
}

uint64_t lpm_list_alloc(struct pw_lpm_arena *arena, unsigned int count)
{
	return lpm_arena_alloc(arena, (size_t)list_units(count) * LPM_LIST_UNIT);
}

bool lpm_list_same_size(unsigned int count, unsigned int other)
{
	return count && other && list_units(count) == list_units(other);
}

unsigned int lpm_list_count(const struct pw_lpm *lpm, uint32_t list)
{
	return list ? list_at(lpm, list)[0] : 0;
}

void lpm_list_read(const struct pw_lpm *lpm, uint32_t list, struct lpm_list *out)
{
	const uint8_t *block = list_at(lpm, list);

	out->count = lpm_list_count(lpm, list);
	if (!out->count)
		return;
	memcpy(out->position, block + 1, out->count);
	memcpy(out->value, block + 4 * list_units(out->count), 4 * out->count);
}

void lpm_list_write(const struct pw_lpm *lpm, uint32_t list, const struct lpm_list *in)
{
	uint8_t *block = list_at(lpm, list);

	block[0] = (uint8_t)in->count;
	memcpy(block + 1, in->position, in->count);
	memcpy(block + 4 * list_units(in->count), in->value, 4 * in->count);
}

/* The index of @p position, or the index where it belongs, complemented. */
int lpm_list_find(const struct lpm_list *list, uint8_t position)
{
	unsigned int i = 0;

	while (i < list->count && list->position[i] < position)
		i++;
	return i < list->count && list->position[i] == position ? (int)i : ~(int)i;
}

void lpm_list_insert(struct lpm_list *list, uint8_t position, uint32_t value)
{
	int found = lpm_list_find(list, position);
	unsigned int i = (unsigned int)(found < 0 ? ~found : found);

	if (found < 0) {
		unsigned int after = list->count++ - i;

		memmove(&list->position[i + 1], &list->position[i], after);
		memmove(&list->value[i + 1], &list->value[i], after * sizeof(list->value[0]));
		list->position[i] = position;
	}
	list->value[i] = value;
}

void lpm_list_remove(struct lpm_list *list, unsigned int index)
{
	unsigned int after = --list->count - index;

	memmove(&list->position[index], &list->position[index + 1], after);
	memmove(&list->value[index], &list->value[index + 1], after * sizeof(list->value[0]));
}

static unsigned int position_first(uint8_t position, unsigned int *slots)
{
	unsigned int length = 31 - (unsigned int)__builtin_clz(position);

	*slots = LPM_SLOTS >> length;
	return (unsigned int)position << (LPM_STRIDE - length) & (LPM_SLOTS - 1);
}

/* The slots that a prefix covers; it is never of length 0, so at most half of them. */
uint64_t lpm_position_slots(uint8_t position)
{
	unsigned int slots;
	unsigned int first = position_first(position, &slots);

	return ((1ull << slots) - 1) << first;
}

void lpm_image_read(const struct lpm_node *node, struct lpm_image *image)
{
	image->key = node->key;
	image->shift = node->shift;
	image->half = node->half;
	image->fallback = node->word[0];
	image->children = lpm_node_children(node);
	image->painted = 0;
	for (uint64_t rest = image->children; rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);

		image->child[slot] = node->word[lpm_node_index(node, slot)];
	}
}

/* Longer prefixes come later in the list and paint over the shorter ones. */
void lpm_image_paint(struct lpm_image *image, const struct lpm_list *list)
{
	image->painted = 0;
	for (unsigned int i = 0; i < list->count; i++) {
		unsigned int slots;
		unsigned int first = position_first(list->position[i], &slots);

		image->painted |= ((1ull << slots) - 1) << first;
		for (unsigned int slot = first; slot < first + slots; slot++)
			image->value[slot] = list->value[i];
	}
}

uint32_t lpm_image_value(const struct lpm_image *image, unsigned int slot)
{
	return image->painted >> slot & 1 ? image->value[slot] : image->fallback;
}

void lpm_image_pack(const struct lpm_image *image, struct lpm_packed *packed)
{
	uint64_t values = image->painted & ~image->children;

	packed->mark = packed->own = image->children;
	packed->count = 0;
	packed->word[0] = image->fallback;
	for (uint64_t rest = image->painted | image->children; rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);
		uint64_t bit = 1ull << slot;

		if (image->children & bit) {
			packed->word[++packed->count] = image->child[slot];
		} else if (values & bit >> 1 && image->value[slot - 1] == image->value[slot]) {
			packed->mark |= bit;
		} else {
			packed->own |= bit;
			packed->word[++packed->count] = image->value[slot];
		}
	}
}

uint64_t lpm_node_alloc(struct pw_lpm_arena *arena, unsigned int words)
{
	size_t size = offsetof(struct lpm_node, word) + (words + 2) * sizeof(uint32_t);

	return lpm_arena_alloc(arena, (size + LPM_NODE_UNIT - 1) / LPM_NODE_UNIT * LPM_NODE_UNIT);
}

void lpm_node_write(struct lpm_node *node, const struct lpm_image *image,
		    const struct lpm_packed *packed, uint32_t list)
{
	node->mark = packed->mark;
	node->own = packed->own;
	node->key = lpm_bits_from(image->key, image->shift + LPM_STRIDE);
	node->shift = image->shift;
	node->half = image->half;
	node->reserved = 0;
	memcpy(node->word, packed->word, (packed->count + 1) * sizeof(uint32_t));
	node->word[packed->count + 1] = list;
}

static uint64_t node_painted(const struct pw_lpm *lpm, const struct lpm_node *node)
{
	struct lpm_list list;
	uint64_t painted = 0;

	lpm_list_read(lpm, lpm_node_list_ref(node), &list);
	for (unsigned int i = 0; i < list.count; i++)
		painted |= lpm_position_slots(list.position[i]);
	return painted;
}

/*
 * Gives a published node the value it inherits, and so to all below it that no prefix in
 * between covers. Where the value is the same already, it is the same below.
 */
void lpm_node_inherit(struct pw_lpm *lpm, uint32_t index, uint32_t value)
{
	struct lpm_node *node = lpm_node_at(lpm, index);
	uint64_t rest = lpm_node_children(node);

	if (node->word[0] == value)
		return;
	__atomic_store_n(&node->word[0], value, __ATOMIC_RELEASE);
	if (rest)
		rest &= ~node_painted(lpm, node);
	for (uint64_t ahead = rest; ahead; ahead &= ahead - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(ahead);

		__builtin_prefetch(lpm_node_at(lpm, node->word[lpm_node_index(node, slot)]), 1);
	}
	for (; rest; rest &= rest - 1) {
		unsigned int slot = (unsigned int)__builtin_ctzll(rest);

		lpm_node_inherit(lpm, node->word[lpm_node_index(node, slot)], value);
	}
}
