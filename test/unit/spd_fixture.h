/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_SPD_FIXTURE_H
#define PW_TEST_SPD_FIXTURE_H

/* Random policies and packets, and what RFC 4301 says of them, found bit by bit. */

#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <rte_byteorder.h>

#include "dataplane/table/policy.h"

#define PACKET_ROOM 256

/* A packet, and what is known of it because it was made so. */
struct made {
	struct rte_mbuf mbuf;
	uint8_t data[PACKET_ROOM];
	int family;
	uint8_t source[16], destination[16];
	bool protocol_known, ports_known;
	uint8_t protocol;
	uint16_t ports[2]; /* host order */
};

static uint64_t random_state = 88172645463325252u;

static inline uint32_t random_below(uint32_t limit)
{
	random_state ^= random_state << 13;
	random_state ^= random_state >> 7;
	random_state ^= random_state << 17;
	return (uint32_t)((random_state >> 16) % limit);
}

/* ---- packets ------------------------------------------------------------------------------- */

/* Few, so that rules meet packets. */
static inline void random_address(uint8_t address[16], int family)
{
	static const uint8_t site[] = {0x20, 0x01, 0x0d, 0xb8};

	memset(address, 0, 16);
	if (family == AF_INET) {
		address[0] = 10;
		address[2] = (uint8_t)random_below(2);
		address[3] = (uint8_t)random_below(8);
		return;
	}
	memcpy(address, site, sizeof(site));
	address[5] = (uint8_t)random_below(2);
	address[11] = (uint8_t)random_below(2);
	address[15] = (uint8_t)random_below(4);
}

static inline uint8_t random_protocol(void)
{
	static const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, IPPROTO_ICMP, IPPROTO_ICMPV6,
					    IPPROTO_GRE, IPPROTO_ESP, IPPROTO_MH,   IPPROTO_SCTP};

	return protocols[random_below(sizeof(protocols))];
}

static inline void put(struct made *made, const void *bytes, unsigned int count)
{
	memcpy(made->data + made->mbuf.data_len, bytes, count);
	made->mbuf.data_len += count;
}

static inline void put_upper(struct made *made, uint8_t protocol, bool cut)
{
	uint8_t header[12] = {0};
	unsigned int length = 8;

	made->protocol = protocol;
	made->protocol_known = made->ports_known = true;
	made->ports[0] = (uint16_t)random_below(4);
	made->ports[1] = (uint16_t)random_below(4);
	switch (protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_SCTP:
		header[1] = (uint8_t)made->ports[0];
		header[3] = (uint8_t)made->ports[1];
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		header[0] = (uint8_t)made->ports[0];
		header[1] = (uint8_t)made->ports[1];
		break;
	case IPPROTO_MH:
		header[2] = (uint8_t)made->ports[0];
		made->ports[1] = 0;
		break;
	case IPPROTO_GRE:
		length = 12;
		if (random_below(3)) {
			bool checksum = random_below(2);

			header[0] = checksum ? 0xa0 : 0x20;
			header[checksum ? 9 : 5] = (uint8_t)made->ports[0];
			header[checksum ? 11 : 7] = (uint8_t)made->ports[1];
		} else {
			made->ports[0] = made->ports[1] = 0;
		}
		break;
	default:
		made->ports[0] = made->ports[1] = 0;
		cut = false;
	}
	if (cut) {
		length = 1;
		made->ports_known = false;
	}
	put(made, header, length);
}

static inline void make_ipv4(struct made *made)
{
	uint8_t ip[24] = {0x45, [9] = random_protocol()};
	bool options = !random_below(8), cut = !random_below(16);
	unsigned int fragment = random_below(6);

	if (options) {
		ip[0] = 0x46;
		memset(ip + 20, 1, 4);
	}
	if (fragment == 0)
		ip[7] = 7; /* not the first */
	if (fragment == 1)
		ip[6] = 0x20; /* the first: says all */
	memcpy(ip + 12, made->source, 4);
	memcpy(ip + 16, made->destination, 4);
	put(made, ip, options ? 24 : 20);
	put_upper(made, ip[9], cut);
	if (fragment == 0)
		made->ports_known = false;
}

/* One extension header, for @p next; 16 bytes sometimes. */
static inline void put_extension(struct made *made, uint8_t kind, uint8_t next)
{
	uint8_t header[16] = {next};
	bool longer = kind != IPPROTO_FRAGMENT && random_below(2);

	header[1] = longer;
	put(made, header, longer ? 16 : 8);
}

