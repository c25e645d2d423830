/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * esp-input: finds the SA, refuses replays, decrypts a burst in place, and only then believes
 * anything (RFC 4303 3.4): the window moves, what is inside goes on as if it had come in clear,
 * with the SA noted.
 */
#include "dataplane/receive/esp_tunnel.h"
#include "dataplane/receive/ip.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/transmit/esp.h"
#include "drivers/crypto_inline.h"

#include <netinet/in.h>
#include <rte_ether.h>
#include <rte_udp.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_GRE,
	EDGE_MPLS,
	EDGE_IPV4,
	EDGE_IPV6,
};

#define BURST     64
#define GRE_MPLS  RTE_BE32(RTE_ETHER_TYPE_MPLS) /* no flags, version 0, MPLS inside */
#define GRE_BYTES 4
#define PROBES    4

/* What the outer header says; addresses are 4 or 16 bytes, in the packet. */
struct outer {
	const uint8_t *source;
	const uint8_t *destination;
	uint32_t esp_at;
	uint32_t ip_len;
	uint16_t source_port;
	bool v6;
	bool udp;
};

/* A packet on its way through the engine. */
struct pending {
	const struct pw_sa *sa;
	uint16_t at; /* in the burst */
	uint16_t esp_at;
	uint16_t ip_len;
};

struct burst {
	uint64_t opened; /* bit i: by the port already, not to be given to the engine */
	uint16_t count;
	struct pending pending[BURST];
	uint64_t numbers[BURST];
	struct pw_crypto_op ops[BURST];
	struct pw_esp_inside inside; /* tunnel mode */
};

static inline bool same_address(const uint8_t *one, const uint8_t *other, bool v6)
{
	return v6 ? memcmp(one, other, 16) == 0 : memcmp(one, other, 4) == 0;
}

static inline enum pw_drop outer_read(const struct rte_mbuf *mbuf, struct outer *outer)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint8_t protocol;

	outer->v6 = data[0] >> 4 == 6;
	if (unlikely(outer->v6)) {
		const struct rte_ipv6_hdr *ip = (const void *)data;

		outer->source = ip->src_addr;
		outer->destination = ip->dst_addr;
		outer->ip_len = sizeof(*ip);
		protocol = ip->proto;
	} else {
		const struct rte_ipv4_hdr *ip = (const void *)data;

		outer->source = (const uint8_t *)&ip->src_addr;
		outer->destination = (const uint8_t *)&ip->dst_addr;
		outer->ip_len = (uint16_t)((data[0] & 0xf) * 4);
		protocol = ip->next_proto_id;
	}
	outer->esp_at = outer->ip_len;
	outer->udp = protocol == IPPROTO_UDP;
	outer->source_port = 0;
	if (unlikely(outer->udp)) {
		const struct rte_udp_hdr *udp = (const void *)(data + outer->ip_len);

		outer->source_port = udp->src_port;
		outer->esp_at += sizeof(*udp);
	}
	return likely(mbuf->data_len >= outer->esp_at + PW_ESP_HEADER) ? PW_DROP_NONE
								       : PW_DROP_ESP_TRUNCATED;
}

static inline uint32_t word_at(const struct rte_mbuf *mbuf, uint16_t offset)
{
	uint32_t word;

	memcpy(&word, rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, offset), sizeof(word));
	return word;
}

/* Behind a NAT the remote's address and port may change; that is told once the ICV is good. */
static inline bool source_is_right(const struct pw_sa *sa, const struct outer *outer)
{
	static const uint8_t any[16];

	return likely(same_address(sa->source, outer->source, outer->v6)) ||
	       sa->flags & PW_SA_UDP || same_address(sa->source, any, outer->v6);
}

/* Everything that can be told before the ICV is checked. */
static inline enum pw_drop admit(struct pw_worker *worker, const struct pw_sa *sa,
				 struct rte_mbuf *mbuf, const struct outer *outer, uint64_t *number,
				 struct pending *pending, struct pw_crypto_op *op)
{
	uint16_t around = PW_ESP_HEADER + sa->iv_bytes + sa->icv_bytes;

