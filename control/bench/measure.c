/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * One repetition. The workers run the daemon's own poll loop; the generator of the bench port,
 * which that loop calls, starts them together, warms up, reads the clocks and the graph's own
 * statistics, and stops. Nothing else is on the packet's way.
 */
#include "control/bench/bench.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_graph_worker.h>
#include <rte_malloc.h>
#include <rte_pause.h>

#include "dataplane/worker.h"
#include "drivers/crypto.h"
#include "drivers/port_bench.h"

#define WARM_PART      3     /* of a repetition, before it, and at least ... */
#define WARM_PACKETS   20000 /* ... so many, so that the row's tables are in the caches again */
#define GAP_MICRO      40
#define ANSWER_MILLI   5000
#define VERIFY_PACKETS 20000
#define BARRIER_MICRO  20000
#define WARM_TIMES     4    /* of a repetition's time: no longer than that */
#define SLOW_PACKET    1500 /* cycles of other ciphers than GCM: more than they take */
#define SLOW_BYTE      8
#define MISSES_CYCLES  2000 /* where each packet has another remote PE */
#define LEAST_CYCLES   60   /* no packet takes fewer */

struct counts {
	uint64_t cycles[PW_BENCH_STAGES];
	uint64_t calls[PW_BENCH_STAGES];
	uint64_t packets[PW_BENCH_STAGES];
	uint64_t receive_cycles, transmit_cycles, received;
	long preempted;
};

enum phase { IDLE, GATHER, WARM, RUN };

/* What one worker does of a repetition; its own but while idle. */
struct job {
	struct pw_bench_stream stream;
	struct pw_bench_sealed *sealed; /* packets come from there, not from the stream */
	enum phase phase;
	uint64_t until, patience, last, start, end;
	bool gap;
	uint64_t packets; /* received before the repetition; verification: still to send */
	uint64_t wrong;   /* verification: not as expected */
	void (*fn)(void *context);
	void *fn_context;
	struct counts before, after;
} __rte_cache_aligned;

int (*pw_bench_meanwhile)(void);

static struct job jobs[PW_BENCH_WORKERS];
static uint64_t run_cycles, gap_cycles, barrier_cycles;
static uint32_t warm_packets;
static uint16_t running;  /* workers of this repetition */
static uint16_t gathered; /* that have come to the start */
static int done_fd = -1;
static const char *stage_names[PW_BENCH_STAGES + 1];
static uint64_t seed;
static uint8_t sealed_frame[2048]; /* the first that was sent when last verified */
static uint16_t sealed_frame_length;
static uint64_t drops_before[PW_DROP_COUNT];

static void count(const struct pw_bench_lane *lane, struct counts *counts)
{
	struct rte_graph *graph = pw_workers[lane->worker]->graph;
	struct rte_node *node;
	rte_graph_off_t offset;
	rte_node_t index;
	struct rusage usage;

	rte_graph_foreach_node(index, offset, graph, node)
	{
		if (index >= PW_BENCH_STAGES)
			break;
		counts->cycles[index] = node->total_cycles;
		counts->calls[index] = node->total_calls;
		counts->packets[index] = node->total_objs;
	}
	counts->receive_cycles = lane->receive_cycles;
	counts->transmit_cycles = lane->transmit_cycles;
	counts->received = lane->receive_packets;
	counts->preempted = getrusage(RUSAGE_THREAD, &usage) ? 0 : usage.ru_nivcsw;
}

/* ---- on the worker ----------------------------------------------------------------------- */

static void finish(struct pw_bench_lane *lane, struct job *job)
{
	job->phase = IDLE;
	__atomic_store_n(&lane->port, PW_BENCH_NO_PORT, __ATOMIC_RELEASE);
	eventfd_write(done_fd, 1);
}

