/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CORE_H
#define PW_CORE_H

#include <stddef.h>
#include <stdint.h>

/**
 * What every process that forwards has: the event loop, tables, workers, routes and links, in
 * the order in which they need each other. What differs between the daemon, the bench and the
 * tests (EAL, ports, threads, kernel, sockets) is their own and comes after it.
 */

/** Something that is started, and stopped in the opposite order. */
struct pw_part {
	const char *name; /* NULL: start() says itself what is wrong */
	int (*start)(void);
	void (*stop)(void); /* may be NULL */
};

/**
 * Starts @p count parts in order. 0; or -errno of the one that failed, with a line in the log
 * and those before it stopped again.
 */
int pw_parts_start(const struct pw_part *parts, size_t count);
void pw_parts_stop(const struct pw_part *parts, size_t count);

struct pw_core_options {
	uint16_t workers;   /* made, not launched: see pw_workers_start() */
	unsigned int mbufs; /* packet buffers */
	size_t lpm_bytes;   /* bound of the route tables' memory */
};

/** After EAL and before the first port. As pw_parts_start(). */
int pw_core_start(const struct pw_core_options *options);

/** When the workers' threads have ended and the ports are closed. */
void pw_core_stop(void);

/**
 * The eventfd that makes the event loop take what workers punted: pw_workers_start() wants it,
 * and who steps a worker itself writes to it.
 */
int pw_core_wake_fd(void);

#endif
