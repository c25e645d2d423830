/* SPDX-License-Identifier: BSD-3-Clause */
/* The anti-replay window against a model that remembers everything, and under two threads. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "lib/seqwindow.h"

static struct pw_seqwindow *window_new(uint32_t size, uint64_t seen)
{
	struct pw_seqwindow *window = malloc(pw_seqwindow_size(size));

	assert_non_null(window);
	pw_seqwindow_init(window, size, seen);
	return window;
}

static void test_sizes(void **state)
{
	assert_int_equal(pw_seqwindow_size(PW_SEQWINDOW_MAX + 1), 0);
	assert_true(pw_seqwindow_size(0) > 0);
	assert_true(pw_seqwindow_size(64) < 128);
	assert_true(pw_seqwindow_size(PW_SEQWINDOW_MAX) < 4096);
}

static void test_first_numbers(void **state)
{
	struct pw_seqwindow *window = window_new(64, 0);

	assert_false(pw_seqwindow_check(window, 0));
	assert_false(pw_seqwindow_accept(window, 0));
	assert_true(pw_seqwindow_check(window, 1));
	/* A check alone moves nothing: the packet may be forged. */
	assert_true(pw_seqwindow_check(window, 1));
	assert_true(pw_seqwindow_accept(window, 1));
	assert_false(pw_seqwindow_check(window, 1));
	assert_false(pw_seqwindow_accept(window, 1));
	assert_true(pw_seqwindow_accept(window, 3));
	assert_true(pw_seqwindow_accept(window, 2));
	free(window);
}

static void test_edges(void **state)
{
	static const uint32_t sizes[] = {1, 2, 31, 32, 33, 63, 64, 65, 128, 1000, 4096};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		struct pw_seqwindow *window = window_new(sizes[i], 0);
		uint64_t top = 100000;

		assert_true(pw_seqwindow_accept(window, top));
		/* The oldest number in the window, never seen: exactly once; below it: never. */
		assert_false(pw_seqwindow_check(window, top - sizes[i]));
		if (sizes[i] > 1) {
			assert_true(pw_seqwindow_check(window, top - sizes[i] + 1));
			assert_true(pw_seqwindow_accept(window, top - sizes[i] + 1));
			assert_false(pw_seqwindow_check(window, top - sizes[i] + 1));
		}
		free(window);
	}
}

static void test_off_accepts_all(void **state)
{
	struct pw_seqwindow *window = window_new(0, 0);

	assert_true(pw_seqwindow_accept(window, 5));
	assert_true(pw_seqwindow_check(window, 5));
	assert_true(pw_seqwindow_accept(window, 5));
	assert_true(pw_seqwindow_accept(window, 1));
	assert_int_equal(window->top, 5);
	free(window);
}

static void test_started_late(void **state)
{
	struct pw_seqwindow *window = window_new(64, (1ull << 37) + 17);

	assert_false(pw_seqwindow_check(window, (1ull << 37) + 17));
	assert_false(pw_seqwindow_check(window, (1ull << 37) + 1));
	assert_true(pw_seqwindow_accept(window, (1ull << 37) + 18));
	assert_true(pw_seqwindow_accept(window, (1ull << 37) + 100000));
	assert_true(pw_seqwindow_accept(window, (1ull << 37) + 99999));
	free(window);
}

/* RFC 4303 appendix A: the upper half is told from where the lower one falls. */
static void test_extend(void **state)
{
	struct pw_seqwindow *window = window_new(64, 0);

	assert_int_equal(pw_seqwindow_extend(window, 1), 1);
	assert_int_equal(pw_seqwindow_extend(window, 0xffffffff), 0xffffffff);
	assert_true(pw_seqwindow_accept(window, 0xfffffff0));
	assert_int_equal(pw_seqwindow_extend(window, 0xffffffc0), 0xffffffc0);
	assert_true(pw_seqwindow_extend(window, 5) == 0x100000005ull);
	assert_true(pw_seqwindow_accept(window, 0x100000005ull));
	/* Late ones from before the carry. */
	assert_true(pw_seqwindow_extend(window, 0xfffffff8) == 0xfffffff8ull);
	assert_true(pw_seqwindow_extend(window, 6) == 0x100000006ull);
	assert_true(pw_seqwindow_accept(window, 0xfffffff8ull));
	free(window);
}

#define MODEL 200000

