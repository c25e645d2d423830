/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * tunnel-output: labels, GRE (or none), ESP's headers and the outer header are written in one go
 * from the endpoint's ready-made header, and the underlay neighbour's Ethernet header before them.
 * IP in IP and ESP in tunnel mode have neither labels nor GRE.
 */
#include "dataplane/transmit/impose.h"
#include "dataplane/transmit/esp.h"
#include "dataplane/transmit/ethernet.h"
#include "dataplane/transmit/template_write.h"

#include <netinet/in.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_TRANSMIT,
	EDGE_ETHERNET,
	EDGE_FRAGMENT,
	EDGE_ICMP,
	EDGE_ESP,
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
		       uint16_t length, const struct pw_impose_inner *inner)
{
	struct rte_ipv4_hdr *ip = (void *)at;
	uint32_t sum = endpoint->partial_sum;
	uint8_t tos = inner->tos & pw_impose_tos_mask(endpoint);

	ip->total_length = rte_cpu_to_be_16(length);
	ip->type_of_service |= tos;
	sum += length + tos;
	if (endpoint->flags & PW_ENDPOINT_DF_INHERIT && inner->df) {
		ip->fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG);
		sum += RTE_IPV4_HDR_DF_FLAG;
	} else if (!(endpoint->flags & PW_ENDPOINT_DF)) {
		/* RFC 6864: an id matters only where the packet may be cut. */
		ip->packet_id = rte_cpu_to_be_16(worker->ip_id);
		sum += worker->ip_id++;
	}
	if (endpoint->flags & PW_ENDPOINT_TTL_INHERIT) {
		ip->time_to_live = inner->ttl;
		sum += (uint32_t)inner->ttl << 8;
	}
	if (endpoint->encapsulation == PW_ENCAPSULATION_IP && !endpoint->sa && inner->v6) {
		ip->next_proto_id += PROTOCOL_STEP;
		sum += PROTOCOL_STEP;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->hdr_checksum = rte_cpu_to_be_16((uint16_t)~sum);
}

static void write_ipv6(char *at, const struct pw_endpoint *endpoint, uint16_t length,
		       const struct pw_impose_inner *inner, uint32_t hash)
{
	struct rte_ipv6_hdr *ip = (void *)at;
	uint32_t tos = inner->tos & pw_impose_tos_mask(endpoint);

	ip->payload_len = rte_cpu_to_be_16(length - sizeof(*ip));
	/* RFC 6438: the flow label gives the core's ECMP the inner flow's entropy. */
	ip->vtc_flow |= rte_cpu_to_be_32(tos << 20 | (hash & 0xfffff));
	if (endpoint->flags & PW_ENDPOINT_TTL_INHERIT)
		ip->hop_limits = inner->ttl;
	if (endpoint->encapsulation == PW_ENCAPSULATION_IP && !endpoint->sa && inner->v6)
		ip->proto += PROTOCOL_STEP;
}

/* GRE's variable fields: protocol, and what RFC 2890 and 2784 add. */
static void write_gre(struct rte_mbuf *mbuf, char *gre, const struct pw_endpoint *endpoint,
		      uint16_t protocol)
{
	uint16_t length = endpoint->header_len - endpoint->gre_at;
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
		checksum = (uint16_t)~rte_raw_cksum(gre, mbuf->pkt_len - endpoint->gre_at);
		memcpy(gre + 4, &checksum, 2);
	}
}

static uint16_t gre_protocol(struct rte_mbuf *mbuf, uint16_t labels)
{
	if (labels || pw_packet(mbuf)->flags & PW_PACKET_LABELLED)
		return RTE_ETHER_TYPE_MPLS;
	return pw_ip_version(mbuf) == 6 ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;
}

static uint8_t next_header(const struct pw_endpoint *endpoint, bool v6)
{
	switch (endpoint->encapsulation) {
	case PW_ENCAPSULATION_GRE:
		return IPPROTO_GRE;
	case PW_ENCAPSULATION_IP:
		return v6 ? IPPROTO_IPV6 : IPPROTO_IPIP;
	default:
		return IPPROTO_MPLS;
	}
}

