/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bench/bench.h"

#include <errno.h>
#include <string.h>

#include "drivers/crypto.h"

static const char *const *stage_names;

void pw_bench_stages_set(const char *const *names)
{
	stage_names = names;
}

const char *pw_bench_stage_name(unsigned int index)
{
	return stage_names && index < PW_BENCH_STAGES ? stage_names[index] : NULL;
}

/* ---- for people -------------------------------------------------------------------------- */

const char *pw_bench_size_text(uint16_t size, char *text)
{
	if (size == PW_BENCH_IMIX)
		return "imix";
	snprintf(text, 16, "%u", size);
	return text;
}

const char *pw_bench_count_text(uint32_t count, char *text)
{
	if (count >= 1000000 && count % 1000000 == 0)
		snprintf(text, 16, "%um", count / 1000000);
	else if (count >= 1000 && count % 1000 == 0)
		snprintf(text, 16, "%uk", count / 1000);
	else
		snprintf(text, 16, "%u", count);
	return text;
}

/* What tells rows apart, in columns. */
static void print_name(FILE *out, const struct pw_bench_row *row)
{
	bool lookup = pw_bench_is_lookup(row->work);
	char size[16], routes[16], peers[16];

	fprintf(out, "%-14s %5s %6s %5s %-10s %u%-4s |", pw_bench_work_names[row->work],
		lookup ? "-" : pw_bench_size_text(row->size, size),
		pw_bench_count_text(row->routes, routes),
		lookup ? "-" : pw_bench_count_text(row->peers, peers),
		row->suite ? pw_bench_algorithm_name(row->suite) : "-", row->workers,
		row->own ? " own" : "");
}

static void print_heading(FILE *out)
{
	fprintf(out,
		"\n%-14s %5s %6s %5s %-10s %-5s | %6s %6s %13s | %6s %5s | %6s %6s | %5s %5s | "
		"%5s %6s | %4s %s\n",
		"row", "size", "routes", "peers", "algorithm", "w", "cycles", "median", "quartiles",
		"floor", "ratio", "whole", "median", "rx", "tx", "Mpps", "Gbit/s", "fill", "kept");
}

static void print_row(FILE *out, const struct pw_bench_row *row)
{
	char quartiles[32], gbps[16] = "-", floor[16] = "-", ratio[16] = "-";
	struct pw_bench_result result;

	print_name(out, row);
	if (!pw_bench_result(row, &result)) {
		if (row->absent)
			fprintf(out, " not measured: no such table of that many routes\n");
		else
			fprintf(out, " preempted every time (%u repetitions)\n", row->discarded);
		return;
	}
	snprintf(quartiles, sizeof(quartiles), "%.1f-%.1f", result.cycles.low, result.cycles.high);
	if (!pw_bench_is_lookup(row->work))
		snprintf(gbps, sizeof(gbps), "%.2f", result.gbps);
	if (row->suite) {
		snprintf(floor, sizeof(floor), "%.1f", result.floor.min);
		snprintf(ratio, sizeof(ratio), "%.2f", result.ratio);
	}
	fprintf(out,
		" %6.1f %6.1f %13s | %6s %5s | %6.1f %6.1f | %5.1f %5.1f | %5.1f %6s | %4.1f "
		"%u/%u\n",
		result.cycles.min, result.cycles.median, quartiles, floor, ratio, result.whole.min,
		result.whole.median, result.best.receive, result.best.transmit, result.mpps, gbps,
		result.best.fill, row->kept, row->kept + row->discarded);
}

/* Where keys are many, what they cost the cryptography alone. */
static void print_keys(FILE *out, const struct pw_bench_row *rows, int count)
{
	bool any = false;

	for (int i = 0; i < count; i++) {
		struct pw_bench_result result;

		if (!pw_bench_result(&rows[i], &result) || result.floor_keys.min <= 0)
			continue;
		if (!any)
			fprintf(out, "\nThe cryptography alone with the row's keys instead of "
				     "one, minimum and median:\n");
		any = true;
		print_name(out, &rows[i]);
		fprintf(out, " %6.1f %6.1f\n", result.floor_keys.min, result.floor_keys.median);
	}
}

static void print_stages(FILE *out, const struct pw_bench_row *rows, int count)
{
	fprintf(out, "\nCycles a packet by stage, in the repetition with the fewest:\n");
	for (int i = 0; i < count; i++) {
		struct pw_bench_result result;

		if (pw_bench_is_lookup(rows[i].work) || rows[i].workers != rows[0].workers ||
		    !pw_bench_result(&rows[i], &result))
			continue;
		print_name(out, &rows[i]);
		for (unsigned int k = 0; pw_bench_stage_name(k); k++)
			if (result.best.stage[k] >= 0.05)
				fprintf(out, " %s %.1f", pw_bench_stage_name(k),
					result.best.stage[k]);
		fprintf(out, "\n");
	}
}

void pw_bench_print(FILE *out, const struct pw_bench_row *rows, int count)
{
	unsigned int discarded = 0, all = 0;

	print_heading(out);
	for (int i = 0; i < count; i++) {
		print_row(out, &rows[i]);
		discarded += rows[i].discarded;
		all += rows[i].kept + rows[i].discarded;
	}
	print_stages(out, rows, count);
	print_keys(out, rows, count);
	fprintf(out,
		"\ncycles: TSC cycles a packet, all stages (minimum, median, quartiles of the "
		"repetitions); floor: the cryptography\nalone, with one key (minimum); ratio: "
		"cycles to floor (minima); w: workers, which share all SAs unless each has its\n"
		"own; whole: with the bench port's own work (rx, tx) and the poll loop; size: "
		"bytes of the customer's IP packet;\nGbit/s: of these; fill: packets a call of a "
		"stage. %u of %u repetitions were preempted and left out.\n",
		discarded, all);
}

