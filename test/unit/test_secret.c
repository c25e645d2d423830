/* SPDX-License-Identifier: BSD-3-Clause */
/* Memory for keys: where it is, where it is not, and that nothing is left of a key. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "lib/secret.h"
#include "memory_scan.h"

static void *secret_new(size_t bytes)
{
	void *secret;

	assert_int_equal(pw_secret_alloc(bytes, &secret), 0);
	assert_non_null(secret);
	return secret;
}

static bool all_zero(const uint8_t *bytes, size_t count)
{
	for (size_t i = 0; i < count; i++)
		if (bytes[i] != 0)
			return false;
	return true;
}

static void test_sizes(void **state)
{
	static const size_t sizes[] = {1, 63, 64, 65, 1000, 5000, 200000, PW_SECRET_MAX};
	size_t before, after;
	void *secret = &before;

	assert_int_equal(pw_secret_alloc(0, &secret), -EINVAL);
	assert_null(secret);
	assert_int_equal(pw_secret_alloc(PW_SECRET_MAX + 1, &secret), -EINVAL);
	pw_secret_usage(NULL, &before);
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		uint8_t *one = secret_new(sizes[i]), *other = secret_new(sizes[i]);

		assert_int_equal((uintptr_t)one % 64, 0);
		assert_true(all_zero(one, sizes[i]) && all_zero(other, sizes[i]));
		memset(one, 0xa5, sizes[i]);
		assert_true(all_zero(other, sizes[i]));
		memset(other, 0x5a, sizes[i]);
		pw_secret_free(one);
		pw_secret_free(other);
		/* Wiped: the next one gets the same memory, and finds nothing in it. */
		one = secret_new(sizes[i]);
		assert_ptr_equal(one, other);
		assert_true(all_zero(one, sizes[i]));
		pw_secret_free(one);
	}
	pw_secret_free(NULL);
	pw_secret_usage(NULL, &after);
	assert_int_equal(before, after);
}

/* Many at once, freed in another order: none overlap, more memory is found when it is needed. */
static void test_many(void **state)
{
	enum { COUNT = 5000 };
	static uint8_t *secrets[COUNT];
	size_t locked, used;

	for (int i = 0; i < COUNT; i++) {
		secrets[i] = secret_new(64 + (size_t)i % 1500);
		memset(secrets[i], i % 251, 64 + (size_t)i % 1500);
	}
	pw_secret_usage(&locked, &used);
	assert_true(used > COUNT * 64 && locked > used);
	assert_int_equal(locked % PW_SECRET_CHUNK, 0);
	for (int i = 0; i < COUNT; i++) {
		uint8_t *secret = secrets[(i * 7) % COUNT];

		for (size_t b = 0; b < 64 + (size_t)((i * 7) % COUNT) % 1500; b++)
			assert_int_equal(secret[b], (i * 7) % COUNT % 251);
		pw_secret_free(secret);
	}
	pw_secret_usage(NULL, &used);
	assert_int_equal(used, 0);
}

static void test_mapping(void **state)
{
	uint8_t *secret = secret_new(32);
	char flags[256];
	int status;
	pid_t child;

	scan_flags(secret, flags, sizeof(flags));
	assert_non_null(strstr(flags, " lo")); /* locked */
	assert_non_null(strstr(flags, " dd")); /* not dumped */
	assert_non_null(strstr(flags, " dc")); /* not copied on fork */
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		/* There is no such memory here. write() tells without a signal. */
		int null = open("/dev/zero", O_RDONLY);

		_exit(read(null, secret, 1) < 0 && errno == EFAULT ? 0 : 1);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
	pw_secret_free(secret);
}

static void test_nothing_is_left(void **state)
{
	uint8_t *key = secret_new(32);
	struct scan_pattern patterns[2];
	struct scan_result result;

	assert_int_equal(getrandom(key, 32, 0), 32);
	patterns[0] = scan_pattern(key);
	patterns[1] = scan_pattern(key + 16);
	result = scan_memory(patterns, 2);
	assert_int_equal(result.found, 2);
	assert_int_equal(result.outside, 0);
	assert_in_range(result.last, (uintptr_t)key, (uintptr_t)key + 16);
	assert_true(result.bytes > 1u << 20);
	pw_secret_free(key);
	assert_int_equal(scan_memory(patterns, 2).found, 0);
}

/* The search itself must be able to find something that should not be there. */
static void test_search_finds(void **state)
{
	uint8_t *key = secret_new(16), *copy = malloc(16);
	struct scan_pattern pattern;
	struct scan_result result;

	assert_non_null(copy);
	assert_int_equal(getrandom(key, 16, 0), 16);
	pattern = scan_pattern(key);
	/* Byte by byte: memcpy()'s vector register may be saved on the stack by the dynamic linker.
	 */
	for (int i = 0; i < 16; i++)
		((volatile uint8_t *)copy)[i] = key[i];
	result = scan_memory(&pattern, 1);
	assert_int_equal(result.found, 2);
	assert_int_equal(result.outside, 1);
	explicit_bzero(copy, 16);
	assert_int_equal(scan_memory(&pattern, 1).found, 1);
	free(copy);
	pw_secret_free(key);
}

/* In a child without the right to lock: refused in so many words, and nothing changed. */
static void test_limit(void **state)
{
	char said[512] = "";
	int pipes[2], status;
	pid_t child;
	ssize_t got;

	assert_int_equal(pipe(pipes), 0);
	child = fork();
	assert_true(child >= 0);
	if (child == 0) {
		struct rlimit limit = {PW_SECRET_CHUNK, PW_SECRET_CHUNK};
		size_t locked;
		void *secret;
		int ret = 0;

		dup2(pipes[1], 2);
		/* Root is bound by the limit only without CAP_IPC_LOCK. */
		if (setrlimit(RLIMIT_MEMLOCK, &limit) || (getuid() == 0 && setuid(65534)))
			_exit(1);
		/* What the parent has is not here and does not count; so one chunk fits. */
		for (int i = 0; i < 1000 && ret == 0; i++)
			ret = pw_secret_alloc(PW_SECRET_MAX, &secret);
		pw_secret_usage(&locked, NULL);
		if (ret != -EAGAIN || secret != NULL)
			_exit(2);
		_exit(pw_secret_alloc(PW_SECRET_MAX, &secret) == -EAGAIN ? 0 : 3);
	}
	close(pipes[1]);
	assert_int_equal(waitpid(child, &status, 0), child);
	got = read(pipes[0], said, sizeof(said) - 1);
	close(pipes[0]);
	assert_true(WIFEXITED(status));
	assert_int_equal(WEXITSTATUS(status), 0);
	assert_true(got > 0);
	assert_non_null(strstr(said, "RLIMIT_MEMLOCK"));
}

static void test_wrong_free(void **state)
{
	int status;
	pid_t child = fork();

	assert_true(child >= 0);
	if (child == 0) {
		void *secret;

		close(2);
		signal(SIGABRT, SIG_DFL);
		if (pw_secret_alloc(100, &secret))
			_exit(1);
		pw_secret_free(secret);
		pw_secret_free(secret);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGABRT);
}

int main(void)
{
	/* The ones that fork and then allocate come first: a child does not have this arena. */
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_limit),        cmocka_unit_test(test_wrong_free),
		cmocka_unit_test(test_sizes),        cmocka_unit_test(test_many),
		cmocka_unit_test(test_mapping),      cmocka_unit_test(test_nothing_is_left),
		cmocka_unit_test(test_search_finds),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