/* ESP around what is there so far: its trailer, room for the ICV, UDP's length. */
static bool write_esp(struct rte_mbuf *mbuf, const struct pw_endpoint *endpoint, bool v6)
{
	const struct pw_sa *sa = pw_sa_get(endpoint->sa);
	struct pw_packet *packet = pw_packet(mbuf);
	uint16_t payload = mbuf->data_len - endpoint->gre_at;
	/* TFC padding makes no packet larger than its way takes. */
	uint16_t pad_to =
		RTE_MIN(sa->pad_to, endpoint->mtu + endpoint->header_len - endpoint->gre_at);
	uint16_t trailer = pw_esp_trailer(sa->align, pad_to, payload);

	if (!sa->key || endpoint->gre_at != endpoint->esp_at + PW_ESP_HEADER + sa->iv_bytes ||
	    rte_pktmbuf_tailroom(mbuf) < trailer + PW_ESP_SPILL + sa->icv_bytes)
		return false;
	pw_esp_write_trailer(rte_pktmbuf_mtod_offset(mbuf, uint8_t *, mbuf->data_len), sa->align,
			     pad_to, payload, trailer, next_header(endpoint, v6));
	rte_pktmbuf_append(mbuf, trailer + sa->icv_bytes);
	if (sa->flags & PW_SA_UDP) {
		uint16_t length = rte_cpu_to_be_16(mbuf->pkt_len - endpoint->ip_len);

		memcpy(rte_pktmbuf_mtod_offset(mbuf, char *, endpoint->ip_len + 4), &length, 2);
	}
	packet->sa = sa->id;
	packet->esp_at = endpoint->esp_at;
	packet->esp_mode = PW_ESP_TRANSIT;
	return true;
}

/* Labels, GRE, outer IP before the packet, which becomes an ordinary IP packet of the core. */
static bool encapsulate(struct pw_worker *worker, struct rte_mbuf *mbuf,
			const struct pw_nexthop *nexthop, const struct pw_endpoint *endpoint,
			uint16_t labels)
{
	struct pw_packet *packet = pw_packet(mbuf);
	struct pw_impose_inner inner = pw_impose_look(mbuf);
	uint16_t protocol = gre_protocol(mbuf, labels);
	uint32_t hash = mbuf->hash.rss;
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
		write_gre(mbuf, at + endpoint->gre_at, endpoint, protocol);
	if (endpoint->sa && unlikely(!write_esp(mbuf, endpoint, inner.v6)))
		return false;
	if (unlikely(endpoint->flags & PW_ENDPOINT_IPV6))
		write_ipv6(at, endpoint, (uint16_t)mbuf->pkt_len, &inner, hash);
	else
		write_ipv4(worker, at, endpoint, (uint16_t)mbuf->pkt_len, &inner);
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

/* Labelled or not, IPv4 or IPv6: what the encapsulation has a place for. */
static inline enum pw_drop carries(const struct pw_endpoint *endpoint, struct rte_mbuf *mbuf,
				   uint16_t labels)
{
	bool labelled = labels || pw_packet(mbuf)->flags & PW_PACKET_LABELLED;

	switch (endpoint->encapsulation) {
	case PW_ENCAPSULATION_MPLS_IN_IP:
		return labelled ? PW_DROP_NONE : PW_DROP_TUNNEL_NO_VRF;
	case PW_ENCAPSULATION_IP:
		if (!labelled && endpoint->flags & (pw_ip_version(mbuf) == 6 ? PW_ENDPOINT_INNER6
									     : PW_ENDPOINT_INNER4))
			return PW_DROP_NONE;
		return PW_DROP_TUNNEL_PAYLOAD;
	default:
		return PW_DROP_NONE;
	}
}

static rte_edge_t impose(struct pw_worker *worker, struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);
	const struct pw_nexthop *nexthop = pw_nexthop_get(packet->nexthop);
	const struct pw_endpoint *endpoint;
	const struct pw_nexthop *way;
	enum pw_drop drop;
	uint16_t labels = 0;
	uint32_t length;

	if (unlikely(nexthop->type != PW_NEXTHOP_TUNNEL))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_NO_ROUTE);
	endpoint = pw_endpoint_get(nexthop->endpoint);
	if (unlikely(!(pw_interface_get(endpoint->interface)->flags & PW_INTERFACE_UP)))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_DOWN);
	if (unlikely(endpoint->protect & PW_PROTECT_BLOCK_OUT))
		return pw_stage_drop(mbuf, PW_DROP_POLICY_BLOCK);
	if (unlikely(endpoint->protect & PW_PROTECT_OUT && !endpoint->sa)) {
		if (pw_sa_acquire(endpoint->id))
			worker->punted = true;
		return pw_stage_drop(mbuf, PW_DROP_SA_NONE);
	}
	if (unlikely(endpoint->sa && !pw_sa_get(endpoint->sa)->key))
		return pw_stage_drop(mbuf, PW_DROP_SA_NONE);
	way = pw_nexthop_get(endpoint->underlay);
	if (way->type == PW_NEXTHOP_GROUP)
		way = pw_nexthop_select(way, underlay_hash(mbuf));
	if (unlikely(way->type != PW_NEXTHOP_NEIGHBOUR)) {
		pw_stage_icmp(mbuf, PW_DROP_TUNNEL_NO_ROUTE, ICMP_UNREACHABLE, ICMP_CODE_NET, 0);
		return EDGE_ICMP;
	}
	if (!(packet->flags & PW_PACKET_IMPOSED))
		labels = nexthop->label_count * PW_MPLS_ENTRY;
	drop = carries(endpoint, mbuf, labels);
	if (unlikely(drop != PW_DROP_NONE))
		return pw_stage_drop(mbuf, drop);
	if (unlikely(mbuf->pkt_len + labels > endpoint->mtu)) {
		if (pw_too_big(mbuf, endpoint->mtu > labels ? endpoint->mtu - labels : 0))
			return EDGE_FRAGMENT;
		return packet->reason == PW_DROP_MPLS_MTU ? PW_STAGE_DROP : EDGE_ICMP;
	}
	length = mbuf->pkt_len;
	if (unlikely(!encapsulate(worker, mbuf, nexthop, endpoint, labels)))
		return pw_stage_drop(mbuf, PW_DROP_TUNNEL_HEADROOM);
	worker->counters[endpoint->interface].tx_packets++;
	worker->counters[endpoint->interface].tx_bytes += length + labels;
	if (endpoint->sa) {
		packet->nexthop = way->id;
		return EDGE_ESP;
	}
	return underlay(worker, mbuf, way, endpoint->flags & PW_ENDPOINT_IPV6);
}

