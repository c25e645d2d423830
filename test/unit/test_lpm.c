/* SPDX-License-Identifier: BSD-3-Clause */
/* Tables of prefixes: single cases, and what they take of memory. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/lpm.h"
#include "lpm_fixture.h"

static uint32_t lookup4(const struct pw_lpm *lpm, uint8_t a, uint8_t b, uint8_t c, uint8_t d)
{
	uint8_t address[4] = {a, b, c, d};

	return pw_lpm_lookup(lpm, address);
}

static void test_ipv4(void **state)
{
	struct pw_lpm_arena *arena = pw_lpm_arena_create(MIB, retire);
	struct pw_lpm *lpm = pw_lpm_create(arena, 32);

	(void)state;
	assert_int_equal(lookup4(lpm, 10, 0, 0, 1), 0);
	assert_int_equal(delete4(lpm, 0, 0, 0, 0, 0), -ENOENT);
	assert_int_equal(delete4(lpm, 10, 0, 0, 0, 8), -ENOENT);
	assert_int_equal(add4(lpm, 10, 0, 0, 0, 8, 0), -EINVAL);
	assert_int_equal(add4(lpm, 0, 0, 0, 0, 0, 0), -EINVAL);
	assert_int_equal(add4(lpm, 10, 0, 0, 0, 33, 1), -EINVAL);
	assert_int_equal(add4(lpm, 10, 0, 0, 1, 31, 1), -EINVAL);
	assert_int_equal(add4(lpm, 128, 0, 0, 0, 0, 1), -EINVAL);
	assert_int_equal(delete4(lpm, 10, 0, 0, 1, 8), -EINVAL);
	assert_int_equal(delete4(lpm, 10, 0, 0, 0, 129), -EINVAL);
	assert_int_equal(pw_lpm_count(lpm), 0);

	assert_int_equal(add4(lpm, 0, 0, 0, 0, 0, 1), 0);
	assert_int_equal(lookup4(lpm, 0, 0, 0, 0), 1);
	assert_int_equal(lookup4(lpm, 255, 255, 255, 255), 1);
	assert_int_equal(add4(lpm, 0, 0, 0, 0, 32, 2), 0);
	assert_int_equal(add4(lpm, 255, 255, 255, 255, 32, 3), 0);
	assert_int_equal(add4(lpm, 10, 0, 0, 0, 8, 0xffffffff), 0);
	assert_int_equal(add4(lpm, 10, 1, 0, 0, 16, 0x80000000), 0);
	assert_int_equal(add4(lpm, 10, 1, 2, 3, 32, 4), 0);
	assert_int_equal(pw_lpm_count(lpm), 6);
	assert_int_equal(lookup4(lpm, 0, 0, 0, 0), 2);
	assert_int_equal(lookup4(lpm, 0, 0, 0, 1), 1);
	assert_int_equal(lookup4(lpm, 255, 255, 255, 255), 3);
	assert_int_equal(lookup4(lpm, 255, 255, 255, 254), 1);
	assert_int_equal(lookup4(lpm, 10, 1, 2, 3), 4);
	assert_int_equal(lookup4(lpm, 10, 1, 2, 2), 0x80000000);
	assert_int_equal(lookup4(lpm, 10, 2, 0, 0), 0xffffffff);
	assert_int_equal(lookup4(lpm, 11, 0, 0, 0), 1);

	/* replaced, not added; the host route then loses its covering prefix */
	assert_int_equal(add4(lpm, 10, 1, 0, 0, 16, 5), 0);
	assert_int_equal(pw_lpm_count(lpm), 6);
	assert_int_equal(lookup4(lpm, 10, 1, 2, 2), 5);
	assert_int_equal(delete4(lpm, 10, 1, 0, 0, 16), 0);
	assert_int_equal(delete4(lpm, 10, 1, 0, 0, 16), -ENOENT);
	assert_int_equal(delete4(lpm, 10, 1, 2, 2, 31), -ENOENT);
	assert_int_equal(lookup4(lpm, 10, 1, 2, 2), 0xffffffff);
	assert_int_equal(lookup4(lpm, 10, 1, 2, 3), 4);
	assert_int_equal(delete4(lpm, 0, 0, 0, 0, 0), 0);
	assert_int_equal(lookup4(lpm, 11, 0, 0, 0), 0);
	assert_int_equal(pw_lpm_count(lpm), 4);
	pw_lpm_destroy(lpm);
	retire_drain();
	pw_lpm_arena_destroy(arena);
}

