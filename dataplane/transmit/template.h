/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TRANSMIT_TEMPLATE_H
#define PW_TRANSMIT_TEMPLATE_H

#include "dataplane/table/endpoint.h"
#include "dataplane/transmit/ethernet.h"
#include "dataplane/transmit/impose.h"

/**
 * Everything that goes before a packet towards one next hop, from Ethernet header to bottom
 * label, composed once for a run of packets of a burst and then copied with one fixed-size
 * move. It serves the common case: labels, IPv4 outside, GRE without checksum and sequence
 * number (or none at all), a neighbour that is there. Everything else goes the general way.
 */
#define PW_TEMPLATE_SIZE 64

struct pw_template {
	uint32_t nexthop; /* it is for this one; 0 = for none */
	bool usable;
	uint8_t length;      /* bytes used, at the end of bytes[] */
	uint8_t ip_from_end; /* bytes from the outer IP header to the end */
	uint8_t labels;      /* bytes of labels, last of all */
	uint8_t flags;       /* of the endpoint */
	uint8_t nexthop_flags;
	uint8_t label_ttl;
	uint16_t room; /* largest packet, in bytes */
	uint16_t port;
	uint16_t vrf;
	uint32_t partial_sum;
	uint32_t way;
	uint32_t tunnel, link; /* interfaces to count for ... */
	uint32_t packets;      /* ... and what */
	uint64_t bytes_inside; /* labels and what follows */
	/* What is longer than needed in a fixed-size copy falls behind the end. */
	uint8_t bytes[PW_TEMPLATE_SIZE + PW_ENDPOINT_HEADER_MAX];
};

/** Adds what was sent by the template to the interfaces' counters. */
static inline void pw_template_count(struct pw_worker *worker, struct pw_template *template)
{
	uint64_t outside = (uint64_t) template->packets * (template->length - template->labels);

	worker->counters[template->tunnel].tx_packets += template->packets;
	worker->counters[template->tunnel].tx_bytes += template->bytes_inside;
	worker->counters[template->link].tx_packets += template->packets;
	worker->counters[template->link].tx_bytes += template->bytes_inside + outside;
	template->packets = 0;
	template->bytes_inside = 0;
}

static inline bool pw_template_fits(const struct pw_nexthop *nexthop,
				    const struct pw_endpoint *endpoint,
				    const struct pw_nexthop *way,
				    const struct pw_neighbour *neighbour)
{
	return nexthop->label_count && way->type == PW_NEXTHOP_NEIGHBOUR && !way->label_count &&
	       neighbour->state == PW_NEIGHBOUR_REACHABLE &&
	       !(endpoint->flags &
		 (PW_ENDPOINT_IPV6 | PW_ENDPOINT_CHECKSUM | PW_ENDPOINT_SEQUENCE)) &&
	       pw_interface_get(endpoint->interface)->flags & PW_INTERFACE_UP &&
	       neighbour->rewrite_len + endpoint->header_len +
			       nexthop->label_count * PW_MPLS_ENTRY <=
		       PW_TEMPLATE_SIZE;
}

/** Composes the template for a next hop of type TUNNEL whose endpoint has one way. */
static inline void pw_template_compose(struct pw_template *template,
				       const struct pw_nexthop *nexthop,
				       const struct pw_endpoint *endpoint,
				       const struct pw_nexthop *way)
{
	const struct pw_neighbour *neighbour = pw_neighbour_get(way->neighbour);
	uint8_t labels = nexthop->label_count * PW_MPLS_ENTRY;
	uint8_t *end = template->bytes + PW_TEMPLATE_SIZE;
	uint16_t type = RTE_BE16(RTE_ETHER_TYPE_IPV4), protocol = RTE_BE16(RTE_ETHER_TYPE_MPLS);
	uint8_t *ip;

	template->nexthop = nexthop->id;
	template->usable = pw_template_fits(nexthop, endpoint, way, neighbour);
	if (!template->usable)
		return;
	template->labels = labels;
	template->ip_from_end = endpoint->header_len + labels;
	template->length = neighbour->rewrite_len + template->ip_from_end;
	ip = end - template->ip_from_end;
	/* In this order: each copy may spill over what the next one writes. */
	memcpy(end - template->length, neighbour->rewrite, sizeof(neighbour->rewrite));
	memcpy(ip - 2, &type, 2);
	memcpy(ip, endpoint->header, PW_ENDPOINT_HEADER_MAX);
	if (endpoint->encapsulation == PW_ENCAPSULATION_GRE)
		memcpy(ip + endpoint->ip_len + 2, &protocol, 2);
	for (unsigned int i = 0; i < nexthop->label_count; i++)
		pw_mpls_write(end - labels + i * PW_MPLS_ENTRY, nexthop->labels[i]);
	template->room = RTE_MIN(endpoint->mtu - labels, neighbour->mtu - template->ip_from_end);
	template->flags = endpoint->flags;
	template->nexthop_flags = nexthop->flags;
	template->label_ttl = nexthop->label_ttl;
	template->partial_sum = endpoint->partial_sum;
	template->port = neighbour->port;
	template->vrf = endpoint->vrf;
	template->way = way->id;
	template->tunnel = endpoint->interface;
	template->link = neighbour->interface;
}