static void model_run(uint32_t size, unsigned int seed)
{
	struct pw_seqwindow *window = window_new(size, 0);
	uint8_t *seen = calloc(MODEL, 1);
	uint64_t top = 0;

	assert_non_null(seen);
	srandom(seed);
	for (int i = 0; i < MODEL; i++) {
		int64_t sequence = (int64_t)top +
				   random() % (random() % 50 ? 2 * size + 4 : 6 * size + 64) -
				   size - 2;
		bool expected;

		if (sequence < 0 || sequence >= MODEL)
			continue;
		expected = sequence > 0 && !seen[sequence] &&
			   ((uint64_t)sequence > top || top - (uint64_t)sequence < size);
		if (pw_seqwindow_check(window, (uint64_t)sequence) != expected)
			fail_msg("seed %u window %u: check(%lld) with top %llu is not %d", seed,
				 size, (long long)sequence, (unsigned long long)top, expected);
		if (!expected)
			continue;
		assert_true(pw_seqwindow_accept(window, (uint64_t)sequence));
		seen[sequence] = 1;
		if ((uint64_t)sequence > top)
			top = (uint64_t)sequence;
	}
	free(seen);
	free(window);
}

static void test_model(void **state)
{
	static const uint32_t sizes[] = {1, 32, 33, 64, 100, 128, 1024, 4096};

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		for (unsigned int seed = 1; seed <= 5; seed++)
			model_run(sizes[i], seed);
}

/* Two threads are offered the same numbers, a little shuffled: each is taken exactly once. */
#define RACE 1000000

struct racer {
	pthread_t thread;
	struct pw_seqwindow *window;
	uint8_t *taken; /* per number, how often this thread was told yes */
	unsigned int seed;
	volatile uint64_t *position; /* how far each has got, so that they stay together */
	int self;
};

static void *race(void *context)
{
	struct racer *racer = context;
	unsigned int seed = racer->seed;

	for (uint64_t base = 1; base + 16 <= RACE; base += 16) {
		uint64_t start = (uint64_t)rand_r(&seed) % 16;

		while (base >
		       __atomic_load_n(&racer->position[1 - racer->self], __ATOMIC_RELAXED) + 512)
			sched_yield();
		__atomic_store_n(&racer->position[racer->self], base, __ATOMIC_RELAXED);
		for (uint64_t i = 0; i < 16; i++) {
			uint64_t sequence = base + (start + i * 5) % 16;

			if (pw_seqwindow_check(racer->window, sequence) &&
			    pw_seqwindow_accept(racer->window, sequence))
				racer->taken[sequence]++;
		}
	}
	__atomic_store_n(&racer->position[racer->self], UINT64_MAX / 2, __ATOMIC_RELAXED);
	return NULL;
}

static void test_two_threads(void **state)
{
	struct pw_seqwindow *window = window_new(1024, 0);
	volatile uint64_t position[2] = {0, 0};
	struct racer racers[2];
	unsigned int missed = 0;

	for (int i = 0; i < 2; i++) {
		racers[i] = (struct racer){.window = window,
					   .seed = 7u + (unsigned int)i,
					   .position = position,
					   .self = i,
					   .taken = calloc(RACE + 1, 1)};
		assert_non_null(racers[i].taken);
	}
	for (int i = 0; i < 2; i++)
		assert_int_equal(pthread_create(&racers[i].thread, NULL, race, &racers[i]), 0);
	for (int i = 0; i < 2; i++)
		pthread_join(racers[i].thread, NULL);
	for (uint64_t sequence = 1; sequence + 16 <= RACE; sequence++) {
		int taken = racers[0].taken[sequence] + racers[1].taken[sequence];

		if (taken > 1)
			fail_msg("number %llu was accepted %d times", (unsigned long long)sequence,
				 taken);
		missed += taken == 0;
	}
	/* Both stay within 512 + 16 of each other, which is within the window. */
	assert_int_equal(missed, 0);
	free(racers[0].taken);
	free(racers[1].taken);
	free(window);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_sizes),        cmocka_unit_test(test_first_numbers),
		cmocka_unit_test(test_edges),        cmocka_unit_test(test_off_accepts_all),
		cmocka_unit_test(test_started_late), cmocka_unit_test(test_extend),
		cmocka_unit_test(test_model),        cmocka_unit_test(test_two_threads),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
