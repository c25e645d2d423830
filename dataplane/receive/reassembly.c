/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * reassembly: fragments addressed to this PE become whole packets of one segment and go back
 * to local-input. Bounded in packets, fragments a packet (8), bytes and time.
 */
#include "dataplane/receive/reassembly.h"
#include "dataplane/receive/ip.h"

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_LOCAL,
};

/* Fragments that rte_ip_frag gave up: their packet timed out, contradicts itself, or no room. */
static void bury(struct pw_worker *worker)
{
	worker->drops[PW_DROP_REASSEMBLY_TIMEOUT] += worker->death_row.cnt;
	rte_ip_frag_free_death_row(&worker->death_row, 3);
}

void pw_reassembly_expire(struct pw_worker *worker)
{
	for (unsigned int i = 0; i < RTE_DIM(worker->fragments); i++)
		rte_ip_frag_table_del_expired_entries(worker->fragments[i], &worker->death_row,
						      worker->now);
	if (worker->death_row.cnt)
		bury(worker);
}

/* More fragments or the last one: lengths that can be part of a packet of at most 65535. */
static bool plausible(uint32_t offset, uint32_t length, bool more)
{
	if (more && (length % 8 || length == 0))
		return false;
	return offset + length <= UINT16_MAX && length > 0;
}

/* Of a fragment: what is looked at when all are there and their headers are gone. */
static void note(struct rte_mbuf *mbuf, uint8_t protocol, uint8_t tos)
{
	pw_packet(mbuf)->icmp_code = protocol;                  /* for same_kind() */
	pw_packet(mbuf)->icmp_type = (uint8_t)(1 << (tos & 3)); /* for ecn() */
}

static struct rte_mbuf *reassemble4(struct pw_worker *worker, struct rte_mbuf *mbuf,
				    enum pw_drop *drop)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);
	uint16_t field = rte_be_to_cpu_16(ip->fragment_offset);
	uint16_t header = rte_ipv4_hdr_len(ip);

	if (!plausible((field & RTE_IPV4_HDR_OFFSET_MASK) * 8u, mbuf->data_len - header,
		       field & RTE_IPV4_HDR_MF_FLAG)) {
		*drop = PW_DROP_REASSEMBLY_LENGTH;
		return NULL;
	}
	note(mbuf, ip->next_proto_id, ip->type_of_service);
	mbuf->l2_len = 0;
	mbuf->l3_len = header;
	return rte_ipv4_frag_reassemble_packet(worker->fragments[pw_packet(mbuf)->vrf != 0],
					       &worker->death_row, mbuf, worker->now, ip);
}

static struct rte_mbuf *reassemble6(struct pw_worker *worker, struct rte_mbuf *mbuf,
				    enum pw_drop *drop)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);
	struct rte_ipv6_fragment_ext *fragment = (void *)(ip + 1);
	uint16_t field = rte_be_to_cpu_16(fragment->frag_data);

	if (!plausible(field & RTE_IPV6_EHDR_FO_MASK,
		       mbuf->data_len - sizeof(*ip) - sizeof(*fragment),
		       field & RTE_IPV6_EHDR_MF_MASK)) {
		*drop = PW_DROP_REASSEMBLY_LENGTH;
		return NULL;
	}
	note(mbuf, 0, (uint8_t)(rte_be_to_cpu_32(ip->vtc_flow) >> 20));
	mbuf->l2_len = 0;
	mbuf->l3_len = sizeof(*ip) + sizeof(*fragment);
	return rte_ipv6_frag_reassemble_packet(worker->fragments[pw_packet(mbuf)->vrf != 0],
					       &worker->death_row, mbuf, worker->now, ip, fragment);
}

/*
 * rte_ip_frag's key has neither VRF nor protocol, so one VRF's fragments could complete another's
 * packet, and (RFC 791 3.2) MPLS in IP a GRE packet.
 */
static bool same_kind(struct rte_mbuf *chain)
{
	const struct pw_packet *packet = pw_packet(chain);

	for (struct rte_mbuf *segment = chain->next; segment; segment = segment->next)
		if (pw_packet(segment)->vrf != packet->vrf ||
		    pw_packet(segment)->icmp_code != packet->icmp_code)
			return false;
	return true;
}

/*
 * RFC 3168 5.3: congestion that one fragment met is the packet's; where another one is not
 * ECN-capable there is no such packet.
 */
