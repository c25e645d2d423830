/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Longest prefix match alone, on a worker: Pewter's table, rte_lpm and rte_fib (DIR-24-8) hold the
 * same routes and are asked the same addresses in the same order, 64 at a time.
 */
#include "control/bench/bench.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_errno.h>
#include <rte_fib.h>
#include <rte_lpm.h>
#include <rte_memory.h>

#include "lib/lpm.h"
#include "lib/retire.h"

#define ADDRESSES   (1u << 18) /* asked, over and over */
#define TABLES      8
#define ARENA_BYTES ((size_t)1 << 30)
#define TBL8S       1024 /* no prefix is longer than 24 bits */
/* rte_lpm reads all routes of a length for each that is added: a million would take an hour. */
#define LPM_ROUTES_MAX 100000

struct table {
	uint32_t routes;
	uint32_t *addresses; /* host order */
	struct pw_lpm *pewter;
	struct rte_lpm *lpm;
	struct rte_fib *fib;
	size_t pewter_bytes;
};

static struct table tables[TABLES];
static unsigned int table_count;
static struct pw_lpm_arena *arena;
static uint64_t run_cycles;

/* ---- the routes -------------------------------------------------------------------------- */

static uint64_t state = 0x853c49e6748fea9bu;

static uint32_t random32(void)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)(state * 0x2545f4914f6cdd1du >> 32);
}

/* Shares of prefix lengths in a thousand, roughly as in the Internet's IPv4 table. */
static uint8_t internet_length(void)
{
	static const struct {
		uint8_t length;
		uint16_t share;
	} mix[] = {{24, 600}, {23, 100}, {22, 120}, {21, 50}, {20, 45}, {19, 30}, {18, 15},
		   {17, 10},  {16, 15},  {15, 4},   {14, 4},  {13, 3},  {12, 2},  {11, 1}};
	unsigned int at = random32() % 1000;

	for (unsigned int i = 0; i < sizeof(mix) / sizeof(mix[0]); i++) {
		if (at < mix[i].share)
			return mix[i].length;
		at -= mix[i].share;
	}
	return 24;
}

static uint32_t mask_of(uint8_t length)
{
	return length ? UINT32_MAX << (32 - length) : 0;
}

/* A prefix that comes twice keeps its last value in all three tables. */
static int route_add(struct table *table, uint32_t prefix, uint8_t length, uint32_t value)
{
	uint8_t bytes[4] = {prefix >> 24, prefix >> 16, prefix >> 8, prefix};
	int ret = pw_lpm_add(table->pewter, bytes, length, value);

	if (!ret && table->lpm)
		ret = rte_lpm_add(table->lpm, prefix, length, value);
	if (!ret && table->fib)
		ret = rte_fib_add(table->fib, prefix, length, value);
	return ret;
}

static int routes_add(struct table *table, enum pw_bench_table kind)
{
	uint32_t each = RTE_MAX(1u, table->routes / ADDRESSES);
	uint32_t asked = 0;
	int ret = 0;

	for (uint32_t i = 0; i < table->routes && !ret; i++) {
		uint8_t length = kind == PW_BENCH_INTERNET ? internet_length() : 24;
		uint32_t place = kind == PW_BENCH_DENSE ? 0x10000 + i : pw_bench_mix(i, 24);
		uint32_t prefix = place << 8 & mask_of(length);

		ret = route_add(table, prefix, length, 1 + i % 0xfffff);
		if (asked < ADDRESSES && i % each == 0)
			table->addresses[asked++] = prefix | (random32() & ~mask_of(length));
	}
	for (; asked < ADDRESSES; asked++)
		table->addresses[asked] = table->addresses[random32() % asked];
	for (uint32_t i = ADDRESSES - 1; i > 0; i--) {
		uint32_t k = random32() % (i + 1), kept = table->addresses[i];

		table->addresses[i] = table->addresses[k];
		table->addresses[k] = kept;
	}
	return ret;
}

/* ---- lookups ----------------------------------------------------------------------------- */

/* A burst by one of the tables; what it is handed is in the byte order that it wants. */
static void burst(const struct table *table, enum pw_bench_work work, const uint32_t *addresses,
		  uint32_t *values)
{
	uint64_t wide[PW_BENCH_BURST];

	if (work == PW_BENCH_LOOKUP) {
		const struct pw_lpm *lpms[PW_BENCH_BURST];
		uint32_t swapped[PW_BENCH_BURST];

		for (unsigned int i = 0; i < PW_BENCH_BURST; i++) {
			lpms[i] = table->pewter;
			swapped[i] = htonl(addresses[i]);
		}
		pw_lpm_lookup4_bulk(lpms, swapped, values, PW_BENCH_BURST);
	} else if (work == PW_BENCH_LOOKUP_LPM) {
		rte_lpm_lookup_bulk(table->lpm, addresses, values, PW_BENCH_BURST);
		for (unsigned int i = 0; i < PW_BENCH_BURST; i++)
			values[i] = values[i] & RTE_LPM_LOOKUP_SUCCESS ? values[i] & 0xffffff : 0;
	} else {
		rte_fib_lookup_bulk(table->fib, (uint32_t *)(uintptr_t)addresses, wide,
				    PW_BENCH_BURST);
		for (unsigned int i = 0; i < PW_BENCH_BURST; i++)
			values[i] = (uint32_t)wide[i];
	}
}

static bool has(const struct table *table, enum pw_bench_work work)
{
	if (work == PW_BENCH_LOOKUP_LPM)
		return table->lpm != NULL;
	return work == PW_BENCH_LOOKUP ? table->pewter != NULL : table->fib != NULL;
}

