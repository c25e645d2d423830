/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_LOOP_H
#define PW_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>

/** The control thread's event loop: descriptors, timers, and work at the end of each round. */

struct pw_watcher;
typedef void (*pw_watcher_fn)(uint32_t events, void *context);
typedef void (*pw_timer_fn)(void *context);

/** 0 or -errno. */
int pw_loop_init(void);
void pw_loop_fini(void);

/** Watches @p fd for @p events (EPOLLIN, EPOLLOUT). Returns NULL with errno set. */
struct pw_watcher *pw_loop_watch(int fd, uint32_t events, pw_watcher_fn fn, void *context);
void pw_watcher_events(struct pw_watcher *watcher, uint32_t events);
/** Stops watching; safe from inside any callback; does not close the descriptor. */
void pw_watcher_stop(struct pw_watcher *watcher);

/** Calls @p fn every @p interval_ms; NULL with errno set on failure. */
struct pw_timer;
struct pw_timer *pw_loop_timer(uint32_t interval_ms, pw_timer_fn fn, void *context);
/** Safe from inside any callback, the timer's own included. */
void pw_timer_stop(struct pw_timer *timer);

/**
 * Calls @p fn after every round in which anything happened (resolution, flushing, retire), in
 * the order of registration. 0 or -ENOSPC.
 */
int pw_loop_after_round(pw_timer_fn fn, void *context);

/** The next round begins at most @p ms milliseconds from now, and counts as one with events. */
void pw_loop_again(uint32_t ms);

/** One round: waits at most @p timeout_ms (-1: until something happens), handles, finishes. */
int pw_loop_step(int timeout_ms);

/** Rounds until pw_loop_stop(). */
void pw_loop_run(void);
void pw_loop_stop(void);

#endif
