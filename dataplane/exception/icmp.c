/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * icmp-error: tells the sender, in the sender's own VRF, why its packet did not get through
 * (RFC 792, 1812 4.3, 4443; for labelled packets RFC 4884 and 4950), at a limited rate. The
 * packet itself goes to drop with its reason.
 */
#include "dataplane/receive/ip.h"
#include "dataplane/receive/mpls.h"
#include "dataplane/table/label.h"
#include "dataplane/table/nexthop.h"
#include "dataplane/table/vrf.h"

#include <netinet/in.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_IPV4,
	EDGE_IPV6,
	EDGE_TUNNEL,
	EDGE_ETHERNET,
};

#define TTL               64
#define ICMP_SIZE         8    /* type, code, checksum, rest of header */
#define ERROR4_MAX        576  /* RFC 1812 4.3.2.3 */
#define ERROR6_MAX        1280 /* RFC 4443 2.4 (c) */
#define QUOTE_EXTENDED    128  /* RFC 4884 5.1: what precedes an extension */
#define EXTENSION_VERSION 0x20

/* What is needed to answer: where IP begins in the packet, and the labels before it. */
struct culprit {
	const uint8_t *ip;
	uint16_t length;     /* bytes from there */
	unsigned int labels; /* entries of the stack as received */
	bool v6;
};

static bool find(struct rte_mbuf *mbuf, struct culprit *culprit)
{
	uint16_t offset = 0;

	*culprit = (struct culprit){0};
	if (pw_packet(mbuf)->flags & PW_PACKET_LABELLED) {
		culprit->labels = pw_mpls_depth(mbuf);
		if (!culprit->labels)
			return false;
		offset = (uint16_t)(culprit->labels * PW_MPLS_ENTRY);
	}
	culprit->ip = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, offset);
	culprit->length = mbuf->data_len - offset;
	if (culprit->length < 1)
		return false;
	culprit->v6 = culprit->ip[0] >> 4 == 6;
	if (culprit->v6)
		return culprit->length >= sizeof(struct rte_ipv6_hdr);
	return culprit->ip[0] >> 4 == 4 && culprit->length >= sizeof(struct rte_ipv4_hdr);
}

/* RFC 1122 3.2.2, RFC 1812 4.3.2.7: never about an error, a later fragment, a non-host. */
static bool may_answer4(const struct culprit *culprit)
{
	const struct rte_ipv4_hdr *ip = (const void *)culprit->ip;
	uint16_t header = rte_ipv4_hdr_len(ip);
	uint32_t source = rte_be_to_cpu_32(ip->src_addr);

	if (ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK))
		return false;
	if (source >> 24 == 0 || source >> 24 == 127 || source >> 28 >= 14)
		return false;
	if (rte_be_to_cpu_32(ip->dst_addr) >> 28 >= 14)
		return false;
	if (ip->next_proto_id == IPPROTO_ICMP) {
		if (culprit->length < header + 1)
			return false;
		switch (culprit->ip[header]) {
		case 3:  /* unreachable */
		case 4:  /* source quench */
		case 5:  /* redirect */
		case 11: /* time exceeded */
		case 12: /* parameter problem */
			return false;
		}
	}
	return true;
}

/* RFC 4443 2.4 (e) */
static bool may_answer6(const struct culprit *culprit)
{
	const struct rte_ipv6_hdr *ip = (const void *)culprit->ip;

	if (ip->src_addr[0] == 0xff || pw_ipv6_is_loopback_or_any(ip->src_addr) ||
	    ip->dst_addr[0] == 0xff)
		return false;
	if (ip->proto == IPPROTO_ICMPV6) {
		const uint8_t *type = culprit->ip + sizeof(*ip);

		if (culprit->length < sizeof(*ip) + 1 || *type < 128 || *type == 137)
			return false;
	}
	return true;
}

static bool has_address6(const uint8_t *address)
{
	static const uint8_t none[16];

	return memcmp(address, none, 16) != 0;
}

