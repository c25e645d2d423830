/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_WORKER_H
#define PW_WORKER_H

#include <stdbool.h>
#include <stdint.h>

#include <rte_graph.h>
#include <rte_ip_frag.h>
#include <rte_per_lcore.h>
#include <rte_ring.h>

#include "dataplane/path.h"
#include "dataplane/table/interface.h"
#include "dataplane/table/sa.h"

#define PW_WORKERS   64
#define PW_BURST     64 /* packets a port is asked for at a time */
#define PW_TX_BUFFER 64

/** Layer-3 counters of an interface, kept per worker; the control thread adds them up. */
struct pw_interface_counters {
	uint64_t rx_packets;
	uint64_t rx_bytes;
	uint64_t tx_packets;
	uint64_t tx_bytes;
};

/** One (port, queue) that a worker polls. The list is published whole. */
struct pw_poll_list {
	uint16_t count;
	uint16_t blind; /* without a descriptor: with one of these a worker cannot sleep for long */
	struct {
		uint16_t port;   /* Pewter's port index */
		uint16_t ethdev; /* DPDK's */
		uint16_t queue;
		bool interrupt; /* the descriptor is that of an interrupt, to be enabled */
		int fd;         /* pw_port_rx_fd() */
	} item[];
};

struct pw_tx_buffer {
	uint16_t count;
	bool used; /* by the burst that is being sent */
	struct rte_mbuf *packets[PW_TX_BUFFER];
};

/** ICMP and punts are limited per worker by token buckets. */
struct pw_rate {
	uint64_t tokens; /* in TSC cycles' worth */
	uint64_t last;   /* TSC */
	uint64_t cost;   /* cycles a packet */
	uint64_t burst;  /* cycles */
};

struct pw_watch;
struct pw_template;
struct pw_entry;

/** Everything one worker writes. Allocated on its own cache lines, never shared for writing. */
struct pw_worker {
	uint16_t index;
	unsigned int lcore;
	struct rte_graph *graph;
	struct pw_poll_list *poll;    /* atomically replaced by the control thread */
	const struct pw_watch *watch; /* trace and capture orders; NULL = none (see watch/) */
	struct rte_ring *inject;      /* packets from the control thread and other workers */
	struct rte_ring *punt;        /* packets to the control thread: enum pw_packet_request */
	struct pw_crypto_worker *crypto;
	struct pw_sa_counters *sa;     /* by SA id */
	struct pw_template *templates; /* by next-hop id */
	struct pw_entry *entries;      /* by port and VLAN */
	uint32_t entries_generation;   /* when a walk's were last brought up to date; 0 = to do */
	uint16_t ip_id;
	bool punted; /* something went to the punt ring since the control thread was woken */
	bool worked; /* this walk moved packets */
	bool asleep; /* or about to sleep: needs an event (see idle.h) */
	int epoll;
	int wake;        /* eventfd */
	uint64_t handed; /* workers, as bits, into whose rings this walk put packets */
	struct pw_rate icmp_rate;
	struct pw_rate punt_rate;
	struct rte_ip_frag_tbl *fragments[2]; /* default VRF; the others */
	struct rte_ip_frag_death_row death_row;
	uint64_t now; /* TSC at the start of the walk */
	uint64_t idle_walks;
	uint64_t sleeps;
	uint64_t drops[PW_DROP_COUNT];
	uint64_t events[PW_EVENT_COUNT];
	struct pw_tx_buffer tx[PW_PORTS];
	struct pw_interface_counters counters[PW_INTERFACES];
} __rte_cache_aligned;

RTE_DECLARE_PER_LCORE(struct pw_worker *, pw_worker);

/** The worker this thread is; NULL on the control thread. */
static inline struct pw_worker *pw_worker(void)
{
	return RTE_PER_LCORE(pw_worker);
}

extern struct pw_worker *pw_workers[PW_WORKERS];
extern uint16_t pw_worker_count;

/** Packet buffers for ports and for packets made here. */
extern struct rte_mempool *pw_mbuf_pool;

/** Larger buffers for reassembled packets. */
extern struct rte_mempool *pw_reassembly_pool;
#define PW_REASSEMBLY_MAX 9216

/* Control thread: */

/**
 * Creates the pools, tables of workers, graphs. @p count workers run on the EAL worker lcores
 * in order; with @p count lcores fewer than that, -EINVAL. 0 or -errno.
 */
int pw_workers_init(uint16_t count, unsigned int mbufs);
void pw_workers_fini(void);

/** Launches the poll loops. @p wake is an eventfd that a worker writes after it punted. */
int pw_workers_start(int wake);

/** Tells the loops to stop receiving, waits until what they hold is sent, joins them. */
void pw_workers_stop(void);

/** One walk of a worker's graph on the calling thread, for tests without threads. */
void pw_worker_step(struct pw_worker *worker);

/** Gives every worker its share of a started port's RX queues. 0 or -ENOMEM. */
int pw_workers_poll_add(uint16_t port, uint16_t ethdev, uint16_t rx_queues);

/** Takes a port out of all poll lists; returns after no worker polls it any more. */
void pw_workers_poll_delete(uint16_t port);

/**
 * Sends a packet into a worker's graph from the control thread: by packet->nexthop when
 * non-zero (a released packet that waited for its neighbour: data begins at layer 3), else
 * out of packet->port as it is. Takes the mbuf; false: there was no room, and it is freed.
 */
bool pw_worker_inject(struct rte_mbuf *mbuf);

/** The same, but what has the same @p flow keeps its order. */
bool pw_worker_inject_flow(struct rte_mbuf *mbuf, uint32_t flow);

#endif
