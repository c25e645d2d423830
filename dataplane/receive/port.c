/* SPDX-License-Identifier: BSD-3-Clause */
/** port-receive: polls this worker's RX queues and takes what others put in its ring. */
#include "dataplane/stage.h"

#include <rte_ethdev.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_ETHERNET,
	EDGE_IPV4,
	EDGE_IPV6,
	EDGE_TRANSMIT,
	EDGE_TUNNEL,
};

/* Packets from the control thread (released for their neighbour, or the kernel's own, for a
 * tunnel without a port) and from other workers. */
static uint16_t injected(struct rte_graph *graph, struct rte_node *node, struct pw_worker *worker)
{
	void *objs[PW_BURST];
	uint16_t n = rte_ring_sc_dequeue_burst(worker->inject, objs, PW_BURST, NULL);

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = objs[i];
		rte_edge_t edge = EDGE_TRANSMIT;

		if (pw_packet(mbuf)->flags & PW_PACKET_RELEASED)
			edge = pw_ip_version(mbuf) == 6 ? EDGE_IPV6 : EDGE_IPV4;
		else if (pw_packet(mbuf)->port == PW_PORT_NONE)
			edge = EDGE_TUNNEL;
		rte_node_enqueue_x1(graph, node, edge, mbuf);
	}
	return n;
}

static uint16_t port_receive(struct rte_graph *graph, struct rte_node *node, void **objs,
			     uint16_t unused)
{
	struct pw_worker *worker = pw_worker();
	const struct pw_poll_list *poll = __atomic_load_n(&worker->poll, __ATOMIC_CONSUME);
	uint16_t total = 0;

	for (uint16_t i = 0; i < poll->count; i++) {
		struct rte_mbuf *burst[PW_BURST];
		uint16_t n;

		n = rte_eth_rx_burst(poll->item[i].ethdev, poll->item[i].queue, burst, PW_BURST);
		if (!n)
			continue;
		for (uint16_t k = 0; k < n; k++) {
			if (k + 4 < n)
				rte_prefetch0(pw_packet(burst[k + 4]));
			pw_packet_clear(burst[k])->port = poll->item[i].port;
			rte_prefetch0(rte_pktmbuf_mtod(burst[k], void *));
		}
		rte_node_enqueue(graph, node, EDGE_ETHERNET, (void **)burst, n);
		total += n;
	}
	if (unlikely(!rte_ring_empty(worker->inject)))
		total += injected(graph, node, worker);
	if (total)
		worker->worked = true;
	return total;
}

PW_STAGE_FLAGS(port_receive, "port-receive", port_receive, RTE_NODE_SOURCE_F, "drop",
	       "ethernet-input", "ipv4-lookup", "ipv6-lookup", "port-transmit", "tunnel-output")
