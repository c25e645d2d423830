/* SPDX-License-Identifier: BSD-3-Clause */
/* The engine's own properties: round trips, refusals, bursts, IVs, keys. Vectors: crypto_vectors.c
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "crypto_fixture.h"

#define BURST_MAX 300
#define KEYS_EACH 2
#define CANARY    0xc5

/* A packet with bytes around it that nobody may change. */
struct packet {
	uint8_t before[64];
	uint8_t esp[8 + 16 + 1536 + 32 + 64];
};

static struct pw_crypto_key *keys[64][KEYS_EACH];
/* The suites that the engine has. */
static unsigned int usable[64], usables;
static struct packet packets[BURST_MAX], originals[BURST_MAX];
static struct pw_crypto_op ops[BURST_MAX];
static uint64_t seed = 1;

static uint32_t chance(uint32_t below)
{
	seed = seed * 6364136223846793005ull + 1442695040888963407ull;
	return (uint32_t)((seed >> 33) % below);
}

static uint32_t packet_bytes(const struct pw_crypto_op *op)
{
	const struct pw_crypto_suite *suite = pw_crypto_key_suite(op->key);

	return 8u + suite->iv_bytes + op->text_bytes + suite->icv_bytes;
}

/* A random packet with some key of the suite and room for its ICV, canaries around it. */
static void packet_fill(unsigned int index, unsigned int suite, uint32_t text_bytes, bool esn)
{
	struct packet *packet = &packets[index];
	struct pw_crypto_op *op = &ops[index];

	op->key = keys[suite][chance(KEYS_EACH)];
	op->esp = packet->esp;
	op->text_bytes = text_bytes;
	op->esn = esn;
	op->esn_high = chance(UINT32_MAX);
	op->status = 0xee;
	memset(packet, CANARY, sizeof(*packet));
	for (uint32_t i = 0; i < packet_bytes(op); i++)
		packet->esp[i] = (uint8_t)chance(256);
	originals[index] = *packet;
}

static void canaries_check(unsigned int index)
{
	const struct packet *packet = &packets[index];

	for (size_t i = 0; i < sizeof(packet->before); i++)
		assert_int_equal(packet->before[i], CANARY);
	for (size_t i = packet_bytes(&ops[index]); i < sizeof(packet->esp); i++)
		assert_int_equal(packet->esp[i], CANARY);
}

static bool encrypts(const struct pw_crypto_suite *suite)
{
	return suite->method != PW_CRYPTO_GMAC && suite->method != PW_CRYPTO_NULL;
}

/* Seals the burst that packet_fill() prepared, looks at every packet, opens it again. */
static void burst_check(struct pw_crypto_worker *worker, unsigned int count)
{
	assert_int_equal(pw_crypto_seal(worker, ops, count), 0);
	for (unsigned int i = 0; i < count; i++) {
		const struct pw_crypto_suite *suite = pw_crypto_key_suite(ops[i].key);
		uint32_t head = 8u + suite->iv_bytes;

		assert_int_equal(ops[i].status, PW_CRYPTO_OK);
		canaries_check(i);
		assert_memory_equal(packets[i].esp, originals[i].esp, head);
		if (ops[i].text_bytes >= 8)
			assert_true(encrypts(suite) == !!memcmp(packets[i].esp + head,
								originals[i].esp + head,
								ops[i].text_bytes));
		assert_memory_not_equal(packets[i].esp + head + ops[i].text_bytes,
					originals[i].esp + head + ops[i].text_bytes,
					suite->icv_bytes);
		ops[i].status = 0xee;
	}
	assert_int_equal(pw_crypto_open(worker, ops, count), 0);
	for (unsigned int i = 0; i < count; i++) {
		const struct pw_crypto_suite *suite = pw_crypto_key_suite(ops[i].key);

		assert_int_equal(ops[i].status, PW_CRYPTO_OK);
		canaries_check(i);
		assert_memory_equal(packets[i].esp, originals[i].esp,
				    8u + suite->iv_bytes + ops[i].text_bytes);
	}
}