/** Is the packet one for this template as it stands? */
static inline bool pw_template_serves(const struct pw_template *template,
				      const struct rte_mbuf *mbuf, const struct pw_packet *packet)
{
	return packet->nexthop == template->nexthop && template->usable &&
	       !(packet->flags & (PW_PACKET_LABELLED | PW_PACKET_IMPOSED)) &&
	       mbuf->pkt_len <= template->room && mbuf->data_off >= PW_TEMPLATE_SIZE;
}

/* The outer IPv4 header's fields that differ from packet to packet. */
static inline void pw_template_ipv4(struct pw_worker *worker, const struct pw_template *template,
				    struct rte_ipv4_hdr *ip, uint16_t length,
				    struct pw_impose_inner inner)
{
	uint32_t sum = template->partial_sum + length;

	ip->total_length = rte_cpu_to_be_16(length);
	/* RFC 6864: an id matters only where the packet may be cut. */
	if (!(template->flags & PW_ENDPOINT_DF)) {
		ip->packet_id = rte_cpu_to_be_16(worker->ip_id);
		sum += worker->ip_id++;
	}
	if (unlikely(template->flags & PW_ENDPOINT_TOS_INHERIT)) {
		ip->type_of_service = inner.tos;
		sum += inner.tos;
	}
	if (unlikely(template->flags & PW_ENDPOINT_TTL_INHERIT)) {
		ip->time_to_live = inner.ttl;
		sum += (uint32_t)inner.ttl << 8;
	}
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->hdr_checksum = rte_cpu_to_be_16((uint16_t)~sum);
}

/** Puts the template before the packet, which is then a frame ready for its port. */
static inline void pw_template_write(struct pw_worker *worker, struct pw_template *template,
				     struct rte_mbuf *mbuf, struct pw_packet *packet)
{
	struct pw_impose_inner inner = pw_impose_look(mbuf);
	uint8_t ttl =
		template->nexthop_flags & PW_NEXTHOP_TTL_UNIFORM ? inner.ttl : template->label_ttl;
	uint32_t rest = rte_cpu_to_be_32((uint32_t)(inner.tos >> 5) << 9 | ttl);
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);

	memcpy(data - PW_TEMPLATE_SIZE, template->bytes, PW_TEMPLATE_SIZE);
	for (int at = PW_MPLS_ENTRY; at <= template->labels; at += PW_MPLS_ENTRY) {
		uint32_t entry;

		memcpy(&entry, template->bytes + PW_TEMPLATE_SIZE - at, sizeof(entry));
		entry |= rest;
		memcpy(data - at, &entry, sizeof(entry));
	}
	pw_template_ipv4(worker, template, (void *)(data - template->ip_from_end),
			 (uint16_t)(mbuf->pkt_len + template->ip_from_end), inner);
	template->packets++;
	template->bytes_inside += mbuf->pkt_len + template->labels;
	mbuf->data_off -= template->length;
	mbuf->data_len += template->length;
	mbuf->pkt_len += template->length;
	packet->port = template->port;
	packet->nexthop = template->way;
	packet->vrf = template->vrf;
}

#endif
