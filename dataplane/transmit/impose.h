/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TRANSMIT_IMPOSE_H
#define PW_TRANSMIT_IMPOSE_H

#include "dataplane/receive/mpls.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/nexthop.h"

/** What the outer header may repeat of what is about to be wrapped. */
struct pw_impose_inner {
	uint8_t tos; /* or traffic class */
	uint8_t ttl; /* or hop limit */
	bool v6;     /* IPv6, not IPv4 or MPLS */
	bool df;     /* may not be cut: IPv4 with DF, IPv6 */
};

static inline struct pw_impose_inner pw_impose_look(struct rte_mbuf *mbuf)
{
	if (unlikely(pw_packet(mbuf)->flags & PW_PACKET_LABELLED)) {
		uint32_t top = pw_mpls_entry(mbuf, 0);

		return (struct pw_impose_inner){
			.tos = (uint8_t)((top >> 9 & 7) << 5), .ttl = pw_mpls_ttl(top), .df = true};
	}
	if (pw_ip_version(mbuf) == 6) {
		const struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *);

		return (struct pw_impose_inner){
			.tos = (uint8_t)(rte_be_to_cpu_32(ip->vtc_flow) >> 20),
			.ttl = ip->hop_limits,
			.v6 = true,
			.df = true,
		};
	}
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);

	return (struct pw_impose_inner){
		.tos = ip->type_of_service,
		.ttl = ip->time_to_live,
		.df = ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_DF_FLAG),
	};
}

/**
 * Bits of the outer TOS that the packet inside decides. IP in IP has the inner ECN field (RFC 6040
 * 4.1); GRE has it where it takes the DSCP too.
 */
static inline uint8_t pw_impose_tos_mask(const struct pw_endpoint *endpoint)
{
	bool inherit = endpoint->flags & PW_ENDPOINT_TOS_INHERIT;
	bool ecn = inherit || endpoint->encapsulation == PW_ENCAPSULATION_IP;

	return (inherit ? 0xfc : 0) | (ecn && !(endpoint->flags & PW_ENDPOINT_NO_ECN) ? 3 : 0);
}

/**
 * Writes the next hop's labels to @p at (label_count entries): TC from the DSCP's class
 * selector (RFC 3270), TTL by the next hop's model (RFC 3443). Already labelled packets keep
 * their own bottom of stack.
 */
static inline void pw_impose_write(char *at, const struct pw_nexthop *nexthop,
				   struct pw_impose_inner inner, bool labelled)
{
	uint8_t ttl = nexthop->flags & PW_NEXTHOP_TTL_UNIFORM ? inner.ttl : nexthop->label_ttl;
	uint32_t rest = (uint32_t)(inner.tos >> 5) << 9 | ttl;

	for (unsigned int i = 0; i < nexthop->label_count; i++) {
		uint32_t entry = nexthop->labels[i] | rest;

		if (unlikely(labelled))
			entry &= ~(uint32_t)PW_MPLS_BOTTOM;
		pw_mpls_write(at + i * PW_MPLS_ENTRY, entry);
	}
}

/** The same in front of the packet; false without headroom. */
static inline bool pw_impose_labels(struct rte_mbuf *mbuf, const struct pw_nexthop *nexthop)
{
	struct pw_impose_inner inner = pw_impose_look(mbuf);
	char *at = rte_pktmbuf_prepend(mbuf, nexthop->label_count * PW_MPLS_ENTRY);

	if (!at)
		return false;
	pw_impose_write(at, nexthop, inner, pw_packet(mbuf)->flags & PW_PACKET_LABELLED);
	return true;
}

/**
 * A packet larger than @p mtu bytes: true when it may be cut (its pieces' size is noted);
 * otherwise the ICMP error that is due is noted, or, for a labelled packet whose payload
 * cannot be told, the drop.
 */
bool pw_too_big(struct rte_mbuf *mbuf, uint16_t mtu);

#endif
