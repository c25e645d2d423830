/* SPDX-License-Identifier: BSD-3-Clause */
/* Against the JSON of an earlier run. */
#include "control/bench/bench.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

struct old {
	double min, median;
};

/* Where a key's value begins in a line of our own JSON, or NULL. */
static const char *value_of(const char *line, const char *key)
{
	char quoted[40];
	const char *at;

	snprintf(quoted, sizeof(quoted), "\"%s\":", key);
	at = strstr(line, quoted);
	return at ? at + strlen(quoted) : NULL;
}

static bool number_of(const char *line, const char *key, double *number)
{
	const char *at = value_of(line, key);
	char *end;

	if (!at)
		return false;
	*number = strtod(at, &end);
	return end != at;
}

static bool same_number(const char *line, const char *key, double wanted)
{
	double is;

	return number_of(line, key, &is) && is == wanted;
}

static bool same_text(const char *line, const char *key, const char *wanted)
{
	const char *at = value_of(line, key);
	size_t length = strlen(wanted);

	return at && *at == '"' && !strncmp(at + 1, wanted, length) && at[1 + length] == '"';
}

static bool same_security(const char *line, const struct pw_bench_row *row)
{
	if (!row->suite)
		return !same_text(line, "sas", "own") && !same_text(line, "sas", "shared");
	return same_text(line, "algorithm", pw_bench_algorithm_name(row->suite)) &&
	       same_text(line, "sas", row->own ? "own" : "shared");
}

static bool same_row(const char *line, const struct pw_bench_row *row)
{
	const char *size = value_of(line, "size");

	if (!same_text(line, "work", pw_bench_work_names[row->work]) || !size ||
	    !same_security(line, row))
		return false;
	if (!pw_bench_is_lookup(row->work) &&
	    (row->size == PW_BENCH_IMIX ? strncmp(size, "\"imix\"", 6) != 0
					: !same_number(line, "size", row->size)))
		return false;
	return same_number(line, "routes", row->routes) && same_number(line, "peers", row->peers) &&
	       same_number(line, "workers", row->workers);
}

bool pw_bench_compare_line(const char *line, const struct pw_bench_row *row, double *min,
			   double *median)
{
	return same_row(line, row) && number_of(line, "cycles_min", min) &&
	       number_of(line, "cycles_median", median);
}

static bool old_find(FILE *file, const struct pw_bench_row *row, struct old *old)
{
	char *line = NULL;
	size_t size = 0;
	bool found = false;

	rewind(file);
	while (!found && getline(&line, &size, file) > 0)
		found = pw_bench_compare_line(line, row, &old->min, &old->median);
	free(line);
	return found;
}

static enum pw_bench_verdict compare_row(FILE *out, const struct pw_bench_row *row,
					 const struct pw_bench_result *now, const struct old *old)
{
	static const char *const words[] = {"same", "FASTER", "SLOWER"};
	double band = pw_bench_band(old->min, old->median, now->cycles.min, now->cycles.median);
	enum pw_bench_verdict verdict =
		pw_bench_verdict(old->min, old->median, now->cycles.min, now->cycles.median, band);
	char size[16], routes[16], peers[16];

	fprintf(out,
		"%-14s %5s %6s %5s %-10s %u%-4s | %6.1f -> %6.1f %+6.1f%% | %6.1f -> %6.1f "
		"%+6.1f%% | %5.1f%% %s\n",
		pw_bench_work_names[row->work], pw_bench_size_text(row->size, size),
		pw_bench_count_text(row->routes, routes), pw_bench_count_text(row->peers, peers),
		row->suite ? pw_bench_algorithm_name(row->suite) : "-", row->workers,
		row->own ? " own" : "", old->min, now->cycles.min,
		100 * (now->cycles.min / old->min - 1), old->median, now->cycles.median,
		100 * (now->cycles.median / old->median - 1), band, words[verdict]);
	return verdict;
}

int pw_bench_compare(FILE *out, const char *path, const struct pw_bench_row *rows, int count)
{
	unsigned int verdicts[3] = {0}, missing = 0;
	FILE *file = fopen(path, "r");
	int ret;

	if (!file) {
		ret = -errno;
		fprintf(stderr, "pewter-bench: %s: %s\n", path, strerror(-ret));
		return ret;
	}
	fprintf(out, "\nAgainst %s: cycles' minimum, median, noise band\n", path);
	for (int i = 0; i < count; i++) {
		struct pw_bench_result now;
		struct old old;

		if (pw_bench_result(&rows[i], &now) && old_find(file, &rows[i], &old) &&
		    old.min > 0 && old.median > 0)
			verdicts[compare_row(out, &rows[i], &now, &old)]++;
		else
			missing++;
	}
	fclose(file);
	fprintf(out, "%u the same, %u faster, %u slower; %u rows are not in both\n",
		verdicts[PW_BENCH_SAME], verdicts[PW_BENCH_FASTER], verdicts[PW_BENCH_SLOWER],
		missing);
	return 0;
}