/* All workers of the repetition begin together; one that does not come is not waited for. */
static void gather(struct job *job, uint64_t now)
{
	__atomic_add_fetch(&gathered, 1, __ATOMIC_ACQ_REL);
	while (__atomic_load_n(&gathered, __ATOMIC_ACQUIRE) < running)
		if (rte_rdtsc() - now > barrier_cycles) {
			job->gap = true;
			break;
		} else {
			rte_pause();
		}
	job->last = rte_rdtsc();
	job->until = job->last + run_cycles / WARM_PART;
	job->patience = job->last + run_cycles * WARM_TIMES;
	job->phase = WARM;
}

static bool warm(const struct pw_bench_lane *lane, const struct job *job, uint64_t now)
{
	return now >= job->until &&
	       (now >= job->patience || lane->receive_packets - job->packets > warm_packets);
}

static uint16_t packets_next(struct job *job, struct rte_mbuf **packets, uint16_t n)
{
	if (job->sealed)
		return pw_bench_sealed_take(job->sealed, packets, n);
	pw_bench_stream_fill(&job->stream, packets, n);
	return n;
}

static uint16_t run_end(struct pw_bench_lane *lane, struct job *job, uint64_t now)
{
	job->end = now;
	count(lane, &job->after);
	finish(lane, job);
	return 0;
}

static uint16_t source(struct pw_bench_lane *lane, struct rte_mbuf **packets, uint16_t n,
		       uint64_t now)
{
	struct job *job = lane->context;

	if (job->phase == GATHER) {
		gather(job, now);
		job->packets = lane->receive_packets;
	} else {
		if (job->phase == RUN)
			job->gap |= now - job->last > gap_cycles;
		job->last = now;
		if (job->phase == RUN && now >= job->until)
			return run_end(lane, job, now);
		if (job->phase == WARM && warm(lane, job, now)) {
			count(lane, &job->before);
			job->phase = RUN;
			job->start = job->last = rte_rdtsc();
			job->until = job->start + run_cycles;
		}
	}
	n = n ? packets_next(job, packets, n) : 0;
	/* What was sealed ahead is used up: the repetition is a little shorter. */
	if (job->sealed && job->sealed->next >= job->sealed->count && !n) {
		job->gap |= job->phase != RUN;
		return run_end(lane, job, now);
	}
	return n;
}

static uint16_t source_verify(struct pw_bench_lane *lane, struct rte_mbuf **packets, uint16_t n,
			      uint64_t now)
{
	struct job *job = lane->context;

	/* None left to send, or all of them lost. */
	if (!job->packets || !n) {
		finish(lane, job);
		return 0;
	}
	n = packets_next(job, packets, (uint16_t)RTE_MIN(n, job->packets));
	job->packets = n ? job->packets - n : 0;
	return n;
}

/* Something else than packets, on the worker all the same. */
static uint16_t source_call(struct pw_bench_lane *lane, struct rte_mbuf **packets, uint16_t n,
			    uint64_t now)
{
	struct job *job = lane->context;

	count(lane, &job->before);
	job->fn(job->fn_context);
	count(lane, &job->after);
	finish(lane, job);
	return 0;
}

static void sink_verify(struct pw_bench_lane *lane, uint16_t port, struct rte_mbuf **packets,
			uint16_t n)
{
	struct job *job = lane->context;

	/* Before it is opened. */
	if (lane->worker == 0 && !sealed_frame_length && n) {
		sealed_frame_length = packets[0]->data_len;
		memcpy(sealed_frame, rte_pktmbuf_mtod(packets[0], void *), sealed_frame_length);
	}
	for (uint16_t i = 0; i < n; i++)
		job->wrong += !pw_bench_stream_check(&job->stream, port, packets[i]);
}

/* ---- on the control thread --------------------------------------------------------------- */

static uint64_t drops(enum pw_drop reason)
{
	uint64_t sum = 0;

	for (uint16_t i = 0; i < pw_worker_count; i++)
		sum += pw_workers[i]->drops[reason];
	return sum;
}

