/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_H
#define PW_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * The control thread's ordered store of prefixes: a path-compressed binary trie. Order is by
 * address, then shorter before longer. It answers what the workers' table cannot: every route of
 * a prefix, the next prefix after a key, every prefix that covers an address.
 */
struct pw_route;

struct pw_prefix {
	struct pw_route *routes; /* in order of preference; NULL: only joins two branches */
	uint32_t installed;      /* next-hop id that workers have for it, 0 = none */
	uint8_t length;
	struct pw_prefix *child[2]; /* with length and bytes: what a search reads */
	uint8_t bytes[];            /* 4 or 16, network byte order, zero past the length */
};

struct pw_prefix_tree {
	struct pw_prefix *root;
	unsigned int bits; /* 32 or 128 */
};

#define PW_PREFIX_COVERING_MAX 129

/** The prefix when it has routes, else NULL. */
struct pw_prefix *pw_prefix_get(const struct pw_prefix_tree *tree, const uint8_t *bytes,
				unsigned int length);

/** The prefix, made without routes if need be; NULL without memory. */
struct pw_prefix *pw_prefix_add(struct pw_prefix_tree *tree, const uint8_t *bytes,
				unsigned int length);

/** Takes out a prefix that has no routes (any more). Its memory may be gone afterwards. */
void pw_prefix_remove(struct pw_prefix_tree *tree, struct pw_prefix *prefix);

/**
 * Fetches into the cache what a search for each of @p n prefixes will read, with the latencies
 * overlapped. Changes nothing.
 */
void pw_prefix_ahead(const struct pw_prefix_tree *const *trees, const uint8_t *const *bytes,
		     const uint8_t *lengths, unsigned int n);

/** Gives back what trees that became empty kept for later. */
void pw_prefix_trim(void);

/** The first prefix with routes after the key, or at it with @p inclusive; NULL at the end. */
struct pw_prefix *pw_prefix_next(const struct pw_prefix_tree *tree, const uint8_t *bytes,
				 unsigned int length, bool inclusive);

/** Every prefix with routes that covers the address, shortest first. Returns how many. */
unsigned int pw_prefix_covering(const struct pw_prefix_tree *tree, const uint8_t *address,
				struct pw_prefix *covering[PW_PREFIX_COVERING_MAX]);

/** True when @p address lies in the prefix. */
bool pw_prefix_contains(const uint8_t *prefix, unsigned int length, const uint8_t *address);

/** Zeroes the bits past @p length of an address of @p size bytes; true when there were any. */
bool pw_prefix_mask(uint8_t *address, unsigned int size, unsigned int length);

#endif
