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
#include "dataplane/worker.h"

#define OUTER (sizeof(struct rte_ipv4_hdr) + 8) /* with GRE and one label */
#define MARK  8                                 /* bytes at the packet's end */

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

void pw_bench_stream_init(struct pw_bench_stream *stream, const struct pw_bench_row *row,
			  uint64_t seed)
{
	const struct pw_bench_site *site = pw_bench_site_of(row);
	struct rte_ipv4_hdr *ip;
	struct rte_udp_hdr *udp;
	uint8_t *at;

	memset(stream, 0, sizeof(*stream));
	stream->site = site;
	stream->work = row->work;
	stream->peers = row->peers;
	stream->random = seed * 0x9e3779b97f4a7c15u | 1;
	for (unsigned int i = 0; i < PW_BENCH_IMIX_PERIOD; i++)
		stream->sizes[i] = row->size == PW_BENCH_IMIX ? pw_bench_imix[i] : row->size;
	if (row->work == PW_BENCH_DISPOSE) {
		at = frame_init(stream, pw_bench_mac_core, pw_bench_port_core, 0);
		ip = (void *)at;
		ip_init(ip, IPPROTO_GRE, 0, PW_BENCH_PE);
		ip->fragment_offset = htons(RTE_IPV4_HDR_DF_FLAG);
		stream->outer_sum = sum_of(ip);
		at = (void *)(ip + 1);
		memcpy(at + 2, &(uint16_t){htons(RTE_ETHER_TYPE_MPLS)}, 2);
		at += OUTER - sizeof(*ip);
	} else {
		at = frame_init(stream, pw_bench_mac_ce, pw_bench_port_ce, site->vlan);
	}
	ip = (void *)at;
	ip_init(ip, IPPROTO_UDP, PW_BENCH_CE_NEXT, 0);
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

static void write_outer(struct pw_bench_stream *stream, uint8_t *frame, uint32_t v, uint32_t peers,
			uint16_t size)
{
	struct rte_ipv4_hdr *ip = (void *)(frame + sizeof(struct rte_ether_hdr));
	uint32_t peer = PW_BENCH_PEERS + 1;
	uint32_t entry;

	if (peers > 1)
		peer += below((uint32_t)random_next(stream), peers);
	ip->src_addr = htonl(peer);
	entry = htonl(pw_bench_site_own_label(stream->site, v) << 12 | 1u << 8 | 255);
	memcpy((uint8_t *)ip + OUTER - 4, &entry, 4);
	ip_finish(ip, stream->outer_sum + (ip->src_addr & 0xffff) + (ip->src_addr >> 16),
		  (uint16_t)(size + OUTER));
}

/* At the packet's end, where no header is. */
static void write_mark(const struct pw_bench_stream *stream, struct rte_mbuf *mbuf, uint32_t v,
		       uint32_t j)
{
	struct mark mark = {0};

	if (stream->work == PW_BENCH_IMPOSE) {
		mark.label = pw_bench_site_label(v);
		mark.peer = pw_bench_site_peer(stream->site, v, j);
	} else if (stream->site->vlan) {
		mark.label = stream->site->vlan + v;
	}
	memcpy(rte_pktmbuf_mtod_offset(mbuf, char *, mbuf->data_len - MARK), &mark, MARK);
}

static void fill(struct pw_bench_stream *stream, struct rte_mbuf *mbuf)
{
	const struct pw_bench_site *site = stream->site;
	uint8_t *frame = rte_pktmbuf_mtod(mbuf, uint8_t *);
	struct rte_ipv4_hdr *ip = (void *)(frame + stream->inner);
	uint64_t random = random_next(stream);
	uint32_t v = below((uint32_t)(random >> 32), site->vrfs);
	uint32_t j = below((uint32_t)random, site->routes / site->vrfs);
	uint16_t size = stream->sizes[stream->size_at];

	stream->size_at = stream->size_at + 1 == PW_BENCH_IMIX_PERIOD ? 0 : stream->size_at + 1;
	memcpy(frame, stream->header, 64);
	if (stream->header_size > 64)
		memcpy(frame + 64, stream->header + 64, 64);
	ip->dst_addr = htonl(pw_bench_site_prefix(site, v, j) | ((random & 0x7f) + 1));
	ip_finish(ip, stream->inner_sum + (ip->dst_addr & 0xffff) + (ip->dst_addr >> 16), size);
	if (stream->work == PW_BENCH_DISPOSE)
		write_outer(stream, frame, v, stream->peers, size);
	else if (site->vlan)
		((struct rte_vlan_hdr *)(frame + sizeof(struct rte_ether_hdr)))->vlan_tci =
			htons((uint16_t)(site->vlan + v));
	mbuf->data_len = (uint16_t)(stream->inner + size);
	mbuf->pkt_len = mbuf->data_len;
	if (unlikely(stream->marked))
		write_mark(stream, mbuf, v, j);
}

void pw_bench_stream_fill(struct pw_bench_stream *stream, struct rte_mbuf **packets, uint16_t n)
{
	for (uint16_t i = 0; i < n; i++)
		fill(stream, packets[i]);
}

/* Labels, GRE and outer header as the marked packet should have got them. */
static bool check_imposed(const uint8_t *frame, struct mark mark)
{
	const struct rte_ether_hdr *ether = (const void *)frame;
	const struct rte_ipv4_hdr *ip = (const void *)(ether + 1);
	uint32_t entry;

	memcpy(&entry, (const uint8_t *)ip + OUTER - 4, 4);
	entry = ntohl(entry);
	return ether->ether_type == htons(RTE_ETHER_TYPE_IPV4) &&
	       !memcmp(&ether->dst_addr, pw_bench_mac_core, sizeof(pw_bench_mac_core)) &&
	       ip->next_proto_id == IPPROTO_GRE && ip->src_addr == htonl(PW_BENCH_PE) &&
	       sum_of(ip) == 0xffff && ip->dst_addr == htonl(mark.peer) &&
	       entry >> 12 == mark.label && (entry & 1u << 8);
}

static bool check_delivered(const uint8_t *frame, struct mark mark)
{
	const struct rte_ether_hdr *ether = (const void *)frame;
	const struct rte_vlan_hdr *tag = (const void *)(ether + 1);
	const struct rte_ipv4_hdr *ip = (const void *)tag;

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
	const uint8_t *frame = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	bool impose = stream->work == PW_BENCH_IMPOSE;
	struct mark mark;

	if (mbuf->nb_segs != 1 || mbuf->data_len < 64 ||
	    port != (impose ? pw_bench_port_core : pw_bench_port_ce))
		return false;
	memcpy(&mark, frame + mbuf->data_len - MARK, MARK);
	return impose ? check_imposed(frame, mark) : check_delivered(frame, mark);
}
