/* SPDX-License-Identifier: BSD-3-Clause */
/* The bench's own arithmetic and what it writes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "control/bench/bench.h"

static void close_to(double is, double wanted)
{
	if (is < wanted - 1e-9 || is > wanted + 1e-9)
		fail_msg("%g instead of %g", is, wanted);
}

static void spread_of_values(void **state)
{
	double odd[] = {9, 1, 5, 3, 7};
	double even[] = {4, 1, 3, 2};
	double one[] = {42};
	struct pw_bench_spread spread = pw_bench_spread(odd, 5);

	close_to(spread.min, 1);
	close_to(spread.low, 3);
	close_to(spread.median, 5);
	close_to(spread.high, 7);
	close_to(spread.max, 9);
	spread = pw_bench_spread(even, 4);
	close_to(spread.low, 1.75);
	close_to(spread.median, 2.5);
	close_to(spread.high, 3.25);
	spread = pw_bench_spread(one, 1);
	close_to(spread.min, 42);
	close_to(spread.low, 42);
	close_to(spread.median, 42);
	close_to(spread.max, 42);
}

static void imix_is_seven_four_one(void **state)
{
	unsigned int small = 0, middle = 0, large = 0;

	for (unsigned int i = 0; i < PW_BENCH_IMIX_PERIOD; i++) {
		small += pw_bench_imix[i] == 64;
		middle += pw_bench_imix[i] == 576;
		large += pw_bench_imix[i] == 1500;
	}
	assert_int_equal(small, 7);
	assert_int_equal(middle, 4);
	assert_int_equal(large, 1);
	close_to(pw_bench_size_mean(PW_BENCH_IMIX), (7 * 64 + 4 * 576 + 1500) / 12.0);
	close_to(pw_bench_size_mean(512), 512);
}

static void mix_is_one_to_one(void **state)
{
	static uint8_t seen[1 << 16];

	memset(seen, 0, sizeof(seen));
	for (uint32_t i = 0; i < 1 << 16; i++) {
		uint32_t x = pw_bench_mix(i, 16);

		assert_true(x < 1 << 16);
		assert_int_equal(seen[x]++, 0);
	}
}

static struct pw_bench_row row_make(struct pw_bench_sample *samples, unsigned int count)
{
	memset(samples, 0, count * sizeof(*samples));
	for (unsigned int i = 0; i < count; i++) {
		samples[i].stages = 50 + (i * 7) % count; /* the fewest is not the first */
		samples[i].whole = samples[i].stages + 20;
		samples[i].mpps = 30 + i;
		samples[i].stage[1] = samples[i].stages;
		samples[i].receive = 18;
		samples[i].fill = 64;
		samples[i].floor = 40 + i;
	}
	samples[0].stages = samples[0].stage[1] = 99;
	return (struct pw_bench_row){
		.work = PW_BENCH_IMPOSE,
		.size = 64,
		.routes = 1,
		.peers = 1,
		.workers = 1,
		.samples = samples,
		.kept = count,
		.discarded = 3,
	};
}

static struct pw_bench_row sealed_row(struct pw_bench_sample *samples, unsigned int count,
				      const char *algorithm)
{
	struct pw_bench_row row = row_make(samples, count);

	row.work = PW_BENCH_IMPOSE_ESP;
	row.suite = pw_bench_algorithm_find(algorithm);
	assert_non_null(row.suite);
	return row;
}

static void algorithms_have_names(void **state)
{
	const struct pw_crypto_suite *suite = pw_bench_algorithm_find("gcm128");

	assert_non_null(suite);
	assert_ptr_equal(pw_bench_algorithm_find("aes128gcm16"), suite);
	assert_string_equal(pw_bench_algorithm_name(suite), "gcm128");
	assert_ptr_equal(pw_bench_algorithm_find("cbc-sha256"),
			 pw_bench_algorithm_find("aes128-sha256"));
	assert_string_equal(pw_bench_algorithm_name(pw_bench_algorithm_find("aes256-sha512")),
			    "aes256-sha512");
	assert_null(pw_bench_algorithm_find("3des"));
	assert_null(pw_bench_algorithm_name(NULL));
}

