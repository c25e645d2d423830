/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/idle.h"

#include <errno.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include <rte_ethdev.h>
#include <rte_pause.h>

#define SPINS         512
#define NAPS          16          /* before a sleep: 1.2 ms in all */
#define NAPS_A_LENGTH 4           /* then they get twice as long ... */
#define NAP_MIN       (20 * 1000) /* nanoseconds */
#define NAP_MAX       (500 * 1000)
#define NAP_DOUBLINGS 5

/* The reassembly tables are looked through every 100 ms, asleep or not. */
#define SLEEP_MS     50
#define SLEEP_EVENTS 16

int pw_idle_init(struct pw_worker *worker)
{
	worker->wake = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (worker->wake < 0)
		return -errno;
	worker->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (worker->epoll < 0)
		return -errno;
	return pw_idle_add(worker, worker->wake);
}

void pw_idle_fini(struct pw_worker *worker)
{
	if (worker->epoll >= 0)
		close(worker->epoll);
	if (worker->wake >= 0)
		close(worker->wake);
	worker->epoll = worker->wake = -1;
}

/*
 * Edge-triggered: every packet and every interrupt is an event, also one that comes between the
 * last look at a queue and the sleep, but what nobody can take away (packets while there is no
 * buffer, the error of an interface that is gone) does not keep a worker awake. An eventfd need
 * never be read that way either.
 */
int pw_idle_add(struct pw_worker *worker, int fd)
{
	struct epoll_event event = {.events = EPOLLIN | EPOLLET, .data.fd = fd};

	return epoll_ctl(worker->epoll, EPOLL_CTL_ADD, fd, &event) < 0 ? -errno : 0;
}

void pw_idle_delete(struct pw_worker *worker, int fd)
{
	epoll_ctl(worker->epoll, EPOLL_CTL_DEL, fd, NULL);
}

void pw_idle_wake(const struct pw_worker *worker)
{
	eventfd_write(worker->wake, 1);
}

/* The worker says that it sleeps, then looks into its ring: one of the two sees the other. */
void pw_idle_wake_sleeping(const struct pw_worker *worker)
{
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_load_n(&worker->asleep, __ATOMIC_RELAXED))
		pw_idle_wake(worker);
}

static void nap(struct pw_worker *worker, struct rte_rcu_qsbr *qsbr, uint64_t naps)
{
	uint64_t doublings = RTE_MIN(naps / NAPS_A_LENGTH, (uint64_t)NAP_DOUBLINGS);
	struct timespec length = {.tv_nsec = RTE_MIN(NAP_MIN << doublings, NAP_MAX)};

	worker->sleeps++;
	rte_rcu_qsbr_thread_offline(qsbr, worker->index);
	nanosleep(&length, NULL);
	rte_rcu_qsbr_thread_online(qsbr, worker->index);
}

/* Loaded anew each time: while a worker is offline its list may change. */
static const struct pw_poll_list *poll_list(const struct pw_worker *worker)
{
	return __atomic_load_n(&worker->poll, __ATOMIC_ACQUIRE);
}

static bool interrupts_enable(const struct pw_poll_list *list)
{
	bool enabled = true;

	for (uint16_t i = 0; i < list->count; i++)
		if (list->item[i].interrupt)
			enabled &= rte_eth_dev_rx_intr_enable(list->item[i].ethdev,
							      list->item[i].queue) == 0;
	return enabled;
}

static void interrupts_disable(const struct pw_poll_list *list)
{
	for (uint16_t i = 0; i < list->count; i++)
		if (list->item[i].interrupt)
			rte_eth_dev_rx_intr_disable(list->item[i].ethdev, list->item[i].queue);
}

/* False: after SLEEP_MS nothing had happened. */
static bool event_wait(struct pw_worker *worker, struct rte_rcu_qsbr *qsbr)
{
	struct epoll_event events[SLEEP_EVENTS];
	int count;

	worker->sleeps++;
	rte_rcu_qsbr_thread_offline(qsbr, worker->index);
	count = epoll_wait(worker->epoll, events, SLEEP_EVENTS, SLEEP_MS);
	rte_rcu_qsbr_thread_online(qsbr, worker->index);
	return count != 0;
}

/* False: it cannot sleep now. */
static bool sleep_until_event(struct pw_worker *worker, struct rte_rcu_qsbr *qsbr, uint64_t *walks)
{
	bool can = interrupts_enable(poll_list(worker));

	__atomic_store_n(&worker->asleep, true, __ATOMIC_RELAXED);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	/* What came before everyone knew: no event follows it. */
	pw_worker_walk(worker);
	if (worker->worked) {
		*walks = 0;
		can = true;
	} else if (can && event_wait(worker, qsbr)) {
		*walks = SPINS + NAPS - 1; /* without work in the next walk, one nap */
	}
	__atomic_store_n(&worker->asleep, false, __ATOMIC_RELAXED);
	interrupts_disable(poll_list(worker));
	return can;
}

void pw_idle(struct pw_worker *worker, struct rte_rcu_qsbr *qsbr, uint64_t *walks)
{
	uint64_t before = (*walks)++;

	if (before < SPINS)
		rte_pause();
	else if (before < SPINS + NAPS || poll_list(worker)->blind ||
		 !sleep_until_event(worker, qsbr, walks))
		nap(worker, qsbr, before - SPINS);
}
