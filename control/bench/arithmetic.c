/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bench/bench.h"

#include <stdlib.h>

#define BAND_MIN 2.0 /* percent */

const uint16_t pw_bench_imix[PW_BENCH_IMIX_PERIOD] = {64, 576, 64, 64,  576, 64,
						      64, 576, 64, 576, 64,  1500};

uint32_t pw_bench_mix(uint32_t x, unsigned int bits)
{
	const uint32_t mask = (1u << bits) - 1;

	/* Each step can be undone, so different numbers stay different. */
	x = x * 0x2c9277b5u & mask;
	x ^= x >> bits / 2;
	x = x * 0x1b873593u & mask;
	return x ^ x >> bits / 2;
}

double pw_bench_size_mean(uint16_t size)
{
	unsigned int sum = 0;

	if (size != PW_BENCH_IMIX)
		return size;
	for (unsigned int i = 0; i < PW_BENCH_IMIX_PERIOD; i++)
		sum += pw_bench_imix[i];
	return (double)sum / PW_BENCH_IMIX_PERIOD;
}

static int compare_doubles(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

/* Between the two values that @p part of the sorted ones falls between. */
static double quantile(const double *values, unsigned int count, double part)
{
	double at = part * (count - 1);
	unsigned int below = (unsigned int)at;

	if (below + 1 >= count)
		return values[count - 1];
	return values[below] + (at - below) * (values[below + 1] - values[below]);
}

struct pw_bench_spread pw_bench_spread(double *values, unsigned int count)
{
	struct pw_bench_spread spread;

	qsort(values, count, sizeof(*values), compare_doubles);
	spread.min = values[0];
	spread.low = quantile(values, count, 0.25);
	spread.median = quantile(values, count, 0.5);
	spread.high = quantile(values, count, 0.75);
	spread.max = values[count - 1];
	return spread;
}

typedef double (*quantity)(const struct pw_bench_sample *sample);

static double stages_of(const struct pw_bench_sample *sample)
{
	return sample->stages;
}

static double whole_of(const struct pw_bench_sample *sample)
{
	return sample->whole;
}

static double mpps_of(const struct pw_bench_sample *sample)
{
	return sample->mpps;
}

static double floor_of(const struct pw_bench_sample *sample)
{
	return sample->floor;
}

static double floor_keys_of(const struct pw_bench_sample *sample)
{
	return sample->floor_keys;
}

static struct pw_bench_spread spread_of(const struct pw_bench_row *row, quantity of, double *values)
{
	for (unsigned int i = 0; i < row->kept; i++)
		values[i] = of(&row->samples[i]);
	return pw_bench_spread(values, row->kept);
}

bool pw_bench_result(const struct pw_bench_row *row, struct pw_bench_result *result)
{
	unsigned int best = 0;
	double *values;

	if (!row->kept)
		return false;
	values = calloc(row->kept, sizeof(*values));
	if (!values)
		return false;
	for (unsigned int i = 0; i < row->kept; i++)
		if (row->samples[i].stages < row->samples[best].stages)
			best = i;
	result->cycles = spread_of(row, stages_of, values);
	result->whole = spread_of(row, whole_of, values);
	result->floor = spread_of(row, floor_of, values);
	result->floor_keys = spread_of(row, floor_keys_of, values);
	result->ratio = result->floor.min > 0 ? result->cycles.min / result->floor.min : 0;
	result->mpps = spread_of(row, mpps_of, values).median;
	result->best = row->samples[best];
	result->gbps = pw_bench_is_lookup(row->work)
			       ? 0
			       : result->mpps * pw_bench_size_mean(row->size) * 8 / 1000;
	free(values);
	return true;
}

double pw_bench_band(double min_a, double median_a, double min_b, double median_b)
{
	double a = min_a > 0 ? 100 * (median_a - min_a) / min_a : 0;
	double b = min_b > 0 ? 100 * (median_b - min_b) / min_b : 0;
	double band = a > b ? a : b;

	return band > BAND_MIN ? band : BAND_MIN;
}

enum pw_bench_verdict pw_bench_verdict(double old_min, double old_median, double new_min,
				       double new_median, double band)
{
	double up = 1 + band / 100, down = 1 - band / 100;

	if (new_min > old_min * up && new_median > old_median * up)
		return PW_BENCH_SLOWER;
	if (new_min < old_min * down && new_median < old_median * down)
		return PW_BENCH_FASTER;
	return PW_BENCH_SAME;
}
