/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES    4  /* of one repetition that is preempted */
#define KEPT_MIN 5  /* repetitions that a row should have, if patience suffices */
#define PATIENCE 20 /* more rounds for those that have fewer */
#define TURNS    3  /* in which the passes take their part of the repetitions */
#define PASSES   17 /* in clear; of each algorithm that options take between PEs and off-net */
#define FOREVER  1e9

static struct pw_bench_options options;
static FILE *frames;

static void progress(const char *format, unsigned int a, unsigned int b)
{
	if (options.quiet || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K");
	fprintf(stderr, format, a, b);
}

static int measure(struct pw_bench_row *row, struct pw_bench_sample *sample)
{
	int ret;

	if (pw_bench_is_lookup(row->work))
		return pw_bench_lookup_measure(row, sample);
	ret = pw_bench_policies_set(row);
	return ret ? ret : pw_bench_measure(row, sample);
}

/* Rows of one algorithm, between PEs or off-net, or in clear: what they need is set up for all of
 * them at once. */
struct pass {
	struct pw_bench_row *rows;
	int count;
	uint32_t peers; /* remote PEs with SAs */
	uint32_t tunnels;
	bool verified;
};

static struct pass pass_at(struct pw_bench_row *rows, int count)
{
	struct pass pass = {.rows = rows};

	while (pass.count < count && rows[pass.count].suite == rows->suite &&
	       pw_bench_is_tunnel(rows[pass.count].work) == pw_bench_is_tunnel(rows->work)) {
		const struct pw_bench_row *row = &rows[pass.count++];
		uint32_t peers = pw_bench_row_peers(row);

		if (pw_bench_is_tunnel(row->work)) {
			pass.tunnels = peers > pass.tunnels ? peers : pass.tunnels;
			peers = 1;
		}
		pass.peers = peers > pass.peers ? peers : pass.peers;
	}
	return pass;
}

/* Every packet of every row is looked at once before anything is timed. */
static int pass_begin(struct pass *pass)
{
	int ret;

	progress("keys and policies", 0, 0);
	ret = pw_bench_security_set(pass->rows->suite, pass->peers, pass->tunnels);
	if (ret || pass->verified)
		return ret;
	progress("checking packets", 0, 0);
	for (int i = 0; i < pass->count && !ret; i++)
		if (!pw_bench_is_lookup(pass->rows[i].work)) {
			ret = pw_bench_policies_set(&pass->rows[i]);
			ret = ret ? ret : pw_bench_verify(&pass->rows[i], frames);
		}
	pass->verified = true;
	return ret;
}

static int measure_row(struct pw_bench_row *row)
{
	int ret = 1;

	for (int try = 0; try < TRIES && ret == 1; try++) {
		ret = measure(row, &row->samples[row->kept]);
		row->discarded += ret == 1;
	}
	row->kept += ret == 0;
	return ret < 0 ? ret : 0;
}

/*
 * Rows in turn, so that whatever slows the machine down meets all of them, until each has been
 * measured @p wanted times in all.
 */
static int pass_measure(struct pass *pass, unsigned int rounds, unsigned int wanted, double until)
{
	for (unsigned int round = 0; round < rounds + PATIENCE; round++) {
		unsigned int enough = wanted;

		if ((round >= rounds || pw_bench_seconds() >= until) && enough > KEPT_MIN)
			enough = KEPT_MIN;
		progress("%u of %u repetitions", wanted - rounds + round + 1, options.repetitions);
		for (int i = 0; i < pass->count; i++) {
			struct pw_bench_row *row = &pass->rows[i];
			int ret = row->absent || row->kept >= enough ? 0 : measure_row(row);

			if (ret)
				return ret;
		}
	}
	return 0;
}

/* The passes in turns, too. */
static int measure_all(struct pw_bench_row *rows, int count)
{
	struct pass passes[PASSES];
	unsigned int pass_count = 0, turns, done = 0, all;
	double start = pw_bench_seconds(), seconds = options.seconds ? options.seconds : FOREVER;
	int ret = 0;

	for (int i = 0; i < count; i += passes[pass_count++].count)
		passes[pass_count] = pass_at(&rows[i], count - i);
	turns = pass_count > 1 && options.repetitions >= TURNS ? TURNS : 1;
	all = turns * pass_count;
	for (unsigned int turn = 1; turn <= turns && !ret; turn++) {
		unsigned int wanted = options.repetitions * turn / turns;
		unsigned int rounds = wanted - options.repetitions * (turn - 1) / turns;

		for (unsigned int i = 0; i < pass_count && !ret; i++) {
			ret = pass_begin(&passes[i]);
			ret = ret ? ret
				  : pass_measure(&passes[i], rounds, wanted,
						 start + seconds * ++done / all);
		}
	}
	progress("", 0, 0);
	return ret;
}

static int report(struct pw_bench_row *rows, int count)
{
	int bad = 0, missed;

	pw_bench_sites_print(stdout);
	pw_bench_lookup_print(stdout);
	pw_bench_print(stdout, rows, count);
	if (options.compare)
		bad |= pw_bench_compare(stdout, options.compare, rows, count) != 0;
	if (options.json)
		bad |= pw_bench_json(options.json, rows, count) != 0;
	if (options.csv)
		bad |= pw_bench_csv(options.csv, rows, count) != 0;
	if (options.plots)
		bad |= pw_bench_plots(options.plots, rows, count) != 0;
	missed = pw_bench_goals(stdout, rows, count);
	if (options.churn) {
		int lost = pw_bench_churn(stdout, rows, count, &options);

		bad |= lost < 0;
		missed += lost;
	}
	return bad || (options.strict && missed);
}

static int frames_open(void)
{
	int ret;

	if (!options.frames)
		return 0;
	frames = fopen(options.frames, "w");
	if (frames)
		return 0;
	ret = -errno;
	fprintf(stderr, "pewter-bench: %s: %s\n", options.frames, strerror(-ret));
	return ret;
}

static int run(struct pw_bench_row *rows, int count)
{
	int ret;

	progress("routes and peers", 0, 0);
	ret = pw_bench_sites_build(&options, rows, count);
	ret = ret ? ret : pw_bench_measure_init(&options);
	ret = ret ? ret : pw_bench_lookup_init(&options, rows, count);
	ret = ret ? ret : frames_open();
	return ret ? ret : measure_all(rows, count);
}

int main(int argc, char **argv)
{
	struct pw_bench_row *rows = NULL;
	int status = 1, count;

	switch (pw_bench_options_parse(argc, argv, &options)) {
	case 0:
		break;
	case 1:
		return 0;
	default:
		return 2;
	}
	count = pw_bench_rows_make(&options, &rows);
	if (count <= 0) {
		fprintf(stderr, "pewter-bench: %s\n",
			count ? strerror(-count) : "these options leave no row");
		return 2;
	}
	if (!pw_bench_daemon_start(&options) && !run(rows, count))
		status = report(rows, count);
	if (frames && fclose(frames)) {
		fprintf(stderr, "pewter-bench: %s: cannot be written\n", options.frames);
		status = 1;
	}
	pw_bench_lookup_fini();
	pw_bench_measure_fini();
	pw_bench_daemon_stop();
	pw_bench_rows_free(rows, count);
	return status;
}
