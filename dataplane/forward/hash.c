/* SPDX-License-Identifier: BSD-3-Clause */
/** Flow hashes: what ECMP and groups choose by, so that a flow keeps its way. */
#include "dataplane/receive/mpls.h"

#include <netinet/in.h>
#include <rte_hash_crc.h>

static uint32_t ports(const struct rte_mbuf *mbuf, uint16_t offset, uint8_t protocol)
{
	uint32_t both;

	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
	case IPPROTO_DCCP:
	case IPPROTO_UDPLITE:
		if (mbuf->data_len < offset + sizeof(both))
			return 0;
		memcpy(&both, rte_pktmbuf_mtod_offset(mbuf, const char *, offset), sizeof(both));
		return both;
	}
	return 0;
}

static uint32_t ip_hash(const struct rte_mbuf *mbuf, uint16_t offset)
{
	const uint8_t *at = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, offset);
	uint16_t room = mbuf->data_len > offset ? mbuf->data_len - offset : 0;
	uint64_t words[4]; /* packets are not aligned, rte_hash_crc()'s input is to be */
	uint32_t hash = 0x70657774;

	if (room >= sizeof(struct rte_ipv6_hdr) && at[0] >> 4 == 6) {
		const struct rte_ipv6_hdr *ip = (const void *)at;

		memcpy(words, ip->src_addr, sizeof(words));
		hash = rte_hash_crc(words, sizeof(words), hash);
		hash = rte_hash_crc_4byte(ip->proto, hash);
		hash = rte_hash_crc_4byte(ports(mbuf, offset + sizeof(*ip), ip->proto), hash);
	} else if (room >= sizeof(struct rte_ipv4_hdr) && at[0] >> 4 == 4) {
		const struct rte_ipv4_hdr *ip = (const void *)at;
		uint32_t both = 0;

		/* Fragments after the first have no ports: none of them may use any. */
		if (!(ip->fragment_offset &
		      RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG)))
			both = ports(mbuf, offset + rte_ipv4_hdr_len(ip), ip->next_proto_id);
		memcpy(words, &ip->src_addr, 8);
		hash = rte_hash_crc(words, 8, hash);
		hash = rte_hash_crc_4byte(ip->next_proto_id, hash);
		hash = rte_hash_crc_4byte(both, hash);
	} else {
		memcpy(words, at, RTE_MIN(room, 16u));
		hash = rte_hash_crc(words, RTE_MIN(room, 16u), hash);
	}
	/* CRC is linear: mix, so that a few differing bits reach the low ones that pick a bucket.
	 */
	hash ^= hash >> 16;
	hash *= 0x85ebca6b;
	hash ^= hash >> 13;
	return hash ? hash : 1;
}

uint32_t pw_flow_hash(const struct rte_mbuf *mbuf)
{
	return ip_hash(mbuf, 0);
}

uint32_t pw_mpls_flow_hash(const struct rte_mbuf *mbuf, bool below_bottom)
{
	unsigned int depth = below_bottom ? 0 : pw_mpls_depth(mbuf);

	return ip_hash(mbuf, (uint16_t)(depth * PW_MPLS_ENTRY));
}
