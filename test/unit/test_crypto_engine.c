/* SPDX-License-Identifier: BSD-3-Clause */
/* The choice of the engine, and a cryptodev that falls silent: its answers are withheld here. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <rte_cycles.h>
#include <rte_mbuf.h>

#include "crypto_fixture.h"
#include "drivers/crypto_cryptodev.h"
#include "lib/secret.h"

#define PACKETS 8
#define WAIT_MS 20
#define TEXT    64

/* ---- the choice --------------------------------------------------------------------------- */

static void test_parse(void **state)
{
	static const struct {
		const char *text;
		const char *device; /* NULL: refused */
		const char *says;
		unsigned int wait;
	} cases[] = {
		{"ipsec_mb", "", NULL, 100},
		{"cryptodev=crypto_aesni_mb0", "crypto_aesni_mb0", NULL, 100},
		{"cryptodev=0000:3d:01.0,wait=7", "0000:3d:01.0", NULL, 7},
		{"cryptodev=x,wait=10000", "x", NULL, 10000},
		{"", NULL, "no engine \"\"", 0},
		{"ipsec_mb ", NULL, "no engine \"ipsec_mb \"", 0},
		{"cryptodev", NULL, "no engine \"cryptodev\"", 0},
		{"cryptodev=", NULL, "device's name", 0},
		{"cryptodev=,wait=1", NULL, "device's name", 0},
		{"cryptodev=x,", NULL, "not \"\"", 0},
		{"cryptodev=x,wait=0", NULL, "not \"wait=0\"", 0},
		{"cryptodev=x,wait=10001", NULL, "wait=1 to wait=10000", 0},
		{"cryptodev=x,wait=1s", NULL, "not \"wait=1s\"", 0},
		{"cryptodev=x,wait=-1", NULL, "not \"wait=-1\"", 0},
		{"cryptodev="
		 "0123456789012345678901234567890123456789012345678901234567890123456789",
		 NULL, "1 to 63 characters", 0},
	};
	struct pw_crypto_engine_spec spec;
	char why[PW_CRYPTO_WHY_BYTES];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		int ret = pw_crypto_engine_parse(cases[i].text, &spec, why);

		assert_int_equal(ret, cases[i].device != NULL ? 0 : -EINVAL);
		if (ret == 0) {
			assert_string_equal(spec.device, cases[i].device);
			assert_int_equal(spec.wait_ms, cases[i].wait);
		} else if (strstr(why, cases[i].says) == NULL) {
			fail_msg("\"%s\" does not say \"%s\"", why, cases[i].says);
		}
	}
}

static void refused(const char *text, unsigned int workers, int error, const char *says)
{
	struct pw_crypto_engine_spec spec;
	char why[PW_CRYPTO_WHY_BYTES];

	assert_int_equal(pw_crypto_engine_parse(text, &spec, why), 0);
	assert_int_equal(pw_crypto_engine_start(&spec, workers, why), error);
	if (strstr(why, says) == NULL)
		fail_msg("\"%s\" does not say \"%s\"", why, says);
	assert_true(engine_is_direct());
}

static void test_refused(void **state)
{
	refused("cryptodev=crypto_rot13", 1, -ENODEV, "there is no cryptodev crypto_rot13");
	refused("cryptodev=net_null0", 1, -ENODEV, "the device net_null0 is no cryptodev");
	refused("cryptodev=0000:3d:01.0", 1, -ENODEV, "is it bound to vfio-pci");
	refused("cryptodev=crypto_null0", 1, -ENOTSUP, "does none of ESP's algorithms");
	refused("cryptodev=crypto_aesni_mb0", 65, -ENOSPC, "65 workers");
}

/* ---- a device that falls silent ----------------------------------------------------------- */

static const struct pw_crypto_suite *suite;
static struct rte_mempool *pool;
static struct rte_mbuf *mbufs[PACKETS];
static struct pw_crypto_op ops[PACKETS];
static struct pw_crypto_worker *worker;
static struct pw_crypto_key *key;

static bool silent;
static struct rte_crypto_op *withheld[512];
static uint16_t withheld_count;
static void *callback;

/* Between the device and who dequeues from it. */
static uint16_t answers(uint16_t device, uint16_t pair, struct rte_crypto_op **operations,
			uint16_t count, void *context)
{
	if (silent) {
		memcpy(withheld + withheld_count, operations, count * sizeof(*operations));
		withheld_count += count;
		return 0;
	}
	if (withheld_count == 0)
		return count;
	assert_int_equal(count, 0);
	assert_true(withheld_count <= 64);
	memcpy(operations, withheld, withheld_count * sizeof(*operations));
	count = withheld_count;
	withheld_count = 0;
	return count;
}

