/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bench/bench.h"

#include <errno.h>
#include <getopt.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "control/options.h"
#include "drivers/crypto.h"

const char *const pw_bench_work_names[PW_BENCH_WORKS] = {
	"impose",     "dispose",        "transit",        "policy-1",      "policy-100",
	"policy-10k", "impose+esp",     "esp+dispose",    "tunnel+impose", "dispose+tunnel",
	"lookup",     "lookup-rte_lpm", "lookup-rte_fib",
};

static const char usage[] =
	"Usage: pewter-bench [OPTION]...\n"
	"Measures the dataplane with the daemon's own graph, tables and handlers.\n"
	"\n"
	"What to measure (lists are separated by commas; \"all\" is every one). Lists that are "
	"not\n"
	"given are varied one at a time, not in all combinations:\n"
	"  --rows LIST         impose, dispose, transit, impose+esp, esp+dispose,\n"
	"                      tunnel+impose, dispose+tunnel, policy-1, policy-100, policy-10k,\n"
	"                      lookup, lookup-rte_lpm, lookup-rte_fib\n"
	"  --sizes LIST        64, 256, 512, 1400, imix or any other: bytes of the customer's "
	"packet\n"
	"  --routes LIST       one, 100k, 1m or any other number, in one VRF; above 100k in 1,000\n"
	"  --peers LIST        remote PEs, or off-net sites of tunnel rows: 1, 10k or any other\n"
	"                      number\n"
	"  --algorithms LIST   gcm128, gcm256, chacha, cbc-sha256, or names as `pewterctl` shows "
	"them\n"
	"  --workers LIST      1, 2 or more workers at once\n"
	"  --sas LIST          of several workers: shared (all use all SAs), own (each has its "
	"own)\n"
	"  --table KIND        prefixes: random (default), dense; internet for lookup rows\n"
	"How:\n"
	"  --repetitions N     of every row, one after the other in turns (default 100)\n"
	"  --microseconds N    of one repetition (default 1000)\n"
	"  --seconds N         for all of them, then fewer are made (default 200, 0: no end)\n"
	"  --churn N           then rows in clear again, beside so many changes of routes a "
	"second\n"
	"  --cpus LIST         one CPU a worker\n"
	"  --no-huge           do not use hugepages\n"
	"What to do with it:\n"
	"  --json FILE         one object a line and row\n"
	"  --csv FILE\n"
	"  --plots FOLDER      SVG: cycles by stage, ratio by size, cycles by number of routes\n"
	"  --frames FILE       a sealed frame of each row and its keys, one object a line\n"
	"  --compare FILE      what changed since a run with --json FILE\n"
	"  --strict            exit with status 1 when a goal is missed\n"
	"  --quiet             no progress on stderr\n"
	"  -h, --help          this text\n"
	"  -V, --version\n";

enum {
	ROWS = 256,
	SIZES,
	ROUTES,
	PEERS,
	WORKERS,
	ALGORITHMS,
	SAS,
	TABLE,
	REPETITIONS,
	MICROSECONDS,
	SECONDS,
	CHURN,
	CPUS,
	NO_HUGE,
	JSON,
	CSV,
	PLOTS,
	COMPARE,
	FRAMES,
	STRICT,
	QUIET
};

#define GIVEN(option) (1u << ((option)-ROWS)) /* as a bit of pw_bench_options.given */

static const struct option long_options[] = {
	{"rows", required_argument, NULL, ROWS},
	{"sizes", required_argument, NULL, SIZES},
	{"routes", required_argument, NULL, ROUTES},
	{"peers", required_argument, NULL, PEERS},
	{"workers", required_argument, NULL, WORKERS},
	{"algorithms", required_argument, NULL, ALGORITHMS},
	{"sas", required_argument, NULL, SAS},
	{"table", required_argument, NULL, TABLE},
	{"repetitions", required_argument, NULL, REPETITIONS},
	{"microseconds", required_argument, NULL, MICROSECONDS},
	{"seconds", required_argument, NULL, SECONDS},
	{"churn", required_argument, NULL, CHURN},
	{"cpus", required_argument, NULL, CPUS},
	{"no-huge", no_argument, NULL, NO_HUGE},
	{"json", required_argument, NULL, JSON},
	{"csv", required_argument, NULL, CSV},
	{"plots", required_argument, NULL, PLOTS},
	{"compare", required_argument, NULL, COMPARE},
	{"frames", required_argument, NULL, FRAMES},
	{"strict", no_argument, NULL, STRICT},
	{"quiet", no_argument, NULL, QUIET},
	{"help", no_argument, NULL, 'h'},
	{"version", no_argument, NULL, 'V'},
	{NULL, 0, NULL, 0},
};