	if (unlikely(!!(sa->flags & PW_SA_UDP) != outer->udp)) {
		worker->sa[sa->id].invalid++;
		return PW_DROP_ESP_ENCAPSULATION;
	}
	if (unlikely(!source_is_right(sa, outer))) {
		worker->sa[sa->id].invalid++;
		return PW_DROP_ESP_SOURCE;
	}
	if (unlikely(mbuf->data_len < outer->esp_at + around + 2)) {
		worker->sa[sa->id].invalid++;
		return PW_DROP_ESP_TRUNCATED;
	}
	*number = rte_be_to_cpu_32(word_at(mbuf, outer->esp_at + 4));
	if (sa->flags & PW_SA_ESN)
		*number = pw_seqwindow_extend(&sa->state->window, (uint32_t)*number);
	if (unlikely(sa->flags & PW_SA_REPLAY_CHECK &&
		     !pw_seqwindow_check(&sa->state->window, *number))) {
		worker->sa[sa->id].replays++;
		return PW_DROP_ESP_REPLAY;
	}
	pending->sa = sa;
	pending->esp_at = (uint16_t)outer->esp_at;
	pending->ip_len = (uint16_t)outer->ip_len;
	op->key = sa->key;
	op->esp = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, outer->esp_at);
	op->mbuf = mbuf;
	op->text_bytes = mbuf->data_len - outer->esp_at - around;
	op->esn = sa->flags & PW_SA_ESN;
	op->esn_high = (uint32_t)(*number >> 32);
	return PW_DROP_NONE;
}

/* No SA: not ours to take if it only passes by, or else nobody's. What a port has opened or spoilt
 * (of an SA that is going) must not pass by. */
static rte_edge_t unknown(struct rte_mbuf *mbuf, enum pw_drop drop)
{
	if (pw_packet(mbuf)->esp_mode == PW_ESP_LOCAL ||
	    mbuf->ol_flags & (RTE_MBUF_F_RX_SEC_OFFLOAD | RTE_MBUF_F_RX_SEC_OFFLOAD_FAILED))
		return pw_stage_drop(mbuf, drop);
	return pw_ip_version(mbuf) == 6 ? EDGE_IPV6 : EDGE_IPV4;
}

/* What the port did to a packet that was admitted; false: dropped. */
static bool take_from_port(struct pw_worker *worker, const struct pw_sa *sa, struct rte_mbuf *mbuf,
			   rte_edge_t *edge, struct burst *burst)
{
	switch (pw_inline_ingress(sa->inlined, mbuf)) {
	case PW_INLINE_OPENED:
		burst->opened |= UINT64_C(1) << burst->count;
		burst->ops[burst->count].status = PW_CRYPTO_OK;
		return true;
	case PW_INLINE_FAILED:
		worker->sa[sa->id].icv_failures++;
		*edge = pw_stage_drop(mbuf, PW_DROP_ESP_ICV);
		return false;
	default:
		return true;
	}
}

/* SPI and number of a packet that is most likely one of ours, for nothing but to fetch its SA. */
static inline void guess(const struct rte_mbuf *mbuf, uint32_t *spi, uint32_t *number)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint16_t at = data[0] >> 4 == 6 ? sizeof(struct rte_ipv6_hdr) : (data[0] & 0xf) * 4;

	if (unlikely(mbuf->data_len < at + PW_ESP_HEADER)) {
		*spi = *number = 0;
		return;
	}
	*spi = word_at(mbuf, at);
	*number = rte_be_to_cpu_32(word_at(mbuf, at + 4));
}

/* Packets of many SAs differ here and there; a burst of one SA is not searched for others. */
static inline bool are_mixed(void **objs, uint16_t n)
{
	uint32_t spi, number, first, varied = 0;

	guess(objs[0], &first, &number);
	for (uint16_t probe = 1; probe <= PROBES; probe++) {
		guess(objs[probe * (n - 1) / PROBES], &spi, &number);
		varied |= spi ^ first;
	}
	return varied;
}