/* As poll() with a timeout of ANSWER_MILLI. */
static int wait_event(void)
{
	struct pollfd wait = {.fd = done_fd, .events = POLLIN};
	double until = pw_bench_seconds() + ANSWER_MILLI / 1000.0;
	int ret = 0;

	if (!pw_bench_meanwhile)
		return poll(&wait, 1, ANSWER_MILLI);
	while (!ret && pw_bench_seconds() < until) {
		ret = pw_bench_meanwhile();
		ret = ret ? ret : poll(&wait, 1, 0);
	}
	return ret;
}

static int wait_done(uint16_t workers)
{
	eventfd_t value;

	for (uint16_t done = 0; done < workers; done += (uint16_t)value) {
		value = 0;
		if (wait_event() <= 0) {
			fprintf(stderr,
				"pewter-bench: a worker does not answer: %lu packets handed out, "
				"%lu came back\n",
				(unsigned long)pw_bench_lanes[0].receive_packets,
				(unsigned long)pw_bench_lanes[0].transmit_packets);
			return -ETIMEDOUT;
		}
		eventfd_read(done_fd, &value);
	}
	return 0;
}

static uint32_t lost(const struct pw_bench_row *row)
{
	uint32_t sum = 0;

	for (uint16_t i = 0; i < row->workers; i++)
		sum += pw_bench_lane_missing(&pw_bench_lanes[i]);
	return sum;
}

/* Every packet must have come back: what was dropped is a mistake of set-up or dataplane. */
static int check_lost(const struct pw_bench_row *row)
{
	if (!lost(row))
		return 0;
	fprintf(stderr, "pewter-bench: %s lost %u packets:", pw_bench_work_names[row->work],
		lost(row));
	for (enum pw_drop reason = PW_DROP_NONE + 1; reason < PW_DROP_COUNT; reason++)
		if (drops(reason) != drops_before[reason])
			fprintf(stderr, " %s", pw_drop_name(reason));
	fprintf(stderr, "\n");
	return -EIO;
}

/* A packet that was dropped went back to the pool: the lane gets another. */
static int lane_refill(struct pw_bench_lane *lane)
{
	while (pw_bench_lane_missing(lane)) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);

		if (!mbuf)
			return -ENOMEM;
		lane->ring[lane->tail++ & lane->mask] = mbuf;
	}
	return 0;
}

/*
 * Two workers share a window: when one is stopped for long, the other moves the window past
 * what the first has in hand. That is no mistake of the dataplane's, but the repetition is lost.
 * 0; 1: that was it; -errno.
 */
static int lost_check(const struct pw_bench_row *row)
{
	uint64_t replays = drops(PW_DROP_ESP_REPLAY) - drops_before[PW_DROP_ESP_REPLAY];
	int ret = 0;

	if (!lost(row) || row->own || row->workers == 1 || lost(row) != replays)
		return check_lost(row);
	for (uint16_t i = 0; i < row->workers && !ret; i++)
		ret = lane_refill(&pw_bench_lanes[i]);
	return ret ? ret : 1;
}

/* Where there is only one of everything, it is in the caches soon. */
static uint32_t warm_of(const struct pw_bench_row *row)
{
	return row->routes == 1 && row->peers == 1 ? WARM_PACKETS / 10 : WARM_PACKETS;
}

/* Enough packets for what a repetition took so far, or could. */
static int seal_ahead(const struct pw_bench_row *row, bool marked)
{
	uint64_t most =
		warm_of(row) +
		run_cycles / (LEAST_CYCLES + (unsigned int)pw_bench_size_mean(row->size) / 8);

	if (marked)
		most = VERIFY_PACKETS;
	if (!row->own && (!row->used || marked))
		most *= row->workers;
	if (row->used && !marked)
		most = row->used + row->used / 4 + WARM_PACKETS / 10;
	return pw_bench_seal_ahead(row, (uint32_t)RTE_MIN(most, UINT32_MAX / 2), marked,
				   seed += row->workers);
}

/*
 * Some ciphers, and tables that no cache holds, keep a worker busy with one burst for longer than
 * a disturbance takes.
 */
