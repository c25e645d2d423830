/* SPDX-License-Identifier: BSD-3-Clause */
/* A table of prefixes changes while others look up. */
#include <arpa/inet.h>
#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdbool.h>
#include <string.h>
#include <time.h>

#include "lib/lpm.h"
#include "lpm_fixture.h"

/*
 * One writer, two readers. A reader says at the start of each round which epoch it has seen;
 * the writer frees what it retired when all have seen a later one.
 */
enum { READERS = 2, PREFIXES = 4096 };

static struct {
	struct pw_lpm *ipv4, *ipv6;
	struct pw_lpm *aside; /* empty */
	uint64_t epoch, seen[READERS];
	uint64_t wrong, rounds;
	bool stop;
	struct {
		uint8_t prefix[ADDRESS_SIZE];
		unsigned int length;
	} prefixes[2][PREFIXES]; /* by value; 0 is not one, 1 is the one that stays */
} race;

static void race_drain(void)
{
	uint64_t epoch = __atomic_add_fetch(&race.epoch, 1, __ATOMIC_SEQ_CST);

	for (unsigned int i = 0; i < READERS; i++)
		while (__atomic_load_n(&race.seen[i], __ATOMIC_SEQ_CST) < epoch)
			sched_yield();
	retire_drain();
}

/* The value must be that of a prefix that covers the address, and not shorter than the stable. */
static bool race_legal(unsigned int wide, const uint8_t *address, uint32_t value)
{
	uint8_t prefix[ADDRESS_SIZE];

	if (!value || value >= PREFIXES)
		return false;
	memcpy(prefix, address, sizeof(prefix));
	prefix_mask(prefix, race.prefixes[wide][value].length);
	return memcmp(prefix, race.prefixes[wide][value].prefix, sizeof(prefix)) == 0 &&
	       race.prefixes[wide][value].length >= race.prefixes[wide][1].length;
}

static void *race_reader(void *argument)
{
	unsigned int self = (unsigned int)(uintptr_t)argument;
	uint64_t random = self + 1;
	uint8_t addresses[2][48][ADDRESS_SIZE];
	const struct pw_lpm *tables4[48], *tables6[48];
	const uint8_t *pointers[48];
	uint32_t narrow[48], values[48];

	memset(addresses, 0, sizeof(addresses));
	while (!__atomic_load_n(&race.stop, __ATOMIC_ACQUIRE)) {
		uint64_t epoch = __atomic_load_n(&race.epoch, __ATOMIC_SEQ_CST);

		__atomic_store_n(&race.seen[self], epoch, __ATOMIC_SEQ_CST);
		for (unsigned int i = 0; i < 48; i++) {
			unsigned int value;

			random = random * 6364136223846793005 + 1442695040888963407;
			value = 1 + (unsigned int)(random >> 33) % (PREFIXES - 1);
			for (unsigned int wide = 0; wide < 2; wide++)
				memcpy(addresses[wide][i], race.prefixes[wide][value].prefix,
				       ADDRESS_SIZE);
			addresses[0][i][3] ^= (uint8_t)(random >> 62);
			addresses[1][i][15] ^= (uint8_t)(random >> 62);
			memcpy(&narrow[i], addresses[0][i], 4);
			pointers[i] = addresses[1][i];
			tables4[i] = race.ipv4;
			tables6[i] = race.ipv6;
		}
		pw_lpm_lookup4_bulk(tables4, narrow, values, 48);
		for (unsigned int i = 0; i < 48; i++)
			if (!race_legal(0, addresses[0][i], values[i]))
				__atomic_add_fetch(&race.wrong, 1, __ATOMIC_RELAXED);
		pw_lpm_lookup6_bulk(tables6, pointers, values, 48);
		for (unsigned int i = 0; i < 48; i++)
			if (!race_legal(1, addresses[1][i], values[i]))
				__atomic_add_fetch(&race.wrong, 1, __ATOMIC_RELAXED);
		/* Not all in one table: another way through the code. */
		tables4[47] = race.aside;
		for (unsigned int i = 0; i < 48; i++)
			narrow[i] = inet_addr(i & 1 ? "172.16.1.1" : "172.16.3.3");
		pw_lpm_lookup4_bulk(tables4, narrow, values, 48);
		for (unsigned int i = 0; i < 48; i++)
			if (i == 47 ? values[i] != 0 : values[i] != 2 && values[i] != 3)
				__atomic_add_fetch(&race.wrong, 1, __ATOMIC_RELAXED);
		__atomic_add_fetch(&race.rounds, 1, __ATOMIC_RELAXED);
	}
	__atomic_store_n(&race.seen[self], UINT64_MAX, __ATOMIC_SEQ_CST);
	return NULL;
}

