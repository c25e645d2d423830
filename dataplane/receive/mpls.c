/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * mpls-input: the top label is mine, may be used by whoever sent it, and has TTL left; then pop
 * into a VRF, pop towards a next hop, or swap (RFC 3031, 3032, 3443).
 */
#include "dataplane/receive/mpls_plain.h"

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_POLICY = PW_LOOKUP_POLICY,
	EDGE_TUNNEL = PW_LOOKUP_TUNNEL,
	EDGE_ETHERNET = PW_LOOKUP_ETHERNET,
	EDGE_ICMP = PW_LOOKUP_ICMP,
	EDGE_IPV4 = PW_FRAME_EDGES,
	EDGE_IPV6,
};

#define ICMP_TIME_EXCEEDED 11

static void limit_ipv4(struct rte_mbuf *mbuf, uint8_t ttl)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);
	uint16_t old, new;

	if (ip->time_to_live <= ttl)
		return;
	memcpy(&old, &ip->time_to_live, 2);
	ip->time_to_live = ttl;
	memcpy(&new, &ip->time_to_live, 2);
	ip->hdr_checksum = pw_checksum_update(ip->hdr_checksum, old, new);
}

static void limit_ttl(struct rte_mbuf *mbuf, bool v6, uint8_t ttl)
{
	if (v6) {
		struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);

		ip->hop_limits = RTE_MIN(ip->hop_limits, ttl);
	} else {
		limit_ipv4(mbuf, ttl);
	}
}

/* Below the bottom of the stack: an IP packet, checked as one from a wire is. */
static enum pw_drop expose_ip(struct rte_mbuf *mbuf, bool *v6)
{
	enum pw_drop drop;

	if (mbuf->data_len == 0)
		return PW_DROP_MPLS_PAYLOAD;
	switch (pw_ip_version(mbuf)) {
	case 4:
		*v6 = false;
		drop = pw_ipv4_check(mbuf);
		break;
	case 6:
		*v6 = true;
		drop = pw_ipv6_check(mbuf);
		if (drop == PW_DROP_NONE) {
			const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const void *);

			if (pw_ipv6_is_link_local(ip->src_addr) ||
			    pw_ipv6_is_link_local(ip->dst_addr))
				drop = PW_DROP_IPV6_ADDRESS;
		}
		break;
	default:
		return PW_DROP_MPLS_PAYLOAD;
	}
	return drop != PW_DROP_NONE ? drop : pw_ip_ecn_decapsulate(mbuf, pw_packet(mbuf)->ecn);
}

/* The last label is off and the packet goes on in a VRF. */
static rte_edge_t into_vrf(struct rte_mbuf *mbuf, uint16_t vrf, bool uniform, uint8_t ttl)
{
	enum pw_drop drop;
	bool v6;

	drop = expose_ip(mbuf, &v6);
	if (unlikely(drop != PW_DROP_NONE))
		return pw_stage_drop(mbuf, drop);
	/* The lookup takes one off, for this hop; so the label's own TTL is the limit. */
	if (uniform)
		limit_ttl(mbuf, v6, ttl);
	pw_packet(mbuf)->vrf = vrf;
	pw_packet(mbuf)->sa = 0; /* a tunnel of this VRF is not what the SA protects */
	return v6 ? EDGE_IPV6 : EDGE_IPV4;
}

static rte_edge_t towards(struct rte_mbuf *mbuf, const struct pw_nexthop *nexthop)
{
	struct pw_packet *packet = pw_packet(mbuf);

	packet->nexthop = nexthop->id;
	/* No lookup chose the way, so the VRF is that of where it leads: ICMP errors go there. */
	packet->vrf = pw_interface_get(nexthop->interface)->vrf;
	packet->flags |= PW_PACKET_FORWARDED | PW_PACKET_IMPOSED;
	switch (nexthop->type) {
	case PW_NEXTHOP_TUNNEL:
		return EDGE_TUNNEL;
	case PW_NEXTHOP_NEIGHBOUR:
		return EDGE_ETHERNET;
	case PW_NEXTHOP_BLACKHOLE:
		return pw_stage_drop(mbuf, PW_DROP_MPLS_LABEL_BLACKHOLE);
	case PW_NEXTHOP_POLICY: /* an IPsec interface carries no labels */
		if (packet->flags & PW_PACKET_LABELLED)
			break;
		packet->flags &= ~PW_PACKET_IMPOSED; /* which SA takes it is not known yet */
		return EDGE_POLICY;
	}
	return pw_stage_drop(mbuf, PW_DROP_ROUTE_UNREACHABLE);
}

