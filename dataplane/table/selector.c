/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/table/selector.h"

#include <netinet/in.h>
#include <string.h>

#include <rte_byteorder.h>
#include <rte_ip.h>

#define EXTENSIONS_MAX   8 /* RFC 8200 4.1: each once, destination options twice */
#define EXTENSION_UNIT   8 /* bytes that the length field counts in, after the first so many */
#define FRAGMENT_HEADER  8
#define FRAGMENT_OFFSET  0xfff8
#define GRE_KEY_PRESENT  0x2000
#define GRE_CHECKSUM     0x8000
#define MOBILITY_TYPE_AT 2

#define UNKNOWN_ALL      (PW_SELECTOR_NO_PORTS | PW_SELECTOR_NO_PROTOCOL)

static bool read_at(const struct rte_mbuf *mbuf, uint32_t at, void *to, uint32_t length)
{
	if (at + length > mbuf->data_len)
		return false;
	memcpy(to, rte_pktmbuf_mtod_offset(mbuf, const char *, at), length);
	return true;
}

/* RFC 2890: the key's halves stand for the ports; no key, no ports. */
static bool read_gre(struct pw_selector *selector, const struct rte_mbuf *mbuf, uint32_t at)
{
	uint16_t flags, ports[2];

	if (!read_at(mbuf, at, &flags, sizeof(flags)))
		return false;
	if (!(flags & RTE_BE16(GRE_KEY_PRESENT)))
		return true;
	if (!read_at(mbuf, at + (flags & RTE_BE16(GRE_CHECKSUM) ? 8 : 4), ports, sizeof(ports)))
		return false;
	selector->source_port = ports[0];
	selector->destination_port = ports[1];
	return true;
}

/* What stands for ports behind the IP header. False: the packet ends before. */
static bool read_ports(struct pw_selector *selector, const struct rte_mbuf *mbuf, uint32_t at)
{
	uint16_t ports[2];
	uint8_t octets[2];

	switch (selector->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_UDPLITE:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
		if (!read_at(mbuf, at, ports, sizeof(ports)))
			return false;
		selector->source_port = ports[0];
		selector->destination_port = ports[1];
		return true;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		if (!read_at(mbuf, at, octets, sizeof(octets)))
			return false;
		selector->source_port = rte_cpu_to_be_16(octets[0]);
		selector->destination_port = rte_cpu_to_be_16(octets[1]);
		return true;
	case IPPROTO_MH:
		if (!read_at(mbuf, at + MOBILITY_TYPE_AT, octets, 1))
			return false;
		selector->source_port = rte_cpu_to_be_16(octets[0]);
		return true;
	case IPPROTO_GRE:
		return read_gre(selector, mbuf, at);
	default:
		return true;
	}
}

static void of_ipv4(struct pw_selector *selector, const struct rte_mbuf *mbuf)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);

	memcpy(selector->source, &ip->src_addr, 4);
	memcpy(selector->destination, &ip->dst_addr, 4);
	selector->protocol = ip->next_proto_id;
	if (ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK) ||
	    !read_ports(selector, mbuf, rte_ipv4_hdr_len(ip)))
		selector->unknown = PW_SELECTOR_NO_PORTS;
}

static bool is_extension(uint8_t protocol)
{
	return protocol == IPPROTO_HOPOPTS || protocol == IPPROTO_ROUTING ||
	       protocol == IPPROTO_DSTOPTS || protocol == IPPROTO_FRAGMENT;
}

/*
 * Finds what is behind the extension headers. A fragment but the first names what follows in the
 * first one; where that is another extension header, what is behind it is not to be known here.
 */
static uint8_t walk_ipv6(struct pw_selector *selector, const struct rte_mbuf *mbuf, uint8_t next,
			 uint32_t at)
{
	for (unsigned int i = 0; is_extension(next); i++) {
		uint8_t header[FRAGMENT_HEADER];
		uint16_t offset;

		if (i == EXTENSIONS_MAX || !read_at(mbuf, at, header, sizeof(header)))
			return UNKNOWN_ALL;
		if (next == IPPROTO_FRAGMENT) {
			memcpy(&offset, header + 2, sizeof(offset));
			next = header[0];
			at += FRAGMENT_HEADER;
			if (!(offset & RTE_BE16(FRAGMENT_OFFSET)))
				continue;
			if (is_extension(next))
				return UNKNOWN_ALL;
			selector->protocol = next;
			return PW_SELECTOR_NO_PORTS;
		}
		next = header[0];
		at += (header[1] + 1u) * EXTENSION_UNIT;
		if (at > mbuf->data_len)
			return UNKNOWN_ALL;
	}
	selector->protocol = next;
	return read_ports(selector, mbuf, at) ? 0 : PW_SELECTOR_NO_PORTS;
}

static void of_ipv6(struct pw_selector *selector, const struct rte_mbuf *mbuf)
{
	const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);

	memcpy(selector->source, ip->src_addr, 32); /* the destination follows */
	selector->unknown = walk_ipv6(selector, mbuf, ip->proto, sizeof(*ip));
}

void pw_selector_of(struct pw_selector *selector, const struct rte_mbuf *mbuf, bool v6)
{
	memset(selector, 0, sizeof(*selector));
	if (v6)
		of_ipv6(selector, mbuf);
	else
		of_ipv4(selector, mbuf);
}
