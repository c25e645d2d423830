/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bench/bench.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES    4  /* of one repetition that is preempted */
#define KEPT_MIN 5  /* repetitions that a row should have, if patience suffices */
#define PATIENCE 20 /* more rounds for those that have fewer */

static struct pw_bench_options options;

static void progress(const char *format, unsigned int a, unsigned int b)
{
	if (options.quiet || !isatty(STDERR_FILENO))
		return;
	fprintf(stderr, "\r\033[K");
	fprintf(stderr, format, a, b);
}

static int measure(const struct pw_bench_row *row, struct pw_bench_sample *sample)
{
	return pw_bench_is_lookup(row->work) ? pw_bench_lookup_measure(row, sample)
					     : pw_bench_measure(row, sample);
}

/* Every packet of every row is looked at once before anything is timed. */
static int verify_all(const struct pw_bench_row *rows, int count)
{
	int ret = 0;

	for (int i = 0; i < count && !ret; i++)
		if (!pw_bench_is_lookup(rows[i].work))
			ret = pw_bench_verify(&rows[i]);
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

/* All rows in turn, so that whatever slows the machine down meets all of them. */
static int measure_all(struct pw_bench_row *rows, int count)
{
	unsigned int rounds = options.repetitions + PATIENCE;

	for (unsigned int round = 0; round < rounds; round++) {
		unsigned int enough = options.repetitions;

		if (round >= enough && enough > KEPT_MIN)
			enough = KEPT_MIN;
		progress("round %u of %u", round + 1, options.repetitions);
		for (int i = 0; i < count; i++) {
			int ret = rows[i].absent || rows[i].kept >= enough ? 0
									   : measure_row(&rows[i]);

			if (ret)
				return ret;
		}
	}
	progress("", 0, 0);
	return 0;
}

static int report(const struct pw_bench_row *rows, int count)
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
	return bad || (options.strict && missed);
}

static int run(struct pw_bench_row *rows, int count)
{
	int ret;

	progress("routes and peers", 0, 0);
	ret = pw_bench_sites_build(&options, rows, count);
	ret = ret ? ret : pw_bench_measure_init(&options);
	ret = ret ? ret : pw_bench_lookup_init(&options, rows, count);
	progress("checking packets", 0, 0);
	ret = ret ? ret : verify_all(rows, count);
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
	pw_bench_lookup_fini();
	pw_bench_measure_fini();
	pw_bench_daemon_stop();
	pw_bench_rows_free(rows, count);
	return status;
}
