/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The cryptography alone: the engine's call that the stage makes, over the same buffers with as
 * much in them, burst after burst of the same size; only this call is timed. What it is given is
 * written before, as the bench port and the stages would have left it in the caches.
 */
#include "control/bench/bench.h"

#include <errno.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "dataplane/table/sa.h"
#include "dataplane/worker.h"
#include "drivers/port_bench.h"

#define SHIM  8 /* GRE and a label */
#define PART  4 /* of a repetition's time */
#define WARM  4 /* bursts */
#define TRIES 8
#define MOST  16 /* bursts at once */

struct floor {
	const struct pw_bench_row *row;
	struct pw_bench_lane *lane;
	struct pw_bench_stream stream;
	uint64_t number;
	bool inward; /* opening */
	bool keys;   /* the row's own, else one */
	double cycles;
	int error;
};

static struct floor floors[PW_BENCH_WORKERS];
static uint64_t seed;

static uint32_t peer_of(struct floor *floor)
{
	struct pw_bench_stream *stream = &floor->stream;
	uint32_t of = floor->keys ? pw_bench_stream_random(stream, stream->peers) : 0;

	return stream->peer_first + of * stream->peer_step;
}

/* What esp-output finds: the customer's packet behind room for what is put before it. */
static void outward_make(struct floor *floor, uint32_t at, struct pw_crypto_op *ops)
{
	struct pw_bench_lane *lane = floor->lane;
	uint16_t shim = pw_bench_to_tunnel(floor->row->work) ? 0 : SHIM;
	uint16_t before = shim + pw_bench_esp_before(floor->row->suite);

	for (unsigned int i = 0; i < PW_BENCH_BURST; i++) {
		struct rte_mbuf *mbuf = lane->ring[(lane->head + at + i) & lane->mask];
		uint8_t *customer;
		uint16_t size;

		mbuf->data_off = RTE_PKTMBUF_HEADROOM;
		pw_bench_stream_fill(&floor->stream, &mbuf, 1);
		customer = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, floor->stream.inner);
		size = mbuf->data_len - floor->stream.inner;
		pw_bench_esp_write(customer - before,
				   pw_bench_sa_out(floor->row->work, peer_of(floor)),
				   ++floor->number, size + shim, &ops[i]);
	}
}

/* What esp-input finds. */
static void inward_make(struct floor *floor, uint32_t at, struct pw_crypto_op *ops)
{
	struct pw_bench_lane *lane = floor->lane;
	struct pw_bench_stream *stream = &floor->stream;
	uint16_t before = stream->esp + pw_bench_esp_before(floor->row->suite);

	for (unsigned int i = 0; i < PW_BENCH_BURST; i++) {
		struct rte_mbuf *mbuf = lane->ring[(lane->head + at + i) & lane->mask];
		uint8_t *frame;
		uint16_t length;
		uint32_t peer;

		mbuf->data_off = RTE_PKTMBUF_HEADROOM;
		frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
		length = pw_bench_stream_frame(stream, frame, &peer) - before;
		pw_bench_esp_write(frame + stream->esp,
				   pw_bench_sa_in(stream->work, peer_of(floor)), ++floor->number,
				   length, &ops[i]);
	}
	if (pw_crypto_seal(pw_worker()->crypto, ops, PW_BENCH_BURST))
		floor->error = -EIO;
}

/* Many keys are to be as far from the caches as in the row: not used a burst ago. */
static void floor_run(void *context)
{
	struct floor *floor = context;
	uint64_t until = rte_rdtsc() + pw_bench_run_cycles() / PART, taken = 0;
	bool inward = floor->inward;
	struct pw_crypto_op ops[MOST][PW_BENCH_BURST];
	uint32_t at = 0, group = floor->keys ? MOST : 1;
	unsigned int bursts = 0;

	while (bursts <= WARM || rte_rdtsc() < until) {
		for (uint32_t i = 0; i < group; i++, at += PW_BENCH_BURST)
			(inward ? inward_make : outward_make)(floor, at, ops[i]);
		for (uint32_t i = 0; i < group; i++) {
			uint64_t start = rte_rdtsc_precise();

			if ((inward ? pw_crypto_open : pw_crypto_seal)(pw_worker()->crypto, ops[i],
								       PW_BENCH_BURST))
				floor->error = -EIO;
			if (++bursts > WARM)
				taken += rte_rdtsc_precise() - start;
		}
	}
	floor->cycles = (double)taken / (bursts - WARM) / PW_BENCH_BURST;
}

static int run(const struct pw_bench_row *row, bool inward, bool keys, double *cycles)
{
	void *contexts[PW_BENCH_WORKERS];
	int ret;

	for (uint16_t i = 0; i < row->workers; i++) {
		struct floor *floor = &floors[i];

		memset(floor, 0, sizeof(*floor));
		floor->row = row;
		floor->lane = &pw_bench_lanes[i];
		floor->inward = inward;
		floor->keys = keys;
		pw_bench_stream_init(&floor->stream, row, i, ++seed);
		contexts[i] = floor;
	}
	ret = pw_bench_on_workers(row->workers, floor_run, contexts);
	for (uint16_t i = 0; i < row->workers; i++) {
		if (floors[i].error) {
			fprintf(stderr, "pewter-bench: %s: the engine refuses what it sealed\n",
				pw_bench_algorithm_name(row->suite));
			return floors[i].error;
		}
		*cycles += floors[i].cycles / row->workers;
	}
	return ret;
}

/* What the row's packets are opened with, and what they are sealed with. */
static int both_ways(const struct pw_bench_row *row, bool keys, double *cycles)
{
	int ret = 0;

	*cycles = 0;
	if (pw_bench_is_opened(row->work))
		ret = run(row, true, keys && !pw_bench_to_tunnel(row->work), cycles);
	/* Off-net sites have to do with one remote PE. */
	if (!ret && pw_bench_is_outward(row->work))
		ret = run(row, false, keys && !pw_bench_from_tunnel(row->work), cycles);
	return ret;
}

static int both(const struct pw_bench_row *row, struct pw_bench_sample *sample)
{
	int ret = both_ways(row, false, &sample->floor);

	if (ret || row->peers == 1)
		return ret;
	return both_ways(row, true, &sample->floor_keys);
}

/* What was measured is not thrown away because its floor was preempted. */
int pw_bench_floor(const struct pw_bench_row *row, struct pw_bench_sample *sample)
{
	int ret = 1;

	for (int try = 0; try < TRIES && ret == 1; try++)
		ret = both(row, sample);
	return ret;
}
