/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Cycles a packet of seal and open, and of the library's bare calls over the same buffers
 * ("floor"), interleaved in one run. Minima: on a shared machine means do not repeat.
 *
 *	bench_crypto [ENGINE] [SUITE...]
 *
 * ENGINE as of pewterd's --crypto, which for a cryptodev starts DPDK without hugepages.
 */
#include <emmintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_eal.h>

#include "drivers/crypto_internal.h"

#define BURST  64
#define ROUNDS 3000
#define KEYS   4096

static uint8_t (*packets)[2048];
static struct pw_crypto_op ops[BURST];
static struct pw_crypto_key *keys[KEYS];
static struct pw_crypto_worker *worker;
static unsigned int next;

enum what { FLOOR, SEAL, OPEN, SEAL_ESN, SEAL_KEYS };

/* GCM as the library offers it at its quickest: no key, IV or result of ours. */
static void floor_run(uint32_t bytes)
{
	static struct gcm_context_data context;

	for (unsigned int i = 0; i < BURST; i++) {
		uint8_t *text = packets[i] + 128 + 16;
		__m128i nonce = _mm_set_epi64x(1, i);

		keys[0]->gcm_seal(&keys[0]->gcm, &context, text, text, bytes,
				  (const uint8_t *)&nonce, text - 16, 8, text + bytes, 16);
	}
}

static void ops_fill(enum what what, uint32_t bytes)
{
	for (unsigned int i = 0; i < BURST; i++) {
		ops[i].key = what == SEAL_KEYS ? keys[next++ * 1031 % KEYS] : keys[0];
		ops[i].esp = packets[i] + 128;
		ops[i].text_bytes = (uint16_t)bytes;
		ops[i].esn = what == SEAL_ESN;
		ops[i].esn_high = 1;
	}
}

static double measure_once(enum what what, uint32_t bytes)
{
	uint64_t start;

	ops_fill(what, bytes);
	/* What is opened must be good: a forged packet is not the common case. */
	if (what == OPEN && pw_crypto_seal(worker, ops, BURST))
		abort();
	start = rte_rdtsc_precise();
	if (what == FLOOR)
		floor_run(bytes);
	else if ((what == OPEN ? pw_crypto_open : pw_crypto_seal)(worker, ops, BURST))
		abort();
	return (double)(rte_rdtsc_precise() - start) / BURST;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static void suite_bench(const struct pw_crypto_suite *suite)
{
	static const uint32_t sizes[] = {64, 256, 1408};
	static double taken[5][ROUNDS];
	static uint8_t raw[128] = {1, 2, 3};

	for (unsigned int k = 0; k < KEYS; k++) {
		raw[k % 16] ^= (uint8_t)k;
		if (pw_crypto_key_new(suite, raw, suite->key_bytes, raw + 64, suite->auth_key_bytes,
				      &keys[k]))
			exit(1);
	}
	for (unsigned int s = 0; s < 3; s++) {
		bool gcm =
			suite->method == PW_CRYPTO_GCM && pw_crypto_engine == &pw_crypto_ipsec_mb;

		for (unsigned int r = 0; r < ROUNDS; r++)
			for (int what = gcm ? FLOOR : SEAL; what <= SEAL_KEYS; what++)
				taken[what][r] = measure_once(what, sizes[s]);
		for (int what = FLOOR; what <= SEAL_KEYS; what++)
			qsort(taken[what], ROUNDS, sizeof(double), compare);
		printf("%-20s %5u", suite->name, sizes[s]);
		for (int what = FLOOR; what <= SEAL_KEYS; what++)
			if (what == FLOOR && !gcm)
				printf("               -");
			else
				printf("  %6.0f /%6.0f", taken[what][0], taken[what][ROUNDS / 2]);
		printf("\n");
	}
	for (unsigned int k = 0; k < KEYS; k++)
		pw_crypto_key_free(keys[k]);
}

/* Takes the first argument if it names an engine. */
static bool engine_start(int *argc, char ***argv)
{
	char *eal[] = {"bench", "--no-huge", "--no-shconf",        "-m",
		       "1024",  "--no-pci",  "--no-telemetry",     "--iova-mode=va",
		       "-l",    "0",         "--log-level=*:error"};
	struct pw_crypto_engine_spec spec;
	char why[PW_CRYPTO_WHY_BYTES];

	if (*argc < 2 || pw_crypto_engine_parse((*argv)[1], &spec, why))
		return true;
	(*argc)--;
	(*argv)++;
	if (spec.device[0] == '\0')
		return true;
	if (rte_eal_init(sizeof(eal) / sizeof(eal[0]), eal) < 0)
		return false;
	if (pw_crypto_engine_start(&spec, 1, why) == 0)
		return true;
	fprintf(stderr, "%s\n", why);
	return false;
}

int main(int argc, char **argv)
{
	char why[PW_CRYPTO_WHY_BYTES];

	if (!engine_start(&argc, &argv))
		return 1;
	packets = aligned_alloc(64, BURST * sizeof(*packets));
	if (packets == NULL || pw_crypto_worker_new(&worker))
		return 1;
	memset(packets, 0, BURST * sizeof(*packets));
	printf("cycles a packet, bursts of %u, minimum / median of %u\n", BURST, ROUNDS);
	printf("%-20s %5s  %14s  %14s  %14s  %14s  %14s\n", "", "bytes", "floor", "seal", "open",
	       "seal, ESN", "seal, 4096 keys");
	for (unsigned int s = 0; pw_crypto_suite_at(s) != NULL; s++) {
		bool wanted = argc == 1;

		for (int i = 1; i < argc; i++)
			wanted |= strcmp(argv[i], pw_crypto_suite_at(s)->name) == 0;
		if (wanted && pw_crypto_engine->lacks(pw_crypto_suite_at(s), why) == 0)
			suite_bench(pw_crypto_suite_at(s));
	}
	pw_crypto_worker_free(worker);
	pw_crypto_engine_stop();
	free(packets);
	return 0;
}