/* All that will be read of each packet's SA, one step for all after the other. */
static __rte_noinline void prefetch(const struct pw_worker *worker, void **objs, uint16_t n)
{
	uint32_t spis[BURST], numbers[BURST], ids[BURST];

	for (uint16_t i = 0; i < n; i++)
		guess(objs[i], &spis[i], &numbers[i]);
	for (uint16_t i = 0; i < n; i++)
		pw_sa_find_prefetch(spis[i]);
	for (uint16_t i = 0; i < n; i++)
		ids[i] = pw_sa_find_guess(spis[i]);
	for (uint16_t i = 0; i < n; i++) {
		rte_prefetch0(pw_sa_get(ids[i]));
		rte_prefetch0((const uint8_t *)pw_sa_get(ids[i]) + RTE_CACHE_LINE_SIZE);
		rte_prefetch0(&worker->sa[ids[i]]);
	}
	for (uint16_t i = 0; i < n; i++) {
		const struct pw_sa *sa = pw_sa_get(ids[i]);

		if (!sa->key)
			continue;
		rte_prefetch0(&sa->state->window);
		rte_prefetch0(&pw_endpoints.map[sa->endpoint]);
		pw_crypto_key_prefetch(sa->key);
	}
	for (uint16_t i = 0; i < n; i++) {
		const struct pw_sa *sa = pw_sa_get(ids[i]);

		if (!sa->key)
			continue;
		rte_prefetch0(pw_endpoint_get(sa->endpoint));
		rte_prefetch0(pw_seqwindow_word(&sa->state->window, numbers[i]));
	}
}

/*
 * The last SA by which a packet came in over IPv4 without options, and not in UDP: what such a
 * packet has in common with it, and what is read of it for each.
 */
struct lead {
	const struct pw_sa *sa; /* NULL: there is none */
	const struct pw_crypto_key *key;
	const struct pw_seqwindow *window;
	uint64_t addresses; /* as in the header */
	uint32_t spi;
	uint16_t vrf;
	uint16_t least; /* bytes of a packet */
	bool esn;
	bool check;
};

static void lead_set(struct lead *lead, const struct pw_sa *sa, const struct outer *outer,
		     uint16_t vrf)
{
	lead->sa = NULL;
	if (outer->v6 || outer->udp || outer->ip_len != sizeof(struct rte_ipv4_hdr) || sa->inlined)
		return;
	lead->sa = sa;
	lead->key = sa->key;
	lead->window = &sa->state->window;
	memcpy(&lead->addresses, outer->source, sizeof(lead->addresses));
	lead->spi = sa->spi;
	lead->vrf = vrf;
	lead->least =
		sizeof(struct rte_ipv4_hdr) + PW_ESP_HEADER + sa->iv_bytes + sa->icv_bytes + 2;
	lead->esn = sa->flags & PW_SA_ESN;
	lead->check = sa->flags & PW_SA_REPLAY_CHECK;
}

/* The next packet of the same SA, with nothing wrong; false: not, or it is to be seen why. */
static inline bool follow(const struct lead *lead, struct rte_mbuf *mbuf, uint64_t *number,
			  struct pending *pending, struct pw_crypto_op *op)
{
	const struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *);
	uint8_t *esp = rte_pktmbuf_mtod_offset(mbuf, uint8_t *, sizeof(*ip));
	uint64_t addresses, new;
	uint32_t words[2];

	if (!lead->sa || mbuf->data_len < lead->least)
		return false;
	memcpy(&addresses, &ip->src_addr, sizeof(addresses));
	memcpy(words, esp, sizeof(words));
	if (ip->version_ihl != RTE_IPV4_VHL_DEF || ip->next_proto_id != IPPROTO_ESP ||
	    addresses != lead->addresses || words[0] != lead->spi ||
	    pw_packet(mbuf)->vrf != lead->vrf)
		return false;
	new = rte_be_to_cpu_32(words[1]);
	if (lead->esn)
		new = pw_seqwindow_extend(lead->window, (uint32_t) new);
	if (lead->check && unlikely(!pw_seqwindow_check(lead->window, new)))
		return false;
	*number = new;
	pending->sa = lead->sa;
	pending->esp_at = pending->ip_len = sizeof(*ip);
	op->key = lead->key;
	op->esp = esp;
	op->mbuf = mbuf;
	op->text_bytes = mbuf->data_len - lead->least + 2;
	op->esn = lead->esn;
	op->esn_high = (uint32_t)(new >> 32);
	return true;
}

