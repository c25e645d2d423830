/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The memory of all tables: one reservation, handed out in pages; small blocks come from
 * pages of one size. All of it belongs to the control thread. What describes a page lies
 * apart, so that a free block is not touched.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "lib/lpm_internal.h"
#include "lib/poison.h"

#define PAGE_SIZE   4096u
#define CHUNK_PAGES 512u /* given back to the system as a whole: a huge page */
#define CHUNK_SIZE  ((size_t)PAGE_SIZE * CHUNK_PAGES)
#define BYTES_MIN   (32 * (size_t)PAGE_SIZE)
#define RESERVE_MIN 8 /* pages kept back for deletes, which make a smaller copy first */
#define RESERVE_MAX 1024
#define BYTES_MAX   (UINT32_MAX * (uint64_t)LPM_LIST_UNIT) /* what a list's reference reaches */
#define NO_PAGE     0u                                     /* page 0 is the arena's own */

static const uint16_t class_size[] = {16, 32, 48, 64, 96, 128, 192, 256, 320, 384, 672, 1024, 2048};
#define CLASSES   (sizeof(class_size) / sizeof(class_size[0]))
#define CLASS_RUN UINT8_MAX

struct page {
	uint64_t free[4]; /* a bit for each free block */
	uint32_t next;    /* in the list of pages of this class with free blocks */
	uint32_t previous;
	uint32_t run; /* pages, in the first of a run */
	uint16_t free_count;
	uint8_t class;
};

struct chunk {
	uint64_t free[CHUNK_PAGES / 64]; /* a bit for each free page */
	uint32_t free_count;
};

struct pw_lpm_arena {
	uint8_t *base;
	struct page *pages;
	struct chunk *chunks;
	pw_lpm_retire retire;
	size_t bytes; /* reserved */
	size_t page_count;
	size_t chunk_count;
	size_t chunk_hint; /* no chunk before this has a free page */
	size_t used_pages;
	size_t reserve_pages;
	bool reserve_open;
	uint32_t partial[CLASSES];
};

/* Page 0 holds what an empty table refers to: node 0, and behind it the jump to nowhere. */
#define NOWHERE_OFFSET LPM_NODE_UNIT

static void page_mark(struct pw_lpm_arena *arena, size_t first, size_t pages, bool free)
{
	for (size_t page = first; page < first + pages; page++) {
		struct chunk *chunk = &arena->chunks[page / CHUNK_PAGES];
		uint64_t bit = 1ull << (page % 64);

		if (free) {
			chunk->free[page % CHUNK_PAGES / 64] |= bit;
			chunk->free_count++;
		} else {
			chunk->free[page % CHUNK_PAGES / 64] &= ~bit;
			chunk->free_count--;
		}
	}
}

/* First fit of @p pages in a chunk; CHUNK_PAGES if there is none. */
static size_t chunk_find(const struct chunk *chunk, size_t pages)
{
	size_t length = 0;

	for (size_t page = 0; page < CHUNK_PAGES; page++) {
		uint64_t word = chunk->free[page / 64];

		if (!word && page % 64 == 0) {
			length = 0;
			page += 63;
			continue;
		}
		length = word >> (page % 64) & 1 ? length + 1 : 0;
		if (length == pages)
			return page + 1 - pages;
	}
	return CHUNK_PAGES;
}

/* The first page of a free run, not yet taken; NO_PAGE if there is none. */
static size_t run_find(struct pw_lpm_arena *arena, size_t pages)
{
	size_t whole = (pages + CHUNK_PAGES - 1) / CHUNK_PAGES;
	size_t length = 0;

	while (arena->chunk_hint < arena->chunk_count &&
	       !arena->chunks[arena->chunk_hint].free_count)
		arena->chunk_hint++;
	for (size_t i = arena->chunk_hint; i < arena->chunk_count; i++) {
		const struct chunk *chunk = &arena->chunks[i];

		if (pages <= CHUNK_PAGES) {
			size_t page =
				chunk->free_count < pages ? CHUNK_PAGES : chunk_find(chunk, pages);

			if (page < CHUNK_PAGES)
				return i * CHUNK_PAGES + page;
			continue;
		}
		length = chunk->free_count == CHUNK_PAGES ? length + 1 : 0;
		if (length == whole)
			return (i + 1 - whole) * CHUNK_PAGES;
	}
	return NO_PAGE;
}