/* The tables must agree on every address. */
static int tables_agree(const struct table *table)
{
	uint32_t right[PW_BENCH_BURST], values[PW_BENCH_BURST];

	for (uint32_t at = 0; at < ADDRESSES; at += PW_BENCH_BURST) {
		burst(table, PW_BENCH_LOOKUP, table->addresses + at, right);
		for (enum pw_bench_work work = PW_BENCH_LOOKUP_LPM; work < PW_BENCH_WORKS; work++) {
			if (!has(table, work))
				continue;
			burst(table, work, table->addresses + at, values);
			if (memcmp(right, values, sizeof(values)) == 0)
				continue;
			fprintf(stderr, "pewter-bench: %s does not find what lookup finds\n",
				pw_bench_work_names[work]);
			return -EIO;
		}
	}
	return 0;
}

struct order {
	const struct table *table;
	enum pw_bench_work work;
	uint64_t cycles, packets;
};

static void on_worker(void *context)
{
	static uint32_t at;
	struct order *order = context;
	uint32_t values[PW_BENCH_BURST];
	uint64_t start = 0, begin = rte_rdtsc(), now = begin;

	/* The first quarter warms up. */
	while (now - begin < run_cycles) {
		if (!start && now - begin > run_cycles / 4) {
			start = now;
			order->packets = 0;
		}
		burst(order->table, order->work, order->table->addresses + at, values);
		at = (at + PW_BENCH_BURST) % ADDRESSES;
		order->packets += PW_BENCH_BURST;
		now = rte_rdtsc();
	}
	order->cycles = now - start;
}

static struct table *table_find(uint32_t routes)
{
	for (unsigned int i = 0; i < table_count; i++)
		if (tables[i].routes == routes)
			return &tables[i];
	return NULL;
}

int pw_bench_lookup_measure(const struct pw_bench_row *row, struct pw_bench_sample *sample)
{
	struct order order = {.table = table_find(row->routes), .work = row->work};
	int ret = pw_bench_on_worker(on_worker, &order);

	if (ret)
		return ret;
	memset(sample, 0, sizeof(*sample));
	sample->whole = sample->stages = (double)order.cycles / (double)order.packets;
	sample->mpps = (double)rte_get_tsc_hz() / sample->whole / 1e6;
	sample->fill = PW_BENCH_BURST;
	return 0;
}

/* ---- up and down ------------------------------------------------------------------------- */

static void foreign_tables(struct table *table)
{
	struct rte_lpm_config lpm = {.max_rules = table->routes, .number_tbl8s = 256};
	struct rte_fib_conf fib = {
		.type = RTE_FIB_DIR24_8,
		.max_routes = (int)table->routes + 1,
		.dir24_8 = {.nh_sz = RTE_FIB_DIR24_8_4B, .num_tbl8 = TBL8S},
	};
	char name[32];

	snprintf(name, sizeof(name), "bench-%u", table->routes);
	if (table->routes <= LPM_ROUTES_MAX)
		table->lpm = rte_lpm_create(name, SOCKET_ID_ANY, &lpm);
	table->fib = rte_fib_create(name, SOCKET_ID_ANY, &fib);
}

static int table_make(struct table *table, uint32_t routes, enum pw_bench_table kind)
{
	size_t before = pw_lpm_arena_used(arena);
	int ret;

	table->routes = routes;
	table->addresses = calloc(ADDRESSES, sizeof(*table->addresses));
	table->pewter = pw_lpm_create(arena, 32);
	table_count++;
	if (!table->addresses || !table->pewter)
		return -ENOMEM;
	foreign_tables(table);
	ret = routes_add(table, kind);
	pw_retire_drain();
	table->pewter_bytes = pw_lpm_arena_used(arena) - before;
	return ret ? ret : tables_agree(table);
}

int pw_bench_lookup_init(const struct pw_bench_options *options, struct pw_bench_row *rows,
			 int count)
{
	int ret = 0;

	run_cycles = options->microseconds * (rte_get_tsc_hz() / 1000000);
	for (int i = 0; i < count && !ret; i++) {
		if (!pw_bench_is_lookup(rows[i].work))
			continue;
		if (!arena)
			arena = pw_lpm_arena_create(ARENA_BYTES, pw_retire);
		if (!arena)
			return -errno;
		if (!table_find(rows[i].routes) && table_count < TABLES)
			ret = table_make(&tables[table_count], rows[i].routes, options->table);
		if (ret)
			fprintf(stderr, "pewter-bench: table of %u routes: %s\n", rows[i].routes,
				strerror(-ret));
		else
			rows[i].absent = !has(table_find(rows[i].routes), rows[i].work);
	}
	return ret;
}

void pw_bench_lookup_fini(void)
{
	while (table_count-- > 0) {
		struct table *table = &tables[table_count];

		free(table->addresses);
		rte_lpm_free(table->lpm);
		rte_fib_free(table->fib);
		if (table->pewter)
			pw_lpm_destroy(table->pewter);
	}
	table_count = 0;
	if (!arena)
		return;
	pw_retire_drain();
	pw_lpm_arena_destroy(arena);
	arena = NULL;
}

void pw_bench_lookup_print(FILE *out)
{
	char text[16];

	for (unsigned int i = 0; i < table_count; i++)
		fprintf(out,
			"lookup, %s routes in one table: %.1f MiB; rte_lpm and rte_fib take "
			"64 MiB and more\n",
			pw_bench_count_text(tables[i].routes, text),
			(double)tables[i].pewter_bytes / (1 << 20));
}
