/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_SEQWINDOW_H
#define PW_SEQWINDOW_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * Anti-replay window of an inbound SA (RFC 4303 3.4.3, appendix A), shared by any number of
 * threads without a lock.
 *
 * The window is a ring of 64-bit words. A word holds the number of a block of 32 sequence
 * numbers in its upper half and, in its lower half, which of them have been seen. One
 * compare-and-swap marks a number, so a number is accepted exactly once whichever threads race
 * for it; and since a block can only be replaced by a later one that maps to the same word,
 * which is more than a window away, no number within the window is ever refused.
 */
#define PW_SEQWINDOW_MAX 4096

struct pw_seqwindow {
	uint64_t top;    /* highest number accepted; 0 = none */
	uint32_t window; /* numbers that may come late; 0 = no replay check */
	uint32_t mask;   /* words - 1 */
	uint64_t words[];
};

/** Bytes for a window of @p window numbers (0 .. PW_SEQWINDOW_MAX); 0 when that is too many. */
size_t pw_seqwindow_size(uint32_t window);

/**
 * Prepares memory of pw_seqwindow_size() bytes, 8-byte aligned.
 * @param seen  highest number regarded as used already (0 for a new SA)
 */
void pw_seqwindow_init(struct pw_seqwindow *window, uint32_t size, uint64_t seen);

#define PW_SEQWINDOW_SHIFT 5 /* a block is 2^5 numbers */
#define PW_SEQWINDOW_BITS  31

/**
 * The 64-bit number that the 32 bits of a packet stand for with extended sequence numbers
 * (RFC 4303 appendix A2.2), given the highest number accepted so far. Any thread.
 */
static inline uint64_t pw_seqwindow_extend(const struct pw_seqwindow *window, uint32_t low)
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

/** Where the 32 bits of a number's mark are, to be fetched into the cache. */
static inline const void *pw_seqwindow_word(const struct pw_seqwindow *window, uint32_t low)
{
	return &window->words[low >> PW_SEQWINDOW_SHIFT & window->mask];
}

/**
 * Before the ICV is checked: false when the number is too old, seen, or zero. Changes nothing.
 * Any thread.
 */
static inline bool pw_seqwindow_check(const struct pw_seqwindow *window, uint64_t sequence)
{
	uint64_t top = __atomic_load_n(&window->top, __ATOMIC_RELAXED);
	uint32_t block = (uint32_t)(sequence >> PW_SEQWINDOW_SHIFT);
	uint64_t word;
	int32_t ahead;

	if (sequence == 0)
		return false;
	if (window->window == 0 || sequence > top)
		return true;
	if (top - sequence >= window->window)
		return false;
	word = __atomic_load_n(&window->words[block & window->mask], __ATOMIC_RELAXED);
	ahead = (int32_t)(block - (uint32_t)(word >> 32));
	if (ahead != 0)
		return ahead > 0; /* nothing of this block seen yet, or a later one has the word */
	return !(word >> (sequence & PW_SEQWINDOW_BITS) & 1);
}

/**
 * After the ICV was good: marks the number and moves the window. False when another packet with
 * this number got here first, or it has become too old to tell. Any thread.
 */
bool pw_seqwindow_accept(struct pw_seqwindow *window, uint64_t sequence);

/** Numbers that pw_seqwindow_accept_burst() takes at most. */
#define PW_SEQWINDOW_BURST 64

/**
 * The same for @p count numbers of a burst, as if one after the other: neighbours share one
 * atomic operation. Returns the set of those accepted: bit i for numbers[i]. Any thread.
 */
uint64_t pw_seqwindow_accept_burst(struct pw_seqwindow *window, const uint64_t *numbers,
				   unsigned int count);

#endif
