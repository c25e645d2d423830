/* SPDX-License-Identifier: BSD-3-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <errno.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "control/loop.h"

static unsigned int calls, rounds;
static struct pw_watcher *watchers[2];
static struct pw_timer *timer;

static void count_call(void *context)
{
	(*(unsigned int *)context)++;
}

static void count_event(uint32_t events, void *context)
{
	assert_true(events & EPOLLIN);
	calls++;
	eventfd_read(*(int *)context, &(eventfd_t){0});
}

/* Whichever runs first stops both: the other must not run any more. */
static void stop_both(uint32_t events, void *context)
{
	calls++;
	pw_watcher_stop(watchers[0]);
	pw_watcher_stop(watchers[1]);
}

static void stop_timer(void *context)
{
	calls++;
	pw_timer_stop(timer);
}

static int setup(void **state)
{
	calls = rounds = 0;
	return pw_loop_init();
}

static int teardown(void **state)
{
	pw_loop_fini();
	return 0;
}

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static void test_init_twice(void **state)
{
	assert_int_equal(pw_loop_init(), -EBUSY);
}

static void test_event(void **state)
{
	int fd = eventfd(0, EFD_NONBLOCK);
	struct pw_watcher *watcher = pw_loop_watch(fd, EPOLLIN, count_event, &fd);

	assert_non_null(watcher);
	assert_int_equal(pw_loop_after_round(count_call, &rounds), 0);
	pw_loop_step(0);
	assert_int_equal(calls, 0);
	assert_int_equal(rounds, 0); /* nothing happened: no round */
	eventfd_write(fd, 1);
	pw_loop_step(-1);
	assert_int_equal(calls, 1);
	assert_int_equal(rounds, 1);
	pw_watcher_events(watcher, 0);
	eventfd_write(fd, 1);
	pw_loop_step(0);
	assert_int_equal(calls, 1);
	pw_watcher_events(watcher, EPOLLIN);
	pw_loop_step(0);
	assert_int_equal(calls, 2);
	pw_watcher_stop(watcher);
	eventfd_write(fd, 1);
	pw_loop_step(0);
	assert_int_equal(calls, 2);
	close(fd);
}

static void test_bad_descriptor(void **state)
{
	assert_null(pw_loop_watch(-1, EPOLLIN, count_event, NULL));
	assert_int_equal(errno, EBADF);
}

static void test_stop_inside(void **state)
{
	int fds[2] = {eventfd(1, 0), eventfd(1, 0)};

	for (int i = 0; i < 2; i++)
		watchers[i] = pw_loop_watch(fds[i], EPOLLIN, stop_both, NULL);
	pw_loop_step(0);
	pw_loop_step(0);
	assert_int_equal(calls, 1);
	close(fds[0]);
	close(fds[1]);
}

static void test_timer(void **state)
{
	uint64_t start = now_ms();

	timer = pw_loop_timer(20, count_call, &calls);
	pw_loop_after_round(count_call, &rounds);
	while (calls < 3)
		pw_loop_step(-1);
	assert_true(now_ms() - start >= 59);
	assert_true(rounds >= 3);
	/* A loop that was held up does not catch up tick by tick. */
	usleep(100000);
	calls = 0;
	pw_loop_step(0);
	pw_loop_step(0);
	assert_int_equal(calls, 1);
	pw_timer_stop(timer);
	usleep(30000);
	pw_loop_step(0);
	assert_int_equal(calls, 1);
}

static void test_timer_stops_itself(void **state)
{
	timer = pw_loop_timer(1, stop_timer, NULL);
	usleep(5000);
	pw_loop_step(0);
	usleep(5000);
	pw_loop_step(0);
	assert_int_equal(calls, 1);
}

static void test_again(void **state)
{
	uint64_t start = now_ms();

	pw_loop_after_round(count_call, &rounds);
	pw_loop_again(10);
	pw_loop_step(1000);
	assert_int_equal(rounds, 1);
	assert_true(now_ms() - start < 500);
	pw_loop_step(0);
	assert_int_equal(rounds, 1); /* asked for once */
	pw_loop_again(0);
	pw_loop_step(-1);
	assert_int_equal(rounds, 2);
}

static void stop_loop(void *context)
{
	pw_loop_stop();
}

static void test_run(void **state)
{
	pw_loop_timer(5, stop_loop, NULL);
	pw_loop_run();
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(test_init_twice, setup, teardown),
		cmocka_unit_test_setup_teardown(test_event, setup, teardown),
		cmocka_unit_test_setup_teardown(test_bad_descriptor, setup, teardown),
		cmocka_unit_test_setup_teardown(test_stop_inside, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timer, setup, teardown),
		cmocka_unit_test_setup_teardown(test_timer_stops_itself, setup, teardown),
		cmocka_unit_test_setup_teardown(test_again, setup, teardown),
		cmocka_unit_test_setup_teardown(test_run, setup, teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