static uint32_t round_to(const struct pw_crypto_suite *suite, uint32_t bytes)
{
	if (suite->method == PW_CRYPTO_CBC)
		return (bytes + 16) & ~15u;
	return suite->method == PW_CRYPTO_CTR && bytes == 0 ? 1 : bytes;
}

/* Every suite with every length, with and without ESN, in bursts of 1 to 64 of mixed suites. */
static void test_every_length(void **state)
{
	struct pw_crypto_worker *worker = *state;
	unsigned int filled = 0, burst = 1;

	for (uint32_t bytes = 0; bytes <= 1500; bytes++)
		for (unsigned int u = 0; u < usables; u++) {
			unsigned int s = usable[u];

			packet_fill(filled++, s, round_to(pw_crypto_suite_at(s), bytes),
				    (bytes + s / 4) & 1);
			if (filled < burst)
				continue;
			burst_check(worker, filled);
			filled = 0;
			burst = burst % 64 + 1;
		}
	if (filled > 0)
		burst_check(worker, filled);
}

static void test_random_bursts(void **state)
{
	struct pw_crypto_worker *worker = *state;

	for (int round = 0; round < 400; round++) {
		unsigned int count = round < 200 ? 1 + chance(64) : 1 + chance(BURST_MAX);
		/* Some of one suite only, so that the lanes are full. */
		unsigned int only = chance(3) == 0 ? chance(usables) : usables;

		for (unsigned int i = 0; i < count; i++) {
			unsigned int s = usable[only < usables ? only : chance(usables)];

			packet_fill(i, s, round_to(pw_crypto_suite_at(s), chance(1501)), chance(2));
		}
		burst_check(worker, count);
	}
	assert_int_equal(pw_crypto_seal(worker, ops, 0), 0);
	assert_int_equal(pw_crypto_open(worker, ops, 0), 0);
}

/* Opens changed copies of packet 0, op 0; every one must be refused. */
static struct {
	struct packet packets[64];
	struct pw_crypto_op ops[64];
	unsigned int count;
} forged;

static void forged_run(struct pw_crypto_worker *worker)
{
	unsigned int refused = pw_crypto_open(worker, forged.ops, forged.count);

	for (unsigned int i = 0; i < forged.count; i++)
		assert_int_equal(forged.ops[i].status, PW_CRYPTO_BAD_ICV);
	assert_int_equal(refused, forged.count);
	forged.count = 0;
}

static struct pw_crypto_op *forged_add(struct pw_crypto_worker *worker)
{
	struct pw_crypto_op *op;

	if (forged.count == 64)
		forged_run(worker);
	op = &forged.ops[forged.count];
	forged.packets[forged.count] = packets[0];
	*op = ops[0];
	op->esp = forged.packets[forged.count].esp;
	forged.count++;
	return op;
}

static void test_every_bit(void **state)
{
	struct pw_crypto_worker *worker = *state;

	for (unsigned int u = 0; u < usables; u++)
		for (int esn = 0; esn < 2; esn++) {
			unsigned int s = usable[u];
			const struct pw_crypto_suite *suite = pw_crypto_suite_at(s);

			packet_fill(0, s, 48, esn);
			assert_int_equal(pw_crypto_seal(worker, ops, 1), 0);
			for (uint32_t bit = 0; bit < packet_bytes(&ops[0]) * 8; bit++)
				forged_add(worker)->esp[bit / 8] ^= (uint8_t)(1 << bit % 8);
			for (uint32_t bit = 0; bit < 32 && esn; bit++)
				forged_add(worker)->esn_high ^= 1u << bit;
			forged_add(worker)->esn ^= true;
			forged_add(worker)->text_bytes -= 16;
			forged_add(worker)->key = keys[s][keys[s][0] == ops[0].key];
			forged_run(worker);
			/* And the one from which they were copied is good. */
			assert_int_equal(pw_crypto_open(worker, ops, 1), 0);
			assert_memory_equal(packets[0].esp, originals[0].esp,
					    8u + suite->iv_bytes + 48u);
		}
}