static bool ecn(struct rte_mbuf *chain)
{
	uint8_t *tos = rte_pktmbuf_mtod_offset(chain, uint8_t *, 1);
	unsigned int fields = 0;

	for (struct rte_mbuf *segment = chain; segment; segment = segment->next)
		fields |= pw_packet(segment)->icmp_type;
	if (!(fields & 1 << PW_ECN_CE))
		return true;
	*tos |= (uint8_t)(pw_ip_version(chain) == 6 ? PW_ECN_CE << 4 : PW_ECN_CE);
	return !(fields & 1 << PW_ECN_NOT_ECT);
}

/* RFC 6946: a fragment that is the whole packet waits for no other. */
static bool atomic6(struct rte_mbuf *mbuf)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv6_hdr *);
	const struct rte_ipv6_fragment_ext *fragment = (void *)(ip + 1);

	if (fragment->frag_data & RTE_BE16(RTE_IPV6_EHDR_FO_MASK | RTE_IPV6_EHDR_MF_MASK))
		return false;
	ip->proto = fragment->next_header;
	ip->payload_len = rte_cpu_to_be_16(rte_be_to_cpu_16(ip->payload_len) - sizeof(*fragment));
	memmove(rte_pktmbuf_adj(mbuf, sizeof(*fragment)), ip, sizeof(*ip));
	return true;
}

/* One segment, as every later stage expects. NULL when the packet is too big for it. */
static struct rte_mbuf *flatten(struct rte_mbuf *chain, enum pw_drop *drop)
{
	struct rte_mbuf *flat;
	char *at;

	if (chain->pkt_len > PW_REASSEMBLY_MAX) {
		*drop = PW_DROP_REASSEMBLY_TOO_BIG;
		return NULL;
	}
	flat = rte_pktmbuf_alloc(pw_reassembly_pool);
	if (!flat) {
		*drop = PW_DROP_NO_BUFFER;
		return NULL;
	}
	at = rte_pktmbuf_append(flat, (uint16_t)chain->pkt_len);
	for (struct rte_mbuf *segment = chain; segment; segment = segment->next) {
		memcpy(at, rte_pktmbuf_mtod(segment, void *), segment->data_len);
		at += segment->data_len;
	}
	pw_packet_copy(flat, chain);
	return flat;
}

/* IPv4: rte_ip_frag clears the whole flags field of the head and expects an offload to fill in
 * the checksum. */
static void checksum4(struct rte_mbuf *mbuf)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, struct rte_ipv4_hdr *);

	ip->hdr_checksum = 0;
	ip->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, rte_ipv4_hdr_len(ip));
}

static struct rte_mbuf *whole(struct pw_worker *worker, struct rte_mbuf *mbuf, rte_edge_t *edge)
{
	enum pw_drop drop = PW_DROP_NONE;
	bool v6 = pw_ip_version(mbuf) == 6;
	struct rte_mbuf *chain, *flat = NULL;

	if (v6 && atomic6(mbuf)) {
		*edge = EDGE_LOCAL;
		return mbuf;
	}
	chain = v6 ? reassemble6(worker, mbuf, &drop) : reassemble4(worker, mbuf, &drop);
	if (drop != PW_DROP_NONE) {
		*edge = pw_stage_drop(mbuf, drop);
		return mbuf;
	}
	if (!chain)
		return NULL; /* kept for the rest, or on the death row */
	/* Fragments but the head are accounted for here; the head lives on as the packet. */
	if (!same_kind(chain))
		drop = PW_DROP_REASSEMBLY_VRF;
	else if (!ecn(chain))
		drop = PW_DROP_REASSEMBLY_ECN;
	else
		flat = flatten(chain, &drop);
	if (!flat) {
		worker->drops[drop] += chain->nb_segs - 1;
		*edge = pw_stage_drop(chain, drop);
		return chain;
	}
	worker->events[PW_EVENT_REASSEMBLED]++;
	rte_pktmbuf_free(chain);
	if (!v6)
		checksum4(flat);
	*edge = EDGE_LOCAL;
	return flat;
}

static uint16_t reassembly(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();

	for (uint16_t i = 0; i < n; i++) {
		rte_edge_t edge;
		struct rte_mbuf *mbuf = whole(worker, objs[i], &edge);

		if (mbuf)
			rte_node_enqueue_x1(graph, node, edge, mbuf);
		/* The row must have room for whatever the next fragment throws out. */
		if (worker->death_row.cnt)
			bury(worker);
	}
	return n;
}

PW_STAGE(reassembly, "reassembly", reassembly, "drop", "local-input")