/* Any packet: true when it is one for the engine, or the port has opened it. */
static __rte_noinline bool gather_one(struct pw_worker *worker, struct lead *lead,
				      struct rte_mbuf *mbuf, rte_edge_t *edge, struct burst *burst)
{
	uint16_t vrf = pw_packet(mbuf)->vrf;
	struct outer outer;
	enum pw_drop drop = outer_read(mbuf, &outer);
	const struct pw_sa *sa;

	if (unlikely(drop != PW_DROP_NONE)) {
		*edge = unknown(mbuf, drop);
		return false;
	}
	sa = pw_sa_find(word_at(mbuf, outer.esp_at), vrf, outer.v6, outer.destination);
	if (unlikely(!sa)) {
		*edge = unknown(mbuf, PW_DROP_ESP_SPI);
		return false;
	}
	drop = admit(worker, sa, mbuf, &outer, &burst->numbers[burst->count],
		     &burst->pending[burst->count], &burst->ops[burst->count]);
	if (unlikely(drop != PW_DROP_NONE)) {
		*edge = pw_stage_drop(mbuf, drop);
		return false;
	}
	lead_set(lead, sa, &outer, vrf);
	return likely(!sa->inlined) || take_from_port(worker, sa, mbuf, edge, burst);
}

static void gather(struct pw_worker *worker, void **objs, rte_edge_t *edges, uint16_t n,
		   struct burst *burst)
{
	struct lead lead = {0};

	for (uint16_t i = 0; i < n; i++) {
		uint16_t count = burst->count;

		if (likely(follow(&lead, objs[i], &burst->numbers[count], &burst->pending[count],
				  &burst->ops[count])) ||
		    gather_one(worker, &lead, objs[i], &edges[i], burst))
			burst->pending[burst->count++].at = i;
	}
}

/* ---- authentic ----------------------------------------------------------------------------- */

/* RFC 3948: where the peer is now, behind its NAT; the IKE daemon is told and decides. */
static bool mapping_changed(struct pw_worker *worker, const struct pw_sa *sa,
			    const struct rte_mbuf *mbuf)
{
	struct pw_sa_state *state = sa->state;
	uint32_t idle = 0;
	struct outer outer;
	bool moved;

	outer_read(mbuf, &outer);
	moved = !same_address(sa->source, outer.source, outer.v6);
	if (!moved && outer.source_port == sa->udp_remote)
		return false;
	if (__atomic_compare_exchange_n(&state->mapping, &idle, 1, false, __ATOMIC_ACQUIRE,
					__ATOMIC_RELAXED)) {
		memset(state->mapped_address, 0, sizeof(state->mapped_address));
		memcpy(state->mapped_address, outer.source, outer.v6 ? 16 : 4);
		state->mapped_port = outer.source_port;
		__atomic_store_n(&state->mapping, 2, __ATOMIC_RELEASE);
		if (pw_sa_notice_put(PW_SA_NOTICE_MAPPING, sa->id))
			worker->punted = true;
		else
			__atomic_store_n(&state->mapping, 0, __ATOMIC_RELEASE);
	}
	/* In transport mode the remote end is an address: what comes from another is not it. */
	return moved;
}

/* RFC 4303 2.4: 1, 2, 3 ... before @p end, which has ESP's header before it. */
static inline bool padding_is_right(const uint8_t *end, uint8_t length)
{
	static const uint64_t numbers[8] = {
		0x0000000000000000, 0x0100000000000000, 0x0201000000000000, 0x0302010000000000,
		0x0403020100000000, 0x0504030201000000, 0x0605040302010000, 0x0706050403020100};
	uint64_t before;

	if (likely(length < RTE_DIM(numbers))) {
		memcpy(&before, end - sizeof(before), sizeof(before));
		/* In two shifts: by 64 bits there is none. */
		return !((before ^ numbers[length]) >> (63 - 8 * length) >> 1);
	}
	for (unsigned int i = length; i > 0; i--)
		if (*--end != i)
			return false;
	return true;
}

