/* SPDX-License-Identifier: BSD-3-Clause */
#include "memory_scan.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#define STEP (64u << 10)
/* A sanitizer's shadow: terabytes of nothing. */
#define HUGE_MAPPING (1ull << 30)

struct scan_pattern scan_pattern(const void *secret)
{
	const volatile uint8_t *from = secret;
	struct scan_pattern pattern;

	for (int i = 0; i < SCAN_PATTERN; i++)
		pattern.inverted[i] = (uint8_t)~from[i];
	return pattern;
}

void scan_flags(const void *address, char *flags, size_t bytes)
{
	FILE *smaps = fopen("/proc/self/smaps", "r");
	unsigned long from, to;
	bool here = false;
	char line[512];

	assert_non_null(smaps);
	flags[0] = '\0';
	while (fgets(line, sizeof(line), smaps) != NULL) {
		if (sscanf(line, "%lx-%lx ", &from, &to) == 2) {
			here = (uintptr_t)address >= from && (uintptr_t)address < to;
		} else if (here && strncmp(line, "VmFlags:", 8) == 0) {
			snprintf(flags, bytes, "%s", line + 8);
			break; /* the rest takes the kernel long */
		}
	}
	fclose(smaps);
}

/* Most memory is zero, and that goes fast. No secret is. */
static bool is_zero(const uint8_t *bytes, size_t size)
{
	return bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0;
}

static bool protected(const void *address)
{
	char flags[256];

	scan_flags(address, flags, sizeof(flags));
	return strstr(flags, " lo") != NULL && strstr(flags, " dd") != NULL;
}

/*
 * Returns the pattern that begins at these bytes, or -1. The first two bytes decide mostly. Without
 * a sanitizer's look at each of them: it is the window that is read, over and over.
 */
__attribute__((no_sanitize("address", "thread"))) static inline int match(
	const uint8_t *at, const struct scan_pattern *patterns, size_t count, const uint8_t *first)
{
	if (!first[at[0] | at[1] << 8])
		return -1;
	for (size_t p = 0; p < count; p++) {
		int i = 0;

		while (i < SCAN_PATTERN && (at[i] ^ patterns[p].inverted[i]) == 0xff)
			i++;
		if (i == SCAN_PATTERN)
			return (int)p;
	}
	return -1;
}

struct scan_result scan_memory(const struct scan_pattern *patterns, size_t count)
{
	/* A mapping of its own: the search must not find what it has read. */
	uint8_t *window =
		mmap(NULL, STEP + 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	uint8_t *first = calloc(1, 1 << 16);
	int memory = open("/proc/self/mem", O_RDONLY);
	FILE *maps = fopen("/proc/self/maps", "r");
	struct scan_result result = {0};
	unsigned long from, to;
	char line[512], mode[5];
	int guarded;

	assert_true(window != MAP_FAILED && memory >= 0 && maps != NULL && first != NULL);
	for (size_t p = 0; p < count; p++)
		first[(uint8_t)~patterns[p].inverted[0] | (uint8_t)~patterns[p].inverted[1] << 8] =
			1;
	while (fgets(line, sizeof(line), maps) != NULL) {
		if (sscanf(line, "%lx-%lx %4s", &from, &to, mode) != 3 || mode[0] != 'r' ||
		    strstr(line, "[v") != NULL || to - from > HUGE_MAPPING)
			continue;
		guarded = -1; /* asked once a mapping: the answer takes milliseconds */
		for (unsigned long at = from; at < to; at += STEP) {
			ssize_t got = pread(memory, window, STEP + SCAN_PATTERN - 1, (off_t)at);

			for (ssize_t i = is_zero(window, got) ? got : 0; i + SCAN_PATTERN <= got;
			     i++) {
				if (at + (size_t)i >= (uintptr_t)window &&
				    at + (size_t)i < (uintptr_t)window + STEP + 4096)
					continue;
				if (match(window + i, patterns, count, first) < 0)
					continue;
				result.found++;
				result.last = at + (size_t)i;
				if (guarded < 0)
					guarded = protected((void *)(at + (size_t)i));
				result.outside += !guarded;
			}
			if (got > 0)
				result.bytes += (size_t)got;
		}
	}
	explicit_bzero(window, STEP + 4096);
	fclose(maps);
	close(memory);
	free(first);
	munmap(window, STEP + 4096);
	return result;
}
