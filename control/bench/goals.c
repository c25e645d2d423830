/* SPDX-License-Identifier: BSD-3-Clause */
/* What the dataplane is meant to cost at most, and whether it does. */
#include "control/bench/bench.h"

#include <string.h>

#define TWO_WORKERS 1.9 /* times one */

/* Of one worker. Cycles in the stages, or their ratio to the floor where that is not 0. */
static const struct goal {
	const char *text;
	enum pw_bench_work work;
	uint16_t size;
	uint32_t routes, peers;
	const char *algorithm; /* NULL: in clear */
	double cycles, ratio;
	bool two; /* two workers should do TWO_WORKERS times this */
} goals[] = {
	{"impose, one route", PW_BENCH_IMPOSE, 64, 1, 1, NULL, 45, 0, true},
	{"impose, 1,000,000 routes", PW_BENCH_IMPOSE, 64, 1000000, 1, NULL, 90, 0, true},
	{"impose+esp", PW_BENCH_IMPOSE_ESP, 64, 1, 1, "gcm128", 0, 1.35, true},
	{"impose+esp", PW_BENCH_IMPOSE_ESP, 256, 1, 1, "gcm128", 0, 1.4, false},
	{"impose+esp", PW_BENCH_IMPOSE_ESP, 1400, 1, 1, "gcm128", 0, 1.1, false},
	{"esp+dispose", PW_BENCH_ESP_DISPOSE, 64, 1, 1, "gcm128", 0, 1.5, true},
	{"esp+dispose", PW_BENCH_ESP_DISPOSE, 256, 1, 1, "gcm128", 0, 1.5, false},
	{"esp+dispose", PW_BENCH_ESP_DISPOSE, 1400, 1, 1, "gcm128", 0, 1.15, false},
	{"impose+esp, 1,000,000 routes", PW_BENCH_IMPOSE_ESP, 64, 1000000, 1, "gcm128", 0, 1.9,
	 false},
	{"impose+esp, 1,000,000 routes, 10,000 remote PEs", PW_BENCH_IMPOSE_ESP, 64, 1000000, 10000,
	 "gcm128", 0, 2.5, false},
	{"impose+esp, CBC and SHA-256", PW_BENCH_IMPOSE_ESP, 64, 1, 1, "cbc-sha256", 0, 1.25,
	 false},
	{"impose+esp, CBC and SHA-256", PW_BENCH_IMPOSE_ESP, 1400, 1, 1, "cbc-sha256", 0, 1.1,
	 false},
};

static bool same_algorithm(const struct pw_bench_row *row, const char *name)
{
	if (!row->suite || !name)
		return !row->suite && !name;
	return strcmp(pw_bench_algorithm_name(row->suite), name) == 0;
}

static bool find(const struct pw_bench_row *rows, int count, const struct goal *goal,
		 uint16_t workers, struct pw_bench_result *result)
{
	for (int i = 0; i < count; i++) {
		const struct pw_bench_row *row = &rows[i];

		if (row->work == goal->work && row->size == goal->size &&
		    row->routes == goal->routes && row->peers == goal->peers &&
		    same_algorithm(row, goal->algorithm) && row->workers == workers && !row->own)
			return pw_bench_result(row, result);
	}
	return false;
}

static int judge(FILE *out, const struct goal *goal, const char *unit, double is, const char *words,
		 double wanted, bool met)
{
	fprintf(out, "%s  %s, %u bytes%s: %.2f, goal %s %.2f\n", met ? "met   " : "MISSED",
		goal->text, goal->size, unit, is, words, wanted);
	return !met;
}

/* The whole time; but packets that arrive sealed are copied from memory, which workers share. */
static int judge_two(FILE *out, const struct goal *goal, const struct pw_bench_result *one,
		     const struct pw_bench_result *two)
{
	bool stages = goal->work == PW_BENCH_ESP_DISPOSE;
	double is = stages ? 2 * one->cycles.min / two->cycles.min
			   : 2 * one->whole.min / two->whole.min;

	return judge(out, goal,
		     stages ? ", two workers against one (stages)"
			    : ", two workers against one (whole)",
		     is, "at least", TWO_WORKERS, is >= TWO_WORKERS);
}

int pw_bench_goals(FILE *out, const struct pw_bench_row *rows, int count)
{
	struct pw_bench_result one, two;
	int missed = 0;

	fprintf(out, "\nGoals (minima of the stages):\n");
	for (unsigned int i = 0; i < sizeof(goals) / sizeof(goals[0]); i++) {
		const struct goal *goal = &goals[i];

		if (!find(rows, count, goal, 1, &one))
			continue;
		if (goal->cycles > 0)
			missed += judge(out, goal, ", cycles", one.cycles.min, "at most",
					goal->cycles, one.cycles.min <= goal->cycles);
		else
			missed += judge(out, goal, ", times the floor", one.ratio, "at most",
					goal->ratio, one.ratio <= goal->ratio);
		if (goal->two && find(rows, count, goal, 2, &two))
			missed += judge_two(out, goal, &one, &two);
	}
	return missed;
}
