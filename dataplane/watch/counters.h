/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_WATCH_COUNTERS_H
#define PW_WATCH_COUNTERS_H

#include <stdbool.h>
#include <stdint.h>

#include "dataplane/drops.h"
#include "dataplane/worker.h"

/**
 * Sums of what the workers count. Every counter has one writer, a worker, which goes on while
 * it is read: a sum is exact for each counter at some moment of the call. Control thread.
 */

/** Packets dropped for a reason since the start. */
uint64_t pw_counters_drop(enum pw_drop drop);

/** ... for all reasons but kernel-copy, where the kernel has the packet. */
uint64_t pw_counters_drops(void);

/** How often an event happened since the start. */
uint64_t pw_counters_event(enum pw_event event);

/** Layer-3 counters of an interface. */
void pw_counters_interface(uint32_t interface, struct pw_interface_counters *sum);

struct pw_stage_counters {
	const char *name; /* of the graph node */
	uint16_t order;   /* place in the packet's way, PW_AT_* */
	uint64_t calls;
	uint64_t packets;
	uint64_t cycles; /* TSC */
};

/**
 * The counters of the @p at-th node of a worker's graph. False: there are no more.
 */
bool pw_counters_stage(uint16_t worker, uint32_t at, struct pw_stage_counters *counters);

struct pw_worker_counters {
	uint64_t tsc;        /* when this was read */
	uint64_t busy;       /* TSC cycles in stages, without polls that found nothing */
	uint64_t walks;      /* times round the graph */
	uint64_t idle_walks; /* of these, without a packet */
	uint64_t sleeps;
	uint64_t rx_packets;
	uint64_t drops;
};

/** False: there is no such worker. */
bool pw_counters_worker(uint16_t worker, struct pw_worker_counters *counters);

#endif
