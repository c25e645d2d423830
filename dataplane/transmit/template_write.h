/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TRANSMIT_TEMPLATE_WRITE_H
#define PW_TRANSMIT_TEMPLATE_WRITE_H

/** impose.c's common way out: a packet becomes a frame by its next hop's template. */

#include <netinet/in.h>
#include <rte_ether.h>
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
	uint64_t bytes;  /* without labels */
	uint64_t behind; /* bytes of ESP behind them */
};

static inline void tally_count(struct pw_worker *worker, struct tally *tally)
{
	const struct pw_template *template = tally->template;
	struct pw_interface_counters *tunnel = &worker->counters[template->tunnel];
	struct pw_interface_counters *link = &worker->counters[template->link];

	tunnel->tx_packets += tally->packets;
	tunnel->tx_bytes += tally->bytes + tally->packets * template->labels;
	link->tx_packets += tally->packets;
	link->tx_bytes += tally->bytes + tally->packets * template->length + tally->behind;
	tally->packets = tally->bytes = tally->behind = 0;
}

/*
 * Behind a packet of @p length bytes what ESP has there (RFC 4303 2.4 to 2.8). Returns the bytes of
 * it.
 */
static inline uint16_t write_behind(const struct pw_template *template, uint8_t *data,
				    uint32_t length, uint8_t next)
{
	uint16_t payload = (uint16_t)(length + template->inside);
	uint16_t trailer = pw_esp_trailer(template->align, 0, payload);

	pw_esp_write_trailer(data + length, template->align, 0, payload, trailer, next);
	return trailer + template->icv;
}

static inline uint8_t type_of_service(const uint8_t *data, const bool v6)
{
	return v6 ? (uint8_t)(data[0] << 4 | data[1] >> 4) : data[1];
}

/* Class selector of an IP packet, as it stands in a label entry's third byte (RFC 3270). */
static inline uint8_t traffic_class(const uint8_t *data, const bool v6)
{
	return (uint8_t)(type_of_service(data, v6) >> 5 << 1);
}

/* Fields that most tunnels do not have: the outer header's sum so far comes in and goes out. */
static inline uint32_t write_unusual(struct pw_worker *worker, const struct pw_template *template,
				     const uint16_t flags, uint8_t *data, uint16_t length,
				     const bool v6, uint32_t sum)
{
	struct rte_ipv4_hdr *ip = (void *)(data - template->ip_from_end);
	uint8_t ttl = data[v6 ? 7 : 8];

	if (flags & PW_TEMPLATE_TTL_UNIFORM)
		for (int at = PW_MPLS_ENTRY; at <= template->labels; at += PW_MPLS_ENTRY)
			data[3 - at] = ttl;
	if (flags & PW_TEMPLATE_TOS_INHERIT) {
		uint8_t tos = type_of_service(data, v6) & template->tos_mask;

		ip->type_of_service |= tos;
		sum += tos;
	}
	if (flags & PW_TEMPLATE_DF_INHERIT) {
		bool df = v6 || data[6] & RTE_IPV4_HDR_DF_FLAG >> 8;
		uint16_t field = df ? RTE_IPV4_HDR_DF_FLAG : worker->ip_id++;

		if (df)
			ip->fragment_offset = rte_cpu_to_be_16(field);
		else
			ip->packet_id = rte_cpu_to_be_16(field);
		sum += field;
	}
	if (flags & PW_TEMPLATE_TTL_INHERIT) {
		ip->time_to_live = ttl;
		sum += (uint32_t)ttl << 8;
	}
	if (flags & PW_TEMPLATE_UDP)
		((struct rte_udp_hdr *)(ip + 1))->dgram_len =
			rte_cpu_to_be_16(length - sizeof(*ip));
	return sum;
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
	if (template->flags & PW_TEMPLATE_SEALED)
		return 0;
	((struct rte_ipv4_hdr *)(data - template->ip_from_end))->next_proto_id = IPPROTO_IPV6;
	return PROTOCOL_STEP;
}

/*
 * Puts the template before @p length bytes of a packet at @p data: a frame ready for esp-output or
 * its port. Returns the bytes that stand behind the packet then.
 * @param flags  the template's; constant where the caller knows them, so that no others are asked
 */
static __rte_always_inline uint16_t write_template(struct pw_worker *worker,
						   const struct pw_template *template,
						   const uint16_t flags, uint8_t *data,
						   uint32_t length, const bool v6)
{
	uint8_t class = traffic_class(data, v6);
	struct rte_ipv4_hdr *ip = (void *)(data - template->ip_from_end);
	uint8_t next = template->next_header;
	uint32_t behind = 0, total, sum = template->partial_sum;

	memcpy(data - PW_TEMPLATE_MOVE, template->near, PW_TEMPLATE_MOVE);
	if (flags & PW_TEMPLATE_FAR)
		memcpy(data - PW_TEMPLATE_SIZE, template->far, PW_TEMPLATE_MOVE);
	if (!(flags & PW_TEMPLATE_PLAIN))
		write_classes(template, data, class);
	else if (v6)
		sum += write_version(template, data);
	if (flags & PW_TEMPLATE_PLAIN && v6 && !(flags & PW_TEMPLATE_GRE))
		next = IPPROTO_IPV6;
	if (flags & PW_TEMPLATE_SEALED)
		behind = write_behind(template, data, length, next);
	total = length + template->ip_from_end + behind;
	sum += total;
	ip->total_length = rte_cpu_to_be_16((uint16_t)total);
	/* RFC 6864: an id matters only where the packet may be cut. */
	if (flags & PW_TEMPLATE_ID) {
		ip->packet_id = rte_cpu_to_be_16(worker->ip_id);
		sum += worker->ip_id++;
	}
	if (unlikely(flags & PW_TEMPLATE_UNUSUAL))
		sum = write_unusual(worker, template, flags, data, (uint16_t)total, v6, sum);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	ip->hdr_checksum = rte_cpu_to_be_16((uint16_t)~sum);
	return behind;
}

/* The same for a neighbour's Ethernet header alone. */
static inline uint16_t write_link(const struct pw_template *template, uint8_t *data, bool v6)
{
	uint16_t type = RTE_BE16(RTE_ETHER_TYPE_IPV6);

	memcpy(data - PW_TEMPLATE_LINK_MOVE,
	       template->near + PW_TEMPLATE_MOVE - PW_TEMPLATE_LINK_MOVE, PW_TEMPLATE_LINK_MOVE);
	if (v6)
		memcpy(data - sizeof(type), &type, sizeof(type));
	return 0;
}

/* The mbuf of a packet of @p length bytes at @p offset that became a frame; counts it. */
static inline void write_mbuf(const struct pw_template *template, struct tally *tally,
			      struct rte_mbuf *mbuf, uint32_t offset, uint32_t length,
			      uint32_t behind)
{
	uint32_t whole = length + template->length + behind;

	tally->packets++;
	tally->bytes += length;
	if (behind)
		tally->behind += behind;
	mbuf->data_off = (uint16_t)(offset - template->length);
	mbuf->data_len = (uint16_t)whole;
	mbuf->pkt_len = whole;
}

/* The next packets are counted by @p template. */
static inline void tally_turn(struct pw_worker *worker, struct tally *tally,
			      const struct pw_template *template)
{
	if (tally->packets)
		tally_count(worker, tally);
	tally->template = template;
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
