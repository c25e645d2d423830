/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A hostile peer that holds keys: what a packet has in ESP is the fuzzer's, sealed as it must be.
 * An input is a row of records: a byte of flags, two bytes length, the text. The flags say which
 * SA, the outer header's congestion mark, and whether the text gets a right trailer, so that
 * damage behind it is reached; otherwise it ends with its own. SAs in tunnel mode are all red's:
 * where an input is of these alone, nothing leaves by blue's port. Or the text is an ICMP message,
 * in clear and with the right checksum, which may be about ESP that the PE has sent.
 */
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <rte_ether.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "control/sa.h"
#include "drivers/crypto.h"
#include "lib/log.h"
#include "test/fuzz/setup.h"
#include "test/path/pe.h"

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#define FLAG_SA       0x03
#define FLAG_NEXT     0x0c /* of a right trailer: GRE, MPLS-in-IP, IPv4, none */
#define FLAG_MARK     0x10 /* the outer header says congestion */
#define FLAG_TUNNEL   0x20 /* an SA in tunnel mode; next header: IPv4, IPv6, none, GRE */
#define FLAG_ERROR    0x40 /* ICMP; over IPv6 if the lowest bit is set */
#define FLAG_TRAILER  0x80
#define TEXT_MAX      4096 /* with a trailer */
#define ESP_AND_IV    16
#define ICV           16
#define PORT_IN_UDP   4500
#define PORT_BLUE     2
#define ADDRESS(a, b) RTE_IPV4(10, 255, a, b)

/* As in configure_esp.sh. */
static const struct sa {
	uint32_t spi;
	uint32_t source;
	bool v6, udp;
} sas[] = {
	{.spi = 0x1001, .source = ADDRESS(0, 2)},
	{.spi = 0x1002, .source = ADDRESS(0, 3)},
	{.spi = 0x1003, .v6 = true},
	{.spi = 0x1004, .source = ADDRESS(0, 4), .udp = true},
	/* tunnel mode */
	{.spi = 0x1005, .source = ADDRESS(0, 2)},
	{.spi = 0x1006, .v6 = true},
	{.spi = 0x1007, .source = ADDRESS(0, 4), .udp = true},
	{.spi = 0x1008, .source = ADDRESS(0, 3)},
};
#define TUNNEL_FIRST 4

static struct pw_crypto_key *key;
static struct pw_crypto_worker *sealer;
static uint32_t numbers[RTE_DIM(sas)];

static void sealer_stop(void)
{
	pw_crypto_worker_free(sealer);
	pw_crypto_key_free(key);
}

static void sealer_start(void)
{
	static const struct pw_crypto_proposal proposal = {
		.cipher = "rfc4106(gcm(aes))", .key_bits = 160, .icv_bits = 128};
	const struct pw_crypto_suite *suite;
	char why[PW_CRYPTO_WHY_BYTES];
	uint8_t bytes[20];

	memset(bytes, 0x5a, sizeof(bytes));
	if (pw_crypto_suite_find(&proposal, &suite, why) ||
	    pw_crypto_key_new(suite, bytes, sizeof(bytes), NULL, 0, &key) ||
	    pw_crypto_worker_new(&sealer)) {
		fprintf(stderr, "no crypto\n");
		exit(1);
	}
	atexit(sealer_stop);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_start();
	sealer_start();
	fuzz_configure((*argv)[0], PW_FUZZ_CONFIGURE);
	fuzz_configure((*argv)[0], PW_FUZZ_CONFIGURE_ESP);
	pw_log_set_level(PW_LOG_WARNING);
	return 0;
}

static bool only_red; /* so far in this input */

/* Blue's packets of an earlier input may have waited, and be answered now. */
static bool icmp(const uint8_t *frame, size_t length)
{
	const uint8_t *ip = frame + RTE_ETHER_HDR_LEN;

	if (length < RTE_ETHER_HDR_LEN + sizeof(struct rte_ipv6_hdr))
		return false;
	return ip[0] >> 4 == 6 ? ip[6] == IPPROTO_ICMPV6 : ip[9] == IPPROTO_ICMP;
}