/* The ingress interface's address when it is in the VRF; else any address of the VRF. */
static bool source4(const struct pw_packet *packet, uint32_t *source)
{
	const struct pw_interface *interface = pw_interface_get(packet->interface);
	const struct pw_vrf *vrf = pw_vrf_get(packet->vrf);

	*source = interface->vrf == packet->vrf ? interface->icmp_source4 : 0;
	if (!*source && vrf)
		*source = vrf->icmp_source4;
	return *source != 0;
}

static bool source6(const struct pw_packet *packet, uint8_t *source)
{
	const struct pw_interface *interface = pw_interface_get(packet->interface);
	const struct pw_vrf *vrf = pw_vrf_get(packet->vrf);

	if (interface->vrf == packet->vrf && has_address6(interface->icmp_source6))
		memcpy(source, interface->icmp_source6, 16);
	else if (vrf)
		memcpy(source, vrf->icmp_source6, 16);
	else
		return false;
	return has_address6(source);
}

/* ICMPv4 numbers of pw_packet to ICMPv6's. */
static void map6(const struct pw_packet *packet, uint8_t *type, uint8_t *code)
{
	*type = 1; /* destination unreachable */
	*code = 0; /* no route */
	if (packet->icmp_type == 11) {
		*type = 3; /* time exceeded, hop limit */
		return;
	}
	switch (packet->icmp_code) {
	case 1:            /* host */
		*code = 3; /* address unreachable */
		break;
	case 2:            /* protocol */
		*type = 4; /* parameter problem: unrecognised next header */
		*code = 1;
		break;
	case 3: /* port */
		*code = 4;
		break;
	case 4:            /* fragmentation needed */
		*type = 2; /* packet too big */
		break;
	case 13: /* prohibited */
		*code = 1;
		break;
	}
}

/* RFC 4884 header and the RFC 4950 object: the label stack as it came in. */
static uint16_t extension(struct rte_mbuf *mbuf, const struct culprit *culprit, uint8_t *at)
{
	uint16_t object = (uint16_t)(4 + culprit->labels * PW_MPLS_ENTRY);
	uint16_t checksum;

	memset(at, 0, 4);
	at[0] = EXTENSION_VERSION;
	at[4] = (uint8_t)(object >> 8);
	at[5] = (uint8_t)object;
	at[6] = 1; /* class: MPLS label stack */
	at[7] = 1; /* type: incoming */
	memcpy(at + 8, rte_pktmbuf_mtod(mbuf, void *), culprit->labels * PW_MPLS_ENTRY);
	checksum = (uint16_t)~rte_raw_cksum(at, 4 + object);
	memcpy(at + 2, &checksum, 2);
	return 4 + object;
}

/* The ICMP message from its type on; returns its length. IPv6's checksum is the caller's. */
static uint16_t message(struct rte_mbuf *mbuf, const struct culprit *culprit, uint8_t *at,
			uint16_t room)
{
	const struct pw_packet *packet = pw_packet(mbuf);
	uint8_t type = packet->icmp_type, code = packet->icmp_code;
	uint16_t quote = RTE_MIN(culprit->length, room - ICMP_SIZE);
	bool extended = culprit->labels && type == 11;
	uint32_t rest = rte_cpu_to_be_32(packet->icmp_info);
	uint16_t length;

	if (culprit->v6)
		map6(packet, &type, &code);
	if (culprit->v6 && type == 4)
		rest = RTE_BE32(offsetof(struct rte_ipv6_hdr, proto));
	if (extended)
		quote = RTE_MIN(culprit->length, QUOTE_EXTENDED);
	memset(at, 0, ICMP_SIZE);
	at[0] = type;
	at[1] = code;
	memcpy(at + 4, &rest, 4);
	memcpy(at + ICMP_SIZE, culprit->ip, quote);
	length = ICMP_SIZE + quote;
	if (extended) {
		memset(at + length, 0, QUOTE_EXTENDED - quote);
		/* In 32-bit words for IPv4, in 64-bit words for IPv6 (RFC 4884 5.3, 5.4). */
		if (culprit->v6)
			at[4] = QUOTE_EXTENDED / 8;
		else
			at[5] = QUOTE_EXTENDED / 4;
		length = ICMP_SIZE + QUOTE_EXTENDED;
		length += extension(mbuf, culprit, at + length);
	}
	return length;
}

