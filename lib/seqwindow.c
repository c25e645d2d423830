/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/seqwindow.h"

#define BLOCK_SHIFT 5
#define BLOCK_MASK  31

/* One block more than the window spans, since its edges rarely fall on a block's. */
static uint32_t word_count(uint32_t window)
{
	uint32_t words = 1;

	while (words < (window >> BLOCK_SHIFT) + 2)
		words *= 2;
	return words;
}

size_t pw_seqwindow_size(uint32_t window)
{
	if (window > PW_SEQWINDOW_MAX)
		return 0;
	return sizeof(struct pw_seqwindow) + word_count(window) * sizeof(uint64_t);
}

static uint32_t word_block(uint64_t word)
{
	return (uint32_t)(word >> 32);
}

void pw_seqwindow_init(struct pw_seqwindow *window, uint32_t size, uint64_t seen)
{
	uint32_t words = word_count(size);
	uint64_t newest = seen >> BLOCK_SHIFT;

	window->top = seen;
	window->window = size;
	window->mask = words - 1;
	/* Every word holds the latest block up to the newest that maps to it, all of it seen. */
	for (uint32_t i = 0; i < words; i++) {
		uint64_t block = newest - ((newest - i) & window->mask);
		uint32_t bits = UINT32_MAX;

		if (block == newest) {
			unsigned int last = seen & BLOCK_MASK;

			bits = last == BLOCK_MASK ? UINT32_MAX : (2u << last) - 1;
		}
		window->words[i] = block << 32 | bits;
	}
}

uint64_t pw_seqwindow_extend(const struct pw_seqwindow *window, uint32_t low)
{
	uint64_t top = __atomic_load_n(&window->top, __ATOMIC_RELAXED);
	uint32_t top_low = (uint32_t)top;
	uint64_t high = top >> 32;
	uint32_t span = window->window ? window->window : PW_SEQWINDOW_MAX;

	if (top_low >= span - 1) {
		/* The window lies within one subspace: below its bottom means the next one. */
		if (low < top_low - span + 1)
			high++;
	} else if (low >= top_low - span + 1 && high > 0) {
		/* The window reaches back into the subspace before. */
		high--;
	}
	return high << 32 | low;
}

bool pw_seqwindow_check(const struct pw_seqwindow *window, uint64_t sequence)
{
	uint64_t top = __atomic_load_n(&window->top, __ATOMIC_RELAXED);
	uint32_t block = (uint32_t)(sequence >> BLOCK_SHIFT);
	uint64_t word;
	int32_t ahead;

	if (sequence == 0)
		return false;
	if (window->window == 0 || sequence > top)
		return true;
	if (top - sequence >= window->window)
		return false;
	word = __atomic_load_n(&window->words[block & window->mask], __ATOMIC_RELAXED);
	ahead = (int32_t)(block - word_block(word));
	if (ahead != 0)
		return ahead > 0; /* nothing of this block seen yet, or a later one has the word */
	return !(word >> (sequence & BLOCK_MASK) & 1);
}

static void raise_top(struct pw_seqwindow *window, uint64_t sequence)
{
	uint64_t top = __atomic_load_n(&window->top, __ATOMIC_RELAXED);

	while (sequence > top && !__atomic_compare_exchange_n(&window->top, &top, sequence, true,
							      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

bool pw_seqwindow_accept(struct pw_seqwindow *window, uint64_t sequence)
{
	uint32_t block = (uint32_t)(sequence >> BLOCK_SHIFT);
	uint64_t bit = 1ull << (sequence & BLOCK_MASK);
	uint64_t *at = &window->words[block & window->mask];
	uint64_t word = __atomic_load_n(at, __ATOMIC_RELAXED);
	uint64_t marked;

	if (sequence == 0)
		return false;
	do {
		int32_t ahead = (int32_t)(block - word_block(word));

		if (window->window == 0)
			break;
		if (ahead < 0) /* a later block has the word: too old to tell */
			return false;
		if (ahead == 0 && word & bit)
			return false;
		marked = ahead == 0 ? word | bit : (uint64_t)block << 32 | bit;
	} while (!__atomic_compare_exchange_n(at, &word, marked, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	raise_top(window, sequence);
	return true;
}
