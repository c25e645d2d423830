/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_POOL_H
#define PW_POOL_H

#include <stddef.h>
#include <stdint.h>

/**
 * Memory for millions of small objects of one size: no header for each, in huge pages where the
 * system has them, and given back to the system as it empties. For one thread.
 *
 * A pool is a static variable: {.size = ...} is all it needs.
 */
struct pw_pool_chunk;

struct pw_pool {
	size_t size;                 /* bytes of an object; aligned to 8 */
	size_t used;                 /* objects */
	struct pw_pool_chunk *open;  /* chunks with room */
	struct pw_pool_chunk *spare; /* an empty one */
	size_t chunks;
};

/** An object, not initialised; NULL without memory. */
void *pw_pool_alloc(struct pw_pool *pool);

void pw_pool_free(struct pw_pool *pool, void *object);

/** Gives the spare chunk back as well. Objects that are in use stay. */
void pw_pool_trim(struct pw_pool *pool);

#endif