static void result_of_repetitions(void **state)
{
	struct pw_bench_sample samples[5];
	struct pw_bench_row row = row_make(samples, 5);
	struct pw_bench_result result;

	assert_true(pw_bench_result(&row, &result));
	close_to(result.cycles.min, 51);
	close_to(result.cycles.median, 53);
	close_to(result.cycles.max, 99);
	close_to(result.whole.min, 70);
	close_to(result.best.stages, 51);
	close_to(result.best.stage[1], 51);
	close_to(result.mpps, 32);
	close_to(result.gbps, 32 * 64 * 8 / 1000.0);
	close_to(result.floor.min, 40);
	close_to(result.floor.median, 42);
	close_to(result.ratio, 51 / 40.0);
	for (unsigned int i = 0; i < 5; i++)
		samples[i].floor = 0;
	assert_true(pw_bench_result(&row, &result));
	close_to(result.ratio, 0);
	row.kept = 0;
	assert_false(pw_bench_result(&row, &result));
}

static void band_follows_the_noisier(void **state)
{
	close_to(pw_bench_band(100, 100, 100, 100), 2);
	close_to(pw_bench_band(100, 120, 100, 102), 20);
	close_to(pw_bench_band(100, 102, 50, 60), 20);
	close_to(pw_bench_band(0, 10, 100, 110), 10);
}

static void verdict_needs_both(void **state)
{
	assert_int_equal(pw_bench_verdict(100, 110, 101, 111, 2), PW_BENCH_SAME);
	assert_int_equal(pw_bench_verdict(100, 110, 90, 100, 2), PW_BENCH_FASTER);
	assert_int_equal(pw_bench_verdict(100, 110, 90, 112, 2), PW_BENCH_SAME);
	assert_int_equal(pw_bench_verdict(100, 110, 110, 120, 2), PW_BENCH_SLOWER);
	assert_int_equal(pw_bench_verdict(100, 110, 99, 120, 2), PW_BENCH_SAME);
	assert_int_equal(pw_bench_verdict(100, 110, 110, 120, 15), PW_BENCH_SAME);
}

static const char *const stages[] = {"port-receive", "ipv4-lookup", NULL};

static char *json_of(const struct pw_bench_row *row)
{
	char *text = NULL;
	size_t size;
	FILE *file = open_memstream(&text, &size);

	assert_non_null(file);
	pw_bench_stages_set(stages);
	assert_true(pw_bench_json_row(file, row));
	fclose(file);
	return text;
}

static void has(const char *text, const char *part)
{
	if (!text || !strstr(text, part))
		fail_msg("no %s in %s", part, text ? text : "nothing");
}

static void json_is_one_line(void **state)
{
	struct pw_bench_sample samples[5];
	struct pw_bench_row row = row_make(samples, 5);
	char *text;

	for (unsigned int i = 0; i < 5; i++)
		samples[i].floor = 0;
	text = json_of(&row);
	assert_ptr_equal(strchr(text, '\n'), text + strlen(text) - 1);
	has(text, "{\"work\":\"impose\",\"size\":64,\"routes\":1,\"peers\":1,\"algorithm\":null,"
		  "\"workers\":1,\"cycles_min\":51.00,\"cycles_median\":53.00,"
		  "\"whole_min\":70.00,\"whole_median\":72.00,\"floor_min\":null,\"ratio\":null,"
		  "\"mpps\":32.000,\"gbps\":16.384,\"stages\":{\"ipv4-lookup\":51.00}");
	has(text, "\"kept\":5,\"discarded\":3}");
	free(text);
	row.size = PW_BENCH_IMIX;
	text = json_of(&row);
	has(text, "\"size\":\"imix\"");
	free(text);
	row.work = PW_BENCH_LOOKUP;
	text = json_of(&row);
	has(text, "\"work\":\"lookup\",\"size\":null");
	has(text, "\"gbps\":null");
	free(text);
}

static void json_of_sealed_rows(void **state)
{
	struct pw_bench_sample samples[5];
	struct pw_bench_row row = sealed_row(samples, 5, "cbc-sha256");
	char *text = json_of(&row);

	has(text, "{\"work\":\"impose+esp\",\"size\":64,\"routes\":1,\"peers\":1,"
		  "\"algorithm\":\"cbc-sha256\",\"workers\":1,\"cycles_min\":51.00,");
	has(text, "\"floor_min\":40.00,\"ratio\":1.275,");
	has(text, "\"floor_median\":42.00,\"floor_keys_min\":null,\"sas\":\"shared\",");
	free(text);
	row.own = true;
	samples[2].floor_keys = 90;
	for (unsigned int i = 0; i < 5; i++)
		samples[i].floor_keys = 90 + i;
	text = json_of(&row);
	has(text, "\"floor_keys_min\":90.00,\"sas\":\"own\",");
	free(text);
}