static uint64_t gap_of(const struct pw_bench_row *row)
{
	uint64_t gap = GAP_MICRO * (rte_get_tsc_hz() / 1000000);

	if (row->peers > 1)
		gap += PW_BENCH_BURST * MISSES_CYCLES;
	if (row->suite && row->suite->method != PW_CRYPTO_GCM)
		gap += PW_BENCH_BURST * (pw_bench_is_tunnel(row->work) ? 2 : 1) *
		       (SLOW_PACKET + SLOW_BYTE * (uint64_t)pw_bench_size_mean(row->size));
	return gap;
}

static int run(const struct pw_bench_row *row, pw_bench_source from, pw_bench_sink to)
{
	uint16_t port = pw_bench_is_inward(row->work) ? pw_bench_port_core : pw_bench_port_ce;

	if (pw_bench_is_opened(row->work)) {
		int ret = seal_ahead(row, to != NULL);

		if (ret)
			return ret;
	}
	for (enum pw_drop reason = 0; reason < PW_DROP_COUNT; reason++)
		drops_before[reason] = drops(reason);
	gap_cycles = gap_of(row);
	warm_packets = warm_of(row);
	running = row->workers;
	gathered = 0;
	for (uint16_t i = 0; i < row->workers; i++) {
		struct pw_bench_lane *lane = &pw_bench_lanes[i];
		struct job *job = &jobs[i];

		memset(job, 0, sizeof(*job));
		job->phase = GATHER;
		pw_bench_stream_init(&job->stream, row, i, ++seed);
		job->sealed = pw_bench_sealed_of(row, i);
		if (to) {
			job->stream.marked = true;
			job->packets = VERIFY_PACKETS;
		}
		lane->context = job;
		lane->source = from;
		lane->sink = to;
	}
	for (uint16_t i = 0; i < row->workers; i++)
		__atomic_store_n(&pw_bench_lanes[i].port, port, __ATOMIC_RELEASE);
	return wait_done(row->workers);
}

static void frame_print(const struct pw_bench_row *row, FILE *frames)
{
	uint16_t length;

	if (pw_bench_is_opened(row->work)) {
		const uint8_t *frame = pw_bench_sealed_first(&length);

		pw_bench_frame_print(frames, row, frame, length);
	}
	if (pw_bench_is_outward(row->work))
		pw_bench_frame_print(frames, row, sealed_frame, sealed_frame_length);
}

int pw_bench_verify(const struct pw_bench_row *row, FILE *frames)
{
	uint64_t wrong = 0;
	int ret;

	sealed_frame_length = 0;
	ret = run(row, source_verify, sink_verify);
	ret = ret ? ret : lost_check(row);
	ret = ret < 0 ? ret : 0;
	for (uint16_t i = 0; i < row->workers; i++)
		wrong += jobs[i].wrong;
	if (!ret && frames && row->suite)
		frame_print(row, frames);
	if (ret || !wrong)
		return ret;
	fprintf(stderr, "pewter-bench: %s, %u routes, %u peers: %lu packets came out wrong\n",
		pw_bench_work_names[row->work], row->routes, row->peers, (unsigned long)wrong);
	return -EIO;
}

/* Adds one worker's part; cycles and packets are sums until sample_finish() divides. */
static void sample_add(struct pw_bench_sample *sample, const struct job *job, uint64_t *packets,
		       uint64_t *calls, uint64_t *moved)
{
	const struct counts *a = &job->before, *b = &job->after;

	for (unsigned int i = 0; stage_names[i]; i++) {
		double cycles = (double)(b->cycles[i] - a->cycles[i]);

		if (!strcmp(stage_names[i], "port-receive"))
			cycles -= (double)(b->receive_cycles - a->receive_cycles);
		else if (!strcmp(stage_names[i], "port-transmit"))
			cycles -= (double)(b->transmit_cycles - a->transmit_cycles);
		sample->stage[i] += cycles;
		sample->stages += cycles;
		*moved += b->packets[i] - a->packets[i];
		*calls += b->packets[i] != a->packets[i] ? b->calls[i] - a->calls[i] : 0;
	}
	sample->receive += (double)(b->receive_cycles - a->receive_cycles);
	sample->transmit += (double)(b->transmit_cycles - a->transmit_cycles);
	sample->whole += (double)(job->end - job->start);
	sample->mpps += (double)(b->received - a->received) / (double)(job->end - job->start) *
			(double)rte_get_tsc_hz() / 1e6;
	*packets += b->received - a->received;
}