/* One router more, as in a lookup; false when the TTL is used up. */
static bool hop(struct rte_mbuf *mbuf, bool v6)
{
	if (v6) {
		struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);

		return ip->hop_limits > 1 && ip->hop_limits--;
	}
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);

	if (ip->time_to_live <= 1)
		return false;
	pw_ipv4_decrement(ip);
	return true;
}

/* What leaves the VRF that the next hop is in leaves by policies. */
static bool has_policies(const struct pw_nexthop *nexthop, uint16_t *index)
{
	const struct pw_vrf *vrf;

	*index = pw_interface_get(nexthop->interface)->vrf;
	vrf = pw_vrf_get(*index);
	return vrf && vrf->spd;
}

/* The last label is off: an IP packet for the next hop, at the cost of one TTL as in Linux. */
static rte_edge_t pop_ip_towards(struct rte_mbuf *mbuf, const struct pw_nexthop *nexthop,
				 bool uniform, uint8_t ttl)
{
	enum pw_drop drop;
	uint16_t vrf;
	bool v6;

	/* Policies come before the way, and go with the VRF's routes. */
	if (unlikely(has_policies(nexthop, &vrf)))
		return into_vrf(mbuf, vrf, uniform, (uint8_t)(ttl + 1));
	drop = expose_ip(mbuf, &v6);
	if (drop != PW_DROP_NONE)
		return pw_stage_drop(mbuf, drop);
	if (!hop(mbuf, v6)) {
		pw_packet(mbuf)->vrf = pw_interface_get(nexthop->interface)->vrf;
		pw_stage_icmp(mbuf, PW_DROP_IP_TTL, ICMP_TIME_EXCEEDED, 0, 0);
		return EDGE_ICMP;
	}
	if (uniform)
		limit_ttl(mbuf, v6, ttl);
	return towards(mbuf, nexthop);
}

/* The label is off, the next router takes what is below. */
static rte_edge_t pop_towards(struct rte_mbuf *mbuf, const struct pw_nexthop *nexthop,
			      uint32_t popped, bool uniform)
{
	uint8_t ttl = pw_mpls_ttl(popped) - 1;

	if (popped & PW_MPLS_BOTTOM)
		return pop_ip_towards(mbuf, nexthop, uniform, ttl);
	if (mbuf->data_len < PW_MPLS_ENTRY)
		return pw_stage_drop(mbuf, PW_DROP_MPLS_TRUNCATED);
	if (uniform && pw_mpls_ttl(pw_mpls_entry(mbuf, 0)) > ttl)
		rte_pktmbuf_mtod(mbuf, uint8_t *)[3] = ttl;
	pw_packet(mbuf)->flags |= PW_PACKET_LABELLED;
	return towards(mbuf, nexthop);
}

/* The top label becomes the next hop's labels; TC is kept, TTL goes down by one. */
static rte_edge_t swap(struct rte_mbuf *mbuf, const struct pw_nexthop *nexthop, uint32_t popped)
{
	uint32_t rest = (popped & 0xe00) | (uint8_t)(pw_mpls_ttl(popped) - 1);
	struct pw_packet *packet = pw_packet(mbuf);
	char *at;

	if (!nexthop->label_count)
		return pw_stage_drop(mbuf, PW_DROP_ROUTE_UNREACHABLE);
	at = rte_pktmbuf_prepend(mbuf, nexthop->label_count * PW_MPLS_ENTRY);
	if (!at)
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_HEADROOM);
	for (unsigned int i = 0; i < nexthop->label_count; i++) {
		uint32_t entry = (nexthop->labels[i] & ~(uint32_t)PW_MPLS_BOTTOM) | rest;

		if (i + 1u == nexthop->label_count)
			entry |= popped & PW_MPLS_BOTTOM;
		pw_mpls_write(at + i * PW_MPLS_ENTRY, entry);
	}
	packet->flags |= PW_PACKET_LABELLED;
	return towards(mbuf, nexthop);
}

