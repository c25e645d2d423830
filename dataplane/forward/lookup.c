/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * ipv4-lookup, ipv6-lookup: destination and VRF -> next hop; one off the TTL; ECMP. The whole
 * burst is looked up at once so that its cache misses overlap.
 */
#include "dataplane/receive/ip.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/table/vrf.h"

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_LOCAL,
	EDGE_ETHERNET,
	EDGE_TUNNEL,
	EDGE_RESOLVE,
	EDGE_ICMP,
};

#define BURST                64
#define LOOKUPS_MAX          4 /* VRF-to-VRF, a packet */
#define ICMP_UNREACHABLE     3
#define ICMP_CODE_NET        0
#define ICMP_CODE_HOST       1
#define ICMP_CODE_PROHIBITED 13
#define ICMP_TIME_EXCEEDED   11

static rte_edge_t unreachable(struct rte_mbuf *mbuf, enum pw_drop reason, uint8_t code)
{
	pw_stage_icmp(mbuf, reason, ICMP_UNREACHABLE, code, 0);
	return EDGE_ICMP;
}

/* What a router does before it sends a packet on: false when the TTL is used up. */
static bool hop(struct rte_mbuf *mbuf, bool v6)
{
	struct pw_packet *packet = pw_packet(mbuf);

	if (packet->flags & (PW_PACKET_ORIGINATED | PW_PACKET_FORWARDED))
		return true;
	if (v6) {
		struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);

		if (unlikely(ip->hop_limits <= 1))
			return false;
		ip->hop_limits--;
	} else {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);

		if (unlikely(ip->time_to_live <= 1))
			return false;
		pw_ipv4_decrement(ip);
	}
	packet->flags |= PW_PACKET_FORWARDED;
	return true;
}

static rte_edge_t forward(struct rte_mbuf *mbuf, const struct pw_nexthop *nexthop, bool v6,
			  rte_edge_t edge)
{
	if (unlikely(!hop(mbuf, v6))) {
		pw_stage_icmp(mbuf, PW_DROP_IP_TTL, ICMP_TIME_EXCEEDED, 0, 0);
		return EDGE_ICMP;
	}
	pw_packet(mbuf)->nexthop = nexthop->id;
	return edge;
}

/* Looks on in another VRF (route leaking), a bounded number of times. */
static const struct pw_nexthop *elsewhere(struct rte_mbuf *mbuf, const struct pw_nexthop *nexthop,
					  bool v6, enum pw_drop *drop)
{
	struct pw_packet *packet = pw_packet(mbuf);

	while (nexthop->type == PW_NEXTHOP_LOOKUP) {
		const struct pw_vrf *vrf = pw_vrf_get((uint16_t)nexthop->vrf);
		const uint8_t *address;
		uint32_t id;

		*drop = packet->loops++ < LOOKUPS_MAX ? PW_DROP_VRF_NONE : PW_DROP_ROUTE_LOOP;
		if (!vrf || *drop == PW_DROP_ROUTE_LOOP)
			return NULL;
		packet->vrf = (uint16_t)nexthop->vrf;
		address = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *,
						  v6 ? offsetof(struct rte_ipv6_hdr, dst_addr)
						     : offsetof(struct rte_ipv4_hdr, dst_addr));
		id = pw_lpm_lookup(v6 ? vrf->lpm6 : vrf->lpm4, address);
		nexthop = pw_nexthop_get(id);
		if (nexthop->type == PW_NEXTHOP_GROUP)
			nexthop = pw_nexthop_select(nexthop, pw_packet_hash(mbuf));
	}
	return nexthop;
}

