/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Forwarding while routes change: /28s in the /24s that packets are for come and go. All of them
 * lead where the /24 leads, so that what is right for a packet never changes while the nodes that
 * it is looked up in do. With and without, one repetition after the other; without, the control
 * thread is as busy, doing nothing.
 */
#include "control/bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_pause.h>

#define PLACES     65536 /* of routes that come and go */
#define PARTS      16    /* of a /24 */
#define LENGTH     28
#define BATCH      64 /* changes between two rounds of the event loop */
#define TRIES      8  /* of a pair of repetitions, for each that is wanted */
#define VERIFY     10 /* times that all packets of a row are looked at, beside changes */
#define LOSS_LIMIT 3  /* percent */
#define SPIN       50 /* pauses */

static const struct pw_bench_site *site;
static uint8_t present[PLACES];
static uint32_t places;
static double per_second;
static uint64_t last, changes, random_state = 88172645463325252u;
static uint64_t busy; /* TSC cycles in which changes were wanted */
static double owed;   /* changes */

static uint32_t random_below(uint32_t bound)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)(((random_state & UINT32_MAX) * bound) >> 32);
}

static int change(uint32_t place)
{
	uint32_t route = place / PARTS, each = site->routes / site->vrfs;
	/* Routes far from each other, and VRFs in turn. */
	uint32_t v = route % site->vrfs, j = route / site->vrfs * 7919 % each;
	uint32_t prefix = pw_bench_site_prefix(site, v, j) | (place % PARTS) << (32 - LENGTH);

	present[place] ^= 1;
	changes++;
	if (present[place])
		return pw_bench_site_route(site, v, j, prefix, LENGTH);
	return pw_bench_route_delete(site->table + v, prefix, LENGTH);
}

static int changes_make(void)
{
	uint64_t now = rte_rdtsc();
	int ret = 0;

	owed += per_second * (double)(now - last) / (double)rte_get_tsc_hz();
	busy += per_second > 0 ? now - last : 0;
	last = now;
	if (owed < BATCH) {
		for (unsigned int i = 0; i < SPIN; i++)
			rte_pause();
		return 0;
	}
	owed -= BATCH;
	/* What is missed while this thread does not run is made up for, within reason. */
	if (owed > per_second / 50)
		owed = per_second / 50;
	for (unsigned int i = 0; i < BATCH && !ret; i++)
		ret = change(random_below(places));
	pw_bench_daemon_round();
	return ret;
}

static void changes_begin(unsigned int rate)
{
	per_second = rate;
	last = rte_rdtsc();
	owed = 0;
	pw_bench_meanwhile = changes_make;
}

static void site_set(const struct pw_bench_row *row)
{
	uint32_t all;

	site = pw_bench_site_of(row);
	all = site->routes < PLACES / PARTS ? site->routes : PLACES / PARTS;
	places = all * PARTS;
	memset(present, 0, sizeof(present));
	changes = busy = 0;
}

/* All that came goes. */
static int site_restore(void)
{
	int ret = 0;

	pw_bench_meanwhile = NULL;
	for (uint32_t place = 0; place < places && !ret; place++)
		ret = present[place] ? change(place) : 0;
	pw_bench_daemon_round();
	return ret;
}

/* One repetition of each kind, neither of them preempted: 0; 1: one was; -errno. */
static int pair(struct pw_bench_row *row, unsigned int rate, struct pw_bench_sample samples[2])
{
	int ret;

	changes_begin(0);
	ret = pw_bench_measure(row, &samples[0]);
	if (ret)
		return ret;
	changes_begin(rate);
	return pw_bench_measure(row, &samples[1]);
}

static int verify(const struct pw_bench_row *row, unsigned int rate)
{
	int ret = 0;

	changes_begin(rate);
	for (unsigned int i = 0; i < VERIFY && !ret; i++)
		ret = pw_bench_verify(row, NULL);
	return ret;
}