/* The header of the IP packet that was protected, moved up to what was in ESP. */
static void restore(struct rte_mbuf *mbuf, uint16_t ip_len, uint16_t payload_at, uint16_t payload,
		    uint8_t next_header)
{
	uint8_t *from = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint8_t *to = from + payload_at - ip_len;

	memmove(to, from, ip_len);
	if (*to >> 4 == 6) {
		struct rte_ipv6_hdr *ip = (void *)to;

		ip->proto = next_header;
		ip->payload_len = rte_cpu_to_be_16(payload);
	} else {
		struct rte_ipv4_hdr *ip = (void *)to;

		ip->next_proto_id = next_header;
		ip->total_length = rte_cpu_to_be_16(ip_len + payload);
		ip->hdr_checksum = 0;
		ip->hdr_checksum = (uint16_t)~rte_raw_cksum(ip, ip_len);
	}
	rte_pktmbuf_adj(mbuf, payload_at - ip_len);
	pw_stage_trim(mbuf, ip_len + payload);
}

/* Packets of one SA in a row, and what they add to the counters. */
struct run {
	const struct pw_sa *sa;
	const struct pw_endpoint *endpoint; /* of the tunnel that is straight_to(); NULL: none */
	uint32_t packets, bytes;
	uint32_t tunnel_packets, tunnel_bytes;
};

/* The tunnel that GRE without options, with MPLS in it, is for, when that is up and as gre-input
 * would have it. */
static const struct pw_endpoint *straight_to(const struct pw_sa *sa)
{
	const struct pw_endpoint *endpoint = pw_endpoint_get(sa->endpoint);

	/* The id may be another remote end's by now, before control has told the SA. */
	if (!sa->endpoint || endpoint->vrf != sa->vrf ||
	    !same_address(endpoint->match.remote, sa->source, false) ||
	    !same_address(endpoint->match.local, sa->destination, false) ||
	    endpoint->flags & (PW_ENDPOINT_KEY | PW_ENDPOINT_IPV6) ||
	    endpoint->protect & PW_PROTECT_BLOCK_IN ||
	    !(pw_interface_get(endpoint->interface)->flags & PW_INTERFACE_UP))
		return NULL;
	return endpoint;
}

static inline void straight_to_mpls(struct rte_mbuf *mbuf, struct run *run, uint16_t payload_at,
				    uint16_t payload)
{
	struct pw_packet *packet = pw_packet(mbuf);

	packet->endpoint = (uint16_t)run->endpoint->id;
	packet->interface = (uint16_t)run->endpoint->interface;
	packet->ecn = rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *)->type_of_service & 3;
	mbuf->hash.rss = 0;
	mbuf->data_off += payload_at + GRE_BYTES;
	pw_stage_trim(mbuf, payload - GRE_BYTES);
	run->tunnel_packets++;
	run->tunnel_bytes += payload - GRE_BYTES;
}

static rte_edge_t refuse(struct pw_worker *worker, struct rte_mbuf *mbuf, const struct pw_sa *sa,
			 enum pw_drop drop)
{
	worker->sa[sa->id].invalid++;
	return pw_stage_drop(mbuf, drop);
}

/* An IP packet for the SA's VRF; whether it may go there is asked for the burst as a whole. */
static __rte_noinline rte_edge_t tunnel_mode(struct pw_worker *worker, struct rte_mbuf *mbuf,
					     struct burst *burst, const struct pending *pending,
					     uint16_t payload_at, uint16_t payload,
					     uint8_t next_header)
{
	const struct pw_sa *sa = pending->sa;
	enum pw_drop drop = pw_esp_tunnel_open(mbuf, sa, payload_at, payload, next_header);

	if (unlikely(drop == PW_DROP_ESP_DUMMY))
		return pw_stage_drop(mbuf, drop);
	if (unlikely(drop != PW_DROP_NONE))
		return refuse(worker, mbuf, sa, drop);
	burst->inside.sas[burst->inside.count] = sa;
	burst->inside.at[burst->inside.count++] = pending->at;
	return next_header == IPPROTO_IPV6 ? EDGE_IPV6 : EDGE_IPV4;
}

