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

/**
 * The 64-bit number that the 32 bits of a packet stand for with extended sequence numbers
 * (RFC 4303 appendix A2.2), given the highest number accepted so far. Any thread.
 */
uint64_t pw_seqwindow_extend(const struct pw_seqwindow *window, uint32_t low);

/**
 * Before the ICV is checked: false when the number is too old, seen, or zero. Changes nothing.
 * Any thread.
 */
bool pw_seqwindow_check(const struct pw_seqwindow *window, uint64_t sequence);

/**
 * After the ICV was good: marks the number and moves the window. False when another packet with
 * this number got here first, or it has become too old to tell. Any thread.
 */
bool pw_seqwindow_accept(struct pw_seqwindow *window, uint64_t sequence);

#endif
