/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * gre-input: GRE (RFC 2784, 2890), MPLS-in-IP (RFC 4023) and IP in IP (RFC 2003, 2473, 4213),
 * addressed to this PE. Only known endpoints of a tunnel, with its key, get past this stage
 * (RFC 4023 8.2, RFC 4797, RFC 4213 3.6).
 */
#include "dataplane/receive/ip.h"
#include "dataplane/table/endpoint.h"

#include <netinet/in.h>
#include <rte_ether.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_MPLS,
	EDGE_IPV4,
	EDGE_IPV6,
	EDGE_PUNT,
};

#define GRE_CHECKSUM 0x8000
#define GRE_KEY      0x2000
#define GRE_SEQUENCE 0x1000
#define GRE_RESERVED 0x4c00 /* RFC 2784 2.3: bits 1, 4 and 5 must be zero, 6-12 are ignored */
#define GRE_VERSION  0x0007

struct gre {
	uint16_t protocol; /* host order */
	uint16_t offset;   /* of the payload, from the outer IP header */
};

/* Outer addresses into the match; returns the length of the IP header. */
static uint16_t outer(const struct rte_mbuf *mbuf, struct pw_endpoint_key *key, uint8_t *protocol,
		      uint8_t *tos)
{
	if (pw_ip_version(mbuf) == 6) {
		const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);

		key->family = AF_INET6;
		memcpy(key->local, ip->dst_addr, 16);
		memcpy(key->remote, ip->src_addr, 16);
		*protocol = ip->proto;
		*tos = (uint8_t)(rte_be_to_cpu_32(ip->vtc_flow) >> 20);
		return sizeof(*ip);
	}
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);

	key->family = AF_INET;
	memcpy(key->local, &ip->dst_addr, 4);
	memcpy(key->remote, &ip->src_addr, 4);
	*protocol = ip->next_proto_id;
	*tos = ip->type_of_service;
	return rte_ipv4_hdr_len(ip);
}

static enum pw_drop gre_parse(const struct rte_mbuf *mbuf, struct pw_endpoint_key *key,
			      struct gre *gre)
{
	const uint8_t *header = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, gre->offset);
	uint16_t room = mbuf->data_len - gre->offset;
	uint16_t length = 4;
	uint16_t flags;

	if (room < length)
		return PW_DROP_GRE_TRUNCATED;
	flags = (uint16_t)(header[0] << 8 | header[1]);
	gre->protocol = (uint16_t)(header[2] << 8 | header[3]);
	if (flags & GRE_VERSION)
		return PW_DROP_GRE_VERSION;
	if (flags & GRE_RESERVED)
		return PW_DROP_GRE_FLAGS;
	if (flags & GRE_CHECKSUM)
		length += 4;
	if (flags & GRE_KEY)
		length += 4;
	if (flags & GRE_SEQUENCE)
		length += 4;
	if (room < length)
		return PW_DROP_GRE_TRUNCATED;
	if (flags & GRE_CHECKSUM && rte_raw_cksum(header, room) != 0xffff)
		return PW_DROP_GRE_CHECKSUM;
	if (flags & GRE_KEY) {
		memcpy(&key->key, header + (flags & GRE_CHECKSUM ? 8 : 4), 4);
		key->flags |= PW_ENDPOINT_KEY;
	}
	gre->offset += length;
	return PW_DROP_NONE;
}

static enum pw_drop miss(const struct pw_endpoint_key *key)
{
	switch (pw_endpoint_explain(key)) {
	case PW_ENDPOINT_MISS_KEY:
		return PW_DROP_GRE_KEY;
	case PW_ENDPOINT_MISS_SOURCE:
		return PW_DROP_TUNNEL_SOURCE;
	default:
		return PW_DROP_TUNNEL_UNKNOWN;
	}
}

/*
 * RFC 4213 3.6 and RFC 3964 5.1: what nobody can have sent, or what would come back out of a
 * tunnel by itself. The rest of what no router forwards is the header checks'.
 */
static bool martian(const struct rte_mbuf *mbuf, bool v6)
{
	if (v6) {
		const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);

		return pw_ipv6_is_tunnel_martian(ip->src_addr) ||
		       pw_ipv6_is_6to4_martian(ip->dst_addr);
	}
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);

	return pw_ipv4_is_martian_source(rte_be_to_cpu_32(ip->src_addr));
}

/* IP in IP: the protocol number says what is inside. */
static enum pw_drop ip_in_ip(const struct rte_mbuf *mbuf, const struct pw_endpoint *endpoint,
			     bool v6)
{
	uint16_t header = v6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);

	if (!(endpoint->flags & (v6 ? PW_ENDPOINT_INNER6 : PW_ENDPOINT_INNER4)))
		return PW_DROP_TUNNEL_PAYLOAD;
	if (mbuf->data_len >= header && pw_ip_version(mbuf) == (v6 ? 6 : 4) && martian(mbuf, v6))
		return PW_DROP_TUNNEL_MARTIAN;
	return PW_DROP_NONE; /* or the header check's */
}

/*
 * For the tunnel's kernel face: what never leaves its link (routing protocols, neighbour
 * discovery). Multicast is what the header check refused for its addresses, but is whole otherwise.
 */