static void sealed_json_is_read_again(void **state)
{
	struct pw_bench_sample samples[5];
	struct pw_bench_row row = sealed_row(samples, 5, "gcm128");
	double min, median;
	char *text = json_of(&row);

	assert_true(pw_bench_compare_line(text, &row, &min, &median));
	close_to(min, 51);
	row.suite = pw_bench_algorithm_find("gcm256");
	assert_false(pw_bench_compare_line(text, &row, &min, &median));
	row.suite = pw_bench_algorithm_find("gcm128");
	row.own = true;
	assert_false(pw_bench_compare_line(text, &row, &min, &median));
	row.own = false;
	row.work = PW_BENCH_IMPOSE; /* another's name begins with this */
	row.suite = NULL;
	assert_false(pw_bench_compare_line(text, &row, &min, &median));
	free(text);
}

static void json_is_read_again(void **state)
{
	struct pw_bench_sample samples[5];
	struct pw_bench_row row = row_make(samples, 5);
	double min, median;
	char *text = json_of(&row);

	assert_true(pw_bench_compare_line(text, &row, &min, &median));
	close_to(min, 51);
	close_to(median, 53);
	row.size = 1400;
	assert_false(pw_bench_compare_line(text, &row, &min, &median));
	row.size = 64;
	row.workers = 2;
	assert_false(pw_bench_compare_line(text, &row, &min, &median));
	row.workers = 1;
	row.work = PW_BENCH_LOOKUP;
	assert_false(pw_bench_compare_line(text, &row, &min, &median));
	free(text);
	row.work = PW_BENCH_LOOKUP_LPM; /* its name begins with another's */
	text = json_of(&row);
	row.work = PW_BENCH_LOOKUP;
	assert_false(pw_bench_compare_line(text, &row, &min, &median));
	free(text);
}

static void comparison_in_words(void **state)
{
	struct pw_bench_sample samples[5];
	struct pw_bench_row row = row_make(samples, 5);
	char path[] = "/tmp/pw-bench-XXXXXX", *text = NULL, *json = json_of(&row);
	int fd = mkstemp(path);
	size_t size;
	FILE *out;

	assert_true(fd >= 0);
	assert_int_equal(write(fd, json, strlen(json)), strlen(json));
	close(fd);
	for (unsigned int i = 0; i < 5; i++)
		samples[i].stages *= 1.5;
	out = open_memstream(&text, &size);
	assert_int_equal(pw_bench_compare(out, path, &row, 1), 0);
	fclose(out);
	has(text, "SLOWER");
	has(text, "0 the same, 0 faster, 1 slower; 0 rows are not in both");
	unlink(path);
	free(text);
	free(json);
}

static void goals_are_judged(void **state)
{
	struct pw_bench_sample samples[5];
	struct pw_bench_row row = row_make(samples, 5);
	FILE *out = fopen("/dev/null", "w");

	assert_int_equal(pw_bench_goals(out, &row, 1), 1); /* 51 of 45 */
	for (unsigned int i = 0; i < 5; i++)
		samples[i].stages -= 10;
	assert_int_equal(pw_bench_goals(out, &row, 1), 0);
	row.size = 512; /* no goal for it */
	samples[1].stages = 500;
	assert_int_equal(pw_bench_goals(out, &row, 1), 0);
	fclose(out);
}