static size_t run_alloc(struct pw_lpm_arena *arena, size_t pages)
{
	size_t reserve = arena->reserve_open ? 0 : arena->reserve_pages;
	size_t page = NO_PAGE;

	if (arena->used_pages + pages + reserve <= arena->page_count)
		page = run_find(arena, pages);
	if (page == NO_PAGE)
		return NO_PAGE;
	page_mark(arena, page, pages, false);
	arena->used_pages += pages;
	arena->pages[page].run = (uint32_t)pages;
	arena->pages[page].class = CLASS_RUN;
	pw_unpoison(arena->base + page * PAGE_SIZE, pages * PAGE_SIZE);
	return page;
}

static void run_free(struct pw_lpm_arena *arena, size_t page)
{
	size_t pages = arena->pages[page].run;
	size_t first = page / CHUNK_PAGES;
	size_t last = (page + pages - 1) / CHUNK_PAGES;

	page_mark(arena, page, pages, true);
	pw_poison(arena->base + page * PAGE_SIZE, pages * PAGE_SIZE);
	arena->used_pages -= pages;
	for (size_t i = first; i <= last; i++)
		if (arena->chunks[i].free_count == CHUNK_PAGES)
			madvise(arena->base + i * CHUNK_SIZE, CHUNK_SIZE, MADV_DONTNEED);
	if (first < arena->chunk_hint)
		arena->chunk_hint = first;
}

static void partial_link(struct pw_lpm_arena *arena, uint32_t index)
{
	struct page *page = &arena->pages[index];
	uint32_t *head = &arena->partial[page->class];

	page->previous = NO_PAGE;
	page->next = *head;
	if (*head != NO_PAGE)
		arena->pages[*head].previous = index;
	*head = index;
}

static void partial_unlink(struct pw_lpm_arena *arena, uint32_t index)
{
	struct page *page = &arena->pages[index];

	if (page->previous != NO_PAGE)
		arena->pages[page->previous].next = page->next;
	else
		arena->partial[page->class] = page->next;
	if (page->next != NO_PAGE)
		arena->pages[page->next].previous = page->previous;
}

static uint32_t class_page(struct pw_lpm_arena *arena, unsigned int class)
{
	unsigned int blocks = PAGE_SIZE / class_size[class];
	uint32_t index = (uint32_t)run_alloc(arena, 1);
	struct page *page = &arena->pages[index];

	if (index == NO_PAGE)
		return NO_PAGE;
	page->class = (uint8_t) class;
	page->free_count = (uint16_t)blocks;
	for (unsigned int i = 0; i < 4; i++) {
		unsigned int here = blocks > 64 * i ? blocks - 64 * i : 0;

		page->free[i] = here >= 64 ? UINT64_MAX : (1ull << here) - 1;
	}
	pw_poison(arena->base + (size_t)index * PAGE_SIZE, PAGE_SIZE);
	partial_link(arena, index);
	return index;
}

static uint64_t block_take(struct pw_lpm_arena *arena, uint32_t index)
{
	struct page *page = &arena->pages[index];
	unsigned int word = 0, block;
	uint64_t offset;

	while (!page->free[word])
		word++;
	block = word * 64 + (unsigned int)__builtin_ctzll(page->free[word]);
	page->free[word] &= page->free[word] - 1;
	if (--page->free_count == 0)
		partial_unlink(arena, index);
	offset = (uint64_t)index * PAGE_SIZE + (uint64_t)block * class_size[page->class];
	pw_unpoison(arena->base + offset, class_size[page->class]);
	return offset;
}

/*
 * Adds leave the last pages alone, even free blocks in them, so that a full arena can be
 * emptied. There, a block may be larger than it need be, as long as a node stays aligned.
 */
uint64_t lpm_arena_alloc(struct pw_lpm_arena *arena, size_t size)
{
	unsigned int class = 0;
	uint32_t index;

	if (!arena->reserve_open && arena->used_pages + arena->reserve_pages > arena->page_count)
		return 0;
	while (class < CLASSES && class_size[class] < size)
		class ++;
	if (class == CLASSES)
		return run_alloc(arena, (size + PAGE_SIZE - 1) / PAGE_SIZE) * PAGE_SIZE;
	index = arena->partial[class];
	if (index == NO_PAGE)
		index = class_page(arena, class);
	while (arena->reserve_open && index == NO_PAGE && ++class < CLASSES)
		if (size % LPM_NODE_UNIT || class_size[class] % LPM_NODE_UNIT == 0)
			index = arena->partial[class];
	return index == NO_PAGE ? 0 : block_take(arena, index);
}

