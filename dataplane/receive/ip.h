/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_RECEIVE_IP_H
#define PW_RECEIVE_IP_H

#include "dataplane/stage.h"

/* The two bits of the ECN field (RFC 3168 5). */
#define PW_ECN_NOT_ECT 0
#define PW_ECN_ECT1    1
#define PW_ECN_ECT0    2
#define PW_ECN_CE      3

/**
 * Is a sum of few 32-bit words a multiple of 0xffff? Those are what times the inverse of 0xffff
 * modulo 2^64 is small.
 */
static inline bool pw_ipv4_sum_is_multiple(uint64_t sum)
{
	return sum * UINT64_C(0xfffefffefffeffff) <= UINT64_MAX / 0xffff;
}

/**
 * Is the checksum of a header without options right? The ones' complement sum must be 0xffff: a
 * multiple of 0xffff, since a header with a version is not all zeroes. 2^16 is 1 modulo 0xffff, so
 * it does not matter in which pieces it is added up; and a multiple is told without folding.
 */
static inline bool pw_ipv4_sum_is_right(const struct rte_ipv4_hdr *ip)
{
	uint64_t first, second, sum;
	uint32_t last;

	memcpy(&first, ip, sizeof(first));
	memcpy(&second, (const uint8_t *)ip + 8, sizeof(second));
	memcpy(&last, (const uint8_t *)ip + 16, sizeof(last));
	sum = (first & 0xffffffff) + (first >> 32) + (second & 0xffffffff) + (second >> 32) + last;
	return pw_ipv4_sum_is_multiple(sum);
}

/* First octets of addresses that are neither sources nor destinations: see pw_ipv4_check(). */
static const uint8_t pw_no_octet[256] = {[0] = 1, [127] = 1, [224 ... 255] = 1};

/**
 * The length of an IPv4 packet without options and with nothing wrong, of which @p room bytes are
 * here, at least 20; else 0. Written for few instructions; what passes here, passes
 * pw_ipv4_check() too.
 * @param destination  as in the packet
 */
static inline uint32_t pw_ipv4_plain(const uint8_t *data, uint32_t room, uint32_t *destination)
{
	uint64_t first, second, sum;
	uint32_t last, total;

	memcpy(&first, data, sizeof(first));
	memcpy(&second, data + 8, sizeof(second));
	memcpy(&last, data + 16, sizeof(last));
	total = rte_be_to_cpu_16((uint16_t)(first >> 16));
	sum = (first & 0xffffffff) + (first >> 32) + (second & 0xffffffff) + (second >> 32) + last;
	*destination = last;
	if (unlikely((uint8_t)first != RTE_IPV4_VHL_DEF ||
		     total - sizeof(struct rte_ipv4_hdr) > room - sizeof(struct rte_ipv4_hdr) ||
		     !pw_ipv4_sum_is_multiple(sum) ||
		     pw_no_octet[second >> 32 & 0xff] | pw_no_octet[last & 0xff]))
		return 0;
	return total;
}

/**
 * Header checks that every IP packet passes before it is looked up, from whichever side it came
 * (RFC 1812 5.2.2, RFC 4291). They trim link-layer padding. PW_DROP_NONE when the packet is good.
 */
static inline enum pw_drop pw_ipv4_check(struct rte_mbuf *mbuf)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);
	uint16_t length = mbuf->data_len;
	uint32_t source, destination;
	uint16_t total, header;

	if (unlikely(length < sizeof(*ip)))
		return PW_DROP_IPV4_HEADER;
	if (likely(ip->version_ihl == RTE_IPV4_VHL_DEF)) {
		header = sizeof(*ip);
		if (unlikely(!pw_ipv4_sum_is_right(ip)))
			return PW_DROP_IPV4_CHECKSUM;
	} else {
		if (ip->version_ihl >> 4 != 4)
			return PW_DROP_IPV4_VERSION;
		header = rte_ipv4_hdr_len(ip);
		if (header < sizeof(*ip) || header > length)
			return PW_DROP_IPV4_HEADER;
		if (rte_raw_cksum(ip, header) != 0xffff)
			return PW_DROP_IPV4_CHECKSUM;
	}
	total = rte_be_to_cpu_16(ip->total_length);
	if (unlikely(total < header || total > length))
		return PW_DROP_IPV4_LENGTH;
	if (unlikely(total != length))
		pw_stage_trim(mbuf, total);
	source = rte_be_to_cpu_32(ip->src_addr);
	destination = rte_be_to_cpu_32(ip->dst_addr);
	/* 0/8, 127/8 and class D and E are never a source, nor are 0/8 and 127/8 and class E
	 * (limited broadcast with it) a destination to forward to; nor is class D here. */
	if (unlikely(source >> 24 == 0 || source >> 24 == 127 || source >> 28 >= 14 ||
		     destination >> 24 == 0 || destination >> 24 == 127 || destination >> 28 >= 14))
		return PW_DROP_IPV4_ADDRESS;
	return PW_DROP_NONE;
}

