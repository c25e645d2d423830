/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/table.h"

#include <stdlib.h>
#include <string.h>

static unsigned int bit_at(const uint8_t *bytes, unsigned int index)
{
	return bytes[index / 8] >> (7 - index % 8) & 1;
}

/* How many leading bits are equal, at most @p limit. */
static unsigned int bits_common(const uint8_t *a, const uint8_t *b, unsigned int limit)
{
	unsigned int bits = 0;

	while (bits < limit) {
		uint8_t differ = a[bits / 8] ^ b[bits / 8];

		if (differ) {
			bits += __builtin_clz(differ) - 24;
			return bits < limit ? bits : limit;
		}
		bits += 8;
	}
	return limit;
}

bool pw_prefix_contains(const uint8_t *prefix, unsigned int length, const uint8_t *address)
{
	return bits_common(prefix, address, length) == length;
}

bool pw_prefix_mask(uint8_t *address, unsigned int size, unsigned int length)
{
	bool stray = false;

	for (unsigned int i = length / 8; i < size; i++) {
		uint8_t keep = i == length / 8 ? (uint8_t)(0xff00 >> length % 8) : 0;

		stray |= address[i] & ~keep;
		address[i] &= keep;
	}
	return stray;
}

static struct pw_prefix *node_new(const struct pw_prefix_tree *tree, const uint8_t *bytes,
				  unsigned int length)
{
	unsigned int size = tree->bits / 8;
	struct pw_prefix *node = malloc(sizeof(*node) + size);

	if (!node)
		return NULL;
	memset(node, 0, sizeof(*node));
	node->length = (uint8_t)length;
	memcpy(node->bytes, bytes, size);
	pw_prefix_mask(node->bytes, size, length);
	return node;
}

struct pw_prefix *pw_prefix_get(const struct pw_prefix_tree *tree, const uint8_t *bytes,
				unsigned int length)
{
	struct pw_prefix *node = tree->root;

	while (node && node->length <= length) {
		if (!pw_prefix_contains(node->bytes, node->length, bytes))
			return NULL;
		if (node->length == length)
			return node->routes ? node : NULL;
		node = node->child[bit_at(bytes, node->length)];
	}
	return NULL;
}

struct pw_prefix *pw_prefix_add(struct pw_prefix_tree *tree, const uint8_t *bytes,
				unsigned int length)
{
	struct pw_prefix **at = &tree->root;
	struct pw_prefix *node, *join;
	unsigned int common = 0;

	while (*at) {
		unsigned int limit = (*at)->length < length ? (*at)->length : length;

		common = bits_common((*at)->bytes, bytes, limit);
		if (common < (*at)->length)
			break;
		if (common == length)
			return *at;
		at = &(*at)->child[bit_at(bytes, (*at)->length)];
	}
	node = node_new(tree, bytes, length);
	if (!node || !*at) {
		if (node)
			*at = node;
		return node;
	}
	if (common == length) {
		node->child[bit_at((*at)->bytes, length)] = *at;
		*at = node;
		return node;
	}
	join = node_new(tree, bytes, common);
	if (!join) {
		free(node);
		return NULL;
	}
	join->child[bit_at(bytes, common)] = node;
	join->child[!bit_at(bytes, common)] = *at;
	*at = join;
	return node;
}

void pw_prefix_remove(struct pw_prefix_tree *tree, struct pw_prefix *prefix)
{
	struct pw_prefix **at = &tree->root;
	struct pw_prefix **above = NULL;
	struct pw_prefix *parent;

	while (*at != prefix) {
		above = at;
		at = &(*at)->child[bit_at(prefix->bytes, (*at)->length)];
	}
	if (prefix->routes || (prefix->child[0] && prefix->child[1]))
		return;
	*at = prefix->child[0] ? prefix->child[0] : prefix->child[1];
	free(prefix);
	/* A parent that only joined two branches has nothing left to join. */
	parent = above ? *above : NULL;
	if (parent && !parent->routes && !(parent->child[0] && parent->child[1])) {
		*above = parent->child[0] ? parent->child[0] : parent->child[1];
		free(parent);
	}
}

/* A join has two branches, so what is below a node always has routes somewhere. */
static struct pw_prefix *first_below(struct pw_prefix *node)
{
	while (node && !node->routes)
		node = node->child[0] ? node->child[0] : node->child[1];
	return node;
}

struct pw_prefix *pw_prefix_next(const struct pw_prefix_tree *tree, const uint8_t *bytes,
				 unsigned int length, bool inclusive)
{
	struct pw_prefix *node = tree->root;
	struct pw_prefix *later = NULL; /* the nearest branch that lies after the key */

	while (node) {
		unsigned int limit = node->length < length ? node->length : length;
		unsigned int common = bits_common(node->bytes, bytes, limit);

		if (common < limit) {
			if (bit_at(node->bytes, common))
				return first_below(node);
			break;
		}
		if (node->length > length || (node->length == length && inclusive))
			return first_below(node);
		if (node->length == length) {
			if (node->child[0])
				return first_below(node->child[0]);
			if (node->child[1])
				return first_below(node->child[1]);
			break;
		}
		if (!bit_at(bytes, node->length) && node->child[1])
			later = node->child[1];
		node = node->child[bit_at(bytes, node->length)];
	}
	return first_below(later);
}

unsigned int pw_prefix_covering(const struct pw_prefix_tree *tree, const uint8_t *address,
				struct pw_prefix *covering[PW_PREFIX_COVERING_MAX])
{
	struct pw_prefix *node = tree->root;
	unsigned int count = 0;

	while (node && pw_prefix_contains(node->bytes, node->length, address)) {
		if (node->routes)
			covering[count++] = node;
		if (node->length == tree->bits)
			break;
		node = node->child[bit_at(address, node->length)];
	}
	return count;
}