static void ratios_are_judged(void **state)
{
	struct pw_bench_sample samples[5];
	struct pw_bench_row row = sealed_row(samples, 5, "gcm128");
	FILE *out = fopen("/dev/null", "w");

	assert_int_equal(pw_bench_goals(out, &row, 1), 0); /* 51 / 40 of 1.35 */
	for (unsigned int i = 0; i < 5; i++)
		samples[i].floor = 37;
	assert_int_equal(pw_bench_goals(out, &row, 1), 1);
	row.work = PW_BENCH_ESP_DISPOSE; /* 1.38 of 1.5 */
	assert_int_equal(pw_bench_goals(out, &row, 1), 0);
	for (unsigned int i = 0; i < 5; i++)
		samples[i].floor = 33;
	assert_int_equal(pw_bench_goals(out, &row, 1), 1);
	row.suite = pw_bench_algorithm_find("chacha"); /* no goal for it */
	assert_int_equal(pw_bench_goals(out, &row, 1), 0);
	fclose(out);
}

static void two_workers_are_judged(void **state)
{
	struct pw_bench_sample one[5], two[5];
	struct pw_bench_row rows[] = {row_make(one, 5), row_make(two, 5)};
	FILE *out = fopen("/dev/null", "w");

	rows[1].workers = 2;
	for (unsigned int i = 0; i < 5; i++) {
		one[i].stages = 40;
		two[i].whole = one[i].whole / 0.97;
	}
	assert_int_equal(pw_bench_goals(out, rows, 2), 0);
	for (unsigned int i = 0; i < 5; i++)
		two[i].whole = one[i].whole / 0.75;
	assert_int_equal(pw_bench_goals(out, rows, 2), 1);
	fclose(out);
}

static void rows_of_options(void **state)
{
	char *argv[] = {
		"pewter-bench", "--rows",  "impose,lookup", "--sizes",   "64,imix", "--routes",
		"one,1m",       "--peers", "1,10k",         "--workers", "2",       "--table",
		"dense",        NULL};
	struct pw_bench_options options;
	struct pw_bench_row *rows;
	int count;

	optind = 1;
	assert_int_equal(pw_bench_options_parse(13, argv, &options), 0);
	assert_int_equal(options.table, PW_BENCH_DENSE);
	assert_int_equal(options.workers_max, 2);
	count = pw_bench_rows_make(&options, &rows);
	/* impose: 2 sizes x (one route, one peer; 1 m, two kinds of peers); lookup: 1 m. */
	assert_int_equal(count, 7);
	assert_int_equal(rows[0].work, PW_BENCH_IMPOSE);
	assert_int_equal(rows[6].work, PW_BENCH_LOOKUP);
	assert_int_equal(rows[6].routes, 1000000);
	pw_bench_rows_free(rows, count);
}

static int rows_with(char **argv, struct pw_bench_row **rows)
{
	struct pw_bench_options options;
	int argc = 0;

	while (argv[argc])
		argc++;
	optind = 1;
	assert_int_equal(pw_bench_options_parse(argc, argv, &options), 0);
	return pw_bench_rows_make(&options, rows);
}

static void rows_of_algorithms(void **state)
{
	char *argv[] = {"pewter-bench",
			"--rows",
			"esp+dispose,impose",
			"--sizes",
			"64",
			"--routes",
			"one",
			"--peers",
			"1",
			"--workers",
			"1,2",
			"--algorithms",
			"gcm128,chacha",
			"--sas",
			"shared,own",
			NULL};
	struct pw_bench_row *rows;
	int count = rows_with(argv, &rows);

	/* impose with 1 and 2 workers; each algorithm with 1, 2, 2 with SAs of their own. */
	assert_int_equal(count, 8);
	assert_null(rows[1].suite);
	assert_int_equal(rows[1].workers, 2);
	assert_int_equal(pw_bench_row_peers(&rows[1]), 1);
	for (int i = 2; i < 8; i++) {
		assert_int_equal(rows[i].work, PW_BENCH_ESP_DISPOSE);
		assert_ptr_equal(rows[i].suite,
				 pw_bench_algorithm_find(i < 5 ? "gcm128" : "chacha"));
	}
	assert_false(rows[3].own);
	assert_true(rows[4].own);
	assert_int_equal(rows[4].workers, 2);
	assert_int_equal(pw_bench_row_peers(&rows[3]), 1);
	assert_int_equal(pw_bench_row_peers(&rows[4]), 2);
	pw_bench_rows_free(rows, count);
}