/* Every octet is looked at, so that the sanitizer knows that it was set. */
static void sent(unsigned int port, const uint8_t *frame, size_t length, void *context)
{
	uint32_t *sum = context;

	if (length < RTE_ETHER_HDR_LEN || port >= PE_PORTS_MAX ||
	    (port == PORT_BLUE && only_red && !icmp(frame, length)))
		abort();
	for (size_t i = 0; i < length; i++)
		*sum += frame[i];
}

/* The outer headers up to ESP, for @p length bytes of it. Returns where ESP is. */
static uint8_t *headers(uint8_t *frame, const struct sa *sa, uint8_t tos, size_t length)
{
	static const struct rte_ether_hdr ether = {.dst_addr.addr_bytes = {0x02, 0x50},
						   .src_addr.addr_bytes = {0x02, 0, 0, 0, 0xc0, 2}};
	static const uint8_t near[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0xff, [15] = 1};
	static const uint8_t far[16] = {0x20, 0x01, 0x0d, 0xb8, 0, 0xff, [15] = 2};
	uint16_t type = sa->v6 ? RTE_BE16(RTE_ETHER_TYPE_IPV6) : RTE_BE16(RTE_ETHER_TYPE_IPV4);
	struct rte_ipv6_hdr *ip6 = (void *)(frame + sizeof(ether));
	struct rte_ipv4_hdr *ip = (void *)(frame + sizeof(ether));
	struct rte_udp_hdr *udp = (void *)(ip + 1);

	memcpy(frame, &ether, sizeof(ether));
	memcpy(frame + 12, &type, sizeof(type));
	if (sa->v6) {
		*ip6 = (struct rte_ipv6_hdr){.vtc_flow = rte_cpu_to_be_32(6u << 28 | tos << 20),
					     .payload_len = rte_cpu_to_be_16(length),
					     .proto = IPPROTO_ESP,
					     .hop_limits = 60};
		memcpy(ip6->src_addr, far, 16);
		memcpy(ip6->dst_addr, near, 16);
		return (uint8_t *)(ip6 + 1);
	}
	length += sizeof(*ip) + (sa->udp ? sizeof(*udp) : 0);
	*ip = (struct rte_ipv4_hdr){.version_ihl = RTE_IPV4_VHL_DEF,
				    .type_of_service = tos,
				    .total_length = rte_cpu_to_be_16(length),
				    .time_to_live = 60,
				    .next_proto_id = sa->udp ? IPPROTO_UDP : IPPROTO_ESP,
				    .src_addr = rte_cpu_to_be_32(sa->source),
				    .dst_addr = rte_cpu_to_be_32(ADDRESS(0, 1))};
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	if (!sa->udp)
		return (uint8_t *)(ip + 1);
	*udp = (struct rte_udp_hdr){.src_port = RTE_BE16(PORT_IN_UDP),
				    .dst_port = RTE_BE16(PORT_IN_UDP),
				    .dgram_len = rte_cpu_to_be_16(length - sizeof(*ip))};
	return (uint8_t *)(udp + 1);
}

/* The text and, if wanted, its padding. Returns the length, a multiple of 4 as RFC 4303 has it. */
static size_t compose(uint8_t *text, uint8_t flags, const uint8_t *data, size_t length)
{
	static const uint8_t next[][4] = {
		{IPPROTO_GRE, IPPROTO_MPLS, IPPROTO_IPIP, IPPROTO_NONE},
		{IPPROTO_IPIP, IPPROTO_IPV6, IPPROTO_NONE, IPPROTO_GRE},
	};
	uint8_t padding = (uint8_t)(-(length + 2) & 3);

	memcpy(text, data, length);
	if (!(flags & FLAG_TRAILER))
		return length;
	for (uint8_t i = 1; i <= padding; i++)
		text[length++] = i;
	text[length++] = padding;
	text[length++] = next[!!(flags & FLAG_TUNNEL)][(flags & FLAG_NEXT) >> 2];
	return length;
}

