/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * kernel-punt: what is the kernel's business goes to the TAP that is the interface's kernel
 * face. kernel-input: what the kernel sends there leaves by the interface's port, as it is.
 */
#include "dataplane/stage.h"

#include <rte_ether.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_TRANSMIT,
};

/* The frame as it came, without the tag: the TAP is the untagged face of its interface. */
static bool restore(struct rte_mbuf *mbuf, bool at_layer3)
{
	uint16_t header = mbuf->l2_len;
	char *at = rte_pktmbuf_mtod(mbuf, char *);

	if (at_layer3)
		at = rte_pktmbuf_prepend(mbuf, header);
	if (!at)
		return false;
	if (header == RTE_ETHER_HDR_LEN + RTE_VLAN_HLEN) {
		memmove(at + RTE_VLAN_HLEN, at, 2 * RTE_ETHER_ADDR_LEN);
		rte_pktmbuf_adj(mbuf, RTE_VLAN_HLEN);
	}
	return true;
}

static rte_edge_t punt(struct pw_worker *worker, struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_interface *interface = pw_interface_get(packet->interface);

	if (interface->face_port == PW_PORT_NONE)
		return pw_stage_drop(mbuf, PW_DROP_PUNT_NO_FACE);
	if (!pw_rate_take(&worker->punt_rate, worker->now))
		return pw_stage_drop(mbuf, PW_DROP_PUNT_RATE);
	if (!restore(mbuf, packet->flags & PW_PACKET_LAYER3))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_HEADROOM);
	packet->port = interface->face_port;
	worker->events[PW_EVENT_PUNTED]++;
	return EDGE_TRANSMIT;
}

static uint16_t kernel_punt(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i++)
		edges[i] = punt(worker, objs[i]);
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

static bool tag(struct rte_mbuf *mbuf, uint16_t vlan)
{
	char *at = rte_pktmbuf_prepend(mbuf, RTE_VLAN_HLEN);
	uint16_t fields[2] = {RTE_BE16(RTE_ETHER_TYPE_VLAN), rte_cpu_to_be_16(vlan)};

	if (!at)
		return false;
	/* The tag goes between the addresses and the EtherType. */
	memmove(at, at + RTE_VLAN_HLEN, 2 * RTE_ETHER_ADDR_LEN);
	memcpy(at + 2 * RTE_ETHER_ADDR_LEN, fields, sizeof(fields));
	return true;
}

static rte_edge_t from_kernel(struct pw_worker *worker, struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_port_table *face = pw_port_get(packet->port);

	if (!face || face->face_wire == PW_PORT_NONE)
		return pw_stage_drop(mbuf, PW_DROP_PORT_NONE);
	if (mbuf->data_len < RTE_ETHER_HDR_LEN)
		return pw_stage_drop(mbuf, PW_DROP_ETHERNET_TRUNCATED);
	if (face->face_vlan && !tag(mbuf, face->face_vlan))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_HEADROOM);
	packet->port = face->face_wire;
	worker->events[PW_EVENT_FROM_KERNEL]++;
	return EDGE_TRANSMIT;
}

static uint16_t kernel_input(struct rte_graph *graph, struct rte_node *node, void **objs,
			     uint16_t n)
{
	struct pw_worker *worker = pw_worker();
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i++)
		edges[i] = from_kernel(worker, objs[i]);
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(kernel_punt, "kernel-punt", kernel_punt, "drop", "port-transmit")
PW_STAGE(kernel_input, "kernel-input", kernel_input, "drop", "port-transmit")