static rte_edge_t act(struct rte_mbuf *mbuf, uint32_t top)
{
	struct pw_packet *packet = pw_packet(mbuf);
	struct pw_label entry = pw_label_get(pw_mpls_label(top));
	const struct pw_nexthop *nexthop;

	if (unlikely(entry.action == PW_LABEL_NONE))
		return pw_stage_drop(mbuf, PW_DROP_MPLS_LABEL_UNKNOWN);
	/* RFC 4023 8.1 */
	if (unlikely(entry.flags & PW_LABEL_PROTECTED && !packet->sa))
		return pw_stage_drop(mbuf, PW_DROP_MPLS_LABEL_CLEAR);
	if (unlikely(entry.allowed &&
		     (!packet->endpoint || !pw_label_allows(entry.allowed, packet->endpoint))))
		return pw_stage_drop(mbuf, PW_DROP_MPLS_LABEL_REFUSED);
	if (unlikely(entry.action == PW_LABEL_DISCARD))
		return pw_stage_drop(mbuf, PW_DROP_MPLS_LABEL_BLACKHOLE);
	nexthop = pw_nexthop_get(entry.nexthop);
	if (unlikely(pw_mpls_ttl(top) <= 1)) {
		/* Where the packet would have gone decides where the ICMP error goes. */
		packet->nexthop = entry.nexthop;
		if (nexthop->type == PW_NEXTHOP_LOOKUP)
			packet->vrf = (uint16_t)nexthop->vrf;
		else if (nexthop->type == PW_NEXTHOP_POLICY)
			packet->vrf = pw_interface_get(nexthop->interface)->vrf;
		pw_stage_icmp(mbuf, PW_DROP_MPLS_TTL, ICMP_TIME_EXCEEDED, 0, 0);
		packet->flags |= PW_PACKET_LABELLED;
		return EDGE_ICMP;
	}
	rte_pktmbuf_adj(mbuf, PW_MPLS_ENTRY);
	if (likely(nexthop->type == PW_NEXTHOP_LOOKUP)) {
		/* A VPN label is the last one: what is below belongs to the customer. */
		if (unlikely(!(top & PW_MPLS_BOTTOM)))
			return pw_stage_drop(mbuf, PW_DROP_MPLS_STACK);
		return into_vrf(mbuf, (uint16_t)nexthop->vrf,
				pw_mpls_is_uniform(entry, packet->endpoint), pw_mpls_ttl(top));
	}
	if (nexthop->type == PW_NEXTHOP_GROUP) {
		uint32_t hash = pw_mpls_flow_hash(mbuf, top & PW_MPLS_BOTTOM);

		mbuf->hash.rss = hash;
		nexthop = pw_nexthop_select(nexthop, hash);
	}
	if (entry.action == PW_LABEL_SWAP)
		return swap(mbuf, nexthop, top);
	return pop_towards(mbuf, nexthop, top, pw_mpls_is_uniform(entry, packet->endpoint));
}

/* Explicit null says nothing but "the tunnel ends here" (RFC 3032, 4182): off with it. */
static rte_edge_t input(struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);

	for (unsigned int popped = 0; popped < PW_MPLS_POP_MAX; popped++) {
		uint32_t top, label;

		if (unlikely(mbuf->data_len < PW_MPLS_ENTRY))
			return pw_stage_drop(mbuf, PW_DROP_MPLS_TRUNCATED);
		top = pw_mpls_entry(mbuf, 0);
		label = pw_mpls_label(top);
		if (!*pw_packet_label(mbuf))
			*pw_packet_label(mbuf) = top;
		if (likely(label >= PW_LABEL_RESERVED))
			return act(mbuf, top);
		if (label != PW_MPLS_EXPLICIT4 && label != PW_MPLS_EXPLICIT6)
			return pw_stage_drop(mbuf, PW_DROP_MPLS_LABEL_RESERVED);
		if (pw_mpls_ttl(top) == 0)
			return pw_stage_drop(mbuf, PW_DROP_MPLS_TTL);
		rte_pktmbuf_adj(mbuf, PW_MPLS_ENTRY);
		if (top & PW_MPLS_BOTTOM) {
			const struct pw_interface *in = pw_interface_get(packet->interface);

			if (mbuf->data_len &&
			    pw_ip_version(mbuf) != (label == PW_MPLS_EXPLICIT4 ? 4 : 6))
				return pw_stage_drop(mbuf, PW_DROP_MPLS_PAYLOAD);
			return into_vrf(mbuf, in->vrf, false, 0);
		}
	}
	return pw_stage_drop(mbuf, PW_DROP_MPLS_STACK);
}

static void burst_input(struct pw_worker *worker, uint32_t generation, struct rte_mbuf **mbufs,
			rte_edge_t *edges, unsigned int n)
{
	uint64_t left = UINT64_MAX;

	/* A watched packet is seen at every stage of its way. */
	if (likely(!__atomic_load_n(&worker->watch, __ATOMIC_RELAXED)))
		left = pw_mpls_frames(worker, generation, mbufs, edges, n);
	if (likely(!left))
		return;
	for (unsigned int i = 0; i < n; i++)
		if (left >> i & 1)
			edges[i] = input(mbufs[i]);
}

static uint16_t mpls_input(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	uint32_t generation = __atomic_load_n(&pw_slots_generation, __ATOMIC_ACQUIRE);
	struct pw_worker *worker = pw_worker();
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i += PW_LOOKUP_BURST)
		burst_input(worker, generation, (struct rte_mbuf **)&objs[i], &edges[i],
			    RTE_MIN(n - i, PW_LOOKUP_BURST));
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(mpls_input, "mpls-input", mpls_input, PW_FRAME_STAGES, "ipv4-lookup", "ipv6-lookup")
