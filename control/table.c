/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/table.h"

#include <endian.h>
#include <string.h>

#include "lib/pool.h"

#define LANES 32

static unsigned int bit_at(const uint8_t *bytes, unsigned int index)
{
	return bytes[index / 8] >> (7 - index % 8) & 1;
}

static uint32_t load32(const uint8_t *bytes)
{
	uint32_t word;

	memcpy(&word, bytes, sizeof(word));
	return be32toh(word);
}

static uint64_t load64(const uint8_t *bytes)
{
	uint64_t word;

	memcpy(&word, bytes, sizeof(word));
	return be64toh(word);
}

/* How many leading bits are equal, at most @p limit. Beyond 32 both have 16 bytes. */
static unsigned int bits_common(const uint8_t *a, const uint8_t *b, unsigned int limit)
{
	uint64_t differ = (uint64_t)(load32(a) ^ load32(b)) << 32;
	unsigned int bits = 0;

	if (limit > 32) {
		differ = load64(a) ^ load64(b);
		if (!differ && limit > 64) {
			differ = load64(a + 8) ^ load64(b + 8);
			bits = 64;
		}
	}
	if (!differ)
		return limit;
	bits += (unsigned int)__builtin_clzll(differ);
	return bits < limit ? bits : limit;
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

static struct pw_pool pools[2] = {
	{.size = sizeof(struct pw_prefix) + 4},
	{.size = sizeof(struct pw_prefix) + 16},
};

static struct pw_pool *pool_of(const struct pw_prefix_tree *tree)
{
	return &pools[tree->bits > 32];
}

void pw_prefix_trim(void)
{
	pw_pool_trim(&pools[0]);
	pw_pool_trim(&pools[1]);
}

static struct pw_prefix *node_new(const struct pw_prefix_tree *tree, const uint8_t *bytes,
				  unsigned int length)
{
	unsigned int size = tree->bits / 8;
	struct pw_prefix *node = pw_pool_alloc(pool_of(tree));

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
		pw_pool_free(pool_of(tree), node);
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
	pw_pool_free(pool_of(tree), prefix);
	/* A parent that only joined two branches has nothing left to join. */
	parent = above ? *above : NULL;
	if (parent && !parent->routes && !(parent->child[0] && parent->child[1])) {
		*above = parent->child[0] ? parent->child[0] : parent->child[1];
		pw_pool_free(pool_of(tree), parent);
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

static void ahead(const struct pw_prefix_tree *const *trees, const uint8_t *const *bytes,
		  const uint8_t *lengths, unsigned int n)
{
	const struct pw_prefix *nodes[LANES];
	uint64_t pending = 0;

	for (unsigned int i = 0; i < n; i++)
		__builtin_prefetch(trees[i]);
	for (unsigned int i = 0; i < n; i++) {
		nodes[i] = trees[i]->root;
		if (!nodes[i])
			continue;
		__builtin_prefetch(nodes[i]);
		__builtin_prefetch(nodes[i]->bytes);
		pending |= 1ull << i;
	}
	while (pending) {
		for (uint64_t rest = pending; rest; rest &= rest - 1) {
			unsigned int i = (unsigned int)__builtin_ctzll(rest);
			const struct pw_prefix *node = nodes[i];

			if (node->length < lengths[i] &&
			    pw_prefix_contains(node->bytes, node->length, bytes[i])) {
				nodes[i] = node->child[bit_at(bytes[i], node->length)];
				__builtin_prefetch(nodes[i]);
				if (nodes[i]) {
					__builtin_prefetch(nodes[i]->bytes);
					continue;
				}
			} else {
				__builtin_prefetch(node->routes);
			}
			pending &= ~(1ull << i);
		}
	}
}

void pw_prefix_ahead(const struct pw_prefix_tree *const *trees, const uint8_t *const *bytes,
		     const uint8_t *lengths, unsigned int n)
{
	for (unsigned int i = 0; i < n; i += LANES)
		ahead(trees + i, bytes + i, lengths + i, n - i < LANES ? n - i : LANES);
}
