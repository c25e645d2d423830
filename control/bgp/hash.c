/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/hash.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#define FIRST_SIZE 64

static uint64_t seed;

static uint64_t mix(uint64_t value)
{
	value ^= value >> 32;
	value *= UINT64_C(0xd6e8feb86659fd93);
	value ^= value >> 32;
	value *= UINT64_C(0xd6e8feb86659fd93);
	return value ^ value >> 32;
}

uint64_t bgp_hash_bytes(const void *data, size_t size)
{
	const uint8_t *bytes = data;
	uint64_t hash;

	/* Without the entropy only the defence against chosen keys is lost. */
	if (!seed && (getrandom(&seed, sizeof(seed), GRND_NONBLOCK) != sizeof(seed) || !seed))
		seed = 1;
	for (hash = seed ^ size; size; bytes += size < 8 ? size : 8, size -= size < 8 ? size : 8) {
		uint64_t word = 0;

		memcpy(&word, bytes, size < 8 ? size : 8);
		hash = mix(hash ^ word) + UINT64_C(0x9e3779b97f4a7c15);
	}
	return mix(hash);
}

static bool grow(struct bgp_hash *table)
{
	size_t size = table->size ? 2 * table->size : FIRST_SIZE;
	struct bgp_hash_node **buckets = calloc(size, sizeof(*buckets));

	if (!buckets)
		return false;
	for (size_t i = 0; i < table->size; i++)
		for (struct bgp_hash_node *node = table->buckets[i], *next; node; node = next) {
			struct bgp_hash_node **at = &buckets[node->hash & (size - 1)];

			next = node->next;
			node->next = *at;
			*at = node;
		}
	free(table->buckets);
	table->buckets = buckets;
	table->size = size;
	return true;
}

int bgp_hash_insert(struct bgp_hash *table, struct bgp_hash_node *node, uint64_t hash)
{
	struct bgp_hash_node **at;

	/* A table that cannot grow is slower, not wrong. */
	if (table->count >= table->size && !grow(table) && !table->size)
		return -ENOMEM;
	at = &table->buckets[hash & (table->size - 1)];
	node->hash = hash;
	node->next = *at;
	*at = node;
	table->count++;
	return 0;
}

void bgp_hash_remove(struct bgp_hash *table, struct bgp_hash_node *node)
{
	struct bgp_hash_node **at = &table->buckets[node->hash & (table->size - 1)];

	while (*at != node)
		at = &(*at)->next;
	*at = node->next;
	table->count--;
}

struct bgp_hash_node *bgp_hash_first(const struct bgp_hash *table, uint64_t hash)
{
	struct bgp_hash_node *node = table->size ? table->buckets[hash & (table->size - 1)] : NULL;

	while (node && node->hash != hash)
		node = node->next;
	return node;
}

struct bgp_hash_node *bgp_hash_next(const struct bgp_hash_node *node)
{
	uint64_t hash = node->hash;

	struct bgp_hash_node *next = node->next;

	while (next && next->hash != hash)
		next = next->next;
	return next;
}

void bgp_hash_free(struct bgp_hash *table)
{
	free(table->buckets);
	*table = (struct bgp_hash){0};
}