static void sample_finish(struct pw_bench_sample *sample, uint64_t packets, uint64_t calls,
			  uint64_t moved)
{
	double each = (double)packets;

	for (unsigned int i = 0; i < PW_BENCH_STAGES; i++)
		sample->stage[i] /= each;
	sample->stages /= each;
	sample->receive /= each;
	sample->transmit /= each;
	sample->whole /= each;
	sample->fill = calls ? (double)moved / (double)calls : 0;
}

int pw_bench_measure(struct pw_bench_row *row, struct pw_bench_sample *sample)
{
	uint64_t packets = 0, calls = 0, moved = 0;
	bool disturbed = false;
	int ret = run(row, source, NULL);

	for (uint16_t i = 0; i < row->workers && !ret; i++)
		disturbed |= jobs[i].gap || jobs[i].after.preempted != jobs[i].before.preempted;
	ret = ret ? ret : lost_check(row);
	if (ret || disturbed)
		return ret ? ret : 1;
	row->used = RTE_MAX(row->used, pw_bench_sealed_used(row));
	memset(sample, 0, sizeof(*sample));
	for (uint16_t i = 0; i < row->workers; i++)
		sample_add(sample, &jobs[i], &packets, &calls, &moved);
	if (!packets)
		return 1;
	sample_finish(sample, packets, calls, moved);
	return row->suite ? pw_bench_floor(row, sample) : 0;
}

int pw_bench_on_workers(uint16_t workers, void (*fn)(void *context), void *const contexts[])
{
	bool preempted = false;
	int ret;

	for (uint16_t i = 0; i < workers; i++) {
		struct pw_bench_lane *lane = &pw_bench_lanes[i];
		struct job *job = &jobs[i];

		memset(job, 0, sizeof(*job));
		job->fn = fn;
		job->fn_context = contexts[i];
		lane->context = job;
		lane->source = source_call;
		lane->sink = NULL;
		__atomic_store_n(&lane->port, pw_bench_port_ce, __ATOMIC_RELEASE);
	}
	ret = wait_done(workers);
	for (uint16_t i = 0; i < workers; i++)
		preempted |= jobs[i].after.preempted != jobs[i].before.preempted;
	return ret ? ret : preempted;
}

int pw_bench_on_worker(void (*fn)(void *context), void *context)
{
	return pw_bench_on_workers(1, fn, &context);
}

uint64_t pw_bench_run_cycles(void)
{
	return run_cycles;
}

int pw_bench_measure_init(const struct pw_bench_options *options)
{
	struct rte_graph *graph = pw_workers[0]->graph;
	uint64_t microsecond = rte_get_tsc_hz() / 1000000;
	struct rte_node *node;
	rte_graph_off_t offset;
	rte_node_t index;

	run_cycles = options->microseconds * microsecond;
	barrier_cycles = BARRIER_MICRO * microsecond;
	rte_graph_foreach_node(index, offset, graph, node)
	{
		if (index >= PW_BENCH_STAGES)
			return -E2BIG;
		stage_names[index] = node->name;
	}
	pw_bench_stages_set(stage_names);
	done_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	return done_fd < 0 ? -errno : 0;
}

void pw_bench_measure_fini(void)
{
	if (done_fd >= 0)
		close(done_fd);
	done_fd = -1;
	pw_bench_sealed_free();
}
