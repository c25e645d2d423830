/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Other people's vectors through seal and open. The lines are described in crypto_vectors.py;
 * those of the RFCs lie in test/vectors, the rest is read from PW_SHARED (default
 * ../shared beside the tree) when it is there.
 */
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

#include "crypto_fixture.h"
#include "drivers/crypto_internal.h"

#define FIELDS     8
#define BYTES_MAX  4096
#define LINE_MAX_  (8 * BYTES_MAX)
#define PATH_BYTES 4096

/* A line, taken apart; bytes where the field is one of hexadecimal. */
struct vector {
	char *word[FIELDS];
	uint8_t data[FIELDS][BYTES_MAX];
	size_t bytes[FIELDS];
	unsigned int fields;
	const char *source;
	unsigned int number;
};

static struct pw_crypto_worker *worker;
/* Of suites that the engine lacks, or (an AEAD outside ESP) not for engines with a device. */
static unsigned int left_out;

#define check(vector, condition)                                                                   \
	do {                                                                                       \
		if (!(condition))                                                                  \
			fail_msg("%s:%u (%s %s): %s", (vector)->source, (vector)->number,          \
				 (vector)->word[0], (vector)->word[1], #condition);                \
	} while (0)

static void field_parse(struct vector *v, unsigned int field)
{
	const char *word = v->word[field];
	size_t count = strlen(word);

	v->bytes[field] = 0;
	if (strcmp(word, "-") == 0)
		return;
	check(v, count % 2 == 0 && count / 2 <= BYTES_MAX);
	for (size_t i = 0; i < count; i += 2) {
		unsigned int byte;

		check(v, sscanf(word + i, "%2x", &byte) == 1);
		v->data[field][v->bytes[field]++] = (uint8_t)byte;
	}
}

static void vector_parse(struct vector *v, char *line)
{
	char *rest = NULL;

	v->fields = 0;
	for (char *word = strtok_r(line, " \n", &rest); word != NULL && v->fields < FIELDS;
	     word = strtok_r(NULL, " \n", &rest))
		v->word[v->fields++] = word;
}

static struct pw_crypto_key *key_of(struct vector *v, const char *suite, unsigned int cipher,
				    unsigned int auth)
{
	struct pw_crypto_key *key;

	check(v,
	      pw_crypto_key_new(suite_named(suite), v->data[cipher], v->bytes[cipher],
				auth ? v->data[auth] : NULL, auth ? v->bytes[auth] : 0, &key) == 0);
	return key;
}

static struct pw_crypto_op op_of(struct vector *v, const struct pw_crypto_key *key, uint8_t *packet)
{
	const struct pw_crypto_suite *suite = pw_crypto_key_suite(key);
	uint32_t around = 8u + suite->iv_bytes + suite->icv_bytes;
	struct pw_crypto_op op = {.key = key, .esp = packet};

	check(v, v->bytes[5] >= around);
	memset(packet - PW_CRYPTO_HEADROOM, 0xa7, PW_CRYPTO_HEADROOM);
	memcpy(packet, v->data[5], v->bytes[5]);
	op.text_bytes = (uint16_t)(v->bytes[5] - around);
	op.esn = v->bytes[4] == 4;
	if (op.esn)
		op.esn_high = (uint32_t)strtoul(v->word[4], NULL, 16);
	return op;
}

/* packet SUITE KEY AUTHKEY ESN-HIGH PACKET TEXT, forged without TEXT */
static void packet_run(struct vector *v, bool good)
{
	static uint8_t room[PW_CRYPTO_HEADROOM + BYTES_MAX];
	uint8_t *packet = room + PW_CRYPTO_HEADROOM;
	struct pw_crypto_key *key = key_of(v, v->word[1], 2, 3);
	struct pw_crypto_op op = op_of(v, key, packet);
	uint8_t *text = packet + 8 + pw_crypto_key_suite(key)->iv_bytes;

	check(v, pw_crypto_open(worker, &op, 1) == !good);
	check(v, op.status == (good ? PW_CRYPTO_OK : PW_CRYPTO_BAD_ICV));
	if (good) {
		check(v, v->bytes[6] == op.text_bytes);
		check(v, memcmp(text, v->data[6], op.text_bytes) == 0);
		memset(text + op.text_bytes, 0, pw_crypto_key_suite(key)->icv_bytes);
		check(v, pw_crypto_seal(worker, &op, 1) == 0);
		check(v, memcmp(packet, v->data[5], v->bytes[5]) == 0);
		/* And damaged it is refused. */
		packet[v->bytes[5] - 1] ^= 1;
		check(v, pw_crypto_open(worker, &op, 1) == 1);
	}
	pw_crypto_key_free(key);
}

/* aead SUITE KEY NONCE AAD TEXT CIPHERTEXT ICV, forgedaead without TEXT */
static void aead_run(struct vector *v, bool good)
{
	static uint8_t text[BYTES_MAX];
	struct pw_crypto_key *key = key_of(v, v->word[1], 2, 0);
	unsigned int cipher = good ? 6 : 5;
	uint32_t bytes = (uint32_t)v->bytes[cipher];
	uint64_t nonce[2] = {0};
	uint8_t icv[16];

	check(v, v->bytes[3] == 12 && v->bytes[cipher + 1] == 16);
	memcpy(nonce, v->data[3], 12);
	memcpy(text, v->data[cipher], bytes);
	check(v, pw_crypto_gcm_open(worker, key, nonce, v->data[4], v->bytes[4], text, bytes,
				    v->data[cipher + 1]) == good);
	if (good) {
		check(v, v->bytes[5] == bytes && memcmp(text, v->data[5], bytes) == 0);
		pw_crypto_gcm_seal(worker, key, nonce, v->data[4], v->bytes[4], text, bytes, icv);
		check(v, memcmp(text, v->data[6], bytes) == 0);
		check(v, memcmp(icv, v->data[7], 16) == 0);
	}
	pw_crypto_key_free(key);
}

/*
 * encrypted KEY PACKET TEXT: RFC 3602's packets have no ICV, and Pewter has no such suite. So the
 * text is sealed with an HMAC besides, and the packet before the ICV must be the RFC's.
 */
static void encrypted_run(struct vector *v)
{
	static uint8_t packet[BYTES_MAX];
	const struct pw_crypto_suite *suite = suite_named("aes128-sha256");
	struct pw_crypto_op op = {.esp = packet};
	static const uint8_t auth[32] = {1};
	struct pw_crypto_key *key;

	check(v, pw_crypto_key_new(suite, v->data[1], v->bytes[1], auth, sizeof(auth), &key) == 0);
	op.key = key;
	op.text_bytes = (uint16_t)v->bytes[3];
	check(v, v->bytes[2] == 24 + v->bytes[3]);
	memcpy(packet, v->data[2], 24);
	memcpy(packet + 24, v->data[3], v->bytes[3]);
	check(v, pw_crypto_seal(worker, &op, 1) == 0);
	check(v, memcmp(packet, v->data[2], v->bytes[2]) == 0);
	check(v, pw_crypto_open(worker, &op, 1) == 0);
	check(v, memcmp(packet + 24, v->data[3], v->bytes[3]) == 0);
	pw_crypto_key_free(key);
}

static void key_run(struct vector *v)
{
	struct pw_crypto_key *key;

	check(v, pw_crypto_key_new(suite_named(v->word[1]), v->data[2], v->bytes[2], v->data[3],
				   v->bytes[3], &key) == -EINVAL);
}

static void vector_run(struct vector *v)
{
	static const struct {
		const char *kind;
		unsigned int fields;
		unsigned int first; /* of hexadecimal */
	} kinds[] = {{"packet", 7, 2},     {"forged", 6, 2}, {"aead", 8, 2},
		     {"forgedaead", 7, 2}, {"key", 4, 2},    {"encrypted", 4, 1}};
	size_t kind = 0;

	while (kind < 6 && strcmp(kinds[kind].kind, v->word[0]) != 0)
		kind++;
	check(v, kind < 6 && v->fields == kinds[kind].fields);
	for (unsigned int f = kinds[kind].first; f < v->fields; f++)
		field_parse(v, f);
	if ((kind >= 2 && kind < 4 && !engine_is_direct()) ||
	    !suite_usable(suite_named(kind < 5 ? v->word[1] : "aes128-sha256"))) {
		left_out++;
		return;
	}
	if (kind < 2)
		packet_run(v, kind == 0);
	else if (kind < 4)
		aead_run(v, kind == 2);
	else if (kind == 4)
		key_run(v);
	else
		encrypted_run(v);
}

/* Runs every line; returns how many were vectors. */
static unsigned int stream_run(FILE *stream, const char *source)
{
	static char line[LINE_MAX_];
	static struct vector v;
	unsigned int count = 0;

	v.source = source;
	v.number = 0;
	while (fgets(line, sizeof(line), stream) != NULL) {
		v.number++;
		if (line[0] == '#' || line[0] == '\n')
			continue;
		if (strncmp(line, "note ", 5) == 0) {
			print_message("%s", line + 5);
			continue;
		}
		vector_parse(&v, line);
		vector_run(&v);
		count++;
	}
	if (left_out > 0)
		print_message("%u of %u left out, which this engine does not do\n", left_out,
			      count);
	left_out = 0;
	return count;
}

static const char *root(void)
{
	const char *named = getenv("PW_ROOT");

	return named != NULL ? named : ".";
}

static void test_rfcs(void **state)
{
	char path[PATH_BYTES];
	FILE *file;

	snprintf(path, sizeof(path), "%s/test/vectors/esp.txt", root());
	file = fopen(path, "r");
	if (file == NULL)
		fail_msg("%s: %s", path, strerror(errno));
	assert_int_equal(stream_run(file, "esp.txt"), 5);
	fclose(file);
}

/* Runs what crypto_vectors.py makes of @argument. */
static unsigned int script_run(const char *argument)
{
	char command[2 * PATH_BYTES];
	unsigned int count;
	FILE *script;

	snprintf(command, sizeof(command), "/usr/bin/python3 '%s/test/unit/crypto_vectors.py' '%s'",
		 root(), argument);
	script = popen(command, "r");
	assert_non_null(script);
	count = stream_run(script, argument);
	assert_int_equal(pclose(script), 0);
	return count;
}

static void test_shared(void **state)
{
	const char *shared = getenv("PW_SHARED");
	char path[PATH_BYTES];

	if (shared != NULL)
		snprintf(path, sizeof(path), "%s/vectors", shared);
	else
		snprintf(path, sizeof(path), "%s/../shared/vectors", root());
	if (access(path, R_OK) || access("/usr/bin/python3", X_OK)) {
		print_message("%s is not there (or no python3): skipped\n", path);
		skip();
	}
	print_message("%u vectors\n", script_run(path));
}

static void test_oracle(void **state)
{
	if (access("/usr/bin/python3", X_OK)) {
		print_message("no python3: skipped\n");
		skip();
	}
	print_message("%u packets\n", script_run("--oracle"));
}

static int setup(void **state)
{
	assert_int_equal(arch_from_environment(), 0);
	return pw_crypto_worker_new(&worker);
}

static int teardown(void **state)
{
	pw_crypto_worker_free(worker);
	pw_crypto_engine_stop();
	return 0;
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rfcs),
		cmocka_unit_test(test_shared),
		cmocka_unit_test(test_oracle),
	};

	int ret = engine_from_environment(1);

	return ret ? ret : cmocka_run_group_tests(tests, setup, teardown);
}
