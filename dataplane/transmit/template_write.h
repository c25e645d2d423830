/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TRANSMIT_TEMPLATE_WRITE_H
#define PW_TRANSMIT_TEMPLATE_WRITE_H

/** impose.c's common way out: a packet becomes a frame by its next hop's template. */

#include <netinet/in.h>
#include <rte_udp.h>

#include "dataplane/transmit/esp.h"
#include "dataplane/transmit/impose.h"
#include "dataplane/transmit/template.h"

/* The header of IP in IP is made for IPv4 inside; what IPv6 inside is more. */
#define PROTOCOL_STEP (IPPROTO_IPV6 - IPPROTO_IPIP)

/* What one template's packets, one after the other, add to the interfaces' counters. */
struct tally {
	const struct pw_template *template;
	uint64_t packets;
	uint64_t inside; /* bytes: labels and what follows */
	uint64_t whole;  /* bytes at the link */
};

static inline void tally_count(struct pw_worker *worker, struct tally *tally)
{
	struct pw_interface_counters *tunnel = &worker->counters[tally->template->tunnel];
	struct pw_interface_counters *link = &worker->counters[tally->template->link];

	tunnel->tx_packets += tally->packets;
	tunnel->tx_bytes += tally->inside;
	link->tx_packets += tally->packets;
	link->tx_bytes += tally->whole;
	tally->packets = tally->inside = tally->whole = 0;
}

/* Behind the packet what ESP has there (RFC 4303 2.4 to 2.8). Returns the bytes of it. */
static inline uint16_t write_behind(const struct pw_template *template, struct rte_mbuf *mbuf,
				    struct pw_packet *packet, uint8_t *end, uint8_t next)
{
	uint16_t payload = (uint16_t)(mbuf->data_len + template->inside);
	uint16_t trailer;

	trailer = pw_esp_trailer(template->align, 0, payload);
	pw_esp_write_trailer(end, template->align, 0, payload, trailer, next);
	packet->sa = template->sa;
	packet->esp_at = template->esp_at;
	packet->esp_mode = PW_ESP_FRAME;
	return trailer + template->icv;
}

/* Fields that most tunnels do not have: the outer header's sum so far comes in and goes out. */
static inline uint32_t write_unusual(struct pw_worker *worker, const struct pw_template *template,
				     struct rte_mbuf *mbuf, uint8_t *data, uint16_t length,
				     uint32_t sum)
{
	struct pw_impose_inner inner = pw_impose_look(mbuf);
	struct rte_ipv4_hdr *ip = (void *)(data - template->ip_from_end);

	if (template->flags & PW_TEMPLATE_TTL_UNIFORM)
		for (int at = PW_MPLS_ENTRY; at <= template->labels; at += PW_MPLS_ENTRY)
			data[3 - at] = inner.ttl;
	if (template->flags & PW_TEMPLATE_TOS_INHERIT) {
		uint8_t tos = inner.tos & template->tos_mask;

		ip->type_of_service |= tos;
		sum += tos;
	}
	if (template->flags & PW_TEMPLATE_DF_INHERIT) {
		uint16_t field = inner.df ? RTE_IPV4_HDR_DF_FLAG : worker->ip_id++;

		if (inner.df)
			ip->fragment_offset = rte_cpu_to_be_16(field);
		else
			ip->packet_id = rte_cpu_to_be_16(field);
		sum += field;
	}
	if (template->flags & PW_TEMPLATE_TTL_INHERIT) {
		ip->time_to_live = inner.ttl;
		sum += (uint32_t)inner.ttl << 8;
	}
	if (template->flags & PW_TEMPLATE_UDP)
		((struct rte_udp_hdr *)(ip + 1))->dgram_len =
			rte_cpu_to_be_16(length - sizeof(*ip));
	return sum;
}

/* Class selector of an IP packet, as it stands in a label entry's third byte (RFC 3270). */
static inline uint8_t traffic_class(const uint8_t *data)
{
	uint8_t tos = likely(data[0] >> 4 == 4) ? data[1] : (uint8_t)(data[0] << 4 | data[1] >> 4);

	return (uint8_t)(tos >> 5 << 1);
}