static bool compose4(struct rte_mbuf *error, struct rte_mbuf *mbuf, const struct culprit *culprit)
{
	const struct rte_ipv4_hdr *about = (const void *)culprit->ip;
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(error, struct rte_ipv4_hdr *);
	uint8_t *icmp = (uint8_t *)(ip + 1);
	uint16_t length, checksum;
	uint32_t source;

	if (!source4(pw_packet(mbuf), &source))
		return false;
	length = message(mbuf, culprit, icmp, ERROR4_MAX - sizeof(*ip));
	checksum = (uint16_t)~rte_raw_cksum(icmp, length);
	memcpy(icmp + 2, &checksum, 2);
	*ip = (struct rte_ipv4_hdr){
		.version_ihl = RTE_IPV4_VHL_DEF,
		/* RFC 1812 4.3.2.5: precedence internetwork control */
		.type_of_service = 0xc0,
		.total_length = rte_cpu_to_be_16(sizeof(*ip) + length),
		.time_to_live = TTL,
		.next_proto_id = IPPROTO_ICMP,
		.src_addr = source,
		.dst_addr = about->src_addr,
	};
	ip->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, sizeof(*ip));
	rte_pktmbuf_append(error, sizeof(*ip) + length);
	return true;
}

static bool compose6(struct rte_mbuf *error, struct rte_mbuf *mbuf, const struct culprit *culprit)
{
	const struct rte_ipv6_hdr *about = (const void *)culprit->ip;
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(error, struct rte_ipv6_hdr *);
	uint8_t *icmp = (uint8_t *)(ip + 1);
	uint16_t length, checksum;
	uint8_t source[16];

	if (!source6(pw_packet(mbuf), source))
		return false;
	length = message(mbuf, culprit, icmp, ERROR6_MAX - sizeof(*ip));
	*ip = (struct rte_ipv6_hdr){
		.vtc_flow = RTE_BE32(6u << 28),
		.payload_len = rte_cpu_to_be_16(length),
		.proto = IPPROTO_ICMPV6,
		.hop_limits = TTL,
	};
	memcpy(ip->src_addr, source, 16);
	memcpy(ip->dst_addr, about->src_addr, 16);
	checksum = rte_ipv6_udptcp_cksum(ip, icmp);
	memcpy(icmp + 2, &checksum, 2);
	rte_pktmbuf_append(error, sizeof(*ip) + length);
	return true;
}

/* The label is popped here, into the customer's VRF, which has a route to the sender. */
static bool leads_to_customer(const struct pw_packet *packet)
{
	uint8_t type = pw_nexthop_get(packet->nexthop)->type;

	return type == PW_NEXTHOP_LOOKUP || type == PW_NEXTHOP_POLICY;
}

/*
 * A label switching hop that is not the customer's edge has no route to the sender: the error
 * follows the label, as the packet would have, and comes back from the far end (RFC 3032 2.3.2).
 */
