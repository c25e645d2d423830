/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * tunnel-output: labels, GRE (or none) and the outer header are written in one go from the
 * endpoint's ready-made header, and the underlay neighbour's Ethernet header before them.
 */
#include "dataplane/transmit/impose.h"
#include "dataplane/transmit/template.h"

#include <netinet/in.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_TRANSMIT,
	EDGE_ETHERNET,
	EDGE_FRAGMENT,
	EDGE_ICMP,
};

#define ICMP_UNREACHABLE      3
#define ICMP_CODE_NET         0
#define ICMP_CODE_FRAG_NEEDED 4

bool pw_too_big(struct rte_mbuf *mbuf, uint16_t mtu)
{
	struct pw_packet *packet = pw_packet(mbuf);
	bool v6;

	if (packet->flags & PW_PACKET_LABELLED) {
		unsigned int depth = pw_mpls_depth(mbuf);

		if (!depth || mtu <= depth * PW_MPLS_ENTRY) {
			packet->reason = PW_DROP_MPLS_MTU;
			return false;
		}
		/* RFC 3032 3: what the sender of the payload can use. */
		pw_stage_icmp(mbuf, PW_DROP_MTU_EXCEEDED, ICMP_UNREACHABLE, ICMP_CODE_FRAG_NEEDED,
			      mtu - depth * PW_MPLS_ENTRY);
		return false;
	}
	v6 = pw_ip_version(mbuf) == 6;
	if (!v6) {
		const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);

		if (!(ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_DF_FLAG))) {
			packet->mtu = mtu;
			return true;
		}
	}
	pw_stage_icmp(mbuf, PW_DROP_MTU_EXCEEDED, ICMP_UNREACHABLE, ICMP_CODE_FRAG_NEEDED, mtu);
	return false;
}