static bool number(const char *text, unsigned long min, unsigned long max, unsigned long *value)
{
	char *end;

	*value = strtoul(text, &end, 10);
	if (!strcasecmp(end, "k"))
		*value *= 1000;
	else if (!strcasecmp(end, "m"))
		*value *= 1000000;
	else if (*end)
		return false;
	return end != text && *text != '-' && *value >= min && *value <= max;
}

/* What a list's items may be, and where they go. */
struct list {
	const char *what, *all;
	unsigned int size, max_count;
	unsigned long min, max;
};

static const struct list lists[] = {
	[SIZES - ROWS] = {"sizes", "64,256,512,1400,imix", 2, 16, 64, 1500},
	[ROUTES - ROWS] = {"routes", "one,100k,1m", 4, 8, 1, 2000000},
	[PEERS - ROWS] = {"peers", "1,10k", 4, 4, 1, 20000},
	[WORKERS - ROWS] = {"workers", "1,2", 2, 4, 1, PW_BENCH_WORKERS},
};

static bool item_value(const struct list *list, const char *item, unsigned long *value)
{
	if (list->max == 1500 && !strcasecmp(item, "imix")) {
		*value = PW_BENCH_IMIX;
		return true;
	}
	if (!strcasecmp(item, "one")) {
		*value = 1;
		return list->min == 1;
	}
	return number(item, list->min, list->max, value);
}

/* Into an array of 16 or 32-bit numbers. The number of items, or -EINVAL, having said why. */
static int list_parse(const struct list *list, const char *text, void *out)
{
	char copy[256], *rest = copy, *item;
	unsigned int count = 0;
	unsigned long value;

	snprintf(copy, sizeof(copy), "%s", strcmp(text, "all") ? text : list->all);
	while ((item = strsep(&rest, ","))) {
		if (count == list->max_count || !item_value(list, item, &value)) {
			fprintf(stderr, "pewter-bench: --%s: \"%s\" is %s\n", list->what, item,
				count == list->max_count ? "one too many" : "not possible");
			return -EINVAL;
		}
		if (list->size == 2)
			((uint16_t *)out)[count++] = (uint16_t)value;
		else
			((uint32_t *)out)[count++] = (uint32_t)value;
	}
	return (int)count;
}

static int rows_parse(const char *text, unsigned int *works)
{
	char copy[256], *rest = copy, *item;

	*works = 0;
	snprintf(copy, sizeof(copy), "%s", text);
	while ((item = strsep(&rest, ","))) {
		unsigned int work = 0;

		while (work < PW_BENCH_WORKS && strcmp(item, pw_bench_work_names[work]) != 0)
			work++;
		if (work == PW_BENCH_WORKS && strcmp(item, "all") != 0) {
			fprintf(stderr, "pewter-bench: --rows: there is no row \"%s\"\n", item);
			return -EINVAL;
		}
		*works |= work < PW_BENCH_WORKS ? 1u << work : (1u << PW_BENCH_WORKS) - 1;
	}
	return 0;
}

#define ALGORITHMS_DEFAULT "gcm128,gcm256,chacha,cbc-sha256"

static int algorithms_parse(const char *text, struct pw_bench_options *options)
{
	const unsigned int room = sizeof(options->suites) / sizeof(options->suites[0]);
	char copy[256], *rest = copy, *item;

	options->suite_count = 0;
	snprintf(copy, sizeof(copy), "%s", strcmp(text, "all") ? text : ALGORITHMS_DEFAULT);
	while ((item = strsep(&rest, ","))) {
		const struct pw_crypto_suite *suite = pw_bench_algorithm_find(item);

		if (!suite || options->suite_count == room) {
			fprintf(stderr, "pewter-bench: --algorithms: %s \"%s\"\n",
				suite ? "one too many:" : "there is no", item);
			return -EINVAL;
		}
		options->suites[options->suite_count++] = suite;
	}
	return 0;
}

static int sas_parse(const char *text, struct pw_bench_options *options)
{
	bool all =
		!strcmp(text, "all") || !strcmp(text, "shared,own") || !strcmp(text, "own,shared");

	options->shared = all || !strcmp(text, "shared");
	options->own = all || !strcmp(text, "own");
	if (options->shared || options->own)
		return 0;
	fprintf(stderr, "pewter-bench: --sas takes shared, own or both\n");
	return -EINVAL;
}

static int list_option(int option, const char *text, struct pw_bench_options *options)
{
	const struct list *list = &lists[option - ROWS];
	void *out[] = {NULL, options->sizes, options->routes, options->peers, options->workers};
	unsigned int *counts[] = {NULL, &options->size_count, &options->route_count,
				  &options->peer_count, &options->worker_count};
	int count = list_parse(list, text, out[option - ROWS]);

	if (count < 0)
		return count;
	*counts[option - ROWS] = (unsigned int)count;
	return 0;
}

