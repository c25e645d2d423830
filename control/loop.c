/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/queue.h>
#include <time.h>
#include <unistd.h>

#define ROUND_EVENTS 64
#define ROUND_HOOKS  16
#define NEVER        UINT64_MAX

struct pw_watcher {
	LIST_ENTRY(pw_watcher) next;
	int fd;
	uint32_t events;
	pw_watcher_fn fn;
	void *context;
	bool stopped; /* freed at the end of the round: its events may still be in hand */
};

struct pw_timer {
	LIST_ENTRY(pw_timer) next;
	uint64_t interval;
	uint64_t due; /* ms of the monotonic clock */
	pw_timer_fn fn;
	void *context;
	bool stopped;
};

static LIST_HEAD(, pw_watcher) watchers = LIST_HEAD_INITIALIZER(watchers);
static LIST_HEAD(, pw_watcher) stopped_watchers = LIST_HEAD_INITIALIZER(stopped_watchers);
static LIST_HEAD(, pw_timer) timers = LIST_HEAD_INITIALIZER(timers);

static struct {
	pw_timer_fn fn;
	void *context;
} hooks[ROUND_HOOKS];
static unsigned int hook_count;

static int epoll_fd = -1;
static uint64_t again = NEVER; /* when a round is due although nothing happens */
static bool running;

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

int pw_loop_init(void)
{
	if (epoll_fd >= 0)
		return -EBUSY;
	epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	if (epoll_fd < 0)
		return -errno;
	again = NEVER;
	hook_count = 0;
	return 0;
}

static void stopped_free(void)
{
	struct pw_watcher *watcher;
	struct pw_timer *timer, *following;

	while ((watcher = LIST_FIRST(&stopped_watchers))) {
		LIST_REMOVE(watcher, next);
		free(watcher);
	}
	for (timer = LIST_FIRST(&timers); timer; timer = following) {
		following = LIST_NEXT(timer, next);
		if (timer->stopped) {
			LIST_REMOVE(timer, next);
			free(timer);
		}
	}
}

void pw_loop_fini(void)
{
	struct pw_watcher *watcher;
	struct pw_timer *timer;

	while ((watcher = LIST_FIRST(&watchers)))
		pw_watcher_stop(watcher);
	LIST_FOREACH (timer, &timers, next)
		timer->stopped = true;
	stopped_free();
	if (epoll_fd >= 0)
		close(epoll_fd);
	epoll_fd = -1;
	hook_count = 0;
}

struct pw_watcher *pw_loop_watch(int fd, uint32_t events, pw_watcher_fn fn, void *context)
{
	struct epoll_event event = {.events = events};
	struct pw_watcher *watcher = calloc(1, sizeof(*watcher));

	if (!watcher)
		return NULL;
	*watcher = (struct pw_watcher){.fd = fd, .events = events, .fn = fn, .context = context};
	event.data.ptr = watcher;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event)) {
		free(watcher);
		return NULL;
	}
	LIST_INSERT_HEAD(&watchers, watcher, next);
	return watcher;
}

void pw_watcher_events(struct pw_watcher *watcher, uint32_t events)
{
	struct epoll_event event = {.events = events, .data.ptr = watcher};

	if (watcher->stopped || watcher->events == events)
		return;
	if (epoll_ctl(epoll_fd, EPOLL_CTL_MOD, watcher->fd, &event) == 0)
		watcher->events = events;
}

void pw_watcher_stop(struct pw_watcher *watcher)
{
	if (watcher->stopped)
		return;
	watcher->stopped = true;
	epoll_ctl(epoll_fd, EPOLL_CTL_DEL, watcher->fd, NULL);
	LIST_REMOVE(watcher, next);
	LIST_INSERT_HEAD(&stopped_watchers, watcher, next);
}

struct pw_timer *pw_loop_timer(uint32_t interval_ms, pw_timer_fn fn, void *context)
{
	struct pw_timer *timer = calloc(1, sizeof(*timer));

	if (!timer)
		return NULL;
	timer->interval = interval_ms ? interval_ms : 1;
	timer->due = now_ms() + timer->interval;
	timer->fn = fn;
	timer->context = context;
	LIST_INSERT_HEAD(&timers, timer, next);
	return timer;
}

void pw_timer_stop(struct pw_timer *timer)
{
	timer->stopped = true;
}

int pw_loop_after_round(pw_timer_fn fn, void *context)
{
	if (hook_count == ROUND_HOOKS)
		return -ENOSPC;
	hooks[hook_count].fn = fn;
	hooks[hook_count++].context = context;
	return 0;
}

void pw_loop_again(uint32_t ms)
{
	uint64_t due = now_ms() + ms;

	if (due < again)
		again = due;
}

static int round_timeout(int timeout_ms)
{
	uint64_t due = again, now = now_ms();
	const struct pw_timer *timer;

	LIST_FOREACH (timer, &timers, next)
		if (!timer->stopped && timer->due < due)
			due = timer->due;
	if (due == NEVER)
		return timeout_ms;
	if (due <= now)
		return 0;
	if (timeout_ms >= 0 && (uint64_t)timeout_ms < due - now)
		return timeout_ms;
	return due - now > INT32_MAX ? INT32_MAX : (int)(due - now);
}

static bool timers_run(void)
{
	uint64_t now = now_ms();
	struct pw_timer *timer;
	bool ran = false;

	LIST_FOREACH (timer, &timers, next) {
		if (timer->stopped || timer->due > now)
			continue;
		/* A loop that was held up does not run a timer once for every missed tick. */
		timer->due += timer->interval;
		if (timer->due <= now)
			timer->due = now + timer->interval;
		timer->fn(timer->context);
		ran = true;
	}
	return ran;
}

int pw_loop_step(int timeout_ms)
{
	struct epoll_event events[ROUND_EVENTS];
	bool happened;
	int count = epoll_wait(epoll_fd, events, ROUND_EVENTS, round_timeout(timeout_ms));

	if (count < 0 && errno != EINTR)
		return -errno;
	happened = count > 0;
	for (int i = 0; i < count; i++) {
		struct pw_watcher *watcher = events[i].data.ptr;

		if (!watcher->stopped)
			watcher->fn(events[i].events, watcher->context);
	}
	if (timers_run())
		happened = true;
	if (again != NEVER && again <= now_ms()) {
		again = NEVER;
		happened = true;
	}
	for (unsigned int i = 0; happened && i < hook_count; i++)
		hooks[i].fn(hooks[i].context);
	stopped_free();
	return 0;
}

void pw_loop_run(void)
{
	running = true;
	while (running)
		if (pw_loop_step(-1))
			break;
}

void pw_loop_stop(void)
{
	running = false;
}