/* ---- by template --------------------------------------------------------------------------- */

#define PREFETCH_AHEAD 16

static inline rte_edge_t output(struct pw_worker *worker, struct tally *tally, uint32_t generation,
				struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);
	struct pw_template *template = &worker->templates[packet->nexthop];
	uint16_t length, behind;
	uint8_t *data;
	bool v6;

	if (unlikely(template->generation != generation))
		pw_template_compose(template, packet->nexthop, generation);
	if (unlikely(!serves(template, mbuf, packet) ||
		     (template->flags & PW_TEMPLATE_PLAIN && !serves_plain(template, mbuf))))
		return impose(worker, mbuf);
	if (unlikely(template != tally->template))
		tally_turn(worker, tally, template);
	data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	length = mbuf->data_len;
	v6 = pw_ip_version(mbuf) == 6;
	behind = write_template(worker, template, template->flags, data, length, v6);
	write_mbuf(template, tally, mbuf, mbuf->data_off, length, behind);
	packet->port = template->packet.port;
	packet->nexthop = template->packet.nexthop;
	packet->vrf = template->packet.vrf;
	if (!(template->flags & PW_TEMPLATE_SEALED))
		return EDGE_TRANSMIT;
	packet->sa = template->packet.sa;
	packet->esp_at = template->packet.esp_at;
	packet->esp_mode = template->packet.esp_mode;
	return EDGE_ESP;
}

static inline void prefetch(const struct pw_worker *worker, struct rte_mbuf *mbuf)
{
	const struct pw_template *template = &worker->templates[pw_packet(mbuf)->nexthop];

	rte_prefetch0(template);
	rte_prefetch0(&template->generation);
}

static uint16_t tunnel_output(struct rte_graph *graph, struct rte_node *node, void **objs,
			      uint16_t n)
{
	uint32_t generation = __atomic_load_n(&pw_slots_generation, __ATOMIC_ACQUIRE);
	struct pw_worker *worker = pw_worker();
	struct tally tally = {0};
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < RTE_MIN(n, PREFETCH_AHEAD); i++)
		prefetch(worker, objs[i]);
	for (uint16_t i = 0; i < n; i++) {
		if (likely(i + PREFETCH_AHEAD < n))
			prefetch(worker, objs[i + PREFETCH_AHEAD]);
		edges[i] = output(worker, &tally, generation, objs[i]);
	}
	if (tally.packets)
		tally_count(worker, &tally);
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(tunnel_output, "tunnel-output", tunnel_output, "drop", "port-transmit", "ethernet-output",
	 "fragment", "icmp-error", "esp-output")