static int number_option(const char *name, unsigned long min, unsigned long max, unsigned int *out)
{
	unsigned long value;

	if (!number(optarg, min, max, &value)) {
		fprintf(stderr, "pewter-bench: --%s takes %lu to %lu\n", name, min, max);
		return -EINVAL;
	}
	*out = (unsigned int)value;
	return 0;
}

static int cpus_option(struct pw_bench_options *options)
{
	int count = pw_options_cpus(optarg, options->cpus, PW_BENCH_WORKERS);

	if (count < 0) {
		fprintf(stderr, "pewter-bench: --cpus takes a list such as 1,2\n");
		return -EINVAL;
	}
	options->cpus_given = true;
	options->workers_max = (uint16_t)count; /* checked against the workers wanted */
	return 0;
}

static int table_option(struct pw_bench_options *options)
{
	static const char *const names[] = {
		[PW_BENCH_RANDOM] = "random",
		[PW_BENCH_DENSE] = "dense",
		[PW_BENCH_INTERNET] = "internet",
	};

	for (unsigned int i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (!strcmp(optarg, names[i])) {
			options->table = i;
			return 0;
		}
	fprintf(stderr, "pewter-bench: --table takes random, dense or internet\n");
	return -EINVAL;
}

static int one_option(int option, struct pw_bench_options *options)
{
	if (option < TABLE)
		options->given |= GIVEN(option);
	switch (option) {
	case ROWS:
		return rows_parse(optarg, &options->works);
	case SIZES:
	case ROUTES:
	case PEERS:
	case WORKERS:
		return list_option(option, optarg, options);
	case ALGORITHMS:
		return algorithms_parse(optarg, options);
	case SAS:
		return sas_parse(optarg, options);
	case TABLE:
		return table_option(options);
	case REPETITIONS:
		return number_option("repetitions", 1, 100000, &options->repetitions);
	case MICROSECONDS:
		return number_option("microseconds", 100, 1000000, &options->microseconds);
	case SECONDS:
		return number_option("seconds", 0, 1000000, &options->seconds);
	case CHURN:
		return number_option("churn", 0, 10000000, &options->churn);
	case CPUS:
		return cpus_option(options);
	case NO_HUGE:
		options->no_huge = true;
		return 0;
	case JSON:
		options->json = optarg;
		return 0;
	case CSV:
		options->csv = optarg;
		return 0;
	case PLOTS:
		options->plots = optarg;
		return 0;
	case COMPARE:
		options->compare = optarg;
		return 0;
	case FRAMES:
		options->frames = optarg;
		return 0;
	case STRICT:
		options->strict = true;
		return 0;
	default:
		options->quiet = true;
		return 0;
	}
}

static int finish(struct pw_bench_options *options)
{
	uint16_t most = 1;

	for (unsigned int i = 0; i < options->worker_count; i++)
		if (options->workers[i] > most)
			most = options->workers[i];
	if (options->cpus_given && options->workers_max < most) {
		fprintf(stderr, "pewter-bench: --cpus names %u CPUs for %u workers\n",
			options->workers_max, most);
		return 2;
	}
	options->workers_max = most;
	return 0;
}

int pw_bench_options_parse(int argc, char **argv, struct pw_bench_options *options)
{
	int option;

	*options =
		(struct pw_bench_options){.repetitions = 100, .microseconds = 1000, .seconds = 200};
	rows_parse("all", &options->works);
	algorithms_parse("all", options);
	sas_parse("all", options);
	list_option(SIZES, "64,256,1400,imix", options);
	list_option(ROUTES, "one,100k,1m", options);
	list_option(PEERS, "1,10k", options);
	list_option(WORKERS, "1,2", options);
	while ((option = getopt_long(argc, argv, "hV", long_options, NULL)) != -1) {
		if (option == 'h' || option == 'V') {
			fputs(option == 'h' ? usage : "pewter-bench " PW_VERSION "\n", stdout);
			return 1;
		}
		if (option == '?')
			return 2;
		if (one_option(option, options))
			return 2;
	}
	if (optind < argc) {
		fprintf(stderr, "pewter-bench: what is \"%s\"?\n", argv[optind]);
		return 2;
	}
	return finish(options);
}

/* ---- rows -------------------------------------------------------------------------------- */

/*
 * Of lists that were left to the default, a row varies one: size, tables (routes and remote PEs),
 * algorithm, or workers. But what large packets cost is told of the latter two as well, and two
 * workers share tables as well as SAs.
 */
static bool row_by_default(const struct pw_bench_options *options, const struct pw_bench_row *row)
{
	bool size = row->size != options->sizes[0] && !(options->given & GIVEN(SIZES));
	bool tables = (row->routes != options->routes[0] && !(options->given & GIVEN(ROUTES))) ||
		      (row->peers != options->peers[0] && !(options->given & GIVEN(PEERS)));
	bool suite = row->suite != options->suites[0] && row->suite &&
		     !(options->given & GIVEN(ALGORITHMS));
	bool workers = row->workers != options->workers[0] && !(options->given & GIVEN(WORKERS));

	if (size && row->size == 1400 && row->suite && !tables)
		size = false;
	if (!size && !row->suite)
		return true;
	return size + tables + suite + workers <= 1;
}

/* Combinations that mean nothing of their own are left out. */
static bool row_makes_sense(const struct pw_bench_options *options, const struct pw_bench_row *row)
{
	if (pw_bench_is_lookup(row->work))
		return row->size == options->sizes[0] && row->peers == options->peers[0] &&
		       row->workers == options->workers[0] && row->routes > 1;
	if (row->own && (row->workers == 1 || PW_BENCH_PEERS_A_VRF % row->workers != 0))
		return false;
	/* One worker's SAs are the same either way. */
	if (!row->own && !options->shared && row->workers > 1 && row->suite)
		return false;
	/* All sites are one VRF's, and have to do with one remote PE. */
	if (pw_bench_is_tunnel(row->work))
		return !row->own && row->routes == options->routes[0] && row->routes <= 100000;
	if (pw_bench_policies(row->work) &&
	    (row->size != options->sizes[0] || row->routes != options->routes[0]))
		return false;
	if (pw_bench_is_transit(row->work))
		return row->peers == options->peers[0];
	/* More remote PEs than routes cannot be sent to. */
	return !pw_bench_is_outward(row->work) || row->peers <= row->routes;
}

static bool row_add(const struct pw_bench_options *options, struct pw_bench_row *row)
{
	if (!row_makes_sense(options, row) || !row_by_default(options, row))
		return false;
	if (pw_bench_is_lookup(row->work) || pw_bench_is_transit(row->work))
		row->peers = 1;
	if (pw_bench_is_lookup(row->work))
		row->workers = 1;
	row->capacity = options->repetitions;
	row->samples = calloc(row->capacity, sizeof(*row->samples));
	return true;
}

/* The next digit of a number whose base changes from place to place. */
static unsigned int digit(unsigned int *rest, unsigned int base)
{
	unsigned int value = *rest % base;

	*rest /= base;
	return value;
}

/* All combinations of one kind of work; false when the memory is not enough. */
static bool rows_of(const struct pw_bench_options *options, enum pw_bench_work work,
		    const struct pw_crypto_suite *suite, struct pw_bench_row *rows, int *count)
{
	unsigned int all = options->size_count * options->route_count * options->peer_count *
			   options->worker_count * 2;

	if (!(options->works & 1u << work))
		return true;
	for (unsigned int rest, i = 0; i < all; i++) {
		struct pw_bench_row *row = &rows[*count];

		rest = i;
		*row = (struct pw_bench_row){.work = work, .suite = suite};
		row->own = digit(&rest, 2);
		row->workers = options->workers[digit(&rest, options->worker_count)];
		row->size = options->sizes[digit(&rest, options->size_count)];
		row->peers = options->peers[digit(&rest, options->peer_count)];
		row->routes = options->routes[rest];
		if ((row->own && (!options->own || !suite)) || !row_add(options, row))
			continue;
		(*count)++;
		if (!row->samples)
			return false;
	}
	return true;
}

int pw_bench_rows_make(const struct pw_bench_options *options, struct pw_bench_row **rows)
{
	unsigned int most = (PW_BENCH_WORKS + 4 * options->suite_count) * options->size_count *
			    options->route_count * options->peer_count * options->worker_count * 2;
	bool ok = true;
	int count = 0;

	*rows = calloc(most, sizeof(**rows));
	if (!*rows)
		return -ENOMEM;
	for (enum pw_bench_work work = 0; work < PW_BENCH_WORKS && ok; work++)
		if (!pw_bench_is_sealed(work))
			ok = rows_of(options, work, NULL, *rows, &count);
	for (unsigned int i = 0; i < options->suite_count && ok; i++)
		for (enum pw_bench_work work = 0; work < PW_BENCH_WORKS && ok; work++)
			if (pw_bench_is_sealed(work))
				ok = rows_of(options, work, options->suites[i], *rows, &count);
	if (ok)
		return count;
	pw_bench_rows_free(*rows, count);
	return -ENOMEM;
}

void pw_bench_rows_free(struct pw_bench_row *rows, int count)
{
	for (int i = 0; i < count; i++)
		free(rows[i].samples);
	free(rows);
}
