/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_RETIRE_H
#define PW_RETIRE_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_rcu_qsbr.h>

/**
 * Deferred reclamation (RCU, quiescent-state based), in batches.
 *
 * The control thread publishes a new version of something, then retires the old one with
 * pw_retire(). Nothing is reclaimed at once: whatever has been retired since the last batch
 * waits together for one grace period, in which every worker passes a quiescent state.
 *
 * All functions are for the control thread; workers touch only the returned QSBR variable.
 */

typedef void (*pw_retire_fn)(void *context, uint64_t argument);

/**
 * Prepares the module for @p threads reader threads (ids 0 .. threads - 1).
 * Returns 0, -EBUSY when already prepared, or -ENOMEM.
 */
int pw_retire_init(unsigned int threads);

/** Runs whatever is still waiting (the workers must have stopped) and frees the module. */
void pw_retire_fini(void);

/** The variable that readers register with and report quiescent states to. */
struct rte_rcu_qsbr *pw_retire_qsbr(void);

/**
 * Calls @p fn(@p context, @p argument) on the control thread once no worker can still see
 * the retired thing. Never fails: without memory it waits for the grace period in place.
 */
void pw_retire(pw_retire_fn fn, void *context, uint64_t argument);

/**
 * One step, never blocking: reclaims a batch whose grace period has passed, and starts a
 * grace period for what has been retired since. Returns true while anything is waiting,
 * so the event loop knows to call again soon.
 */
bool pw_retire_poll(void);

/** Blocks until everything retired so far is reclaimed. */
void pw_retire_drain(void);

#endif
