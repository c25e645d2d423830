/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_MEMORY_SCAN_H
#define PW_TEST_MEMORY_SCAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Finds secrets in this process's memory. A pattern is kept inverted, so that it is not found
 * in the searcher itself. */
#define SCAN_PATTERN 16

struct scan_pattern {
	uint8_t inverted[SCAN_PATTERN];
};

struct scan_result {
	unsigned int found;
	unsigned int outside; /* of those, not in memory that is locked and left out of dumps */
	uintptr_t last;
	size_t bytes; /* searched */
};

/* @secret is 16 bytes. */
struct scan_pattern scan_pattern(const void *secret);

/* Searches every readable mapping for any of the patterns, at every byte's address. */
struct scan_result scan_memory(const struct scan_pattern *patterns, size_t count);

/* The VmFlags (proc(5)) of the mapping that holds an address; "" when there is none. */
void scan_flags(const void *address, char *flags, size_t bytes);

#endif