/* Off-net sites are as many as asked for, whatever the routes; no worker has its own. */
static void rows_of_tunnels(void **state)
{
	char *argv[] = {"pewter-bench", "--rows",  "tunnel+impose,dispose+tunnel",
			"--sizes",      "64",      "--routes",
			"one,100k",     "--peers", "1,10k",
			"--workers",    "1,2",     "--algorithms",
			"gcm128",       NULL};
	char *many[] = {"pewter-bench", "--rows", "tunnel+impose", "--routes", "1m", NULL};
	struct pw_bench_row *rows;
	int count = rows_with(argv, &rows);

	assert_int_equal(count, 8);
	for (int i = 0; i < count; i++) {
		assert_int_equal(rows[i].work,
				 i < 4 ? PW_BENCH_TUNNEL_IMPOSE : PW_BENCH_DISPOSE_TUNNEL);
		assert_int_equal(rows[i].routes, 1);
		assert_int_equal(pw_bench_row_peers(&rows[i]), i % 4 < 2 ? 1 : 10000);
		assert_int_equal(rows[i].workers, i % 2 + 1);
		assert_false(rows[i].own);
		assert_non_null(rows[i].suite);
	}
	pw_bench_rows_free(rows, count);
	count = rows_with(many, &rows);
	assert_int_equal(count, 0);
	pw_bench_rows_free(rows, count);
}

/* Few enough for five minutes, and all that there are goals for. */
static void rows_by_default(void **state)
{
	char *argv[] = {"pewter-bench", NULL};
	struct pw_bench_sample samples[5];
	struct pw_bench_row *rows;
	int count = rows_with(argv, &rows), sealed = 0;
	FILE *out = fopen("/dev/null", "w");

	assert_true(count > 50 && count < 120);
	for (int i = 0; i < count; i++) {
		struct pw_bench_row row = row_make(samples, 5);

		sealed += rows[i].suite != NULL;
		free(rows[i].samples);
		rows[i].samples = samples;
		rows[i].kept = row.kept;
	}
	assert_true(sealed > 25);
	/* Nothing costs more than the floor, and two workers do twice as much as one. */
	for (unsigned int i = 0; i < 5; i++)
		samples[i].stages = samples[i].floor = 40;
	assert_int_equal(pw_bench_goals(out, rows, count), 0);
	for (unsigned int i = 0; i < 5; i++)
		samples[i].stages = 1600;
	assert_int_equal(pw_bench_goals(out, rows, count), 12);
	for (int i = 0; i < count; i++)
		rows[i].samples = NULL;
	pw_bench_rows_free(rows, count);
	fclose(out);
}

static void options_are_refused(void **state)
{
	static const char *const bad[][2] = {
		{"--rows", "inpose"},    {"--sizes", "63"},     {"--sizes", "64,,128"},
		{"--routes", "0"},       {"--routes", "many"},  {"--peers", "-1"},
		{"--workers", "9"},      {"--table", "sparse"}, {"--repetitions", "0"},
		{"--microseconds", "x"}, {"--cpus", "0,0"},     {"--algorithms", "des"},
		{"--sas", "none"},       {"--seconds", "-1"},
	};

	for (unsigned int i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		char *argv[] = {"pewter-bench", (char *)bad[i][0], (char *)bad[i][1], NULL};
		struct pw_bench_options options;

		optind = 1;
		if (pw_bench_options_parse(3, argv, &options) != 2)
			fail_msg("%s %s was taken", bad[i][0], bad[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(spread_of_values),
		cmocka_unit_test(imix_is_seven_four_one),
		cmocka_unit_test(mix_is_one_to_one),
		cmocka_unit_test(result_of_repetitions),
		cmocka_unit_test(band_follows_the_noisier),
		cmocka_unit_test(verdict_needs_both),
		cmocka_unit_test(json_is_one_line),
		cmocka_unit_test(algorithms_have_names),
		cmocka_unit_test(json_of_sealed_rows),
		cmocka_unit_test(sealed_json_is_read_again),
		cmocka_unit_test(json_is_read_again),
		cmocka_unit_test(comparison_in_words),
		cmocka_unit_test(goals_are_judged),
		cmocka_unit_test(ratios_are_judged),
		cmocka_unit_test(two_workers_are_judged),
		cmocka_unit_test(rows_of_options),
		cmocka_unit_test(rows_of_algorithms),
		cmocka_unit_test(rows_of_tunnels),
		cmocka_unit_test(rows_by_default),
		cmocka_unit_test(options_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