static void write_ipv4(struct pw_worker *worker, char *at, const struct pw_endpoint *endpoint,
		       uint16_t length, uint8_t tos, uint8_t ttl)
{
	struct rte_ipv4_hdr *ip = (void *)at;
	uint32_t sum = endpoint->partial_sum;

	ip->total_length = rte_cpu_to_be_16(length);
	sum += length;
	/* RFC 6864: an id matters only where the packet may be cut. */
	if (!(endpoint->flags & PW_ENDPOINT_DF)) {
		ip->packet_id = rte_cpu_to_be_16(worker->ip_id);
		sum += worker->ip_id++;
	}
	if (endpoint->flags & PW_ENDPOINT_TOS_INHERIT) {
		ip->type_of_service = tos;
		sum += tos;
	}
	if (endpoint->flags & PW_ENDPOINT_TTL_INHERIT) {
		ip->time_to_live = ttl;
		sum += (uint32_t)ttl << 8;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->hdr_checksum = rte_cpu_to_be_16((uint16_t)~sum);
}

static void write_ipv6(char *at, const struct pw_endpoint *endpoint, uint16_t length, uint8_t tos,
		       uint8_t ttl, uint32_t hash)
{
	struct rte_ipv6_hdr *ip = (void *)at;
	uint32_t flow = ip->vtc_flow;

	ip->payload_len = rte_cpu_to_be_16(length - sizeof(*ip));
	if (endpoint->flags & PW_ENDPOINT_TOS_INHERIT)
		flow |= rte_cpu_to_be_32((uint32_t)tos << 20);
	/* RFC 6438: the flow label gives the core's ECMP the inner flow's entropy. */
	ip->vtc_flow = flow | rte_cpu_to_be_32(hash & 0xfffff);
	if (endpoint->flags & PW_ENDPOINT_TTL_INHERIT)
		ip->hop_limits = ttl;
}

/* GRE's variable fields: protocol, and what RFC 2890 and 2784 add. */
static void write_gre(struct rte_mbuf *mbuf, char *gre, const struct pw_endpoint *endpoint,
		      uint16_t protocol)
{
	uint16_t length = endpoint->header_len - endpoint->ip_len;
	uint16_t checksum;
	uint32_t sequence;

	protocol = rte_cpu_to_be_16(protocol);
	memcpy(gre + 2, &protocol, 2);
	if (unlikely(endpoint->flags & PW_ENDPOINT_SEQUENCE)) {
		sequence = __atomic_fetch_add(&pw_endpoint_sequence[endpoint->id], 1,
					      __ATOMIC_RELAXED);
		sequence = rte_cpu_to_be_32(sequence);
		memcpy(gre + length - 4, &sequence, 4);
	}
	if (unlikely(endpoint->flags & PW_ENDPOINT_CHECKSUM)) {
		checksum = (uint16_t)~rte_raw_cksum(gre, mbuf->pkt_len - endpoint->ip_len);
		memcpy(gre + 4, &checksum, 2);
	}
}

static uint16_t gre_protocol(struct rte_mbuf *mbuf, uint16_t labels)
{
	if (labels || pw_packet(mbuf)->flags & PW_PACKET_LABELLED)
		return RTE_ETHER_TYPE_MPLS;
	return pw_ip_version(mbuf) == 6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
}

/* Labels, GRE, outer IP before the packet, which becomes an ordinary IP packet of the core. */
static bool encapsulate(struct pw_worker *worker, struct rte_mbuf *mbuf,
			const struct pw_nexthop *nexthop, const struct pw_endpoint *endpoint,
			uint16_t labels)
{
	struct pw_packet *packet = pw_packet(mbuf);
	struct pw_impose_inner inner = pw_impose_look(mbuf);
	uint16_t protocol = gre_protocol(mbuf, labels);
	uint32_t hash = packet->hash;
	char *at;

	if (endpoint->flags & PW_ENDPOINT_IPV6 && !hash)
		hash = packet->flags & PW_PACKET_LABELLED ? pw_mpls_flow_hash(mbuf, false)
							  : pw_packet_hash(mbuf);
	at = rte_pktmbuf_prepend(mbuf, endpoint->header_len + labels);
	if (unlikely(!at))
		return false;
	memcpy(at, endpoint->header, endpoint->header_len);
	if (likely(labels))
		pw_impose_write(at + endpoint->header_len, nexthop, inner,
				packet->flags & PW_PACKET_LABELLED);
	if (likely(endpoint->encapsulation == PW_ENCAPSULATION_GRE))
		write_gre(mbuf, at + endpoint->ip_len, endpoint, protocol);
	if (unlikely(endpoint->flags & PW_ENDPOINT_IPV6))
		write_ipv6(at, endpoint, (uint16_t)mbuf->pkt_len, inner.tos, inner.ttl, hash);
	else
		write_ipv4(worker, at, endpoint, (uint16_t)mbuf->pkt_len, inner.tos, inner.ttl);
	packet->flags &= ~(PW_PACKET_LABELLED | PW_PACKET_IMPOSED);
	packet->flags |= PW_PACKET_NO_ICMP | PW_PACKET_FORWARDED;
	packet->vrf = endpoint->vrf;
	return true;
}

/* The outer packet's own way: a neighbour in the front-door VRF. */
static rte_edge_t underlay(struct pw_worker *worker, struct rte_mbuf *mbuf,
			   const struct pw_nexthop *nexthop, bool v6)
{
	struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_neighbour *neighbour;

	packet->nexthop = nexthop->id;
	/* A labelled underlay and everything that is not plain sending is ethernet-output's. */
	if (unlikely(nexthop->type != PW_NEXTHOP_NEIGHBOUR || nexthop->label_count))
		return EDGE_ETHERNET;
	neighbour = pw_neighbour_get(nexthop->neighbour);
	if (unlikely(neighbour->state != PW_NEIGHBOUR_REACHABLE || mbuf->pkt_len > neighbour->mtu))
		return EDGE_ETHERNET;
	if (unlikely(!pw_ethernet_write(worker, mbuf, neighbour,
					v6 ? RTE_BE16(RTE_ETHER_TYPE_IPV6)
					   : RTE_BE16(RTE_ETHER_TYPE_IPV4))))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_HEADROOM);
	return EDGE_TRANSMIT;
}

/* Mixed anew: the VRF's own choice among remote PEs must not decide the way through the core. */
static uint32_t underlay_hash(struct rte_mbuf *mbuf)
{
	uint32_t hash = pw_packet(mbuf)->flags & PW_PACKET_LABELLED ? pw_mpls_flow_hash(mbuf, false)
								    : pw_packet_hash(mbuf);

	return hash * 0x9e3779b1u >> 16;
}

