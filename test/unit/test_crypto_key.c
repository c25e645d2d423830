/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys and suites of the crypto engine: what is taken, what is refused, what is left of a key. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>

#include <cmocka.h>

#include <rte_mempool.h>

#include "crypto_fixture.h"
#include "drivers/crypto_internal.h"
#include "lib/secret.h"
#include "memory_scan.h"

/* ---- keys --------------------------------------------------------------------------------- */

static void test_key_lengths(void **state)
{
	static const uint8_t raw[128] = {1};
	const struct pw_crypto_suite *suite;
	struct pw_crypto_key *key;

	for (unsigned int s = 0; (suite = pw_crypto_suite_at(s)) != NULL; s++) {
		size_t bytes = suite->key_bytes, auth = suite->auth_key_bytes, used, after;

		if (!suite_usable(suite)) {
			assert_int_equal(pw_crypto_key_new(suite, raw, bytes, raw, auth, &key),
					 -ENOTSUP);
			assert_null(key);
			continue;
		}

		pw_secret_usage(NULL, &used);
		assert_int_equal(pw_crypto_key_new(suite, raw, bytes + 1, raw, auth, &key),
				 -EINVAL);
		assert_null(key);
		assert_int_equal(pw_crypto_key_new(suite, raw, bytes - 1, raw, auth, &key),
				 -EINVAL);
		assert_int_equal(pw_crypto_key_new(suite, raw, bytes, raw, auth + 1, &key),
				 -EINVAL);
		assert_int_equal(pw_crypto_key_new(suite, raw, bytes, raw, auth, &key), 0);
		assert_ptr_equal(pw_crypto_key_suite(key), suite);
		pw_crypto_key_free(key);
		pw_secret_usage(NULL, &after);
		assert_int_equal(used, after);
	}
	pw_crypto_key_free(NULL);
	pw_crypto_worker_free(NULL);
}

#define PATTERNS_MAX 1024

static size_t patterns_of(const uint8_t *secret, size_t bytes, struct scan_pattern *patterns,
			  size_t count)
{
	for (size_t i = 0; i + SCAN_PATTERN <= bytes && count < PATTERNS_MAX; i += SCAN_PATTERN) {
		unsigned int distinct = 0;

		/* Not the empty and nearly empty pieces: they are everywhere. */
		for (size_t b = 1; b < SCAN_PATTERN; b++)
			distinct += secret[i + b] != secret[i];
		if (distinct > 12 && secret[i] != 0 && secret[i + 1] != 0)
			patterns[count++] = scan_pattern(secret + i);
	}
	return count;
}

/* Whatever was made of a key: for a cryptodev in its sessions, else in our own memory. */
static size_t patterns_of_key(const struct pw_crypto_key *key, struct scan_pattern *patterns,
			      size_t count)
{
	const struct pw_crypto_sessions *sessions = &key->sessions;

	if (engine_is_direct())
		return patterns_of((const uint8_t *)&key->gcm, sizeof(key->gcm), patterns, count);
	for (int open = 0; open < 2; open++)
		for (int esn = 0; esn < 2; esn++) {
			const void *session = sessions->session[open][esn];

			if (esn == 0 || session != sessions->session[open][0])
				count = patterns_of(session,
						    rte_mempool_from_obj((void *)session)->elt_size,
						    patterns, count);
		}
	return count;
}

/*
 * One key of each method, used in both directions and freed: neither it, nor its round keys, nor
 * its hash states are anywhere, the worker that used them and this stack included.
 */
static void test_keys_wiped(void **state)
{
	static const char *const names[] = {"aes128gcm16",      "aes256gcm16",   "aes256gmac",
					    "chacha20poly1305", "aes256-sha256", "aes128ctr-sha512",
					    "aes192-sha384",    "null-sha1"};
	static struct scan_pattern patterns[PATTERNS_MAX];
	static uint8_t copies[48][2048];
	static struct pw_crypto_op own[48];
	const char *engine = engine_is_direct() ? "" : getenv("PW_CRYPTO");

	for (size_t n = 0; n < sizeof(names) / sizeof(names[0]); n++) {
		const struct pw_crypto_suite *suite = suite_named(names[n]);
		struct pw_crypto_key *key;
		struct scan_result result;
		size_t count = 0;
		void *raw;

		if (!suite_usable(suite))
			continue;
		assert_int_equal(pw_secret_alloc(128, &raw), 0);
		assert_int_equal(getrandom(raw, 128, 0), 128);
		assert_int_equal(pw_crypto_key_new(suite, raw, suite->key_bytes,
						   (uint8_t *)raw + 64, suite->auth_key_bytes,
						   &key),
				 0);
		count = patterns_of(raw, suite->key_bytes & ~15u, patterns, count);
		count = patterns_of((uint8_t *)raw + 64, suite->auth_key_bytes & ~15u, patterns,
				    count);
		count = patterns_of_key(key, patterns, count);
		assert_true(count > 1);
		for (unsigned int i = 0; i < 48; i++)
			own[i] = (struct pw_crypto_op){
				.key = key,
				.esp = copies[i] + 64,
				.text_bytes = (uint16_t)(64 + 16 * i),
				.esn = true,
			};
		assert_int_equal(pw_crypto_seal(*state, own, 48), 0);
		assert_int_equal(pw_crypto_open(*state, own, 48), 0);
		result = scan_memory(patterns, count);
		assert_true(result.found >= count);
		/* OpenSSL keeps its own copies on the heap. */
		if (strstr(engine, "openssl") == NULL)
			assert_int_equal(result.outside, 0);
		pw_secret_free(raw);
		pw_crypto_key_free(key);
		result = scan_memory(patterns, count);
		if (result.found > 0)
			print_message("%s: %u pieces left, one at %#lx\n", names[n], result.found,
				      (unsigned long)result.last);
		assert_int_equal(result.found, 0);
	}
}