/* What does not go straight to mpls-input. */
static __rte_noinline rte_edge_t other(struct pw_worker *worker, struct rte_mbuf *mbuf,
				       const struct pending *pending, struct burst *burst,
				       uint16_t payload_at, uint16_t payload, uint8_t next_header)
{
	const struct pw_sa *sa = pending->sa;

	if (sa->flags & PW_SA_TUNNEL)
		return tunnel_mode(worker, mbuf, burst, pending, payload_at, payload, next_header);
	switch (next_header) {
	case IPPROTO_GRE:
		if (!(sa->flags & PW_SA_GRE))
			return refuse(worker, mbuf, sa, PW_DROP_POLICY_SA);
		break;
	case IPPROTO_MPLS:
		if (!(sa->flags & PW_SA_MPLS))
			return refuse(worker, mbuf, sa, PW_DROP_POLICY_SA);
		break;
	case IPPROTO_IPIP:
		if (!(sa->flags & PW_SA_IP4))
			return refuse(worker, mbuf, sa, PW_DROP_POLICY_SA);
		break;
	case IPPROTO_IPV6:
		if (!(sa->flags & PW_SA_IP6))
			return refuse(worker, mbuf, sa, PW_DROP_POLICY_SA);
		break;
	case IPPROTO_NONE:
		return pw_stage_drop(mbuf, PW_DROP_ESP_DUMMY);
	default:
		return refuse(worker, mbuf, sa, PW_DROP_ESP_NEXT_HEADER);
	}
	restore(mbuf, pending->ip_len, payload_at, payload, next_header);
	return EDGE_GRE;
}

/* Authentic, and its number is new. */
static __rte_always_inline rte_edge_t authentic(struct pw_worker *worker, struct rte_mbuf *mbuf,
						const struct pending *pending,
						const struct pw_crypto_op *op, struct burst *burst,
						struct run *run)
{
	const struct pw_sa *sa = run->sa;
	uint16_t payload_at = pending->esp_at + PW_ESP_HEADER + sa->iv_bytes;
	const uint8_t *end = op->esp + PW_ESP_HEADER + sa->iv_bytes + op->text_bytes;
	uint8_t next_header = end[-1], padding = end[-2];
	uint16_t payload;

	run->packets++;
	if (unlikely(padding + 2u > op->text_bytes || !padding_is_right(end - 2, padding)))
		return refuse(worker, mbuf, sa, PW_DROP_ESP_PADDING);
	payload = (uint16_t)(op->text_bytes - 2 - padding);
	run->bytes += payload;
	if (unlikely(sa->flags & PW_SA_UDP && mapping_changed(worker, sa, mbuf) &&
		     !(sa->flags & PW_SA_TUNNEL)))
		return refuse(worker, mbuf, sa, PW_DROP_ESP_SOURCE);
	pw_packet(mbuf)->sa = sa->id;
	if (likely(next_header == IPPROTO_GRE && run->endpoint && payload >= GRE_BYTES &&
		   word_at(mbuf, payload_at) == GRE_MPLS)) {
		straight_to_mpls(mbuf, run, payload_at, payload);
		return EDGE_MPLS;
	}
	return other(worker, mbuf, pending, burst, payload_at, payload, next_header);
}

/* In one addition for each: what is added up in memory waits for its own last store. */
static void run_count(struct pw_worker *worker, const struct run *run)
{
	struct pw_sa_counters *counters = &worker->sa[run->sa->id];
	struct pw_interface_counters *tunnel;

	if (!run->packets)
		return;
	counters->packets += run->packets;
	counters->bytes += run->bytes;
	counters->used = worker->now;
	if (!run->endpoint)
		return;
	tunnel = &worker->counters[run->endpoint->interface];
	tunnel->rx_packets += run->tunnel_packets;
	tunnel->rx_bytes += run->tunnel_bytes;
}

