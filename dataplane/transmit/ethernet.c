/* SPDX-License-Identifier: BSD-3-Clause */
/** ethernet-output: MTU of the link, labels for a labelled link, the neighbour's header. */
#include "dataplane/transmit/ethernet.h"
#include "dataplane/receive/mpls.h"
#include "dataplane/transmit/impose.h"

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_TRANSMIT,
	EDGE_FRAGMENT,
	EDGE_RESOLVE,
	EDGE_ICMP,
};

#define ICMP_UNREACHABLE 3
#define ICMP_CODE_HOST   1

static rte_edge_t output(struct pw_worker *worker, struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_nexthop *nexthop = pw_nexthop_get(packet->nexthop);
	const struct pw_neighbour *neighbour;
	uint16_t type = RTE_BE16(RTE_ETHER_TYPE_IPV4);
	uint16_t labels = 0;

	if (unlikely(nexthop->type != PW_NEXTHOP_NEIGHBOUR))
		return pw_stage_drop(mbuf, PW_DROP_NEIGHBOUR_NONE);
	neighbour = pw_neighbour_get(nexthop->neighbour);
	if (unlikely(neighbour->state != PW_NEIGHBOUR_REACHABLE)) {
		if (neighbour->state == PW_NEIGHBOUR_INCOMPLETE)
			return EDGE_RESOLVE;
		if (neighbour->state == PW_NEIGHBOUR_NONE)
			return pw_stage_drop(mbuf, PW_DROP_NEIGHBOUR_NONE);
		pw_stage_icmp(mbuf, PW_DROP_NEIGHBOUR_FAILED, ICMP_UNREACHABLE, ICMP_CODE_HOST, 0);
		return EDGE_ICMP;
	}
	if (!(packet->flags & PW_PACKET_IMPOSED))
		labels = nexthop->label_count * PW_MPLS_ENTRY;
	if (unlikely(mbuf->pkt_len + labels > neighbour->mtu)) {
		if (pw_too_big(mbuf, neighbour->mtu - labels))
			return EDGE_FRAGMENT;
		return packet->reason == PW_DROP_MPLS_MTU ? PW_STAGE_DROP : EDGE_ICMP;
	}
	if (labels) {
		if (!pw_impose_labels(mbuf, nexthop))
			return pw_stage_drop(mbuf, PW_DROP_TUNNEL_HEADROOM);
		packet->flags |= PW_PACKET_LABELLED;
	}
	if (packet->flags & PW_PACKET_LABELLED)
		type = RTE_BE16(RTE_ETHER_TYPE_MPLS);
	else if (pw_ip_version(mbuf) == 6)
		type = RTE_BE16(RTE_ETHER_TYPE_IPV6);
	if (unlikely(!pw_ethernet_write(worker, mbuf, neighbour, type)))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_HEADROOM);
	return EDGE_TRANSMIT;
}

static uint16_t ethernet_output(struct rte_graph *graph, struct rte_node *node, void **objs,
				uint16_t n)
{
	struct pw_worker *worker = pw_worker();
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i++)
		edges[i] = output(worker, objs[i]);
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(ethernet_output, "ethernet-output", ethernet_output, "drop", "port-transmit", "fragment",
	 "neighbour-resolve", "icmp-error")
