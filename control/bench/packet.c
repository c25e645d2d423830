/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The packets of a row. Payloads stay in their buffers; headers are written anew each time a
 * packet is handed out, from one ready-made header and a random number that chooses VRF, route
 * and remote PE. No list of destinations takes up cache beside the tables.
 */
#include "control/bench/bench.h"

#include <arpa/inet.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_memcpy.h>
#include <rte_udp.h>

#include "drivers/port.h"
#include "drivers/port_bench.h"
#include "dataplane/transmit/esp.h"
#include "dataplane/worker.h"

#define IP    sizeof(struct rte_ipv4_hdr)
#define SHIM  8 /* GRE and one label */
#define OUTER (IP + SHIM)
#define MARK  8 /* bytes at the packet's end */

struct mark {
	uint32_t label; /* or VLAN id */
	uint32_t peer;
};

static uint32_t sum_of(const void *ip)
{
	return rte_raw_cksum(ip, sizeof(struct rte_ipv4_hdr));
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void ip_init(struct rte_ipv4_hdr *ip, uint8_t protocol, uint32_t source, uint32_t to)
{
	ip->version_ihl = RTE_IPV4_VHL_DEF;
	ip->time_to_live = 64;
	ip->next_proto_id = protocol;
	ip->src_addr = htonl(source);
	ip->dst_addr = htonl(to);
}

static uint8_t *frame_init(struct pw_bench_stream *stream, const uint8_t *from, uint16_t port,
			   uint16_t vlan)
{
	struct rte_ether_hdr *ether = (void *)stream->header;
	struct rte_vlan_hdr *tag = (void *)(ether + 1);

	memcpy(&ether->src_addr, from, sizeof(ether->src_addr));
	memcpy(&ether->dst_addr, pw_port_find(port)->mac, sizeof(ether->dst_addr));
	ether->ether_type = htons(vlan ? RTE_ETHER_TYPE_VLAN : RTE_ETHER_TYPE_IPV4);
	if (!vlan)
		return (void *)tag;
	tag->eth_proto = htons(RTE_ETHER_TYPE_IPV4);
	return (void *)(tag + 1);
}

/* The outer header, and GRE's protocol; returns where the customer's packet begins. */
static uint8_t *outer_init(struct pw_bench_stream *stream, const struct pw_bench_row *row)
{
	bool sealed = pw_bench_is_opened(row->work);
	uint8_t *at = frame_init(stream, pw_bench_mac_core, pw_bench_port_core, 0);
	struct rte_ipv4_hdr *ip = (void *)at;

	ip_init(ip, sealed ? IPPROTO_ESP : IPPROTO_GRE, 0, PW_BENCH_PE);
	ip->fragment_offset = htons(RTE_IPV4_HDR_DF_FLAG);
	stream->outer_sum = sum_of(ip);
	at += IP;
	if (sealed) {
		stream->esp = (uint16_t)(at - stream->header);
		at += pw_bench_esp_before(row->suite);
	}
	if (pw_bench_from_tunnel(row->work))
		return at;
	memcpy(at + 2, &(uint16_t){htons(RTE_ETHER_TYPE_MPLS)}, 2);
	return at + SHIM;
}

void pw_bench_stream_init(struct pw_bench_stream *stream, const struct pw_bench_row *row,
			  uint16_t worker, uint64_t seed)
{
	const struct pw_bench_site *site = pw_bench_site_of(row);
	struct rte_ipv4_hdr *ip;
	struct rte_udp_hdr *udp;
	uint8_t *at;

	memset(stream, 0, sizeof(*stream));
	stream->site = site;
	stream->work = row->work;
	stream->suite = row->suite;
	stream->peer_step = row->own ? row->workers : 1;
	stream->peer_first = row->own ? worker : 0;
	stream->peers = pw_bench_row_peers(row) / stream->peer_step;
	stream->random = seed * 0x9e3779b97f4a7c15u | 1;
	for (unsigned int i = 0; i < PW_BENCH_IMIX_PERIOD; i++)
		stream->sizes[i] = row->size == PW_BENCH_IMIX ? pw_bench_imix[i] : row->size;
	if (pw_bench_is_inward(row->work))
		at = outer_init(stream, row);
	else
		at = frame_init(stream, pw_bench_mac_ce, pw_bench_port_ce, site->vlan);
	ip = (void *)at;
	ip_init(ip, IPPROTO_UDP, pw_bench_from_tunnel(row->work) ? 0 : PW_BENCH_CE_NEXT, 0);
	stream->inner = (uint16_t)(at - stream->header);
	stream->inner_sum = sum_of(ip);
	udp = (void *)(ip + 1);
	udp->src_port = htons(4000);
	udp->dst_port = htons(4001);
	stream->header_size = RTE_ALIGN_CEIL(stream->inner + sizeof(*ip) + sizeof(*udp), 64);
}

/* What is random of a packet: xorshift64*, whose high half is good. */
static uint64_t random_next(struct pw_bench_stream *stream)
{
	stream->random ^= stream->random >> 12;
	stream->random ^= stream->random << 25;
	stream->random ^= stream->random >> 27;
	return stream->random * 0x2545f4914f6cdd1du;
}

static uint32_t below(uint32_t random, uint32_t bound)
{
	return (uint32_t)((uint64_t)random * bound >> 32);
}

static void ip_finish(struct rte_ipv4_hdr *ip, uint32_t sum, uint16_t length)
{
	ip->total_length = htons(length);
	sum += ip->total_length;
	ip->hdr_checksum = fold(sum);
}

uint32_t pw_bench_stream_random(struct pw_bench_stream *stream, uint32_t bound)
{
	return below((uint32_t)(random_next(stream) >> 32), bound);
}

/* One of the remote PEs that the stream's worker has to do with. */
static uint32_t peer_next(struct pw_bench_stream *stream)
{
	uint32_t of = stream->peers > 1 ? below((uint32_t)random_next(stream), stream->peers) : 0;

	return stream->peer_first + of * stream->peer_step;
}

static uint32_t write_outer(struct pw_bench_stream *stream, uint8_t *frame, uint32_t v,
			    uint16_t length)
{
	struct rte_ipv4_hdr *ip = (void *)(frame + sizeof(struct rte_ether_hdr));
	uint32_t entry, peer = pw_bench_to_tunnel(stream->work) ? 0 : peer_next(stream);

	if (pw_bench_from_tunnel(stream->work)) {
		ip->src_addr = htonl(PW_BENCH_SITES + 1 + peer);
	} else {
		ip->src_addr = htonl(PW_BENCH_PEERS + 1 + peer);
		entry = htonl(pw_bench_site_own_label(stream->site, v) << 12 | 1u << 8 | 255);
		memcpy(frame + stream->inner - 4, &entry, 4);
	}
	ip_finish(ip, stream->outer_sum + (ip->src_addr & 0xffff) + (ip->src_addr >> 16), length);
	return peer;
}

/* At the packet's end, where no header is. */
static void write_mark(const struct pw_bench_stream *stream, uint8_t *end, uint32_t v, uint32_t j)
{
	struct mark mark = {0};

	if (pw_bench_to_tunnel(stream->work)) {
		mark.peer = PW_BENCH_SITES + 1 + j;
	} else if (pw_bench_is_outward(stream->work)) {
		mark.label = pw_bench_site_label(v);
		mark.peer = pw_bench_site_peer(stream->site, v, j);
	} else if (stream->site->vlan) {
		mark.label = stream->site->vlan + v;
	}
	memcpy(end - MARK, &mark, MARK);
}

/* Which of its VRF's routes a packet is for: one to a remote PE of the stream's. */
static uint32_t route_of(const struct pw_bench_stream *stream, uint32_t random)
{
	const struct pw_bench_site *site = stream->site;
	uint32_t each = site->routes / site->vrfs;

	if (likely(stream->peer_step == 1 || site->local))
		return below(random, each);
	return stream->peer_first + below(random, each / stream->peer_step) * stream->peer_step;
}

/* Trailer and ICV behind the customer's packet. */
static uint16_t outer_behind(const struct pw_bench_stream *stream, uint16_t size)
{
	uint16_t shim = pw_bench_from_tunnel(stream->work) ? 0 : SHIM;

	return pw_esp_trailer(stream->suite->align, 0, shim + size) + stream->suite->icv_bytes;
}

/* An address of the site's, which is all that its policy lets in. Returns what it adds to a sum. */
static uint32_t write_source(struct rte_ipv4_hdr *ip, uint32_t site)
{
	ip->src_addr = htonl(PW_BENCH_OFF_NET + (site << 8) + 2);
	return (ip->src_addr & 0xffff) + (ip->src_addr >> 16);
}

uint16_t pw_bench_stream_frame(struct pw_bench_stream *stream, uint8_t *frame, uint32_t *peer)
{
	const struct pw_bench_site *site = stream->site;
	struct rte_ipv4_hdr *ip = (void *)(frame + stream->inner);
	uint64_t random = random_next(stream);
	uint32_t v = below((uint32_t)(random >> 32), site->vrfs);
	bool off_net = pw_bench_to_tunnel(stream->work);
	uint32_t j = off_net ? peer_next(stream) : route_of(stream, (uint32_t)random);
	uint32_t prefix = off_net ? PW_BENCH_OFF_NET + (j << 8) : pw_bench_site_prefix(site, v, j);
	uint16_t size = stream->sizes[stream->size_at];
	uint32_t sum = stream->inner_sum;

	stream->size_at = stream->size_at + 1 == PW_BENCH_IMIX_PERIOD ? 0 : stream->size_at + 1;
	memcpy(frame, stream->header, 64);
	if (stream->header_size > 64)
		memcpy(frame + 64, stream->header + 64, 64);
	ip->dst_addr = htonl(prefix | ((random & 0x7f) + 1));
	if (pw_bench_is_inward(stream->work)) {
		uint16_t behind = stream->suite ? outer_behind(stream, size) : 0;

		*peer = write_outer(
			stream, frame, v,
			(uint16_t)(stream->inner - sizeof(struct rte_ether_hdr) + size + behind));
	} else if (site->vlan) {
		((struct rte_vlan_hdr *)(frame + sizeof(struct rte_ether_hdr)))->vlan_tci =
			htons((uint16_t)(site->vlan + v));
	}
	if (pw_bench_from_tunnel(stream->work))
		sum += write_source(ip, *peer);
	ip_finish(ip, sum + (ip->dst_addr & 0xffff) + (ip->dst_addr >> 16), size);
	if (unlikely(stream->marked))
		write_mark(stream, frame + stream->inner + size, v, j);
	return stream->inner + size;
}

static void fill(struct pw_bench_stream *stream, struct rte_mbuf *mbuf)
{
	uint32_t peer;

	mbuf->data_len = pw_bench_stream_frame(stream, rte_pktmbuf_mtod(mbuf, uint8_t *), &peer);
	mbuf->pkt_len = mbuf->data_len;
}

void pw_bench_stream_fill(struct pw_bench_stream *stream, struct rte_mbuf **packets, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		fill(stream, packets[i]);
}

/* ---- as they should come out --------------------------------------------------------------- */

/*
 * What was sealed is opened again: by the SA's key, which the stage had, but from what is in the
 * packet alone (SPI, number, IV, length).
 */
static const uint8_t *check_sealed(const struct pw_bench_stream *stream, uint8_t *esp,
				   const uint8_t *end, uint32_t peer)
{
	bool off_net = pw_bench_to_tunnel(stream->work);
	uint32_t first = (off_net ? PW_BENCH_SITES : PW_BENCH_PEERS) + 1;
	const struct pw_sa *sa = pw_bench_sa_out(stream->work, peer - first);
	uint16_t before = pw_bench_esp_before(stream->suite);
	uint16_t around = before + stream->suite->icv_bytes;
	struct pw_crypto_op op = {.key = sa->key, .esp = esp};

	if (end - esp < around + SHIM + 2 || memcmp(esp, &sa->spi, sizeof(sa->spi)) != 0 ||
	    !memcmp(esp + 4, "\0\0\0", 4))
		return NULL;
	op.text_bytes = (uint16_t)(end - esp - around);
	if (pw_crypto_open(pw_worker()->crypto, &op, 1))
		return NULL;
	end -= stream->suite->icv_bytes;
	return end[-1] == (off_net ? IPPROTO_IPIP : IPPROTO_GRE) ? end - 2 - end[-2] : NULL;
}

/* Label, GRE, outer header and ESP as the marked packet should have got them. */
static bool check_imposed(const struct pw_bench_stream *stream, uint8_t *frame, uint16_t length)
{
	const struct rte_ether_hdr *ether = (const void *)frame;
	const struct rte_ipv4_hdr *ip = (const void *)(ether + 1);
	uint16_t shim = pw_bench_to_tunnel(stream->work) ? 0 : SHIM;
	bool sealed = stream->suite != NULL;
	uint8_t *payload = frame + sizeof(*ether) + IP;
	const uint8_t *end = frame + sizeof(*ether) + ntohs(ip->total_length);
	struct mark mark;
	uint32_t entry;

	if (ether->ether_type != htons(RTE_ETHER_TYPE_IPV4) ||
	    memcmp(&ether->dst_addr, pw_bench_mac_core, sizeof(pw_bench_mac_core)) != 0 ||
	    ip->next_proto_id != (sealed ? IPPROTO_ESP : IPPROTO_GRE) ||
	    ip->src_addr != htonl(PW_BENCH_PE) || sum_of(ip) != 0xffff || end != frame + length)
		return false;
	if (sealed) {
		end = check_sealed(stream, payload, end, ntohl(ip->dst_addr));
		payload += pw_bench_esp_before(stream->suite);
	}
	if (!end || end < payload + shim + IP + MARK)
		return false;
	memcpy(&mark, end - MARK, MARK);
	if (mark.peer != ntohl(ip->dst_addr))
		return false;
	ip = (const void *)(payload + shim);
	if (ip->time_to_live != 63 || sum_of(ip) != 0xffff)
		return false;
	if (!shim)
		return true;
	memcpy(&entry, payload + SHIM - 4, 4);
	entry = ntohl(entry);
	return entry >> 12 == mark.label && (entry & 1u << 8);
}

static bool check_delivered(const uint8_t *frame, uint16_t length)
{
	const struct rte_ether_hdr *ether = (const void *)frame;
	const struct rte_vlan_hdr *tag = (const void *)(ether + 1);
	const struct rte_ipv4_hdr *ip = (const void *)tag;
	struct mark mark;

	memcpy(&mark, frame + length - MARK, MARK);
	if (memcmp(&ether->dst_addr, pw_bench_mac_ce, sizeof(pw_bench_mac_ce)) != 0)
		return false;
	if (mark.label) {
		if (ether->ether_type != htons(RTE_ETHER_TYPE_VLAN) ||
		    (ntohs(tag->vlan_tci) & 0xfff) != mark.label)
			return false;
		ip = (const void *)(tag + 1);
	}
	return ip->next_proto_id == IPPROTO_UDP && ip->time_to_live == 63 && sum_of(ip) == 0xffff;
}

bool pw_bench_stream_check(const struct pw_bench_stream *stream, uint16_t port,
			   const struct rte_mbuf *mbuf)
{
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	bool outward = pw_bench_is_outward(stream->work);

	if (mbuf->nb_segs != 1 || mbuf->data_len < 64 ||
	    port != (outward ? pw_bench_port_core : pw_bench_port_ce))
		return false;
	return outward ? check_imposed(stream, frame, mbuf->data_len)
		       : check_delivered(frame, mbuf->data_len);
}