static uint16_t nothing_taken(uint16_t device, uint16_t pair, struct rte_crypto_op **operations,
			      uint16_t count, void *context)
{
	return 0;
}

static struct pw_crypto_key *key_make(void)
{
	static const uint8_t raw[64] = {1, 2, 3};
	struct pw_crypto_key *made;

	assert_int_equal(
		pw_crypto_key_new(suite, raw, suite->key_bytes, raw, suite->auth_key_bytes, &made),
		0);
	return made;
}

static void engine_start(void)
{
	struct pw_crypto_engine_spec spec = {"crypto_aesni_mb0", WAIT_MS};
	char why[PW_CRYPTO_WHY_BYTES];

	assert_int_equal(pw_crypto_engine_start(&spec, 2, why), 0);
	suite = suite_named("aes128-sha256");
	key = key_make();
	assert_int_equal(pw_crypto_worker_new(&worker), 0);
}

static void packets_make(void)
{
	assert_int_equal(rte_pktmbuf_alloc_bulk(pool, mbufs, PACKETS), 0);
	for (unsigned int i = 0; i < PACKETS; i++) {
		memset(rte_pktmbuf_append(mbufs[i], 512), 0x5a, 512);
		ops[i] = (struct pw_crypto_op){
			.key = key,
			.esp = rte_pktmbuf_mtod_offset(mbufs[i], uint8_t *, 64),
			.mbuf = mbufs[i],
			.text_bytes = TEXT,
			.esn = i & 1,
		};
	}
}

static void statuses_check(enum pw_crypto_status status)
{
	for (unsigned int i = 0; i < PACKETS; i++)
		assert_int_equal(ops[i].status, status);
}

/* Seals; returns the milliseconds that it took. */
static double seal_timed(unsigned int failed)
{
	uint64_t start = rte_rdtsc();

	assert_int_equal(pw_crypto_seal(worker, ops, PACKETS), failed);
	statuses_check(failed > 0 ? PW_CRYPTO_FAILED : PW_CRYPTO_OK);
	return (double)(rte_rdtsc() - start) * 1e3 / (double)rte_get_tsc_hz();
}

/* How often the log says @p text from here on: begins with stderr moved into a file. */
static int log_file, log_saved;

static void log_begin(void)
{
	char name[] = "/tmp/pw_test_crypto_XXXXXX";

	log_file = mkstemp(name);
	assert_true(log_file >= 0);
	unlink(name);
	log_saved = dup(STDERR_FILENO);
	dup2(log_file, STDERR_FILENO);
}

static unsigned int log_end(const char *text)
{
	static char said[65536];
	unsigned int count = 0;
	ssize_t bytes;

	dup2(log_saved, STDERR_FILENO);
	close(log_saved);
	bytes = pread(log_file, said, sizeof(said) - 1, 0);
	said[bytes > 0 ? bytes : 0] = '\0';
	close(log_file);
	for (const char *at = said; (at = strstr(at, text)) != NULL; at++)
		count++;
	return count;
}

static void test_silent(void **state)
{
	unsigned int there = rte_mempool_avail_count(pool);
	size_t before, during, after;
	double took;

	engine_start();
	callback = rte_cryptodev_add_deq_callback(pw_cryptodev.id, 0, answers, NULL);
	assert_non_null(callback);
	packets_make();
	seal_timed(0);

	/* It falls silent: the burst fails after the wait, and its packets are held. */
	silent = true;
	log_begin();
	took = seal_timed(PACKETS);
	assert_true(took >= WAIT_MS && took < 50 * WAIT_MS);
	for (unsigned int i = 0; i < PACKETS; i++)
		assert_int_equal(rte_mbuf_refcnt_read(mbufs[i]), 2);
	rte_pktmbuf_free_bulk(mbufs, PACKETS);
	assert_int_equal(rte_mempool_avail_count(pool), there - PACKETS);

	/* Others fail at once, and are not held. */
	packets_make();
	for (int i = 0; i < 10; i++)
		assert_true(seal_timed(PACKETS) < WAIT_MS / 2.0);
	for (unsigned int i = 0; i < PACKETS; i++)
		assert_int_equal(rte_mbuf_refcnt_read(mbufs[i]), 1);
	assert_int_equal(log_end("no answer from queue pair 0, 8 packets are overdue"), 1);

	/* The key's sessions outlive it while the device may use them. */
	pw_secret_usage(NULL, &before);
	pw_crypto_key_free(key);
	pw_secret_usage(NULL, &during);
	assert_int_equal(before, during);
	key = key_make();
	pw_secret_usage(NULL, &before);

	/* It answers again: everything is given back, and all goes on. */
	silent = false;
	for (unsigned int i = 0; i < PACKETS; i++)
		ops[i].key = key;
	log_begin();
	seal_timed(0);
	assert_int_equal(log_end("answers again"), 1);
	assert_int_equal(rte_mempool_avail_count(pool), there - PACKETS);
	rte_pktmbuf_free_bulk(mbufs, PACKETS);
	assert_int_equal(rte_mempool_avail_count(pool), there);
	pw_crypto_key_free(key);
	pw_secret_usage(NULL, &after);
	assert_true(after < before - sizeof(struct pw_crypto_key));

	rte_cryptodev_remove_deq_callback(pw_cryptodev.id, 0, callback);
	pw_crypto_worker_free(worker);
	pw_crypto_engine_stop();
}

