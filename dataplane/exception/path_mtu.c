/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * path-mtu: a router says that ESP of ours was too big for it. Whether that is so, and what follows
 * from it, is the control thread's to find out (control/sa_path_mtu.c).
 */
#include "dataplane/exception/path_mtu.h"
#include "dataplane/stage.h"

#include <errno.h>
#include <netinet/in.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
};

#define ICMP_SIZE             8
#define ICMP_UNREACHABLE      3
#define ICMP_CODE_FRAG_NEEDED 4
#define ICMPV6_TOO_BIG        2
#define UDP_SIZE              8
#define SPI_SIZE              4
#define ESP_SIZE              8
#define PORT_ESP_IN_UDP       4500

static uint16_t ip_header(const struct rte_mbuf *mbuf)
{
	if (pw_ip_version(mbuf) == 6)
		return sizeof(struct rte_ipv6_hdr);
	return rte_ipv4_hdr_len(rte_pktmbuf_mtod(mbuf, const struct rte_ipv4_hdr *));
}

/* RFC 1191 4: the lower half of the second word; RFC 4443 3.2: all of it, and the code is nothing.
 */
static bool too_big(const uint8_t *icmp, struct pw_esp_quote *quote)
{
	uint32_t rest;

	memcpy(&rest, icmp + 4, sizeof(rest));
	rest = rte_be_to_cpu_32(rest);
	quote->mtu = quote->v6 ? rest : rest & 0xffff;
	return quote->v6 ? icmp[0] == ICMPV6_TOO_BIG
			 : icmp[0] == ICMP_UNREACHABLE && icmp[1] == ICMP_CODE_FRAG_NEEDED;
}

/* What follows the header, which has no options when it is of ours. 0: the header is not. */
static uint8_t quoted4(const uint8_t *at, struct pw_esp_quote *quote)
{
	struct rte_ipv4_hdr ip;

	memcpy(&ip, at, sizeof(ip));
	quote->source = at + offsetof(struct rte_ipv4_hdr, src_addr);
	quote->destination = at + offsetof(struct rte_ipv4_hdr, dst_addr);
	quote->length = rte_be_to_cpu_16(ip.total_length);
	if (ip.version_ihl != RTE_IPV4_VHL_DEF ||
	    ip.fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK))
		return 0;
	return ip.next_proto_id;
}

static uint8_t quoted6(const uint8_t *at, struct pw_esp_quote *quote)
{
	struct rte_ipv6_hdr ip;

	memcpy(&ip, at, sizeof(ip));
	quote->source = at + offsetof(struct rte_ipv6_hdr, src_addr);
	quote->destination = at + offsetof(struct rte_ipv6_hdr, dst_addr);
	quote->length = sizeof(ip) + rte_be_to_cpu_16(ip.payload_len);
	return at[0] >> 4 == 6 ? ip.proto : 0;
}

/* False: it is IKE's, or might be. */
static bool quoted_udp(const uint8_t *at, uint16_t room, struct pw_esp_quote *quote)
{
	uint32_t spi;

	if (room < UDP_SIZE + SPI_SIZE)
		return false;
	memcpy(&quote->udp_source, at, sizeof(quote->udp_source));
	memcpy(&quote->udp_destination, at + 2, sizeof(quote->udp_destination));
	memcpy(&spi, at + UDP_SIZE, sizeof(spi));
	quote->udp = true;
	return quote->udp_source == RTE_BE16(PORT_ESP_IN_UDP) && spi != 0;
}

int pw_esp_quote_read(const struct rte_mbuf *mbuf, struct pw_esp_quote *quote)
{
	uint16_t header = ip_header(mbuf), room = mbuf->data_len - header;
	const uint8_t *icmp = rte_pktmbuf_mtod_offset(mbuf, const uint8_t *, header);
	const uint8_t *ip = icmp + ICMP_SIZE, *esp;
	uint8_t protocol;
	uint16_t size;

	*quote = (struct pw_esp_quote){.v6 = pw_ip_version(mbuf) == 6};
	size = quote->v6 ? sizeof(struct rte_ipv6_hdr) : sizeof(struct rte_ipv4_hdr);
	if (room < ICMP_SIZE + size || !too_big(icmp, quote))
		return -ENOENT;
	protocol = quote->v6 ? quoted6(ip, quote) : quoted4(ip, quote);
	esp = ip + size;
	room -= ICMP_SIZE + size;
	if (protocol == IPPROTO_UDP && quoted_udp(esp, room, quote)) {
		esp += UDP_SIZE;
		room -= UDP_SIZE;
	} else if (protocol != IPPROTO_ESP) {
		return -ENOENT;
	}
	if (room < ESP_SIZE)
		return -EBADMSG;
	memcpy(&quote->spi, esp, sizeof(quote->spi));
	memcpy(&quote->sequence, esp + SPI_SIZE, sizeof(quote->sequence));
	quote->sequence = rte_be_to_cpu_32(quote->sequence);
	return 0;
}

static bool checksum_is_right(const struct rte_mbuf *mbuf)
{
	uint16_t header = ip_header(mbuf);
	const void *icmp = rte_pktmbuf_mtod_offset(mbuf, const void *, header);

	if (pw_ip_version(mbuf) == 6)
		return rte_ipv6_udptcp_cksum_verify(
			       rte_pktmbuf_mtod(mbuf, const struct rte_ipv6_hdr *), icmp) == 0;
	return rte_raw_cksum(icmp, mbuf->data_len - header) == 0xffff;
}

static enum pw_drop hand_over(struct pw_worker *worker, struct rte_mbuf *mbuf)
{
	struct pw_esp_quote quote;

	if (!checksum_is_right(mbuf))
		return PW_DROP_LOCAL_ICMP;
	if (pw_esp_quote_read(mbuf, &quote))
		return PW_DROP_LOCAL_TRUNCATED;
	if (!pw_rate_take(&worker->punt_rate, worker->now))
		return PW_DROP_PUNT_RATE;
	pw_packet(mbuf)->request = PW_REQUEST_PATH_MTU;
	if (rte_ring_sp_enqueue(worker->punt, mbuf))
		return PW_DROP_PUNT_RATE;
	worker->punted = true;
	return PW_DROP_NONE;
}

static uint16_t path_mtu(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();

	for (uint16_t i = 0; i < n; i++) {
		enum pw_drop drop = hand_over(worker, objs[i]);

		if (drop != PW_DROP_NONE)
			rte_node_enqueue_x1(graph, node, pw_stage_drop(objs[i], drop), objs[i]);
	}
	return n;
}

PW_STAGE(path_mtu, "path-mtu", path_mtu, "drop")
