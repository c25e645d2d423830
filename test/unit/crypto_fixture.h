/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_CRYPTO_FIXTURE_H
#define PW_TEST_CRYPTO_FIXTURE_H

#include "drivers/crypto.h"

/* The suite of this name; fails the test when there is none. */
const struct pw_crypto_suite *suite_named(const char *name);

/* qsort() order of 16-byte IVs. */
int compare_iv(const void *a, const void *b);

/* PW_CRYPTO_ARCH=sse|avx|avx2: runs what a lesser processor would. 0, or -EINVAL. */
int arch_from_environment(void);

/*
 * PW_CRYPTO=cryptodev=NAME: runs over that cryptodev, with queue pairs for @workers; EAL is
 * started for it. 0; or what the program is to exit with, and has said why: 77 (skipped) when
 * there is no such device.
 */
int engine_from_environment(unsigned int workers);

/* Does the engine do this suite? All of them do, but some cryptodevs. */
bool suite_usable(const struct pw_crypto_suite *suite);

/* Is the engine intel-ipsec-mb? */
bool engine_is_direct(void);

#endif
