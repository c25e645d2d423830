/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_LPM_H
#define PW_LPM_H

#include <stddef.h>
#include <stdint.h>

/**
 * Longest prefix match for IPv4 and IPv6, thousands of tables from one arena.
 *
 * A table maps prefixes to 32-bit values; value 0 means "no route" and is what a lookup
 * returns when nothing matches. Any number of threads may look up while one thread (the
 * control thread) changes the table: nothing a reader can see is edited but by one aligned
 * store, and what is unlinked is handed to the retire callback given to the arena.
 */
struct pw_lpm;
struct pw_lpm_arena;

/** What the arena calls to free a thing after a grace period (same shape as pw_retire()). */
typedef void (*pw_lpm_retire)(void (*fn)(void *context, uint64_t argument), void *context,
			      uint64_t argument);

/**
 * Creates the memory that all tables share. @p bytes_max bounds it (address space is
 * reserved, memory is used as tables grow and given back as they shrink).
 * Returns NULL with errno set: ENOMEM, EINVAL.
 */
struct pw_lpm_arena *pw_lpm_arena_create(size_t bytes_max, pw_lpm_retire retire);

/** Frees the arena. Every table must have been destroyed and reclaimed before. */
void pw_lpm_arena_destroy(struct pw_lpm_arena *arena);

/** Bytes in use by all tables of the arena, nodes and bookkeeping; what is retired counts. */
size_t pw_lpm_arena_used(const struct pw_lpm_arena *arena);

/**
 * Creates an empty table for addresses of @p bits bits: 32 (IPv4) or 128 (IPv6).
 * An empty table costs at most 4 KiB. Returns NULL with errno set: ENOMEM, EINVAL.
 */
struct pw_lpm *pw_lpm_create(struct pw_lpm_arena *arena, unsigned int bits);

/** Unlinks and retires the table with all its prefixes; readers may still be in it. */
void pw_lpm_destroy(struct pw_lpm *lpm);

/**
 * Adds a prefix, or replaces its value.
 * @param prefix  address in network byte order, 4 or 16 bytes; bits past @p length must be 0
 * @param length  prefix length, 0 .. bits
 * @param value   non-zero
 * @return 0, -EINVAL (length, stray bits, value 0), -ENOMEM (nothing changed)
 */
int pw_lpm_add(struct pw_lpm *lpm, const uint8_t *prefix, unsigned int length, uint32_t value);

/**
 * Removes a prefix. Returns 0, -EINVAL, -ENOENT, or -ENOMEM (nothing changed). A full arena
 * keeps memory back for this: -ENOMEM only means that much is retired but not yet reclaimed.
 */
int pw_lpm_delete(struct pw_lpm *lpm, const uint8_t *prefix, unsigned int length);

/**
 * Fetches into the cache what adding or deleting @p n prefixes will touch, with the latencies
 * overlapped: changes nothing, and saves most of the time of changes in random order. Prefixes
 * need not be valid. Control thread.
 * @param lpms      n tables, of any family
 * @param prefixes  n addresses, 4 or 16 bytes
 * @param lengths   n prefix lengths
 */
void pw_lpm_ahead(const struct pw_lpm *const *lpms, const uint8_t *const *prefixes,
		  const uint8_t *lengths, unsigned int n);

/** Exact match: the value of this very prefix, 0 if it is not there. Control thread. */
uint32_t pw_lpm_get(const struct pw_lpm *lpm, const uint8_t *prefix, unsigned int length);

/** Number of prefixes in the table. Control thread. */
size_t pw_lpm_count(const struct pw_lpm *lpm);

/** Longest match of one address (network byte order, 4 or 16 bytes). Any thread. */
uint32_t pw_lpm_lookup(const struct pw_lpm *lpm, const uint8_t *address);

/**
 * Longest match of @p n addresses, each in its own table, with the memory latencies of the
 * burst overlapped. Any thread.
 * @param lpms       n tables (all of the same family; entries may repeat; none NULL)
 * @param addresses  n IPv4 addresses in network byte order, as in the packet
 * @param values     n results, 0 where nothing matched
 */
void pw_lpm_lookup4_bulk(const struct pw_lpm *const *lpms, const uint32_t *addresses,
			 uint32_t *values, unsigned int n);

/** The same in one table. */
void pw_lpm_lookup4_same(const struct pw_lpm *lpm, const uint32_t *addresses, uint32_t *values,
			 unsigned int n);

/** The same for IPv6: @p addresses are pointers to 16 bytes each. */
void pw_lpm_lookup6_bulk(const struct pw_lpm *const *lpms, const uint8_t *const *addresses,
			 uint32_t *values, unsigned int n);

#endif
