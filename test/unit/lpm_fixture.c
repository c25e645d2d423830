/* SPDX-License-Identifier: BSD-3-Clause */
#include "lpm_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "lib/lpm.h"

/* xorshift64* */
static uint64_t random_state = 1;

uint64_t random_next(void)
{
	random_state ^= random_state >> 12;
	random_state ^= random_state << 25;
	random_state ^= random_state >> 27;
	return random_state * 0x2545f4914f6cdd1d;
}

unsigned int random_below(unsigned int n)
{
	return (unsigned int)(random_next() >> 33) % n;
}

struct retired {
	void (*fn)(void *context, uint64_t argument);
	void *context;
	uint64_t argument;
};

static struct retired *retired;
static size_t retired_count, retired_capacity;

void retire(void (*fn)(void *, uint64_t), void *context, uint64_t argument)
{
	if (retired_count == retired_capacity) {
		retired_capacity = retired_capacity ? 2 * retired_capacity : 1024;
		retired = realloc(retired, retired_capacity * sizeof(*retired));
		assert_non_null(retired);
	}
	retired[retired_count++] = (struct retired){fn, context, argument};
}

void retire_drain(void)
{
	for (size_t i = 0; i < retired_count; i++)
		retired[i].fn(retired[i].context, retired[i].argument);
	retired_count = 0;
}

void prefix_mask(uint8_t *prefix, unsigned int length)
{
	for (unsigned int i = 0; i < ADDRESS_SIZE; i++) {
		unsigned int bits = length > 8 * i ? length - 8 * i : 0;

		if (bits < 8)
			prefix[i] &= (uint8_t)(0xff00 >> bits);
	}
}

int add4(struct pw_lpm *lpm, uint8_t a, uint8_t b, uint8_t c, uint8_t d, unsigned int length,
	 uint32_t value)
{
	uint8_t prefix[4] = {a, b, c, d};

	return pw_lpm_add(lpm, prefix, length, value);
}

int delete4(struct pw_lpm *lpm, uint8_t a, uint8_t b, uint8_t c, uint8_t d, unsigned int length)
{
	uint8_t prefix[4] = {a, b, c, d};

	return pw_lpm_delete(lpm, prefix, length);
}

void lpm_begin(void)
{
	const char *seed = getenv("PW_LPM_SEED");

	random_state = seed ? strtoull(seed, NULL, 0) : (uint64_t)time(NULL) << 20 | 1;
	print_message("PW_LPM_SEED=%llu\n", (unsigned long long)random_state);
	cmocka_set_test_filter(getenv("PW_LPM_TEST"));
}

int lpm_end(void **state)
{
	(void)state;
	free(retired);
	return 0;
}
