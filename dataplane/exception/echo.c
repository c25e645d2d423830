/* SPDX-License-Identifier: BSD-3-Clause */
/** icmp-echo: answers pings to this PE's addresses in a VRF (RFC 792, RFC 4443). */
#include "dataplane/stage.h"

#include <netinet/in.h>
#include <rte_icmp.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_IPV4,
	EDGE_IPV6,
};

#define REPLY_TTL           64
#define ICMPV6_ECHO_REQUEST 128
#define ICMPV6_ECHO_REPLY   129

static rte_edge_t echo4(struct rte_mbuf *mbuf)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);
	uint16_t header = rte_ipv4_hdr_len(ip);
	struct rte_icmp_hdr *icmp = rte_pktmbuf_mtod_offset(mbuf, struct rte_icmp_hdr *, header);
	uint32_t swap = ip->src_addr;

	if (rte_raw_cksum(icmp, mbuf->data_len - header) != 0xffff)
		return pw_stage_drop(mbuf, PW_DROP_LOCAL_ICMP);
	ip->src_addr = ip->dst_addr;
	ip->dst_addr = swap;
	ip->time_to_live = REPLY_TTL;
	ip->packet_id = 0;
	ip->fragment_offset = 0;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, header);
	icmp->icmp_type = RTE_IP_ICMP_ECHO_REPLY;
	icmp->icmp_cksum =
		pw_checksum_update(icmp->icmp_cksum, RTE_BE16(RTE_IP_ICMP_ECHO_REQUEST << 8),
				   RTE_BE16(RTE_IP_ICMP_ECHO_REPLY << 8));
	return EDGE_IPV4;
}

static rte_edge_t echo6(struct rte_mbuf *mbuf)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);
	struct rte_icmp_hdr *icmp = (void *)(ip + 1);
	uint8_t swap[16];

	if (rte_ipv6_udptcp_cksum_verify(ip, icmp) != 0)
		return pw_stage_drop(mbuf, PW_DROP_LOCAL_ICMP);
	memcpy(swap, ip->src_addr, 16);
	memcpy(ip->src_addr, ip->dst_addr, 16);
	memcpy(ip->dst_addr, swap, 16);
	ip->hop_limits = REPLY_TTL;
	icmp->icmp_type = ICMPV6_ECHO_REPLY;
	icmp->icmp_cksum = pw_checksum_update(icmp->icmp_cksum, RTE_BE16(ICMPV6_ECHO_REQUEST << 8),
					      RTE_BE16(ICMPV6_ECHO_REPLY << 8));
	return EDGE_IPV6;
}

static uint16_t icmp_echo(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = objs[i];
		rte_edge_t edge = pw_ip_version(mbuf) == 6 ? echo6(mbuf) : echo4(mbuf);

		if (edge != EDGE_DROP) {
			/* Made here, to be routed in the VRF it was asked in. */
			pw_packet(mbuf)->flags |= PW_PACKET_ORIGINATED;
			mbuf->hash.rss = 0;
			worker->events[PW_EVENT_ECHO_ANSWERED]++;
		}
		rte_node_enqueue_x1(graph, node, edge, mbuf);
	}
	return n;
}

PW_STAGE(icmp_echo, "icmp-echo", icmp_echo, "drop", "ipv4-lookup", "ipv6-lookup")