/* ---- for machines ------------------------------------------------------------------------ */

static void json_stages(FILE *out, const struct pw_bench_sample *best)
{
	const char *comma = "";

	fprintf(out, "\"stages\":{");
	for (unsigned int i = 0; pw_bench_stage_name(i); i++)
		if (best->stage[i] != 0) {
			fprintf(out, "%s\"%s\":%.2f", comma, pw_bench_stage_name(i),
				best->stage[i]);
			comma = ",";
		}
	fprintf(out, "}");
}

/* null where there is none. */
static void json_number(FILE *out, const char *key, double value, int digits)
{
	if (value > 0)
		fprintf(out, ",\"%s\":%.*f", key, digits, value);
	else
		fprintf(out, ",\"%s\":null", key);
}

bool pw_bench_json_row(FILE *out, const struct pw_bench_row *row)
{
	bool lookup = pw_bench_is_lookup(row->work);
	struct pw_bench_result result;
	char size[16];

	if (!pw_bench_result(row, &result))
		return false;
	fprintf(out, "{\"work\":\"%s\",\"size\":", pw_bench_work_names[row->work]);
	if (lookup)
		fprintf(out, "null");
	else if (row->size == PW_BENCH_IMIX)
		fprintf(out, "\"imix\"");
	else
		fprintf(out, "%s", pw_bench_size_text(row->size, size));
	fprintf(out, ",\"routes\":%u,\"peers\":%u,\"algorithm\":", row->routes, row->peers);
	if (row->suite)
		fprintf(out, "\"%s\"", pw_bench_algorithm_name(row->suite));
	else
		fprintf(out, "null");
	fprintf(out, ",\"workers\":%u", row->workers);
	fprintf(out, ",\"cycles_min\":%.2f,\"cycles_median\":%.2f", result.cycles.min,
		result.cycles.median);
	fprintf(out, ",\"whole_min\":%.2f,\"whole_median\":%.2f", result.whole.min,
		result.whole.median);
	json_number(out, "floor_min", result.floor.min, 2);
	json_number(out, "ratio", result.ratio, 3);
	fprintf(out, ",\"mpps\":%.3f", result.mpps);
	if (lookup)
		fprintf(out, ",\"gbps\":null,");
	else
		fprintf(out, ",\"gbps\":%.3f,", result.gbps);
	json_stages(out, &result.best);
	fprintf(out, ",\"receive\":%.2f,\"transmit\":%.2f", result.best.receive,
		result.best.transmit);
	json_number(out, "floor_median", result.floor.median, 2);
	json_number(out, "floor_keys_min", result.floor_keys.min, 2);
	fprintf(out, ",\"sas\":%s", !row->suite ? "null" : row->own ? "\"own\"" : "\"shared\"");
	fprintf(out, ",\"cycles_low\":%.2f,\"cycles_high\":%.2f,\"cycles_max\":%.2f",
		result.cycles.low, result.cycles.high, result.cycles.max);
	fprintf(out, ",\"fill\":%.2f,\"kept\":%u,\"discarded\":%u}\n", result.best.fill, row->kept,
		row->discarded);
	return true;
}

static int file_close(FILE *file, const char *path)
{
	bool bad = ferror(file);

	if (!fclose(file) && !bad)
		return 0;
	fprintf(stderr, "pewter-bench: %s: cannot be written\n", path);
	return -EIO;
}

static FILE *file_open(const char *path)
{
	FILE *file = fopen(path, "w");

	if (!file)
		fprintf(stderr, "pewter-bench: %s: %s\n", path, strerror(errno));
	return file;
}

int pw_bench_json(const char *path, const struct pw_bench_row *rows, int count)
{
	FILE *file = file_open(path);

	if (!file)
		return -errno;
	for (int i = 0; i < count; i++)
		pw_bench_json_row(file, &rows[i]);
	return file_close(file, path);
}

static void csv_row(FILE *file, const struct pw_bench_row *row)
{
	struct pw_bench_result result;
	char size[16], floor[32] = ",";

	if (!pw_bench_result(row, &result))
		return;
	if (row->suite)
		snprintf(floor, sizeof(floor), "%.2f,%.3f", result.floor.min, result.ratio);
	fprintf(file, "%s,%s,%u,%u,%s,%u,%s,%.2f,%.2f,%.2f,%.2f,%s,%.3f,%.3f,%.2f,%.2f",
		pw_bench_work_names[row->work],
		pw_bench_is_lookup(row->work) ? "" : pw_bench_size_text(row->size, size),
		row->routes, row->peers, row->suite ? pw_bench_algorithm_name(row->suite) : "",
		row->workers,
		!row->suite ? ""
		: row->own  ? "own"
			    : "shared",
		result.cycles.min, result.cycles.median, result.whole.min, result.whole.median,
		floor, result.mpps, result.gbps, result.best.receive, result.best.transmit);
	for (unsigned int i = 0; pw_bench_stage_name(i); i++)
		fprintf(file, ",%.2f", result.best.stage[i]);
	fprintf(file, "\n");
}

int pw_bench_csv(const char *path, const struct pw_bench_row *rows, int count)
{
	FILE *file = file_open(path);

	if (!file)
		return -errno;
	fprintf(file,
		"work,size,routes,peers,algorithm,workers,sas,cycles_min,cycles_median,whole_min,"
		"whole_median,floor_min,ratio,mpps,gbps,receive,transmit");
	for (unsigned int i = 0; pw_bench_stage_name(i); i++)
		fprintf(file, ",%s", pw_bench_stage_name(i));
	fprintf(file, "\n");
	for (int i = 0; i < count; i++)
		csv_row(file, &rows[i]);
	return file_close(file, path);
}
