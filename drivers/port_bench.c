/* SPDX-License-Identifier: BSD-3-Clause */
#include "drivers/port_bench.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include "dataplane/worker.h"
#include "drivers/port.h"

/* What DPDK's burst functions are given as the queue. */
struct queue {
	struct pw_bench_lane *lane;
	uint16_t port;
} __rte_cache_aligned;

static struct queue queues[PW_PORTS][PW_WORKERS];
static void *queue_table[PW_PORTS][PW_WORKERS];

static uint16_t receive(void *opaque, struct rte_mbuf **packets, uint16_t n)
{
	const struct queue *queue = opaque;
	struct pw_bench_lane *lane = queue->lane;
	uint64_t start;

	if (__atomic_load_n(&lane->port, __ATOMIC_ACQUIRE) != queue->port)
		return 0;
	start = rte_rdtsc();
	n = RTE_MIN(n, lane->tail - lane->head);
	for (uint16_t i = 0; i < n; i++)
		packets[i] = lane->ring[(lane->head + i) & lane->mask];
	for (uint16_t i = 0; i < n; i++) {
		if (i + 4 < n) {
			rte_prefetch0(packets[i + 4]);
			rte_prefetch0((char *)packets[i + 4]->buf_addr + RTE_PKTMBUF_HEADROOM);
		}
		packets[i]->data_off = RTE_PKTMBUF_HEADROOM;
		packets[i]->ol_flags = 0;
	}
	n = lane->source(lane, packets, n, start);
	lane->head += n;
	lane->receive_packets += n;
	lane->receive_cycles += rte_rdtsc() - start;
	return n;
}

static uint16_t transmit(void *opaque, struct rte_mbuf **packets, uint16_t n)
{
	const struct queue *queue = opaque;
	struct pw_bench_lane *lane = queue->lane;
	uint64_t start = rte_rdtsc();

	if (unlikely(lane->sink != NULL))
		lane->sink(lane, queue->port, packets, n);
	for (uint16_t i = 0; i < n; i++)
		lane->ring[(lane->tail + i) & lane->mask] = packets[i];
	lane->tail += n;
	lane->transmit_packets += n;
	lane->transmit_cycles += rte_rdtsc() - start;
	return n;
}

int pw_bench_lane_init(struct pw_bench_lane *lane, uint16_t worker, uint32_t count)
{
	memset(lane, 0, sizeof(*lane));
	lane->port = PW_BENCH_NO_PORT;
	lane->worker = worker;
	lane->mask = count - 1;
	lane->ring =
		rte_zmalloc("bench lane", count * sizeof(struct rte_mbuf *), RTE_CACHE_LINE_SIZE);
	if (!lane->ring)
		return -ENOMEM;
	for (; lane->tail < count; lane->tail++) {
		struct rte_mbuf *mbuf = rte_pktmbuf_alloc(pw_mbuf_pool);

		if (!mbuf) {
			pw_bench_lane_fini(lane);
			return -ENOMEM;
		}
		memset(mbuf->buf_addr, 0, mbuf->buf_len);
		lane->ring[lane->tail] = mbuf;
	}
	return 0;
}

void pw_bench_lane_fini(struct pw_bench_lane *lane)
{
	while (lane->ring && lane->head != lane->tail)
		rte_pktmbuf_free(lane->ring[lane->head++ & lane->mask]);
	rte_free(lane->ring);
	lane->ring = NULL;
}

/* DPDK's public headers have no driver interface, but the table that its burst functions call
 * through is there: ours take the place of net_null's. */
static void functions_set(uint16_t port, uint16_t ethdev, struct pw_bench_lane *lanes)
{
	struct rte_eth_fp_ops *functions = &rte_eth_fp_ops[ethdev];

	for (uint16_t i = 0; i < pw_worker_count; i++) {
		queues[port][i] = (struct queue){.lane = &lanes[i], .port = port};
		queue_table[port][i] = &queues[port][i];
	}
	functions->rxq.data = queue_table[port];
	functions->txq.data = queue_table[port];
	functions->rx_pkt_burst = receive;
	functions->tx_pkt_burst = transmit;
}

int pw_bench_port_open(const char *name, struct pw_bench_lane *lanes, char *error, size_t size)
{
	char device[RTE_ETH_NAME_MAX_LEN];
	uint16_t ethdev;
	int port;

	snprintf(device, sizeof(device), "net_null_bench_%s", name);
	port = rte_eal_hotplug_add("vdev", device, "no-rx=1");
	if (port == 0)
		port = rte_eth_dev_get_port_by_name(device, &ethdev);
	if (port < 0) {
		snprintf(error, size, "DPDK's net_null driver: %s", strerror(-port));
		return port;
	}
	port = pw_port_open_ethdev(name, ethdev, error, size);
	if (port >= 0)
		functions_set((uint16_t)port, ethdev, lanes);
	return port;
}