static rte_edge_t along_the_label(struct rte_mbuf *mbuf, struct rte_mbuf *error,
				  const struct culprit *culprit)
{
	const struct pw_nexthop *nexthop = pw_nexthop_get(pw_packet(mbuf)->nexthop);
	unsigned int rest = culprit->labels - 1;
	unsigned int top;
	char *at;

	if (nexthop->type == PW_NEXTHOP_GROUP)
		nexthop = pw_nexthop_select(nexthop, pw_mpls_flow_hash(mbuf, false));
	top = nexthop->label_count;
	at = rte_pktmbuf_prepend(error, (uint16_t)((top + rest) * PW_MPLS_ENTRY));
	if (!at)
		return EDGE_DROP;
	for (unsigned int i = 0; i < top + rest; i++) {
		uint32_t entry = i < top ? nexthop->labels[i] : pw_mpls_entry(mbuf, i - top + 1);

		entry &= ~0x1ffu;
		entry |= 0xff | (i + 1 == top + rest ? PW_MPLS_BOTTOM : 0);
		pw_mpls_write(at + i * PW_MPLS_ENTRY, entry);
	}
	pw_packet(error)->nexthop = nexthop->id;
	pw_packet(error)->flags |= PW_PACKET_IMPOSED | (top + rest ? PW_PACKET_LABELLED : 0);
	switch (nexthop->type) {
	case PW_NEXTHOP_TUNNEL:
		return EDGE_TUNNEL;
	case PW_NEXTHOP_NEIGHBOUR:
		return EDGE_ETHERNET;
	}
	return EDGE_DROP;
}

/*
 * A route led into another VRF, where the sender's address is another host's: the answer goes back
 * to where the packet came in. False: a label said where that is, and is gone.
 */
static bool return_to_sender(struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);

	if (likely(!packet->loops))
		return true;
	if (!packet->interface || *pw_packet_label(mbuf))
		return false;
	packet->vrf = pw_interface_get(packet->interface)->vrf;
	return true;
}

static struct rte_mbuf *answer(struct pw_worker *worker, struct rte_mbuf *mbuf, rte_edge_t *edge)
{
	const struct pw_packet *packet = pw_packet(mbuf);
	struct culprit culprit;
	struct rte_mbuf *error;

	if (packet->flags & (PW_PACKET_NO_ICMP | PW_PACKET_ORIGINATED) || !find(mbuf, &culprit) ||
	    !return_to_sender(mbuf) ||
	    !(culprit.v6 ? may_answer6(&culprit) : may_answer4(&culprit))) {
		worker->events[PW_EVENT_ICMP_FORBIDDEN]++;
		return NULL;
	}
	if (!pw_rate_take(&worker->icmp_rate, worker->now)) {
		worker->events[PW_EVENT_ICMP_RATE]++;
		return NULL;
	}
	error = rte_pktmbuf_alloc(pw_mbuf_pool);
	if (!error)
		return NULL;
	pw_packet_clear(error);
	*pw_packet(error) = (struct pw_packet){
		.interface = packet->interface,
		.vrf = packet->vrf,
		.flags = PW_PACKET_ORIGINATED,
		.trace = packet->trace,
	};
	if (!(culprit.v6 ? compose6(error, mbuf, &culprit) : compose4(error, mbuf, &culprit))) {
		worker->events[PW_EVENT_ICMP_NO_SOURCE]++;
		rte_pktmbuf_free(error);
		return NULL;
	}
	*edge = culprit.v6 ? EDGE_IPV6 : EDGE_IPV4;
	if (culprit.labels && !leads_to_customer(packet))
		*edge = along_the_label(mbuf, error, &culprit);
	if (*edge == EDGE_DROP) {
		rte_pktmbuf_free(error);
		return NULL;
	}
	worker->events[PW_EVENT_ICMP_SENT]++;
	return error;
}

static uint16_t icmp_error(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();

	for (uint16_t i = 0; i < n; i++) {
		rte_edge_t edge = EDGE_DROP;
		struct rte_mbuf *error = answer(worker, objs[i], &edge);

		if (error)
			rte_node_enqueue_x1(graph, node, edge, error);
	}
	rte_node_enqueue(graph, node, EDGE_DROP, objs, n);
	return n;
}

PW_STAGE(icmp_error, "icmp-error", icmp_error, "drop", "ipv4-lookup", "ipv6-lookup",
	 "tunnel-output", "ethernet-output")
