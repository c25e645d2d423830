/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_DRIVERS_PORT_BENCH_H
#define PW_DRIVERS_PORT_BENCH_H

#include <stdint.h>

#include <rte_mbuf.h>

/**
 * The bench port: an ethdev whose receive function asks a generator for packets and whose
 * transmit function takes them back, without a copy. Its own cost is counted, so that it can be
 * told from that of the stages.
 *
 * One lane is one worker's supply: packets wait in a ring, are handed out in order, and come
 * back at its other end from whichever port they are sent out of. What the worker drops does not
 * come back, so a lane that is not full again after a run has lost packets.
 */
struct pw_bench_lane;

/**
 * Writes headers into at most @p n packets of @p packets and sets their lengths; the mbufs are
 * as freshly received. Returns how many are to be received now. @p now is the TSC.
 */
typedef uint16_t (*pw_bench_source)(struct pw_bench_lane *lane, struct rte_mbuf **packets,
				    uint16_t n, uint64_t now);

/** Looks at frames that were sent out of @p port. */
typedef void (*pw_bench_sink)(struct pw_bench_lane *lane, uint16_t port, struct rte_mbuf **packets,
			      uint16_t n);

#define PW_BENCH_NO_PORT UINT16_MAX

struct pw_bench_lane {
	uint16_t port; /* Pewter's port that receives now, PW_BENCH_NO_PORT = none */
	uint16_t worker;
	uint32_t mask;
	uint32_t head, tail; /* handed out; come back */
	struct rte_mbuf **ring;
	pw_bench_source source;
	pw_bench_sink sink; /* NULL: nobody looks */
	void *context;
	uint64_t receive_cycles, transmit_cycles;
	uint64_t receive_packets, transmit_packets;
} __rte_cache_aligned;

/** Takes @p count packets (a power of two) of pw_mbuf_pool into the lane. 0 or -ENOMEM. */
int pw_bench_lane_init(struct pw_bench_lane *lane, uint16_t worker, uint32_t count);
void pw_bench_lane_fini(struct pw_bench_lane *lane);

/** Packets that are not in the lane: on their way, or lost. */
static inline uint32_t pw_bench_lane_missing(const struct pw_bench_lane *lane)
{
	return lane->mask + 1 - (lane->tail - lane->head);
}

/**
 * Makes a bench port @p name whose queue i is served by @p lanes[i], one for each worker.
 * Control thread, before the workers start. Its index, or -errno with a sentence in @p error.
 */
int pw_bench_port_open(const char *name, struct pw_bench_lane *lanes, char *error, size_t size);

#endif