static rte_edge_t decide(struct rte_mbuf *mbuf, const struct pw_nexthop *nexthop, bool v6)
{
	enum pw_drop drop = PW_DROP_NONE;

	if (nexthop->type == PW_NEXTHOP_GROUP)
		nexthop = pw_nexthop_select(nexthop, pw_packet_hash(mbuf));
	if (unlikely(nexthop->type == PW_NEXTHOP_LOOKUP)) {
		nexthop = elsewhere(mbuf, nexthop, v6, &drop);
		if (!nexthop)
			return pw_stage_drop(mbuf, drop);
	}
	switch (nexthop->type) {
	case PW_NEXTHOP_TUNNEL:
		return forward(mbuf, nexthop, v6, EDGE_TUNNEL);
	case PW_NEXTHOP_NEIGHBOUR:
		return forward(mbuf, nexthop, v6, EDGE_ETHERNET);
	case PW_NEXTHOP_LOCAL:
		return EDGE_LOCAL;
	case PW_NEXTHOP_GLEAN:
		return forward(mbuf, nexthop, v6, EDGE_RESOLVE);
	case PW_NEXTHOP_BLACKHOLE:
		return pw_stage_drop(mbuf, PW_DROP_ROUTE_BLACKHOLE);
	case PW_NEXTHOP_UNREACHABLE:
		return unreachable(mbuf, PW_DROP_ROUTE_UNREACHABLE, ICMP_CODE_HOST);
	case PW_NEXTHOP_PROHIBIT:
		return unreachable(mbuf, PW_DROP_ROUTE_PROHIBIT, ICMP_CODE_PROHIBITED);
	}
	return unreachable(mbuf, PW_DROP_ROUTE_NONE, ICMP_CODE_NET);
}

/* The next hops of a burst: map, then object, each prefetched for all before any is read. */
static void decide_burst(struct rte_mbuf **mbufs, const uint32_t *ids, rte_edge_t *edges,
			 unsigned int n, bool v6)
{
	for (unsigned int i = 0; i < n; i++)
		rte_prefetch0(&pw_nexthops.map[ids[i]]);
	for (unsigned int i = 0; i < n; i++)
		rte_prefetch0(pw_nexthop_get(ids[i]));
	for (unsigned int i = 0; i < n; i++)
		if (likely(edges[i] != PW_STAGE_DROP))
			edges[i] = decide(mbufs[i], pw_nexthop_get(ids[i]), v6);
}

/* A VRF that went away: its packets are looked up in VRF 0's table but dropped all the same. */
static const struct pw_vrf *vrf_of(struct rte_mbuf *mbuf, rte_edge_t *edge)
{
	const struct pw_vrf *vrf = pw_vrf_get(pw_packet(mbuf)->vrf);

	*edge = EDGE_LOCAL; /* anything but drop: decided later */
	if (likely(vrf != NULL))
		return vrf;
	*edge = pw_stage_drop(mbuf, PW_DROP_VRF_NONE);
	return pw_vrf_get(PW_VRF_DEFAULT);
}

static void lookup4(struct rte_mbuf **mbufs, rte_edge_t *edges, unsigned int n)
{
	const struct pw_lpm *lpms[BURST];
	uint32_t addresses[BURST], ids[BURST];

	for (unsigned int i = 0; i < n; i++) {
		lpms[i] = vrf_of(mbufs[i], &edges[i])->lpm4;
		addresses[i] = rte_pktmbuf_mtod(mbufs[i], struct rte_ipv4_hdr *)->dst_addr;
	}
	pw_lpm_lookup4_bulk(lpms, addresses, ids, n);
	decide_burst(mbufs, ids, edges, n, false);
}

static void lookup6(struct rte_mbuf **mbufs, rte_edge_t *edges, unsigned int n)
{
	const struct pw_lpm *lpms[BURST];
	const uint8_t *addresses[BURST];
	uint32_t ids[BURST];

	for (unsigned int i = 0; i < n; i++) {
		lpms[i] = vrf_of(mbufs[i], &edges[i])->lpm6;
		addresses[i] = rte_pktmbuf_mtod(mbufs[i], struct rte_ipv6_hdr *)->dst_addr;
	}
	pw_lpm_lookup6_bulk(lpms, addresses, ids, n);
	decide_burst(mbufs, ids, edges, n, true);
}

static uint16_t lookup(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n,
		       void (*burst)(struct rte_mbuf **, rte_edge_t *, unsigned int))
{
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i += BURST)
		burst((struct rte_mbuf **)&objs[i], &edges[i], RTE_MIN(n - i, BURST));
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

static uint16_t ipv4_lookup(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	return lookup(graph, node, objs, n, lookup4);
}

static uint16_t ipv6_lookup(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	return lookup(graph, node, objs, n, lookup6);
}

PW_STAGE(ipv4_lookup, "ipv4-lookup", ipv4_lookup, "drop", "local-input", "ethernet-output",
	 "tunnel-output", "neighbour-resolve", "icmp-error")
PW_STAGE(ipv6_lookup, "ipv6-lookup", ipv6_lookup, "drop", "local-input", "ethernet-output",
	 "tunnel-output", "neighbour-resolve", "icmp-error")