static inline bool pw_ipv6_is_loopback_or_any(const uint8_t *address)
{
	uint64_t high, low;

	memcpy(&high, address, 8);
	memcpy(&low, address + 8, 8);
	return high == 0 && (low == 0 || low == RTE_BE64(1));
}

static inline enum pw_drop pw_ipv6_check(struct rte_mbuf *mbuf)
{
	const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);
	uint32_t total;

	if (unlikely(mbuf->data_len < sizeof(*ip)))
		return PW_DROP_IPV6_LENGTH;
	if (unlikely(*(const uint8_t *)ip >> 4 != 6))
		return PW_DROP_IPV6_VERSION;
	total = sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len);
	if (unlikely(total > mbuf->data_len))
		return PW_DROP_IPV6_LENGTH;
	if (unlikely(total != mbuf->data_len))
		pw_stage_trim(mbuf, (uint16_t)total);
	if (unlikely(ip->src_addr[0] == 0xff || pw_ipv6_is_loopback_or_any(ip->src_addr) ||
		     ip->dst_addr[0] == 0xff || pw_ipv6_is_loopback_or_any(ip->dst_addr)))
		return PW_DROP_IPV6_ADDRESS;
	return PW_DROP_NONE;
}

/** RFC 6040 4.2, figure 4, for an outer ECT(1) or CE. Once more, it changes nothing. */
static inline enum pw_drop pw_ip_ecn_change(uint8_t *data, uint8_t outer)
{
	bool v6 = *data >> 4 == 6;
	uint8_t inner = (v6 ? data[1] >> 4 : data[1]) & 3;
	uint16_t old, new;

	if (inner == PW_ECN_NOT_ECT)
		return outer == PW_ECN_CE ? PW_DROP_TUNNEL_ECN : PW_DROP_NONE;
	if (outer == PW_ECN_ECT1 && inner != PW_ECN_ECT0)
		return PW_DROP_NONE;
	memcpy(&old, data, 2);
	data[1] ^= (uint8_t)((inner ^ outer) << (v6 ? 4 : 0));
	memcpy(&new, data, 2);
	if (!v6) {
		struct rte_ipv4_hdr *ip = (void *)data;

		ip->hdr_checksum = pw_checksum_update(ip->hdr_checksum, old, new);
	}
	return PW_DROP_NONE;
}

/**
 * Gives an IP packet that came out of a tunnel what the outer header's ECN field says, whatever
 * the tunnel's other end put there (RFC 6040 4.2): PW_DROP_TUNNEL_ECN when that is congestion
 * experienced and the packet is not ECN-capable.
 */
static inline enum pw_drop pw_ip_ecn_decapsulate(struct rte_mbuf *mbuf, uint8_t outer)
{
	/* Not-ECT and ECT(0) change nothing. */
	return likely(!(outer & 1)) ? PW_DROP_NONE
				    : pw_ip_ecn_change(rte_pktmbuf_mtod(mbuf, uint8_t *), outer);
}

/** 0/8, 127/8, class D and E; host order. */
static inline bool pw_ipv4_is_martian_source(uint32_t source)
{
	return source >> 24 == 0 || source >> 24 == 127 || source >> 28 >= 14;
}

/** 2002:V4ADDR::/48 (6to4) of an IPv4 address that is no global unicast one (RFC 3964 5.1). */
static inline bool pw_ipv6_is_6to4_martian(const uint8_t *address)
{
	uint8_t a = address[2], b = address[3];

	if (address[0] != 0x20 || address[1] != 0x02)
		return false;
	return a == 0 || a == 10 || a == 127 || a >= 224 || (a == 169 && b == 254) ||
	       (a == 172 && b >> 4 == 1) || (a == 192 && b == 168);
}

/**
 * No source of a packet in a 6in4 tunnel (RFC 4213 3.6): multicast, ::/96 (unspecified, loopback,
 * IPv4-compatible), ::ffff:0:0/96 (IPv4-mapped), or 6to4 of no global IPv4 address.
 */
static inline bool pw_ipv6_is_tunnel_martian(const uint8_t *address)
{
	uint64_t high;
	uint32_t third;

	memcpy(&high, address, sizeof(high));
	memcpy(&third, address + 8, sizeof(third));
	return address[0] == 0xff || (!high && (!third || third == RTE_BE32(0xffff))) ||
	       pw_ipv6_is_6to4_martian(address);
}

/** fe80::/10: never leaves its link (RFC 4291 2.5.6), so never crosses a tunnel either. */
static inline bool pw_ipv6_is_link_local(const uint8_t *address)
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

#endif
