/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_CONFIGURE_H
#define PW_TEST_CONFIGURE_H

/**
 * Runs a shell script whose `ip` speaks to the PE at the API socket @p socket, through the
 * pewter-run of the build in PW_BUILD (build/release without). Meanwhile @p step, which answers
 * it, is called with the milliseconds that it may wait.
 * The script's exit status; or -1, when it was not started or did not end by itself.
 */
int configure_by(const char *socket, const char *script, void (*step)(int timeout_ms));

#endif