/* One forged packet among good ones: it alone is refused, whatever its place. */
static void test_forged_among_good(void **state)
{
	struct pw_crypto_worker *worker = *state;

	for (unsigned int bad = 0; bad < 40; bad++) {
		for (unsigned int i = 0; i < 40; i++)
			packet_fill(i, usable[(bad + i) % usables], 64, i & 1);
		assert_int_equal(pw_crypto_seal(worker, ops, 40), 0);
		packets[bad].esp[packet_bytes(&ops[bad]) - 1] ^= 0x80;
		assert_int_equal(pw_crypto_open(worker, ops, 40), 1);
		for (unsigned int i = 0; i < 40; i++) {
			assert_int_equal(ops[i].status,
					 i == bad ? PW_CRYPTO_BAD_ICV : PW_CRYPTO_OK);
			canaries_check(i);
		}
	}
}

static void test_lengths_refused(void **state)
{
	struct pw_crypto_worker *worker = *state;
	static const uint16_t lengths[] = {0, 1, 15, 17, 40, PW_CRYPTO_TEXT_MAX + 16, UINT16_MAX};

	for (unsigned int u = 0; u < usables; u++)
		for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
			unsigned int s = usable[u];
			const struct pw_crypto_suite *suite = pw_crypto_suite_at(s);
			bool bad = lengths[i] > PW_CRYPTO_TEXT_MAX ||
				   (suite->method == PW_CRYPTO_CBC) ||
				   (suite->method == PW_CRYPTO_CTR && lengths[i] == 0);

			packet_fill(0, s, 64, true);
			packet_fill(1, s, 64, true);
			packet_fill(2, s, 64, true);
			ops[1].text_bytes = lengths[i];
			assert_int_equal(pw_crypto_seal(worker, ops, 3), bad);
			assert_int_equal(ops[0].status, PW_CRYPTO_OK);
			assert_int_equal(ops[1].status, bad ? PW_CRYPTO_BAD_LENGTH : PW_CRYPTO_OK);
			assert_int_equal(ops[2].status, PW_CRYPTO_OK);
			if (bad)
				assert_memory_equal(&packets[1], &originals[1], sizeof(packets[1]));
		}
}

/* The longest text, which no other test reaches. */
static void test_longest(void **state)
{
	struct pw_crypto_worker *worker = *state;
	size_t room = 8 + 16 + PW_CRYPTO_TEXT_MAX + 32;
	uint8_t *memory = malloc(PW_CRYPTO_HEADROOM + room), *copy = malloc(room);

	assert_true(memory != NULL && copy != NULL);
	for (unsigned int u = 0; u < usables; u++) {
		unsigned int s = usable[u];
		struct pw_crypto_op op = {
			.key = keys[s][0],
			.esp = memory + PW_CRYPTO_HEADROOM,
			.text_bytes = PW_CRYPTO_TEXT_MAX,
			.esn = true,
			.esn_high = 3,
		};

		for (size_t i = 0; i < room; i++)
			op.esp[i] = (uint8_t)(i * 7 + s);
		memcpy(copy, op.esp, room);
		assert_int_equal(pw_crypto_seal(worker, &op, 1), 0);
		assert_int_equal(pw_crypto_open(worker, &op, 1), 0);
		assert_memory_equal(op.esp, copy, packet_bytes(&op) - 32);
		op.esp[40000] ^= 1;
		assert_int_equal(pw_crypto_open(worker, &op, 1), 1);
	}
	free(memory);
	free(copy);
}

static void test_random_ivs(void **state)
{
	enum { COUNT = 20000 };
	static uint8_t ivs[2][COUNT][16];
	struct pw_crypto_worker *other;
	unsigned int ones[128] = {0};

	assert_int_equal(pw_crypto_worker_new(&other), 0);
	for (int i = 0; i < COUNT; i++) {
		pw_crypto_random_iv(*state, ivs[0][i]);
		pw_crypto_random_iv(other, ivs[1][i]);
	}
	pw_crypto_worker_free(other);
	for (int i = 0; i < COUNT; i++)
		for (int b = 0; b < 128; b++)
			ones[b] += ivs[0][i][b / 8] >> b % 8 & 1;
	/* 20000 coins: the standard deviation is 71; eight of them. */
	for (int b = 0; b < 128; b++)
		assert_in_range(ones[b], COUNT / 2 - 568, COUNT / 2 + 568);
	qsort(ivs, 2 * COUNT, 16, compare_iv);
	for (int i = 1; i < 2 * COUNT; i++)
		assert_memory_not_equal(ivs[0][0] + 16 * (i - 1), ivs[0][0] + 16 * i, 16);
}