static void test_ipv6(void **state)
{
	static const uint8_t host[16] = {0x20, 1, 0xd, 0xb8, 0, 1, 0, 2, 0, 0, 0, 0, 0, 0, 0, 1};
	struct pw_lpm_arena *arena = pw_lpm_arena_create(MIB, retire);
	struct pw_lpm *lpm = pw_lpm_create(arena, 128);
	uint8_t prefix[16] = {0}, other[16];

	(void)state;
	assert_int_equal(pw_lpm_add(lpm, prefix, 129, 1), -EINVAL);
	assert_int_equal(pw_lpm_add(lpm, host, 127, 1), -EINVAL);
	assert_int_equal(pw_lpm_add(lpm, host, 63, 1), -EINVAL);
	assert_int_equal(pw_lpm_add(lpm, host, 64, 1), -EINVAL);
	assert_int_equal(pw_lpm_lookup(lpm, host), 0);
	/* every length at once, each the longest in turn */
	for (unsigned int length = 0; length <= 128; length++) {
		memcpy(prefix, host, sizeof(prefix));
		prefix_mask(prefix, length);
		assert_int_equal(pw_lpm_add(lpm, prefix, length, 1000 + length), 0);
		assert_int_equal(pw_lpm_lookup(lpm, host), 1000 + length);
		assert_int_equal(pw_lpm_get(lpm, prefix, length), 1000 + length);
	}
	assert_int_equal(pw_lpm_count(lpm), 129);
	for (unsigned int bit = 0; bit < 128; bit++) {
		memcpy(other, host, sizeof(other));
		other[bit / 8] ^= (uint8_t)(0x80 >> (bit % 8));
		assert_int_equal(pw_lpm_lookup(lpm, other), 1000 + bit);
	}
	for (unsigned int length = 0; length <= 128; length++) {
		assert_int_equal(pw_lpm_lookup(lpm, host), 1128);
		memcpy(prefix, host, sizeof(prefix));
		prefix_mask(prefix, length);
		assert_int_equal(pw_lpm_delete(lpm, prefix, length), 0);
		assert_int_equal(pw_lpm_get(lpm, prefix, length), 0);
	}
	assert_int_equal(pw_lpm_lookup(lpm, host), 0);
	pw_lpm_destroy(lpm);
	retire_drain();
	pw_lpm_arena_destroy(arena);
}

static void test_create(void **state)
{
	struct pw_lpm_arena *arena;
	struct pw_lpm *lpms[1000];
	size_t before;

	(void)state;
	errno = 0;
	assert_null(pw_lpm_arena_create(MIB, NULL));
	assert_int_equal(errno, EINVAL);
	assert_null(pw_lpm_arena_create(0, retire));
	assert_int_equal(errno, EINVAL);
	arena = pw_lpm_arena_create(4 * MIB, retire);
	assert_non_null(arena);
	errno = 0;
	assert_null(pw_lpm_create(arena, 64));
	assert_int_equal(errno, EINVAL);
	before = pw_lpm_arena_used(arena);
	for (unsigned int i = 0; i < 1000; i++) {
		lpms[i] = pw_lpm_create(arena, i % 2 ? 32 : 128);
		assert_non_null(lpms[i]);
	}
	assert_true(pw_lpm_arena_used(arena) - before <= 1000 * 4096);
	for (unsigned int i = 0; i < 1000; i++)
		pw_lpm_destroy(lpms[i]);
	pw_lpm_destroy(NULL);
	retire_drain();
	assert_int_equal(pw_lpm_arena_used(arena), before);
	pw_lpm_arena_destroy(arena);
	pw_lpm_arena_destroy(NULL);
}

/* Twenty times full and empty, in an order of its own each time, costs no memory. */
static void test_fill_and_empty(void **state)
{
	enum { ROUTES = 20000, TABLES = 4 };
	struct pw_lpm_arena *arena = pw_lpm_arena_create(64 * MIB, retire);
	struct pw_lpm *lpms[2 * TABLES];
	static uint8_t prefixes[ROUTES][ADDRESS_SIZE];
	size_t empty, full = 0;

	(void)state;
	for (unsigned int i = 0; i < 2 * TABLES; i++)
		lpms[i] = pw_lpm_create(arena, i < TABLES ? 32 : 128);
	empty = pw_lpm_arena_used(arena);
	for (unsigned int i = 0; i < ROUTES; i++) {
		for (unsigned int byte = 0; byte < 6; byte++)
			prefixes[i][byte] = (uint8_t)random_next();
		memcpy(&prefixes[i][0], &i, 2); /* all different, the first bits dense */
		prefix_mask(prefixes[i], i % 2 ? 24 : 32);
	}
	for (unsigned int round = 0; round < 20; round++) {
		unsigned int step = 2 * random_below(ROUTES) + 1;

		while (step % 5 == 0)
			step += 2; /* coprime to ROUTES */
		for (unsigned int i = 0; i < ROUTES; i++)
			assert_int_equal(pw_lpm_add(lpms[i % (2 * TABLES)], prefixes[i],
						    i % 2 ? 24 : 32, i + 1),
					 0);
		retire_drain();
		if (!full)
			full = pw_lpm_arena_used(arena);
		assert_true(pw_lpm_arena_used(arena) <= full + full / 50);
		assert_true(full > empty + ROUTES * 16);
		for (unsigned int n = 0; n < ROUTES; n++) {
			unsigned int i = (unsigned int)((uint64_t)n * step % ROUTES);

			assert_int_equal(
				pw_lpm_delete(lpms[i % (2 * TABLES)], prefixes[i], i % 2 ? 24 : 32),
				0);
			if (n % 100 == 0)
				retire_drain();
		}
		retire_drain();
		assert_int_equal(pw_lpm_arena_used(arena), empty);
	}
	for (unsigned int i = 0; i < 2 * TABLES; i++)
		pw_lpm_destroy(lpms[i]);
	retire_drain();
	pw_lpm_arena_destroy(arena);
}

