/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_IDLE_H
#define PW_IDLE_H

#include <stdint.h>

#include <rte_rcu_qsbr.h>

#include "dataplane/worker.h"

/**
 * What a worker does that finds nothing, between worker.c and idle.c. First it spins (a burst is
 * rarely alone), then it takes naps, each longer than those before, so that some load does not
 * cost a wake-up a packet. In the end it sleeps until a descriptor says that there is work: its
 * own eventfd, or one of an RX queue (pw_port_rx_fd()). With a queue that has none it goes on
 * napping; the longest nap bounds what that adds to the first packet.
 */

/** Makes what the worker sleeps on; 0 or -errno. */
int pw_idle_init(struct pw_worker *worker);
void pw_idle_fini(struct pw_worker *worker);

/** Control thread: what becomes readable there wakes the worker from now on. 0 or -errno. */
int pw_idle_add(struct pw_worker *worker, int fd);
void pw_idle_delete(struct pw_worker *worker, int fd);

/**
 * The worker's, after a walk that found nothing; @p walks counts those since there was work, and
 * is set to 0 when there is work again. A sleeping worker is offline in @p qsbr: it holds no
 * reference to any table, and a grace period need not wait for it.
 */
void pw_idle(struct pw_worker *worker, struct rte_rcu_qsbr *qsbr, uint64_t *walks);

/** Any thread: ends the worker's sleep, or the one that it is about to begin. */
void pw_idle_wake(const struct pw_worker *worker);

/** Any thread, after something was put into the worker's ring: wakes it if it needs that. */
void pw_idle_wake_sleeping(const struct pw_worker *worker);

/** Moves packets once through the worker's graph (worker.c). */
void pw_worker_walk(struct pw_worker *worker);

#endif
