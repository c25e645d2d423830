/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_STARTUP_H
#define PW_STARTUP_H

#include <stddef.h>

/**
 * Start-up files: each is run by "ip -batch FILE" ("ip -f mpls -batch FILE" when its name ends
 * in ".mpls": a batch is of one family) against our own socket, one after the other, while the
 * event loop serves it. What ip says goes to the log.
 */

/** Called when all are done (@p status 0), or after the first that fails, said in the log. */
typedef void (*pw_startup_fn)(int status);

/**
 * Begins. @p files and @p socket (the API socket's path) must outlive it. 0, or -errno, said in
 * the log. With no files, @p done is called at once.
 */
int pw_startup_run(const char *const *files, size_t count, const char *socket, pw_startup_fn done);

/** Ends what is running. */
void pw_startup_stop(void);

#endif