static rte_edge_t failed(struct pw_worker *worker, struct rte_mbuf *mbuf, const struct pw_sa *sa,
			 uint8_t status)
{
	switch (status) {
	case PW_CRYPTO_BAD_ICV:
		worker->sa[sa->id].icv_failures++;
		return pw_stage_drop(mbuf, PW_DROP_ESP_ICV);
	case PW_CRYPTO_BAD_LENGTH:
		return refuse(worker, mbuf, sa, PW_DROP_ESP_LENGTH);
	default:
		return pw_stage_drop(mbuf, PW_DROP_ESP_ENGINE);
	}
}

/* Packets of one SA in a row, all authentic: the window takes them together. */
static void accept_run(struct pw_worker *worker, void **objs, rte_edge_t *edges,
		       struct burst *burst, uint16_t first, uint16_t count)
{
	const struct pw_sa *sa = burst->pending[first].sa;
	struct run run = {.sa = sa, .endpoint = straight_to(sa)};
	uint64_t new = pw_seqwindow_accept_burst(&sa->state->window, &burst->numbers[first], count);

	for (uint16_t i = 0; i < count; i++) {
		const struct pending *pending = &burst->pending[first + i];
		struct rte_mbuf *mbuf = objs[pending->at];

		if (likely(new >> i & 1)) {
			edges[pending->at] = authentic(worker, mbuf, pending,
						       &burst->ops[first + i], burst, &run);
		} else {
			worker->sa[sa->id].replays++;
			edges[pending->at] = pw_stage_drop(mbuf, PW_DROP_ESP_REPLAY);
		}
	}
	run_count(worker, &run);
}

/* The engine opens what no port has. */
static void open_burst(struct pw_worker *worker, struct burst *burst)
{
	uint16_t last;

	if (likely(!burst->opened)) {
		pw_crypto_open(worker->crypto, burst->ops, burst->count);
		return;
	}
	for (uint16_t i = 0; i < burst->count; i = last) {
		bool opened = burst->opened >> i & 1;

		last = i + 1;
		while (last < burst->count && (burst->opened >> last & 1) == opened)
			last++;
		if (!opened)
			pw_crypto_open(worker->crypto, &burst->ops[i], last - i);
	}
}

/* Of packets out of tunnel mode, those that no policy lets in go no further. */
static void inside_input(struct pw_worker *worker, void **objs, rte_edge_t *edges,
			 const struct pw_esp_inside *inside)
{
	enum pw_drop drops[BURST];

	pw_esp_tunnel_admit(worker, objs, inside, drops);
	for (uint16_t i = 0; i < inside->count; i++)
		if (unlikely(drops[i] != PW_DROP_NONE))
			edges[inside->at[i]] =
				refuse(worker, objs[inside->at[i]], inside->sas[i], drops[i]);
}

static void burst_input(struct pw_worker *worker, void **objs, rte_edge_t *edges, uint16_t n)
{
	struct burst burst;
	uint16_t last;

	burst.count = 0;
	burst.opened = 0;
	burst.inside.count = 0;
	if (unlikely(are_mixed(objs, n)))
		prefetch(worker, objs, n);
	gather(worker, objs, edges, n, &burst);
	open_burst(worker, &burst);
	for (uint16_t i = 0; i < burst.count; i = last) {
		const struct pending *pending = &burst.pending[i];

		last = i;
		while (last < burst.count && burst.ops[last].status == PW_CRYPTO_OK &&
		       burst.pending[last].sa == pending->sa)
			last++;
		if (likely(last > i)) {
			accept_run(worker, objs, edges, &burst, i, last - i);
		} else {
			edges[pending->at] =
				failed(worker, objs[pending->at], pending->sa, burst.ops[i].status);
			last = i + 1;
		}
	}
	if (unlikely(burst.inside.count))
		inside_input(worker, objs, edges, &burst.inside);
}

static uint16_t esp_input(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i += BURST)
		burst_input(worker, &objs[i], &edges[i], RTE_MIN(BURST, n - i));
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(esp_input, "esp-input", esp_input, "drop", "gre-input", "mpls-input", "ipv4-lookup",
	 "ipv6-lookup")