static void send_sealed(uint8_t flags, const uint8_t *data, size_t length)
{
	static uint8_t frame[TEXT_MAX + 256], text[TEXT_MAX + 8];
	const struct sa *sa = &sas[(flags & FLAG_SA) + (flags & FLAG_TUNNEL ? TUNNEL_FIRST : 0)];
	uint32_t spi = rte_cpu_to_be_32(sa->spi), number;
	struct pw_crypto_op op = {.key = key};
	uint64_t iv;

	length = compose(text, flags, data, RTE_MIN(length, (size_t)TEXT_MAX));
	op.esp = headers(frame, sa, flags & FLAG_MARK ? 3 : 0, ESP_AND_IV + length + ICV);
	op.text_bytes = (uint16_t)length;
	number = rte_cpu_to_be_32(++numbers[sa - sas]);
	iv = numbers[sa - sas];
	memcpy(op.esp, &spi, 4);
	memcpy(op.esp + 4, &number, 4);
	memcpy(op.esp + 8, &iv, 8);
	memcpy(op.esp + ESP_AND_IV, text, length);
	if (pw_crypto_seal(sealer, &op, 1))
		abort();
	pe_send(0, frame, (size_t)(op.esp - frame) + ESP_AND_IV + length + ICV);
}

static void send_error(uint8_t flags, const uint8_t *data, size_t length)
{
	static uint8_t frame[TEXT_MAX + 256];
	struct sa router = {.source = ADDRESS(0, 9), .v6 = flags & 1};
	struct rte_ipv6_hdr *ip6 = (void *)(frame + RTE_ETHER_HDR_LEN);
	struct rte_ipv4_hdr *ip = (void *)(frame + RTE_ETHER_HDR_LEN);
	uint8_t *message;
	uint16_t checksum = 0;

	length = RTE_MIN(length, (size_t)TEXT_MAX);
	message = headers(frame, &router, 0, length);
	memcpy(message, data, length);
	if (router.v6) {
		ip6->proto = IPPROTO_ICMPV6;
	} else {
		ip->next_proto_id = IPPROTO_ICMP;
		ip->hdr_checksum = 0;
		ip->hdr_checksum = rte_ipv4_cksum(ip);
	}
	if (length >= 4) {
		memcpy(message + 2, &checksum, 2);
		checksum = router.v6 ? rte_ipv6_udptcp_cksum(ip6, message)
				     : (uint16_t)~rte_raw_cksum(message, length);
		memcpy(message + 2, &checksum, 2);
	}
	pe_send(0, frame, (size_t)(message - frame) + length);
}

/* Whatever routers say, no SA's way is too narrow for anything; and it is forgotten. */
static void path_mtus_check(void)
{
	struct pw_sa_entry *entry;

	TAILQ_FOREACH (entry, &pw_sa_list, all) {
		uint16_t mtu = entry->detail->path_mtu;

		if (mtu &&
		    (mtu >= 1500 || mtu < (entry->destination.family == AF_INET6 ? 1280 : 576)))
			abort();
	}
	pw_sa_tick(pw_sa_now() + 700000);
	TAILQ_FOREACH (entry, &pw_sa_list, all)
		if (entry->detail->path_mtu)
			abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	uint32_t sum = 0;
	size_t length;

	pe_rate_set(100);
	only_red = true;
	while (size > 3) {
		length = (size_t)data[1] << 8 | data[2];
		if (length > size - 3)
			length = size - 3;
		only_red &= (data[0] & FLAG_TUNNEL) != 0;
		if (data[0] & FLAG_ERROR)
			send_error(data[0], data + 3, length);
		else
			send_sealed(data[0], data + 3, length);
		data += 3 + length;
		size -= 3 + length;
	}
	pe_run(sent, &sum);
	path_mtus_check();
	return 0;
}