static rte_edge_t impose(struct pw_worker *worker, struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_nexthop *nexthop = pw_nexthop_get(packet->nexthop);
	const struct pw_endpoint *endpoint;
	const struct pw_nexthop *way;
	uint16_t labels = 0;
	uint32_t length;

	if (unlikely(nexthop->type != PW_NEXTHOP_TUNNEL))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_NO_ROUTE);
	endpoint = pw_endpoint_get(nexthop->endpoint);
	if (unlikely(!(pw_interface_get(endpoint->interface)->flags & PW_INTERFACE_UP)))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_DOWN);
	way = pw_nexthop_get(endpoint->underlay);
	if (way->type == PW_NEXTHOP_GROUP)
		way = pw_nexthop_select(way, underlay_hash(mbuf));
	if (unlikely(way->type != PW_NEXTHOP_NEIGHBOUR)) {
		pw_stage_icmp(mbuf, PW_DROP_TUNNEL_NO_ROUTE, ICMP_UNREACHABLE, ICMP_CODE_NET, 0);
		return EDGE_ICMP;
	}
	if (!(packet->flags & PW_PACKET_IMPOSED))
		labels = nexthop->label_count * PW_MPLS_ENTRY;
	if (unlikely(endpoint->encapsulation == PW_ENCAPSULATION_MPLS_IN_IP && !labels &&
		     !(packet->flags & PW_PACKET_LABELLED)))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_NO_VRF);
	if (unlikely(mbuf->pkt_len + labels > endpoint->mtu)) {
		if (pw_too_big(mbuf, endpoint->mtu - labels))
			return EDGE_FRAGMENT;
		return packet->reason == PW_DROP_MPLS_MTU ? PW_STAGE_DROP : EDGE_ICMP;
	}
	length = mbuf->pkt_len;
	if (unlikely(!encapsulate(worker, mbuf, nexthop, endpoint, labels)))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_HEADROOM);
	worker->counters[endpoint->interface].tx_packets++;
	worker->counters[endpoint->interface].tx_bytes += length + labels;
	return underlay(worker, mbuf, way, endpoint->flags & PW_ENDPOINT_IPV6);
}

/* One packet by the template when that serves it, composed anew when the next hop changes. */
static rte_edge_t output(struct pw_worker *worker, struct pw_template *template,
			 struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);

	if (unlikely(packet->nexthop != template->nexthop)) {
		const struct pw_nexthop *nexthop = pw_nexthop_get(packet->nexthop);
		const struct pw_endpoint *endpoint;

		if (unlikely(nexthop->type != PW_NEXTHOP_TUNNEL))
			return impose(worker, mbuf);
		if (template->packets)
			pw_template_count(worker, template);
		endpoint = pw_endpoint_get(nexthop->endpoint);
		pw_template_compose(template, nexthop, endpoint,
				    pw_nexthop_get(endpoint->underlay));
	}
	if (unlikely(!pw_template_serves(template, mbuf, packet)))
		return impose(worker, mbuf);
	pw_template_write(worker, template, mbuf, packet);
	return EDGE_TRANSMIT;
}

/* Endpoint of a chosen next hop; 0, which is nothing, when it has become something else. */
static uint32_t endpoint_of(uint32_t id)
{
	const struct pw_nexthop *nexthop = pw_nexthop_get(id);

	return likely(nexthop->type == PW_NEXTHOP_TUNNEL) ? nexthop->endpoint : 0;
}

/* The endpoints of a burst, each line wanted before any is read. */
static void prefetch(void **objs, uint16_t n)
{
	uint32_t last = 0;

	for (uint16_t i = 0; i < n; i++) {
		uint32_t id = pw_packet(objs[i])->nexthop;

		if (id != last)
			rte_prefetch0(&pw_endpoints.map[endpoint_of(id)]);
		last = id;
	}
	last = 0;
	for (uint16_t i = 0; i < n; i++) {
		uint32_t id = pw_packet(objs[i])->nexthop;

		if (id != last) {
			const struct pw_endpoint *endpoint = pw_endpoint_get(endpoint_of(id));

			rte_prefetch0(endpoint);
			rte_prefetch0(endpoint->header);
		}
		last = id;
	}
}

static uint16_t tunnel_output(struct rte_graph *graph, struct rte_node *node, void **objs,
			      uint16_t n)
{
	struct pw_worker *worker = pw_worker();
	struct pw_template template;
	rte_edge_t edges[n];

	template.nexthop = 0;
	template.packets = 0;
	template.bytes_inside = 0;
	prefetch(objs, n);
	for (uint16_t i = 0; i < n; i++)
		edges[i] = output(worker, &template, objs[i]);
	if (template.packets)
		pw_template_count(worker, &template);
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(tunnel_output, "tunnel-output", tunnel_output, "drop", "port-transmit", "ethernet-output",
	 "fragment", "icmp-error")