static inline void make_ipv6(struct made *made)
{
	static const uint8_t kinds[] = {IPPROTO_HOPOPTS, IPPROTO_DSTOPTS, IPPROTO_ROUTING,
					IPPROTO_FRAGMENT};
	uint8_t chain[12], ip[40] = {0x60}, protocol = random_protocol();
	unsigned int count = random_below(2) ? 0 : random_below(4), what = random_below(16);

	if (what == 0)
		count = 9; /* more than are looked through */
	for (unsigned int i = 0; i < count; i++)
		chain[i] = kinds[random_below(sizeof(kinds))];
	if (what == 1) /* of a fragment but the first, what it carries follows the header */
		chain[count++] = IPPROTO_FRAGMENT;
	chain[count] = protocol;
	ip[6] = chain[0];
	memcpy(ip + 8, made->source, 16);
	memcpy(ip + 24, made->destination, 16);
	put(made, ip, sizeof(ip));
	for (unsigned int i = 0; i < count; i++) {
		put_extension(made, chain[i], chain[i + 1]);
		if (what == 1 && i + 1 == count)
			made->data[made->mbuf.data_len - 5] = 8;
	}
	if (what == 2 && count) { /* ends within an extension header */
		made->mbuf.data_len -= 1 + random_below(7);
		return;
	}
	if (what == 3 && count > 1 && chain[0] == IPPROTO_FRAGMENT) {
		made->data[43] = 8; /* not the first, and more extension headers are in that one */
		return;
	}
	put_upper(made, protocol, what == 4);
	if (what == 0)
		made->protocol_known = made->ports_known = false;
	if (what == 1)
		made->ports_known = false;
}

static inline void make(struct made *made, int family)
{
	memset(made, 0, sizeof(*made));
	made->mbuf.buf_addr = made->data;
	made->mbuf.nb_segs = 1;
	made->family = family;
	random_address(made->source, family);
	random_address(made->destination, family);
	if (family == AF_INET)
		make_ipv4(made);
	else
		make_ipv6(made);
	made->mbuf.pkt_len = made->mbuf.data_len;
}

/* ---- policies ------------------------------------------------------------------------------ */

static inline uint8_t random_length(int family)
{
	static const uint8_t four[] = {0, 8, 23, 24, 29, 30, 31, 32};
	static const uint8_t six[] = {0, 32, 47, 48, 95, 96, 127, 128};

	return family == AF_INET ? four[random_below(8)] : six[random_below(8)];
}

static inline struct pw_policy_rule random_rule(int family)
{
	static const uint16_t masks[] = {0xffff, 0xfffe, 0xfffd, 0x0001, 0xff00};
	struct pw_policy_rule rule = {.family = (uint8_t)family,
				      .source_length = random_length(family),
				      .destination_length = random_length(family),
				      .action = (uint8_t)random_below(3)};

	random_address(rule.source, family);
	random_address(rule.destination, family);
	if (random_below(2))
		rule.protocol = random_protocol();
	if (!random_below(3)) {
		rule.source_port = rte_cpu_to_be_16((uint16_t)random_below(4));
		rule.source_port_mask = rte_cpu_to_be_16(masks[random_below(5)]);
	}
	if (!random_below(3)) {
		rule.destination_port = rte_cpu_to_be_16((uint16_t)random_below(4));
		rule.destination_port_mask = rte_cpu_to_be_16(masks[random_below(5)]);
	}
	return rule;
}

/* ---- what is right ------------------------------------------------------------------------- */

static inline bool bit_of(const uint8_t *address, unsigned int i)
{
	return address[i / 8] >> (7 - i % 8) & 1;
}

static inline bool in_prefix(const uint8_t *prefix, unsigned int length, const uint8_t *address)
{
	for (unsigned int i = 0; i < length; i++)
		if (bit_of(prefix, i) != bit_of(address, i))
			return false;
	return true;
}

static inline bool port_fits(uint16_t wanted, uint16_t mask, uint16_t port)
{
	wanted = rte_be_to_cpu_16(wanted);
	mask = rte_be_to_cpu_16(mask);
	for (unsigned int i = 0; i < 16; i++)
		if (mask >> i & 1 && (wanted >> i & 1) != (port >> i & 1))
			return false;
	return true;
}

enum verdict { NO, PERHAPS, YES };

static inline enum verdict rule_verdict(const struct pw_policy_rule *rule, const struct made *made)
{
	enum verdict verdict = YES;

	if (rule->family != made->family ||
	    !in_prefix(rule->source, rule->source_length, made->source) ||
	    !in_prefix(rule->destination, rule->destination_length, made->destination))
		return NO;
	if (rule->protocol) {
		if (!made->protocol_known)
			verdict = PERHAPS;
		else if (rule->protocol != made->protocol)
			return NO;
	}
	if (rule->source_port_mask || rule->destination_port_mask) {
		if (!made->ports_known)
			return PERHAPS;
		if (!port_fits(rule->source_port, rule->source_port_mask, made->ports[0]) ||
		    !port_fits(rule->destination_port, rule->destination_port_mask, made->ports[1]))
			return NO;
	}
	return verdict;
}

#define MODEL_NONE    -1
#define MODEL_DISCARD -2

/* The rule that selects; or that none does; or that one perhaps does, so it is discarded. */
static inline int model_select(const struct pw_policy_rule *rules, unsigned int count,
			       const struct made *made)
{
	int selected = MODEL_NONE;
	bool perhaps = false;

	for (unsigned int i = 0; i < count && selected == MODEL_NONE; i++) {
		enum verdict verdict = rule_verdict(&rules[i], made);

		if (verdict == PERHAPS && rules[i].action != PW_POLICY_BYPASS)
			perhaps = true;
		if (verdict == YES)
			selected = (int)i;
	}
	if (perhaps && (selected == MODEL_NONE || rules[selected].action == PW_POLICY_BYPASS))
		return MODEL_DISCARD;
	return selected;
}

#endif
