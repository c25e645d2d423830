/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/seqwindow.h"

#define BLOCK_SHIFT PW_SEQWINDOW_SHIFT
#define BLOCK_MASK  PW_SEQWINDOW_BITS

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

static void raise_top(struct pw_seqwindow *window, uint64_t sequence)
{
	uint64_t top = __atomic_load_n(&window->top, __ATOMIC_RELAXED);

	while (sequence > top && !__atomic_compare_exchange_n(&window->top, &top, sequence, true,
							      __ATOMIC_RELAXED, __ATOMIC_RELAXED))
		;
}

/* Marks numbers of one block. Returns those that were not marked before. */
static uint32_t mark(struct pw_seqwindow *window, uint32_t block, uint32_t bits)
{
	uint64_t *at = &window->words[block & window->mask];
	uint64_t word = __atomic_load_n(at, __ATOMIC_RELAXED);
	uint64_t marked;

	do {
		int32_t ahead = (int32_t)(block - word_block(word));

		if (ahead < 0) /* a later block has the word: too old to tell */
			return 0;
		marked = ahead == 0 ? word | bits : (uint64_t)block << 32 | bits;
		if (marked == word)
			return 0;
	} while (!__atomic_compare_exchange_n(at, &word, marked, true, __ATOMIC_RELAXED,
					      __ATOMIC_RELAXED));
	return word_block(word) == block ? bits & ~(uint32_t)word : bits;
}

bool pw_seqwindow_accept(struct pw_seqwindow *window, uint64_t sequence)
{
	return pw_seqwindow_accept_burst(window, &sequence, 1) != 0;
}

uint64_t pw_seqwindow_accept_burst(struct pw_seqwindow *window, const uint64_t *numbers,
				   unsigned int count)
{
	uint64_t accepted = 0, highest = 0;
	unsigned int first, last;

	for (first = 0; first < count; first = last) {
		uint64_t block = numbers[first] >> BLOCK_SHIFT, top = 0;
		uint32_t bits = 0, new;

		/* A run within one block, without a number twice. */
		for (last = first; last < count && numbers[last] >> BLOCK_SHIFT == block; last++) {
			uint32_t bit = 1u << (numbers[last] & BLOCK_MASK);

			if (bits & bit)
				break;
			bits |= bit;
			top = numbers[last] > top ? numbers[last] : top;
		}
		if (block == 0)
			bits &= ~1u; /* no packet has number 0 */
		new = window->window ? mark(window, (uint32_t)block, bits) : bits;
		if (block != 0 && new == bits) {
			accepted |= (UINT64_MAX >> (64 - (last - first))) << first;
			highest = top > highest ? top : highest;
			continue;
		}
		for (unsigned int i = first; i < last; i++) {
			if (!(new >> (numbers[i] & BLOCK_MASK) & 1))
				continue;
			accepted |= 1ull << i;
			highest = numbers[i] > highest ? numbers[i] : highest;
		}
	}
	if (highest)
		raise_top(window, highest);
	return accepted;
}
