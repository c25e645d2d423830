/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * kernel-punt: what is the kernel's business goes to the control thread, which writes it to the
 * TAP or TUN that is the interface's kernel face.
 */
#include "dataplane/stage.h"

#include <rte_ether.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
};

/* The frame as it came, without the tag: the TAP is the untagged face of its interface. */
static enum pw_drop restore(struct rte_mbuf *mbuf, bool at_layer3)
{
	uint16_t header = mbuf->l2_len;
	char *at = rte_pktmbuf_mtod(mbuf, char *);

	if (!header)
		return PW_DROP_LOCAL_ICMP; /* was put together: there is no frame any more */
	if (at_layer3)
		at = rte_pktmbuf_prepend(mbuf, header);
	if (!at)
		return PW_DROP_TUNNEL_HEADROOM;
	if (header == RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN) {
		memmove(at + RTE_VLAN_HLEN, at, 2 * RTE_ETHER_ADDR_LEN);
		rte_pktmbuf_adj(mbuf, RTE_VLAN_HLEN);
	}
	return PW_DROP_NONE;
}

static enum pw_drop punt(struct pw_worker *worker, struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_interface *interface = pw_interface_get(packet->interface);
	enum pw_drop drop;

	if (!(interface->flags & PW_INTERFACE_FACE))
		return PW_DROP_PUNT_NO_FACE;
	if (!pw_rate_take(&worker->punt_rate, worker->now))
		return PW_DROP_PUNT_RATE;
	/* A tunnel's face is a TUN: the packet is what it is. */
	drop = interface->kind == PW_INTERFACE_TUNNEL
		       ? PW_DROP_NONE
		       : restore(mbuf, packet->flags & PW_PACKET_LAYER3);
	if (drop != PW_DROP_NONE)
		return drop;
	packet->request = PW_REQUEST_PUNT;
	packet->nexthop = interface->face;
	if (rte_ring_sp_enqueue(worker->punt, mbuf))
		return PW_DROP_PUNT_RATE;
	worker->punted = true;
	return PW_DROP_NONE;
}

static uint16_t kernel_punt(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();

	for (uint16_t i = 0; i < n; i++) {
		enum pw_drop drop = punt(worker, objs[i]);

		if (drop != PW_DROP_NONE)
			rte_node_enqueue_x1(graph, node, pw_stage_drop(objs[i], drop), objs[i]);
	}
	return n;
}

PW_STAGE(kernel_punt, "kernel-punt", kernel_punt, "drop")
