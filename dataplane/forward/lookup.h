/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_FORWARD_LOOKUP_H
#define PW_FORWARD_LOOKUP_H

#include "dataplane/receive/ip.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/table/policy.h"
#include "dataplane/table/vrf.h"

/**
 * Destination and VRF -> next hop; one off the TTL; ECMP. A whole burst is looked up at once so
 * that its cache misses overlap. Stages whose packets are looked up next do it themselves: a
 * stage of its own would cost more than the lookup.
 */

/** The first edges of every stage that looks up; PW_LOOKUP_STAGES are their names. */
enum pw_lookup_edge {
	PW_LOOKUP_DROP = PW_STAGE_DROP,
	PW_LOOKUP_POLICY, /* the VRF has policies, or the next hop is an IPsec interface */
	PW_LOOKUP_LOCAL,
	PW_LOOKUP_ETHERNET,
	PW_LOOKUP_TUNNEL,
	PW_LOOKUP_RESOLVE,
	PW_LOOKUP_ICMP,
	PW_LOOKUP_EDGES,
};
#define PW_LOOKUP_STAGES_ON                                                                        \
	"local-input", "ethernet-output", "tunnel-output", "neighbour-resolve", "icmp-error"
#define PW_LOOKUP_STAGES "drop", "policy", PW_LOOKUP_STAGES_ON

/** Packets that are looked up together, at most. */
#define PW_LOOKUP_BURST         64
#define PW_LOOKUPS_MAX          4 /* VRF-to-VRF, a packet */
#define PW_ICMP_UNREACHABLE     3
#define PW_ICMP_CODE_NET        0
#define PW_ICMP_CODE_HOST       1
#define PW_ICMP_CODE_PROHIBITED 13
#define PW_ICMP_TIME_EXCEEDED   11

static inline rte_edge_t pw_lookup_unreachable(struct rte_mbuf *mbuf, enum pw_drop reason,
					       uint8_t code)
{
	pw_stage_icmp(mbuf, reason, PW_ICMP_UNREACHABLE, code, 0);
	return PW_LOOKUP_ICMP;
}

/* What a router does before it sends a packet on: false when the TTL is used up. */
static inline bool pw_lookup_hop(struct rte_mbuf *mbuf, bool v6)
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

static inline rte_edge_t pw_lookup_forward(struct rte_mbuf *mbuf, uint32_t nexthop, bool v6,
					   rte_edge_t edge)
{
	if (unlikely(!pw_lookup_hop(mbuf, v6))) {
		pw_stage_icmp(mbuf, PW_DROP_IP_TTL, PW_ICMP_TIME_EXCEEDED, 0, 0);
		return PW_LOOKUP_ICMP;
	}
	pw_packet(mbuf)->nexthop = nexthop;
	return edge;
}

/* Into an IPsec interface: where its policies send everything by one SA, no stage need ask them. */
static inline rte_edge_t pw_lookup_interface(struct rte_mbuf *mbuf,
					     const struct pw_nexthop *nexthop, bool v6)
{
	uint32_t all = pw_spd_get(nexthop->spd)->all[v6];

	return all ? pw_lookup_forward(mbuf, all, v6, PW_LOOKUP_TUNNEL)
		   : pw_lookup_forward(mbuf, nexthop->id, v6, PW_LOOKUP_POLICY);
}

/* The VRF's policies come before its routes: stage `policy` looks up what has no next hop. */
static inline rte_edge_t pw_lookup_policy(struct rte_mbuf *mbuf)
{
	pw_packet(mbuf)->nexthop = 0;
	return PW_LOOKUP_POLICY;
}

/*
 * Looks on in another VRF (route leaking), a bounded number of times. NULL: dropped; or not, where
 * that VRF has policies.
 */