static bool is_of_the_link(const struct rte_mbuf *mbuf, enum pw_drop drop, bool v6)
{
	if (v6) {
		const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);

		if (drop == PW_DROP_NONE)
			return pw_ipv6_is_link_local(ip->src_addr) ||
			       pw_ipv6_is_link_local(ip->dst_addr);
		return drop == PW_DROP_IPV6_ADDRESS && ip->dst_addr[0] == 0xff &&
		       (ip->dst_addr[1] & 0xf) == 2 && ip->src_addr[0] != 0xff &&
		       !pw_ipv6_is_loopback_or_any(ip->src_addr);
	}
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);

	return drop == PW_DROP_IPV4_ADDRESS && rte_be_to_cpu_32(ip->dst_addr) >> 8 == 0xe00000 &&
	       !pw_ipv4_is_martian_source(rte_be_to_cpu_32(ip->src_addr));
}

static rte_edge_t inner_ip(struct rte_mbuf *mbuf, const struct pw_interface *tunnel, uint8_t tos,
			   bool v6)
{
	struct pw_packet *packet = pw_packet(mbuf);
	enum pw_drop drop = v6 ? pw_ipv6_check(mbuf) : pw_ipv4_check(mbuf);

	packet->vrf = tunnel->vrf;
	packet->sa = 0; /* a tunnel within this one is not what the SA protects */
	if (drop == PW_DROP_NONE)
		drop = pw_ip_ecn_decapsulate(mbuf, tos & 3);
	if (unlikely(tunnel->flags & PW_INTERFACE_FACE) && is_of_the_link(mbuf, drop, v6))
		return EDGE_PUNT;
	if (drop == PW_DROP_NONE && v6) {
		const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);

		if (pw_ipv6_is_link_local(ip->src_addr) || pw_ipv6_is_link_local(ip->dst_addr))
			drop = PW_DROP_PUNT_NO_FACE;
	}
	if (drop != PW_DROP_NONE)
		return pw_stage_drop(mbuf, drop);
	return v6 ? EDGE_IPV6 : EDGE_IPV4;
}

/* The last packet's match: packets of one remote end often come in a row. */
struct recent {
	struct pw_endpoint_key key;
	uint32_t id; /* 0 = none yet */
};

static inline bool same_key(const struct pw_endpoint_key *one, const struct pw_endpoint_key *other)
{
	uint64_t a[5], b[5];

	memcpy(a, one, sizeof(a));
	memcpy(b, other, sizeof(b));
	return !((a[0] ^ b[0]) | (a[1] ^ b[1]) | (a[2] ^ b[2]) | (a[3] ^ b[3]) | (a[4] ^ b[4]));
}

static uint32_t find(struct recent *recent, const struct pw_endpoint_key *key)
{
	if (!recent->id || !same_key(&recent->key, key)) {
		recent->id = pw_endpoint_find(key);
		recent->key = *key;
	}
	return recent->id;
}

static rte_edge_t decapsulate(struct pw_worker *worker, struct recent *recent,
			      struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);
	struct pw_endpoint_key key = {.vrf = packet->vrf};
	struct gre gre = {.protocol = RTE_ETHER_TYPE_MPLS};
	const struct pw_interface *tunnel;
	const struct pw_endpoint *endpoint;
	enum pw_drop drop;
	uint8_t protocol, tos;
	uint32_t id;

	gre.offset = outer(mbuf, &key, &protocol, &tos);
	if (protocol == IPPROTO_GRE) {
		drop = gre_parse(mbuf, &key, &gre);
		if (drop != PW_DROP_NONE)
			return pw_stage_drop(mbuf, drop);
	} else if (protocol == IPPROTO_MPLS) {
		key.flags = PW_ENDPOINT_MATCH_MPLS_IN_IP;
	} else {
		key.flags = PW_ENDPOINT_MATCH_IP;
		gre.protocol = protocol == IPPROTO_IPV6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
	}
	id = find(recent, &key);
	if (unlikely(!id))
		return pw_stage_drop(mbuf, miss(&key));
	endpoint = pw_endpoint_get(id);
	tunnel = pw_interface_get(endpoint->interface);
	if (unlikely(!(tunnel->flags & PW_INTERFACE_UP)))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_DOWN);
	if (unlikely(endpoint->protect & (PW_PROTECT_IN | PW_PROTECT_BLOCK_IN))) {
		if (endpoint->protect & PW_PROTECT_BLOCK_IN)
			return pw_stage_drop(mbuf, PW_DROP_POLICY_BLOCK);
		if (!packet->sa)
			return pw_stage_drop(mbuf, PW_DROP_POLICY_CLEAR);
	}
	packet->endpoint = (uint16_t)id;
	packet->interface = (uint16_t)endpoint->interface;
	mbuf->hash.rss = 0;
	rte_pktmbuf_adj(mbuf, gre.offset);
	worker->counters[endpoint->interface].rx_packets++;
	worker->counters[endpoint->interface].rx_bytes += mbuf->pkt_len;
	if (endpoint->encapsulation == PW_ENCAPSULATION_IP) {
		drop = ip_in_ip(mbuf, endpoint, protocol == IPPROTO_IPV6);
		if (drop != PW_DROP_NONE)
			return pw_stage_drop(mbuf, drop);
	}
	switch (gre.protocol) {
	case RTE_ETHER_TYPE_MPLS:
		packet->ecn = tos & 3;
		return EDGE_MPLS;
	case RTE_ETHER_TYPE_IPV4:
		return inner_ip(mbuf, tunnel, tos, false);
	case RTE_ETHER_TYPE_IPV6:
		return inner_ip(mbuf, tunnel, tos, true);
	}
	return pw_stage_drop(mbuf, PW_DROP_GRE_PROTOCOL);
}

static uint16_t gre_input(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();
	struct recent recent = {.id = 0};
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i++)
		edges[i] = decapsulate(worker, &recent, objs[i]);
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(gre_input, "gre-input", gre_input, "drop", "mpls-input", "ipv4-lookup", "ipv6-lookup",
	 "kernel-punt")