/* Class of the packet into the labels. From the template: what was just stored is slow to load. */
static inline void write_classes(const struct pw_template *template, uint8_t *data, uint8_t class)
{
	data[2 - PW_MPLS_ENTRY] = template->near[PW_TEMPLATE_MOVE + 2 - PW_MPLS_ENTRY] | class;
	for (int at = 2 * PW_MPLS_ENTRY; unlikely(at <= template->labels); at += PW_MPLS_ENTRY)
		data[2 - at] = template->near[PW_TEMPLATE_MOVE + 2 - at] | class;
}

/* Says that IPv6 is inside, where that is said; returns what it adds to the outer header's sum. */
static inline uint32_t write_version(const struct pw_template *template, uint8_t *data)
{
	uint16_t type = RTE_BE16(RTE_ETHER_TYPE_IPV6);

	if (template->flags & PW_TEMPLATE_GRE) {
		memcpy(data - template->gre_from_end + 2, &type, sizeof(type));
		return 0;
	}
	if (template->sa)
		return 0;
	((struct rte_ipv4_hdr *)(data - template->ip_from_end))->next_proto_id = IPPROTO_IPV6;
	return PROTOCOL_STEP;
}

/* Puts the template before the packet: a frame ready for esp-output or its port. */
static __rte_always_inline void write_template(struct pw_worker *worker,
					       const struct pw_template *template,
					       struct tally *tally, struct rte_mbuf *mbuf,
					       struct pw_packet *packet, const bool plain)
{
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	const bool v6 = plain && data[0] >> 4 == 6;
	uint8_t class = plain ? 0 : traffic_class(data);
	struct rte_ipv4_hdr *ip = (void *)(data - template->ip_from_end);
	uint8_t next = template->next_header;
	uint16_t behind = 0, length;
	uint32_t sum = template->partial_sum;

	memcpy(data - PW_TEMPLATE_MOVE, template->near, PW_TEMPLATE_MOVE);
	if (unlikely(template->length > PW_TEMPLATE_MOVE))
		memcpy(data - PW_TEMPLATE_SIZE, template->far, PW_TEMPLATE_MOVE);
	if (!plain)
		write_classes(template, data, class);
	else if (v6)
		sum += write_version(template, data);
	if (v6 && !(template->flags & PW_TEMPLATE_GRE))
		next = IPPROTO_IPV6;
	if (template->sa)
		behind = write_behind(template, mbuf, packet, data + mbuf->data_len, next);
	length = (uint16_t)(mbuf->data_len + template->ip_from_end + behind);
	sum += length;
	ip->total_length = rte_cpu_to_be_16(length);
	/* RFC 6864: an id matters only where the packet may be cut. */
	if (template->flags & PW_TEMPLATE_ID) {
		ip->packet_id = rte_cpu_to_be_16(worker->ip_id);
		sum += worker->ip_id++;
	}
	if (unlikely(template->flags & PW_TEMPLATE_UNUSUAL))
		sum = write_unusual(worker, template, mbuf, data, length, sum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->hdr_checksum = rte_cpu_to_be_16((uint16_t)~sum);
	tally->packets++;
	tally->inside += mbuf->data_len + template->labels;
	length = (uint16_t)(mbuf->data_len + template->length + behind);
	tally->whole += length;
	mbuf->data_off -= template->length;
	mbuf->data_len = length;
	mbuf->pkt_len = length;
	packet->port = template->port;
	packet->nexthop = template->way;
	packet->vrf = template->vrf;
}

static inline bool serves(const struct pw_template *template, const struct rte_mbuf *mbuf,
			  const struct pw_packet *packet)
{
	return template->flags & PW_TEMPLATE_USABLE &&
	       !(packet->flags & (PW_PACKET_LABELLED | PW_PACKET_IMPOSED)) &&
	       mbuf->data_len <= template->room && mbuf->data_off >= PW_TEMPLATE_SIZE &&
	       mbuf->buf_len - mbuf->data_off - mbuf->data_len >= template->tail;
}

/* A plain packet of a version that the tunnel carries. */
static inline bool serves_plain(const struct pw_template *template, const struct rte_mbuf *mbuf)
{
	return template->flags &
	       (pw_ip_version(mbuf) == 6 ? PW_TEMPLATE_INNER6 : PW_TEMPLATE_INNER4);
}

#endif