static inline const struct pw_nexthop *pw_lookup_elsewhere(struct rte_mbuf *mbuf,
							   const struct pw_nexthop *nexthop,
							   bool v6, enum pw_drop *drop)
{
	struct pw_packet *packet = pw_packet(mbuf);

	while (nexthop->type == PW_NEXTHOP_LOOKUP) {
		const struct pw_vrf *vrf = pw_vrf_get((uint16_t)nexthop->vrf);
		const uint8_t *address;
		uint32_t id;

		*drop = packet->loops++ < PW_LOOKUPS_MAX ? PW_DROP_VRF_NONE : PW_DROP_ROUTE_LOOP;
		if (!vrf || *drop == PW_DROP_ROUTE_LOOP)
			return NULL;
		packet->vrf = (uint16_t)nexthop->vrf;
		if (unlikely(vrf->spd)) {
			*drop = PW_DROP_NONE;
			return NULL;
		}
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

static inline rte_edge_t pw_lookup_decide(struct rte_mbuf *mbuf, const struct pw_nexthop *nexthop,
					  bool v6)
{
	enum pw_drop drop = PW_DROP_NONE;

	if (nexthop->type == PW_NEXTHOP_GROUP)
		nexthop = pw_nexthop_select(nexthop, pw_packet_hash(mbuf));
	if (unlikely(nexthop->type == PW_NEXTHOP_LOOKUP)) {
		nexthop = pw_lookup_elsewhere(mbuf, nexthop, v6, &drop);
		if (!nexthop)
			return drop == PW_DROP_NONE ? pw_lookup_policy(mbuf)
						    : pw_stage_drop(mbuf, drop);
	}
	switch (nexthop->type) {
	case PW_NEXTHOP_TUNNEL:
		return pw_lookup_forward(mbuf, nexthop->id, v6, PW_LOOKUP_TUNNEL);
	case PW_NEXTHOP_NEIGHBOUR:
		return pw_lookup_forward(mbuf, nexthop->id, v6, PW_LOOKUP_ETHERNET);
	case PW_NEXTHOP_LOCAL:
		return PW_LOOKUP_LOCAL;
	case PW_NEXTHOP_GLEAN:
		return pw_lookup_forward(mbuf, nexthop->id, v6, PW_LOOKUP_RESOLVE);
	case PW_NEXTHOP_POLICY:
		return pw_lookup_interface(mbuf, nexthop, v6);
	case PW_NEXTHOP_BLACKHOLE:
		return pw_stage_drop(mbuf, PW_DROP_ROUTE_BLACKHOLE);
	case PW_NEXTHOP_UNREACHABLE:
		return pw_lookup_unreachable(mbuf, PW_DROP_ROUTE_UNREACHABLE, PW_ICMP_CODE_HOST);
	case PW_NEXTHOP_PROHIBIT:
		return pw_lookup_unreachable(mbuf, PW_DROP_ROUTE_PROHIBIT, PW_ICMP_CODE_PROHIBITED);
	}
	return pw_lookup_unreachable(mbuf, PW_DROP_ROUTE_NONE, PW_ICMP_CODE_NET);
}

static inline rte_edge_t pw_lookup_send(struct rte_mbuf *mbuf, uint32_t id, bool v6, bool tunnel)
{
	if (unlikely(!pw_lookup_hop(mbuf, v6))) {
		pw_stage_icmp(mbuf, PW_DROP_IP_TTL, PW_ICMP_TIME_EXCEEDED, 0, 0);
		return PW_LOOKUP_ICMP;
	}
	pw_packet(mbuf)->nexthop = id;
	return tunnel ? PW_LOOKUP_TUNNEL : PW_LOOKUP_ETHERNET;
}

/*
 * The next hops of a burst. What goes to a neighbour or into a tunnel is decided by the type
 * alone; the stage that sends it reads the rest. Of the others, the map and the object are
 * prefetched for all before any is read.
 */
static inline void pw_lookup_decide_burst(struct rte_mbuf **mbufs, const uint32_t *ids,
					  rte_edge_t *edges, unsigned int n, bool v6)
{
	uint8_t others[PW_LOOKUP_BURST];
	unsigned int count = 0;

	for (unsigned int i = 0; i < n; i++) {
		uint8_t type = pw_slot_tag(&pw_nexthops, ids[i]);

		if (unlikely(edges[i] <= PW_LOOKUP_POLICY)) /* or drop */
			continue;
		if (likely(type == PW_NEXTHOP_TUNNEL || type == PW_NEXTHOP_NEIGHBOUR)) {
			edges[i] = pw_lookup_send(mbufs[i], ids[i], v6, type == PW_NEXTHOP_TUNNEL);
		} else {
			rte_prefetch0(&pw_nexthops.map[ids[i]]);
			others[count++] = (uint8_t)i;
		}
	}
	for (unsigned int k = 0; k < count; k++)
		rte_prefetch0(pw_nexthop_get(ids[others[k]]));
	for (unsigned int k = 0; k < count; k++)
		edges[others[k]] =
			pw_lookup_decide(mbufs[others[k]], pw_nexthop_get(ids[others[k]]), v6);
}

/*
 * A VRF that went away: its packets are looked up in VRF 0's table but dropped all the same. One
 * with policies: they go to them first, if @p policies.
 */
static inline const struct pw_vrf *pw_lookup_vrf_of(struct rte_mbuf *mbuf, rte_edge_t *edge,
						    bool policies)
{
	const struct pw_vrf *vrf = pw_vrf_get(pw_packet(mbuf)->vrf);

	*edge = PW_LOOKUP_LOCAL; /* anything but drop and policy: decided later */
	if (likely(vrf != NULL)) {
		if (unlikely(vrf->spd) && policies)
			*edge = pw_lookup_policy(mbuf);
		return vrf;
	}
	*edge = pw_stage_drop(mbuf, PW_DROP_VRF_NONE);
	return pw_vrf_get(PW_VRF_DEFAULT);
}

/** For stage `policy`: whether their VRFs have policies or not. */
static inline void pw_lookup4(struct rte_mbuf **mbufs, rte_edge_t *edges, unsigned int n)
{
	const struct pw_lpm *lpms[PW_LOOKUP_BURST];
	uint32_t addresses[PW_LOOKUP_BURST];
	uint32_t ids[PW_LOOKUP_BURST];

	for (unsigned int i = 0; i < n; i++) {
		lpms[i] = pw_lookup_vrf_of(mbufs[i], &edges[i], false)->lpm4;
		addresses[i] = rte_pktmbuf_mtod(mbufs[i], struct rte_ipv4_hdr *)->dst_addr;
	}
	pw_lpm_lookup4_bulk(lpms, addresses, ids, n);
	pw_lookup_decide_burst(mbufs, ids, edges, n, false);
}

static inline void pw_lookup6(struct rte_mbuf **mbufs, rte_edge_t *edges, unsigned int n)
{
	const struct pw_lpm *lpms[PW_LOOKUP_BURST];
	const uint8_t *addresses[PW_LOOKUP_BURST];
	uint32_t ids[PW_LOOKUP_BURST];

	for (unsigned int i = 0; i < n; i++) {
		lpms[i] = pw_lookup_vrf_of(mbufs[i], &edges[i], false)->lpm6;
		addresses[i] = rte_pktmbuf_mtod(mbufs[i], struct rte_ipv6_hdr *)->dst_addr;
	}
	pw_lpm_lookup6_bulk(lpms, addresses, ids, n);
	pw_lookup_decide_burst(mbufs, ids, edges, n, true);
}

#endif
