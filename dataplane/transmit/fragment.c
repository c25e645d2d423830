/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * fragment: cuts an IPv4 packet into pieces of at most packet->mtu bytes, each of which goes
 * on as the whole would have (RFC 791). Used before encapsulation for packets without DF, and
 * after it for tunnels that may be cut.
 */
#include "dataplane/stage.h"
#include "dataplane/table/nexthop.h"

#include <rte_ip_frag.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_ETHERNET,
	EDGE_TUNNEL,
};

#define PIECES_MAX 64

/* rte_ip_frag leaves the checksum to an offload that not every port has. */
static void checksum(struct rte_mbuf *piece)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(piece, struct rte_ipv4_hdr *);

	ip->hdr_checksum = 0;
	ip->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, rte_ipv4_hdr_len(ip));
}

/* Bytes at layer 3 a piece may have: rte_ip_frag wants a multiple of 8 behind the header. */
static uint16_t piece_size(const struct rte_mbuf *mbuf, uint16_t mtu)
{
	uint16_t header = rte_ipv4_hdr_len(rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *));

	if (mtu < header + 8)
		return 0;
	return (uint16_t)(header + RTE_ALIGN_FLOOR(mtu - header, 8));
}

static uint16_t fragment(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = objs[i];
		struct pw_packet *packet = pw_packet(mbuf);
		rte_edge_t edge = pw_nexthop_get(packet->nexthop)->type == PW_NEXTHOP_TUNNEL
					  ? EDGE_TUNNEL
					  : EDGE_ETHERNET;
		struct rte_mbuf *pieces[PIECES_MAX];
		uint16_t size = piece_size(mbuf, packet->mtu);
		int count = -1;

		if (size)
			count = rte_ipv4_fragment_copy_nonseg_packet(mbuf, pieces, PIECES_MAX, size,
								     pw_mbuf_pool);
		if (count <= 0) {
			rte_node_enqueue_x1(graph, node,
					    pw_stage_drop(mbuf, count == -ENOMEM
									? PW_DROP_NO_BUFFER
									: PW_DROP_FRAGMENT_FAILED),
					    mbuf);
			continue;
		}
		for (int k = 0; k < count; k++) {
			pw_packet_copy(pieces[k], mbuf);
			checksum(pieces[k]);
			rte_node_enqueue_x1(graph, node, edge, pieces[k]);
		}
		worker->events[PW_EVENT_FRAGMENTED]++;
		rte_pktmbuf_free(mbuf);
	}
	return n;
}

PW_STAGE(fragment, "fragment", fragment, "drop", "ethernet-output", "tunnel-output")