/* A full arena can be emptied, though a delete makes a smaller copy of a node first. */
static void test_full_and_empty(void **state)
{
	enum { GROUP = 12, GROUPS = 65536 };
	struct pw_lpm_arena *arena = pw_lpm_arena_create(MIB / 2, retire);
	struct pw_lpm *lpm = pw_lpm_create(arena, 32);
	unsigned int group, added = 0;
	int result = 0;

	(void)state;
	for (group = 0; group < GROUPS && !result; group++)
		for (unsigned int i = 0; i < GROUP && !result; i++) {
			result = add4(lpm, (uint8_t)(group >> 10), (uint8_t)(group >> 2),
				      (uint8_t)(group << 6 | i * 5), 0, 24, group * GROUP + i + 1);
			added += !result;
			retire_drain();
		}
	assert_int_equal(result, -ENOMEM);
	assert_int_equal(pw_lpm_count(lpm), added);
	group = added / GROUP + 1;
	for (unsigned int i = 0; i < GROUP; i++)
		/* far apart, so that no page is emptied soon */
		for (unsigned int n = 0; n < 41 * group; n++) {
			unsigned int g = n % group * 41 + n / group;
			int expected = g * GROUP + i < added ? 0 : -ENOENT;

			if (g >= group)
				continue;
			assert_int_equal(delete4(lpm, (uint8_t)(g >> 10), (uint8_t)(g >> 2),
						 (uint8_t)(g << 6 | i * 5), 0, 24),
					 expected);
			retire_drain();
		}
	assert_int_equal(pw_lpm_count(lpm), 0);
	pw_lpm_destroy(lpm);
	retire_drain();
	pw_lpm_arena_destroy(arena);
}

/* The product's limit: a million random /24 with all bookkeeping in 128 MiB. */
static void check_million(unsigned int tables)
{
	enum { ROUTES = 1000000 };
	struct pw_lpm_arena *arena = pw_lpm_arena_create(128 * MIB, retire);
	struct pw_lpm **lpms = calloc(tables, sizeof(*lpms));
	size_t count = 0;

	assert_non_null(arena);
	assert_non_null(lpms);
	for (unsigned int i = 0; i < tables; i++)
		lpms[i] = pw_lpm_create(arena, 32);
	while (count < ROUTES) {
		uint64_t random = random_next();
		struct pw_lpm *lpm = lpms[count % tables];
		uint8_t prefix[4] = {(uint8_t)(random >> 32), (uint8_t)(random >> 40),
				     (uint8_t)(random >> 48), 0};
		size_t before = pw_lpm_count(lpm);

		assert_int_equal(pw_lpm_add(lpm, prefix, 24, (uint32_t)count + 1), 0);
		count += pw_lpm_count(lpm) - before;
		retire_drain();
	}
	assert_true(pw_lpm_arena_used(arena) <= 128 * MIB);
	for (unsigned int i = 0; i < tables; i++)
		pw_lpm_destroy(lpms[i]);
	retire_drain();
	free(lpms);
	pw_lpm_arena_destroy(arena);
}

static void test_million_in_one(void **state)
{
	(void)state;
	check_million(1);
}

static void test_million_in_thousand(void **state)
{
	(void)state;
	check_million(1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_create),
		cmocka_unit_test(test_ipv4),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_fill_and_empty),
		cmocka_unit_test(test_full_and_empty),
		cmocka_unit_test(test_million_in_one),
		cmocka_unit_test(test_million_in_thousand),
	};

	lpm_begin();
	return cmocka_run_group_tests(tests, NULL, lpm_end);
}
