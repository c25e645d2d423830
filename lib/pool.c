/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/pool.h"

#include <stdbool.h>
#include <sys/mman.h>

#include "lib/poison.h"

#define CHUNK_SIZE ((size_t)2 << 20) /* a huge page, and where a chunk begins is known by it */

struct pw_pool_chunk {
	struct pw_pool_chunk *next; /* chunks with room */
	struct pw_pool_chunk *previous;
	void *free;     /* objects that were given back, each with the next one's address */
	uint32_t fresh; /* objects from here on were never used */
	uint32_t used;
};

static size_t object_size(const struct pw_pool *pool)
{
	return (pool->size + 7) & ~(size_t)7;
}

static uint32_t chunk_capacity(const struct pw_pool *pool)
{
	return (uint32_t)((CHUNK_SIZE - sizeof(struct pw_pool_chunk)) / object_size(pool));
}

static void chunk_link(struct pw_pool *pool, struct pw_pool_chunk *chunk)
{
	chunk->previous = NULL;
	chunk->next = pool->open;
	if (pool->open)
		pool->open->previous = chunk;
	pool->open = chunk;
}

static void chunk_unlink(struct pw_pool *pool, struct pw_pool_chunk *chunk)
{
	if (chunk->previous)
		chunk->previous->next = chunk->next;
	else
		pool->open = chunk->next;
	if (chunk->next)
		chunk->next->previous = chunk->previous;
}

/* At a multiple of its size, so that an object's address says which chunk it is of. */
static struct pw_pool_chunk *chunk_map(void)
{
	uint8_t *memory = mmap(NULL, 2 * CHUNK_SIZE, PROT_READ | PROT_WRITE,
			       MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	size_t before;

	if (memory == MAP_FAILED)
		return NULL;
	before = -(uintptr_t)memory % CHUNK_SIZE;
	if (before)
		munmap(memory, before);
	munmap(memory + before + CHUNK_SIZE, CHUNK_SIZE - before);
	return (struct pw_pool_chunk *)(memory + before);
}

static struct pw_pool_chunk *chunk_new(struct pw_pool *pool)
{
	struct pw_pool_chunk *chunk = pool->spare;

	pool->spare = NULL;
	if (!chunk) {
		chunk = chunk_map();
		if (!chunk)
			return NULL;
		/* A few objects need not cost a huge page. */
		if (pool->chunks++)
			madvise(chunk, CHUNK_SIZE, MADV_HUGEPAGE);
	}
	*chunk = (struct pw_pool_chunk){0};
	pw_poison(chunk + 1, CHUNK_SIZE - sizeof(*chunk));
	chunk_link(pool, chunk);
	return chunk;
}

static void chunk_unmap(struct pw_pool *pool, struct pw_pool_chunk *chunk)
{
	pw_unpoison(chunk, CHUNK_SIZE);
	munmap(chunk, CHUNK_SIZE);
	pool->chunks--;
}

void *pw_pool_alloc(struct pw_pool *pool)
{
	struct pw_pool_chunk *chunk = pool->open ? pool->open : chunk_new(pool);
	size_t size = object_size(pool);
	void *object;

	if (!chunk)
		return NULL;
	if (chunk->free) {
		object = chunk->free;
		pw_unpoison(object, size);
		chunk->free = *(void **)object;
	} else {
		object = (uint8_t *)(chunk + 1) + chunk->fresh++ * size;
		pw_unpoison(object, size);
	}
	pool->used++;
	if (++chunk->used == chunk_capacity(pool))
		chunk_unlink(pool, chunk);
	return object;
}

void pw_pool_free(struct pw_pool *pool, void *object)
{
	struct pw_pool_chunk *chunk =
		(struct pw_pool_chunk *)((uintptr_t)object & ~(uintptr_t)(CHUNK_SIZE - 1));

	*(void **)object = chunk->free;
	chunk->free = object;
	pw_poison(object, object_size(pool));
	pool->used--;
	if (chunk->used-- == chunk_capacity(pool))
		chunk_link(pool, chunk);
	if (chunk->used)
		return;
	chunk_unlink(pool, chunk);
	if (pool->spare)
		chunk_unmap(pool, chunk);
	else
		pool->spare = chunk;
}

void pw_pool_trim(struct pw_pool *pool)
{
	if (pool->spare)
		chunk_unmap(pool, pool->spare);
	pool->spare = NULL;
}