/* Value 1 is the prefix that stays, the others come and go below it. */
static void race_prefixes(void)
{
	static const unsigned int lengths[2][6] = {{24, 24, 28, 32, 20, 18},
						   {48, 64, 128, 56, 40, 36}};

	for (unsigned int wide = 0; wide < 2; wide++)
		for (unsigned int value = 1; value < PREFIXES; value++) {
			uint8_t *prefix = race.prefixes[wide][value].prefix;
			unsigned int length = value == 1 ? 8 : lengths[wide][random_below(6)];

			for (unsigned int byte = 1; byte < (wide ? ADDRESS_SIZE : 4u); byte++)
				prefix[byte] = (uint8_t)random_next();
			prefix[0] = wide ? 0x20 : 10;
			prefix[1] &= 0x13;
			if (value == 1)
				prefix[1] = 0;
			prefix_mask(prefix, length);
			race.prefixes[wide][value].length = length;
		}
}

/*
 * A shorter prefix takes over from a longer one and hands back, and at no time is there
 * neither: make before break.
 */
static void race_handover(void)
{
	assert_int_equal(add4(race.ipv4, 172, 16, 0, 0, 12, 2), 0);
	assert_int_equal(delete4(race.ipv4, 172, 16, 0, 0, 20), 0);
	assert_int_equal(add4(race.ipv4, 172, 16, 0, 0, 20, 3), 0);
	assert_int_equal(delete4(race.ipv4, 172, 16, 0, 0, 12), 0);
}

static void race_change(unsigned int wide, unsigned int value, bool add)
{
	struct pw_lpm *lpm = wide ? race.ipv6 : race.ipv4;
	const uint8_t *prefix = race.prefixes[wide][value].prefix;
	unsigned int length = race.prefixes[wide][value].length;
	int result =
		add ? pw_lpm_add(lpm, prefix, length, value) : pw_lpm_delete(lpm, prefix, length);

	assert_true(result == 0 || (!add && result == -ENOENT));
}

static void test_race(void **state)
{
	struct pw_lpm_arena *arena = pw_lpm_arena_create(64 * MIB, retire);
	pthread_t readers[READERS];
	struct timespec start, now;
	unsigned int step = 0;

	(void)state;
	memset(&race, 0, sizeof(race));
	race_prefixes();
	race.ipv4 = pw_lpm_create(arena, 32);
	race.aside = pw_lpm_create(arena, 32);
	race.ipv6 = pw_lpm_create(arena, 128);
	race_change(0, 1, true);
	race_change(1, 1, true);
	assert_int_equal(add4(race.ipv4, 172, 16, 0, 0, 20, 3), 0);
	/* neighbours, so that the handover is seen through nodes that inherit */
	assert_int_equal(add4(race.ipv4, 172, 16, 1, 2, 32, 9), 0);
	assert_int_equal(add4(race.ipv4, 172, 16, 2, 0, 24, 9), 0);
	for (unsigned int i = 0; i < READERS; i++)
		assert_int_equal(
			pthread_create(&readers[i], NULL, race_reader, (void *)(uintptr_t)i), 0);
	clock_gettime(CLOCK_MONOTONIC, &start);
	do { /* fills and empties, so that the tables grow and shrink under the readers */
		for (unsigned int i = 0; i < 512; i++, step++) {
			unsigned int value = 2 + random_below(PREFIXES - 2);

			race_change(step & 1, value, random_below(100) < (step & 32768 ? 20 : 80));
			if (i % 16 == 0)
				race_handover();
		}
		race_drain();
		clock_gettime(CLOCK_MONOTONIC, &now);
	} while (now.tv_sec - start.tv_sec < 2);
	__atomic_store_n(&race.stop, true, __ATOMIC_RELEASE);
	for (unsigned int i = 0; i < READERS; i++)
		pthread_join(readers[i], NULL);
	print_message("%u changes, %llu reader rounds\n", step, (unsigned long long)race.rounds);
	assert_int_equal(race.wrong, 0);
	assert_true(race.rounds > 100);
	pw_lpm_destroy(race.ipv4);
	pw_lpm_destroy(race.aside);
	pw_lpm_destroy(race.ipv6);
	retire_drain();
	pw_lpm_arena_destroy(arena);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_race),
	};

	lpm_begin();
	return cmocka_run_group_tests(tests, NULL, lpm_end);
}