void lpm_arena_free(struct pw_lpm_arena *arena, uint64_t offset)
{
	uint32_t index = (uint32_t)(offset / PAGE_SIZE);
	struct page *page = &arena->pages[index];
	unsigned int block;

	if (page->class == CLASS_RUN) {
		run_free(arena, index);
		return;
	}
	block = (unsigned int)(offset % PAGE_SIZE) / class_size[page->class];
	assert(!(page->free[block / 64] >> (block % 64) & 1));
	pw_poison(arena->base + offset, class_size[page->class]);
	page->free[block / 64] |= 1ull << (block % 64);
	if (page->free_count++ == 0)
		partial_link(arena, index);
	if (page->free_count == PAGE_SIZE / class_size[page->class]) {
		partial_unlink(arena, index);
		run_free(arena, index);
	}
}

void lpm_arena_reserve(struct pw_lpm_arena *arena, bool open)
{
	arena->reserve_open = open;
}

static void block_reclaim(void *context, uint64_t offset)
{
	lpm_arena_free(context, offset);
}

void lpm_arena_retire(struct pw_lpm_arena *arena, uint64_t offset)
{
	arena->retire(block_reclaim, arena, offset);
}

void lpm_arena_call_retire(struct pw_lpm_arena *arena, void (*fn)(void *, uint64_t), void *context)
{
	arena->retire(fn, context, 0);
}

uint8_t *lpm_arena_base(struct pw_lpm_arena *arena)
{
	return arena->base;
}

struct lpm_jump *lpm_arena_nowhere(struct pw_lpm_arena *arena)
{
	return (struct lpm_jump *)(arena->base + NOWHERE_OFFSET);
}

static void *reserve(size_t bytes)
{
	void *memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);

	return memory == MAP_FAILED ? NULL : memory;
}

/* Reserves whole chunks, each of them a huge page if the system has them. */
static bool arena_reserve(struct pw_lpm_arena *arena)
{
	size_t reserved = arena->bytes + CHUNK_SIZE;
	uint8_t *memory = reserve(reserved);
	size_t before;

	if (!memory)
		return false;
	before = -(uintptr_t)memory % CHUNK_SIZE;
	if (before)
		munmap(memory, before);
	munmap(memory + before + arena->bytes, CHUNK_SIZE - before);
	arena->base = memory + before;
	madvise(arena->base, arena->bytes, MADV_HUGEPAGE);
	return true;
}

struct pw_lpm_arena *pw_lpm_arena_create(size_t bytes_max, pw_lpm_retire retire)
{
	struct pw_lpm_arena *arena;

	if (bytes_max < BYTES_MIN || bytes_max > BYTES_MAX || !retire) {
		errno = EINVAL;
		return NULL;
	}
	arena = calloc(1, sizeof(*arena));
	if (!arena)
		return NULL;
	arena->retire = retire;
	arena->page_count = bytes_max / (PAGE_SIZE + sizeof(struct page));
	arena->chunk_count = (arena->page_count + CHUNK_PAGES - 1) / CHUNK_PAGES;
	arena->bytes = arena->chunk_count * CHUNK_SIZE;
	arena->chunks = calloc(arena->chunk_count, sizeof(*arena->chunks));
	arena->pages = reserve(arena->page_count * sizeof(*arena->pages));
	if (!arena->chunks || !arena->pages || !arena_reserve(arena)) {
		pw_lpm_arena_destroy(arena);
		errno = ENOMEM;
		return NULL;
	}
	page_mark(arena, 1, arena->page_count - 1, true);
	arena->used_pages = 1;
	arena->reserve_pages = arena->page_count / 64;
	if (arena->reserve_pages < RESERVE_MIN)
		arena->reserve_pages = RESERVE_MIN;
	if (arena->reserve_pages > RESERVE_MAX)
		arena->reserve_pages = RESERVE_MAX;
	((struct lpm_node *)arena->base)->shift = LPM_TOP_SHIFT;
	return arena;
}

void pw_lpm_arena_destroy(struct pw_lpm_arena *arena)
{
	if (!arena)
		return;
	if (arena->base) {
		pw_unpoison(arena->base, arena->bytes);
		munmap(arena->base, arena->bytes);
	}
	if (arena->pages)
		munmap(arena->pages, arena->page_count * sizeof(*arena->pages));
	free(arena->chunks);
	free(arena);
}

size_t pw_lpm_arena_used(const struct pw_lpm_arena *arena)
{
	return arena->used_pages * (PAGE_SIZE + sizeof(struct page));
}
