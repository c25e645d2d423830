/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_CACHE_H
#define PW_TABLE_CACHE_H

#include <stddef.h>

/**
 * Memory for what one worker computed from the tables and keeps while pw_slots_generation stays
 * the same: large, zero, and taken from the machine only where it is used.
 */
void *pw_cache_new(size_t bytes); /* NULL: no memory */
void pw_cache_free(void *cache, size_t bytes);

#endif