/* A device that takes nothing has nothing of ours: nothing is held. */
static void test_full(void **state)
{
	unsigned int there = rte_mempool_avail_count(pool);

	engine_start();
	callback = rte_cryptodev_add_enq_callback(pw_cryptodev.id, 0, nothing_taken, NULL);
	assert_non_null(callback);
	packets_make();
	log_begin();
	assert_true(seal_timed(PACKETS) >= WAIT_MS);
	/* Not once more for every burst. */
	assert_true(seal_timed(PACKETS) < WAIT_MS / 2.0);
	assert_int_equal(log_end("queue pair 0 takes no packets"), 1);
	for (unsigned int i = 0; i < PACKETS; i++)
		assert_int_equal(rte_mbuf_refcnt_read(mbufs[i]), 1);
	rte_cryptodev_remove_enq_callback(pw_cryptodev.id, 0, callback);
	seal_timed(0);
	rte_pktmbuf_free_bulk(mbufs, PACKETS);
	assert_int_equal(rte_mempool_avail_count(pool), there);
	pw_crypto_key_free(key);
	pw_crypto_worker_free(worker);
	pw_crypto_engine_stop();
}

/* Silent to the end: what it may still write to is never used again, and stopping ends. */
static void test_silent_for_ever(void **state)
{
	unsigned int there = rte_mempool_avail_count(pool);
	struct pw_crypto_worker *others[2];
	size_t before, after;

	engine_start();
	callback = rte_cryptodev_add_deq_callback(pw_cryptodev.id, 0, answers, NULL);
	packets_make();
	silent = true;
	log_begin();
	seal_timed(PACKETS);
	rte_pktmbuf_free_bulk(mbufs, PACKETS);
	pw_crypto_key_free(key);
	pw_crypto_worker_free(worker);
	assert_int_equal(log_end("8 packets on queue pair 0 are never answered"), 1);
	assert_int_equal(rte_mempool_avail_count(pool), there - PACKETS);
	assert_non_null(rte_mempool_lookup("pw_lookaside_0"));
	/* Of two queue pairs one is left. */
	assert_int_equal(pw_crypto_worker_new(&others[0]), 0);
	assert_int_equal(pw_crypto_worker_new(&others[1]), -ENOSPC);
	assert_null(others[1]);
	pw_crypto_worker_free(others[0]);
	rte_cryptodev_remove_deq_callback(pw_cryptodev.id, 0, callback);
	pw_secret_usage(NULL, &before);
	pw_crypto_engine_stop();
	/* The stopped device writes to nothing: the keys at least go. */
	pw_secret_usage(NULL, &after);
	assert_true(after <= before - sizeof(struct pw_crypto_key));
}

static int setup(void **state)
{
	pool = rte_pktmbuf_pool_create("packets", 255, 0, 0, 2048, SOCKET_ID_ANY);
	return pool == NULL;
}

int main(void)
{
	const struct CMUnitTest choice[] = {
		cmocka_unit_test(test_parse),
		cmocka_unit_test(test_refused),
	};
	const struct CMUnitTest device[] = {
		cmocka_unit_test(test_silent),
		cmocka_unit_test(test_full),
		cmocka_unit_test(test_silent_for_ever),
	};
	int ret;

	setenv("PW_CRYPTO", "cryptodev=crypto_aesni_mb0", 1);
	ret = engine_from_environment(1);
	if (ret)
		return ret;
	pw_crypto_engine_stop();
	ret = cmocka_run_group_tests(choice, NULL, NULL);
	return ret + cmocka_run_group_tests(device, setup, NULL);
}
