/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_LPM_FIXTURE_H
#define PW_TEST_LPM_FIXTURE_H

/* Random numbers, and what a table of prefixes retires. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "lib/lpm.h"

#define MIB          (1024 * 1024)
#define ADDRESS_SIZE 16

/*
 * Before the tests: the random numbers are those of PW_LPM_SEED, or else others each time, and
 * only tests that fit PW_LPM_TEST are run. And after them.
 */
void lpm_begin(void);
int lpm_end(void **state);

uint64_t random_next(void);
unsigned int random_below(unsigned int n); /* from 0 to n - 1 */

/* For pw_lpm_arena_create(); what was retired waits until it is drained. */
void retire(void (*fn)(void *, uint64_t), void *context, uint64_t argument);
void retire_drain(void);

/* Clears the bits behind the prefix. */
void prefix_mask(uint8_t *prefix, unsigned int length);

int add4(struct pw_lpm *lpm, uint8_t a, uint8_t b, uint8_t c, uint8_t d, unsigned int length,
	 uint32_t value);
int delete4(struct pw_lpm *lpm, uint8_t a, uint8_t b, uint8_t c, uint8_t d, unsigned int length);

#endif
