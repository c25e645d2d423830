/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_RECEIVE_IP_H
#define PW_RECEIVE_IP_H

#include "dataplane/stage.h"

/** Ones' complement sum of a header without options, folded: 0xffff when it is right. */
static inline uint16_t pw_ipv4_sum(const struct rte_ipv4_hdr *ip)
{
	uint64_t first, second, sum;
	uint32_t last;

	memcpy(&first, ip, sizeof(first));
	memcpy(&second, (const uint8_t *)ip + 8, sizeof(second));
	memcpy(&last, (const uint8_t *)ip + 16, sizeof(last));
	sum = (first & 0xffffffff) + (first >> 32) + (second & 0xffffffff) + (second >> 32) + last;
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
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
		if (unlikely(pw_ipv4_sum(ip) != 0xffff))
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

/**
 * Sets congestion experienced on an IP packet whose outer header said so (RFC 6040 4.2): not on
 * one that is not ECN-capable, which is dropped.
 */
static inline enum pw_drop pw_ip_mark_congestion(struct rte_mbuf *mbuf)
{
	if (pw_ip_version(mbuf) == 6) {
		struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);

		if (!(ip->vtc_flow & RTE_BE32(3u << 20)))
			return PW_DROP_TUNNEL_ECN;
		ip->vtc_flow |= RTE_BE32(3u << 20);
		return PW_DROP_NONE;
	}
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);
	uint16_t old, new;

	if (!(ip->type_of_service & 3))
		return PW_DROP_TUNNEL_ECN;
	memcpy(&old, ip, 2);
	ip->type_of_service |= 3;
	memcpy(&new, ip, 2);
	ip->hdr_checksum = pw_checksum_update(ip->hdr_checksum, old, new);
	return PW_DROP_NONE;
}

/** fe80::/10: never leaves its link (RFC 4291 2.5.6), so never crosses a tunnel either. */
static inline bool pw_ipv6_is_link_local(const uint8_t *address)
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

#endif