static int print(FILE *out, const struct pw_bench_row *row, double *whole[2], unsigned int kept)
{
	struct pw_bench_spread without, with;
	double median, least;
	bool met;
	double rate = (double)changes / ((double)busy / (double)rte_get_tsc_hz());
	char text[16];

	if (!kept) {
		fprintf(out, "MISSED  %s: no pair of repetitions was left undisturbed\n",
			pw_bench_work_names[row->work]);
		return 1;
	}
	without = pw_bench_spread(whole[0], kept);
	with = pw_bench_spread(whole[1], kept);
	least = 100 * (1 - without.min / with.min);
	median = 100 * (1 - without.median / with.median);
	met = least <= LOSS_LIMIT || median <= LOSS_LIMIT; /* noise rarely moves both */
	fprintf(out,
		"%s  %s, %s routes, %u bytes, %u worker%s: %.1f / %.1f cycles a packet (whole), "
		"without %.1f / %.1f: loses %.1f %% by minima, %.1f %% by medians of %u pairs; "
		"%.0f changes/s; goal at most %d %%\n",
		met ? "met   " : "MISSED", pw_bench_work_names[row->work],
		pw_bench_count_text(row->routes, text), row->size, row->workers,
		row->workers == 1 ? "" : "s", with.min, with.median, without.min, without.median,
		least, median, kept, rate, LOSS_LIMIT);
	return !met;
}

/* Pairs of repetitions, until there are enough or @p until. 0 or -errno. */
static int measure(struct pw_bench_row *row, const struct pw_bench_options *options, double until,
		   double *whole[2], unsigned int *kept)
{
	struct pw_bench_sample samples[2];
	int ret = 0;

	for (unsigned int i = 0; i < TRIES * options->repetitions; i++) {
		if (ret < 0 || *kept == options->repetitions || pw_bench_seconds() >= until)
			break;
		ret = pair(row, options->churn, samples);
		if (ret)
			continue;
		whole[0][*kept] = samples[0].whole;
		whole[1][(*kept)++] = samples[1].whole;
	}
	return ret < 0 ? ret : 0;
}

static int churn_row(FILE *out, struct pw_bench_row *row, const struct pw_bench_options *options,
		     double until)
{
	double *memory = calloc(2 * options->repetitions, sizeof(*memory));
	double *whole[2] = {memory, memory + options->repetitions};
	unsigned int kept = 0;
	int ret = -ENOMEM, missed;

	site_set(row);
	if (memory)
		ret = pw_bench_policies_set(row);
	ret = ret ? ret : verify(row, options->churn);
	ret = ret ? ret : measure(row, options, until, whole, &kept);
	pw_bench_meanwhile = NULL;
	missed = ret ? 0 : print(out, row, whole, kept);
	ret = ret ? ret : site_restore();
	free(memory);
	return ret ? ret : missed;
}

static bool concerns(const struct pw_bench_row *row)
{
	return !row->suite && !pw_bench_is_lookup(row->work) && row->work != PW_BENCH_DISPOSE;
}

int pw_bench_churn(FILE *out, struct pw_bench_row *rows, int count,
		   const struct pw_bench_options *options)
{
	double start = pw_bench_seconds(), seconds = options->seconds ? options->seconds : 1e9;
	int ret = pw_bench_security_set(NULL, 0, 0), missed = 0, all = 0, done = 0;

	for (int i = 0; i < count; i++)
		all += concerns(&rows[i]);
	fprintf(out,
		"\nBeside %u changes of routes a second (each row's packets were all looked at "
		"before, too):\n",
		options->churn);
	for (int i = 0; i < count && ret >= 0; i++) {
		if (!concerns(&rows[i]))
			continue;
		ret = churn_row(out, &rows[i], options, start + seconds * ++done / all);
		missed += ret > 0;
	}
	return ret < 0 ? ret : missed;
}