/* ---- two workers on one key -------------------------------------------------------------- */

static void *second_worker(void *context)
{
	struct pw_crypto_worker *worker;
	static uint8_t memory[32][256], copies[32][256];
	struct pw_crypto_op mine[32];
	uintptr_t failures = 0;

	if (pw_crypto_worker_new(&worker))
		return (void *)1;
	for (int round = 0; round < 300; round++) {
		for (unsigned int i = 0; i < 32; i++) {
			memset(memory[i], round + (int)i, sizeof(memory[i]));
			mine[i] = (struct pw_crypto_op){
				.key = keys[usable[(i + (unsigned)round) % usables]][0],
				.esp = memory[i] + 16,
				.text_bytes = 128,
				.esn = true,
				.esn_high = 1,
			};
		}
		memcpy(copies, memory, sizeof(memory));
		failures += pw_crypto_seal(worker, mine, 32);
		failures += pw_crypto_open(worker, mine, 32);
		for (unsigned int i = 0; i < 32; i++)
			failures += !!memcmp(memory[i], copies[i], 16 + 8 + 128);
	}
	pw_crypto_worker_free(worker);
	return (void *)failures;
}

static void test_two_workers(void **state)
{
	pthread_t thread;
	void *failures;

	assert_int_equal(pthread_create(&thread, NULL, second_worker, NULL), 0);
	for (int round = 0; round < 300; round++) {
		for (unsigned int i = 0; i < 32; i++)
			packet_fill(i, usable[(i + (unsigned int)round) % usables], 128, true);
		burst_check(*state, 32);
	}
	assert_int_equal(pthread_join(thread, &failures), 0);
	assert_null(failures);
}

/* ---- set up ------------------------------------------------------------------------------- */

static int setup(void **state)
{
	const struct pw_crypto_suite *suite;
	struct pw_crypto_worker *worker;

	assert_int_equal(arch_from_environment(), 0);
	assert_int_equal(pw_crypto_worker_new(&worker), 0);
	for (unsigned int s = 0; (suite = pw_crypto_suite_at(s)) != NULL; s++) {
		if (!suite_usable(suite))
			continue;
		usable[usables++] = s;
		for (unsigned int k = 0; k < KEYS_EACH; k++) {
			uint8_t raw[2][64];

			for (size_t i = 0; i < sizeof(raw); i++)
				raw[i / 64][i % 64] = (uint8_t)chance(256);
			assert_int_equal(pw_crypto_key_new(suite, raw[0], suite->key_bytes, raw[1],
							   suite->auth_key_bytes, &keys[s][k]),
					 0);
		}
	}
	print_message("%u suites\n", usables);
	*state = worker;
	return 0;
}

static int teardown(void **state)
{
	for (unsigned int s = 0; pw_crypto_suite_at(s) != NULL; s++)
		for (unsigned int k = 0; k < KEYS_EACH; k++)
			pw_crypto_key_free(keys[s][k]);
	pw_crypto_worker_free(*state);
	pw_crypto_engine_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_every_length),    cmocka_unit_test(test_random_bursts),
		cmocka_unit_test(test_every_bit),       cmocka_unit_test(test_forged_among_good),
		cmocka_unit_test(test_lengths_refused), cmocka_unit_test(test_longest),
		cmocka_unit_test(test_random_ivs),      cmocka_unit_test(test_two_workers),
	};

	int ret = engine_from_environment(3);

	return ret ? ret : cmocka_run_group_tests(tests, setup, teardown);
}
