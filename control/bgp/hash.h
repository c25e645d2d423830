/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_HASH_H
#define BGP_HASH_H

#include <stddef.h>
#include <stdint.h>

/** A hash table of nodes that stand in the objects. Keys come from the network: seeded. */

struct bgp_hash_node {
	struct bgp_hash_node *next;
	uint64_t hash;
};

struct bgp_hash {
	struct bgp_hash_node **buckets;
	size_t size; /* a power of two */
	size_t count;
};

/** The hash of some bytes; another one in every process. */
uint64_t bgp_hash_bytes(const void *data, size_t size);

/** 0 or -ENOMEM. A zeroed table is empty, and grows when it is inserted to. */
int bgp_hash_insert(struct bgp_hash *table, struct bgp_hash_node *node, uint64_t hash);
void bgp_hash_remove(struct bgp_hash *table, struct bgp_hash_node *node);

/** The first node with this hash, and the next one after it; NULL at the end. */
struct bgp_hash_node *bgp_hash_first(const struct bgp_hash *table, uint64_t hash);
struct bgp_hash_node *bgp_hash_next(const struct bgp_hash_node *node);

/** Frees the buckets of an empty table. */
void bgp_hash_free(struct bgp_hash *table);

#define bgp_container(pointer, type, member) ((type *)((char *)(pointer)-offsetof(type, member)))

#endif
