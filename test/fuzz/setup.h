/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_FUZZ_SETUP_H
#define PW_TEST_FUZZ_SETUP_H

/** Starts the PE with ports core, red0, blue0, core2; exits when it cannot. */
void fuzz_start(void);

/** Runs the shell script @p batch of `ip` commands; @p program is argv[0], beside its build. */
void fuzz_configure(const char *program, const char *batch);

/** Path of the API socket. */
const char *fuzz_socket(void);

#endif
