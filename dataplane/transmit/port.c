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
	if (unlikely(!port)) {
		refuse(worker, buffer->packets, n, PW_DROP_PORT_NONE);
	} else if (unlikely(worker->index >= port->tx_queues)) {
		hand_over(worker, port, buffer->packets, n);
	} else {
		sent = rte_eth_tx_burst(port->ethdev, worker->index, buffer->packets, n);
		refuse(worker, buffer->packets + sent, n - sent, PW_DROP_PORT_FULL);
	}
}

static uint16_t port_transmit(struct rte_graph *graph, struct rte_node *node, void **objs,
			      uint16_t n)
{
	struct pw_worker *worker = pw_worker();
	uint16_t used[PW_PORTS];
	uint16_t used_count = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = objs[i];
		uint16_t port = pw_packet(mbuf)->port;
		struct pw_tx_buffer *buffer;

		if (unlikely(port >= PW_PORTS)) {
			refuse(worker, &mbuf, 1, PW_DROP_PORT_NONE);
			continue;
		}
		buffer = &worker->tx[port];
		if (buffer->count == 0)
			used[used_count++] = port;
		buffer->packets[buffer->count++] = mbuf;
		if (unlikely(buffer->count == PW_TX_BUFFER)) {
			flush(worker, port);
			/* Listed again when its next frame comes. */
			for (uint16_t k = 0; k < used_count; k++)
				if (used[k] == port)
					used[k--] = used[--used_count];
		}
	}
	for (uint16_t k = 0; k < used_count; k++)
		flush(worker, used[k]);
	return n;
}

PW_STAGE(port_transmit, "port-transmit", port_transmit, "drop")
