/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * port-transmit: whole frames into this worker's TX queue of their port. Where a port has
 * fewer queues than there are workers, the frame goes to the worker that owns one.
 */
#include "dataplane/stage.h"

#include <rte_ethdev.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
};

static void refuse(struct pw_worker *worker, struct rte_mbuf **packets, uint16_t n,
		   enum pw_drop reason)
{
	if (!n)
		return;
	worker->drops[reason] += n;
	rte_pktmbuf_free_bulk(packets, n);
}

static void hand_over(struct pw_worker *worker, const struct pw_port_table *port,
		      struct rte_mbuf **packets, uint16_t n)
{
	struct pw_worker *owner = pw_workers[worker->index % port->tx_queues];
	unsigned int sent;

	/* Already framed: the owner sends them as they are. */
	for (uint16_t i = 0; i < n; i++)
		pw_packet(packets[i])->flags = 0;
	sent = rte_ring_mp_enqueue_burst(owner->inject, (void **)packets, n, NULL);
	worker->events[PW_EVENT_HANDED_OVER] += sent;
	worker->handed |= UINT64_C(1) << owner->index;
	refuse(worker, packets + sent, n - sent, PW_DROP_PORT_FULL);
}

static void flush(struct pw_worker *worker, uint16_t index)
{
	const struct pw_port_table *port = pw_port_get(index);
	struct pw_tx_buffer *buffer = &worker->tx[index];
	uint16_t n = buffer->count;
	uint16_t sent;

	buffer->count = 0;
	if (!n)
		return;
	if (unlikely(!port)) {
		refuse(worker, buffer->packets, n, PW_DROP_PORT_NONE);
	} else if (unlikely(worker->index >= port->tx_queues)) {
		hand_over(worker, port, buffer->packets, n);
	} else {
		sent = rte_eth_tx_burst(port->ethdev, worker->index, buffer->packets, n);
		refuse(worker, buffer->packets + sent, n - sent, PW_DROP_PORT_FULL);
	}
}

/* Frames for one port, behind those that wait for it. */
static void buffer(struct pw_worker *worker, uint16_t port, struct rte_mbuf **packets, uint16_t n)
{
	struct pw_tx_buffer *buffer = &worker->tx[port];

	while (n) {
		uint16_t some = RTE_MIN(n, PW_TX_BUFFER - buffer->count);

		memcpy(&buffer->packets[buffer->count], packets, some * sizeof(*packets));
		buffer->count += some;
		packets += some;
		n -= some;
		if (buffer->count == PW_TX_BUFFER)
			flush(worker, port);
	}
}

static uint16_t port_transmit(struct rte_graph *graph, struct rte_node *node, void **objs,
			      uint16_t n)
{
	struct rte_mbuf **packets = (struct rte_mbuf **)objs;
	struct pw_worker *worker = pw_worker();
	uint16_t first = 0, last, used[PW_PORTS], used_count = 0;

	for (; first < n; first = last) {
		uint16_t port = pw_packet(packets[first])->port;

		for (last = first + 1; last < n && pw_packet(packets[last])->port == port; last++)
			;
		if (unlikely(port >= PW_PORTS)) {
			refuse(worker, &packets[first], last - first, PW_DROP_PORT_NONE);
			continue;
		}
		if (!worker->tx[port].used)
			used[used_count++] = port;
		worker->tx[port].used = true;
		buffer(worker, port, &packets[first], last - first);
	}
	for (uint16_t k = 0; k < used_count; k++) {
		worker->tx[used[k]].used = false;
		flush(worker, used[k]);
	}
	return n;
}

PW_STAGE(port_transmit, "port-transmit", port_transmit, "drop")