/* ---- which algorithms -------------------------------------------------------------------- */

static void test_suites(void **state)
{
	const struct pw_crypto_suite *suite, *found;
	char why[PW_CRYPTO_WHY_BYTES];
	unsigned int s;

	for (s = 0; (suite = pw_crypto_suite_at(s)) != NULL; s++) {
		struct pw_crypto_proposal proposal = {
			suite->cipher,         suite->key_bytes * 8u,
			suite->auth,           suite->auth_key_bytes * 8u,
			suite->icv_bytes * 8u,
		};

		if (suite_usable(suite)) {
			assert_int_equal(pw_crypto_suite_find(&proposal, &found, why), 0);
			assert_ptr_equal(found, suite);
		} else {
			/* Nothing else does it in the device's place. */
			assert_int_equal(pw_crypto_suite_find(&proposal, &found, why), -ENOTSUP);
			assert_null(found);
			assert_non_null(strstr(why, getenv("PW_CRYPTO") + strlen("cryptodev=")));
			assert_true(strstr(why, suite->cipher) != NULL ||
				    strstr(why, suite->auth) != NULL);
		}
		assert_ptr_equal(suite_named(suite->name), suite);
		proposal.icv_bits -= 32;
		assert_int_equal(pw_crypto_suite_find(&proposal, &found, why), -EINVAL);
		assert_null(found);
		assert_non_null(strstr(why, "ICV"));
		proposal.icv_bits += 32;
		proposal.key_bits += 8;
		assert_int_equal(pw_crypto_suite_find(&proposal, &found, why), -EINVAL);
		assert_non_null(strstr(why, "key"));
	}
	assert_int_equal(s, 35);
}

static void test_refusals(void **state)
{
	static const struct {
		struct pw_crypto_proposal proposal;
		int error;
		const char *says;
	} cases[] = {
		{{"cbc(des)", 64, "hmac(sha1)", 160, 96}, -ENOSYS, "cbc(des) is refused: 56-bit"},
		{{"cbc(des3_ede)", 192, "hmac(sha1)", 160, 96}, -ENOSYS, "64-bit blocks"},
		{{"cbc(aes)", 128, "hmac(md5)", 128, 96}, -ENOSYS, "hmac(md5) is refused: MD5"},
		{{"cbc(aes)", 128, "digest_null", 0, 0}, -ENOSYS, "digest_null is refused"},
		{{"rot13", 128, NULL, 0, 128}, -ENOSYS, "unknown encryption algorithm rot13"},
		{{"cbc(aes)", 128, "hmac(rot13)", 0, 96}, -ENOSYS, "unknown integrity algorithm"},
		{{"cbc(aes)", 128, NULL, 0, 0}, -EINVAL, "cbc(aes) needs an integrity algorithm"},
		{{"rfc4106(gcm(aes))", 160, "hmac(sha1)", 160, 96}, -EINVAL, "takes no hmac(sha1)"},
		{{"rfc4106(gcm(aes))", 128, NULL, 0, 128}, -EINVAL, "no key of 128 bits (32 bits"},
		{{"rfc4106(gcm(aes))", 160, NULL, 0, 64}, -EINVAL, "ICV of 128 bits, not of 64"},
		{{"cbc(aes)", 127, "hmac(sha1)", 160, 96}, -EINVAL, "no key of 127 bits"},
		{{"cbc(aes)", 128, "hmac(sha256)", 256, 96}, -EINVAL, "ICV of 128 bits, not of 96"},
		{{"cbc(aes)", 128, "hmac(sha256)", 160, 128},
		 -EINVAL,
		 "key of 256 bits, not of 160"},
	};
	const struct pw_crypto_suite *suite;
	char why[PW_CRYPTO_WHY_BYTES];

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		why[0] = '\0';
		assert_int_equal(pw_crypto_suite_find(&cases[i].proposal, &suite, why),
				 cases[i].error);
		assert_null(suite);
		if (strstr(why, cases[i].says) == NULL)
			fail_msg("\"%s\" does not say \"%s\"", why, cases[i].says);
	}
	if (!suite_usable(suite_named("aes256-sha256")))
		return;
	assert_int_equal(
		pw_crypto_suite_find(&(struct pw_crypto_proposal){"aes", 256, "sha256", 256, 128},
				     &suite, why),
		0);
	assert_string_equal(suite->name, "aes256-sha256");
}

static int setup(void **state)
{
	static const uint8_t raw[64];
	const struct pw_crypto_suite *suite;
	struct pw_crypto_key *key;
	unsigned int s = 0;

	assert_int_equal(arch_from_environment(), 0);
	/* The first key of all takes memory besides, which stays: not what is counted here. */
	while (!suite_usable(suite = pw_crypto_suite_at(s)))
		s++;
	assert_int_equal(
		pw_crypto_key_new(suite, raw, suite->key_bytes, raw, suite->auth_key_bytes, &key),
		0);
	pw_crypto_key_free(key);
	return pw_crypto_worker_new((struct pw_crypto_worker **)state);
}

static int teardown(void **state)
{
	pw_crypto_worker_free(*state);
	pw_crypto_engine_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_suites),
		cmocka_unit_test(test_refusals),
		cmocka_unit_test(test_key_lengths),
		cmocka_unit_test(test_keys_wiped),
	};

	int ret = engine_from_environment(1);

	return ret ? ret : cmocka_run_group_tests(tests, setup, teardown);
}
