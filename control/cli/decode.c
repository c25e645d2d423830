/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/decode.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include <linux/if_ether.h>

#include "control/cli/print.h"
#include "lib/pewter_netlink.h"

#define HEADERS_MAX   16  /* a packet may nest tunnels without end */
#define PROTOCOL_MPLS 137 /* RFC 4023 */
#define GRE_CHECKSUM  0x8000
#define GRE_KEY       0x2000
#define GRE_SEQUENCE  0x1000

/** What is left of the packet. */
struct rest {
	const uint8_t *data;
	uint32_t size;
	unsigned int headers;
};

static uint16_t get16(const uint8_t *data)
{
	return (uint16_t)(data[0] << 8 | data[1]);
}

static uint32_t get32(const uint8_t *data)
{
	return (uint32_t)get16(data) << 16 | get16(data + 2);
}

/** Begins a header's object; false when it is not all there. */
static bool begin(struct rest *rest, const char *protocol, uint32_t size)
{
	if (rest->headers++ > 0)
		print_text(" | ");
	print_object_begin(NULL);
	print_string("protocol", "%s", protocol);
	if (rest->size >= size && rest->headers < HEADERS_MAX)
		return true;
	print_bool("truncated", " (cut short)", true);
	print_object_end();
	return false;
}

static void skip(struct rest *rest, uint32_t size)
{
	rest->data += size;
	rest->size -= size;
}

static void print_ip_address(const char *key, const char *format, int family, const uint8_t *bytes)
{
	char text[INET6_ADDRSTRLEN];

	print_string(key, format, inet_ntop(family, bytes, text, sizeof(text)));
}

static void print_mac(const char *key, const char *format, const uint8_t *mac)
{
	char text[18];

	snprintf(text, sizeof(text), "%02x:%02x:%02x:%02x:%02x:%02x", mac[0], mac[1], mac[2],
		 mac[3], mac[4], mac[5]);
	print_string(key, format, text);
}

static void print_flag(const char *key, const char *text, bool value)
{
	if (value)
		print_bool(key, text, true);
}

/* ---- above IP ---------------------------------------------------------------------------- */

static void udp_tcp(struct rest *rest, bool tcp)
{
	if (!begin(rest, tcp ? "tcp" : "udp", tcp ? 14 : 8))
		return;
	print_number("source_port", " %" PRIu64, get16(rest->data));
	print_number("destination_port", " > %" PRIu64, get16(rest->data + 2));
	if (tcp) {
		uint8_t flags = rest->data[13];

		print_number("sequence", " seq %" PRIu64, get32(rest->data + 4));
		print_flag("syn", " SYN", flags & 0x02);
		print_flag("ack", " ACK", flags & 0x10);
		print_flag("fin", " FIN", flags & 0x01);
		print_flag("rst", " RST", flags & 0x04);
	} else {
		print_number("length", " length %" PRIu64, get16(rest->data + 4));
	}
	print_object_end();
}

static const char *icmp_name(uint8_t type, bool v6)
{
	static const struct {
		uint8_t type4, type6;
		const char *name;
	} names[] = {
		{8, 128, "echo-request"},
		{0, 129, "echo-reply"},
		{3, 1, "unreachable"},
		{11, 3, "time-exceeded"},
		{12, 4, "parameter-problem"},
		{0xff, 2, "packet-too-big"},
		{0xff, 133, "router-solicitation"},
		{0xff, 134, "router-advertisement"},
		{0xff, 135, "neighbour-solicitation"},
		{0xff, 136, "neighbour-advertisement"},
	};
	unsigned int i;

	for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (type != 0xff && type == (v6 ? names[i].type6 : names[i].type4))
			return names[i].name;
	return NULL;
}

static void icmp(struct rest *rest, bool v6)
{
	const uint8_t *data = rest->data;
	const char *name;

	if (!begin(rest, v6 ? "icmpv6" : "icmp", 8))
		return;
	name = icmp_name(data[0], v6);
	print_string("name", " %s", name);
	print_number("type", name == NULL ? " type %" PRIu64 : NULL, data[0]);
	print_number("code", data[1] != 0 ? " code %" PRIu64 : NULL, data[1]);
	if (v6 ? data[0] == 128 || data[0] == 129 : data[0] == 8 || data[0] == 0) {
		print_number("id", " id %" PRIu64, get16(data + 4));
		print_number("sequence", " seq %" PRIu64, get16(data + 6));
	} else if (!v6 && data[0] == 3 && data[1] == 4) {
		print_number("mtu", " mtu %" PRIu64, get16(data + 6));
	} else if (v6 && data[0] == 2) {
		print_number("mtu", " mtu %" PRIu64, get32(data + 4));
	}
	print_object_end();
}

static void esp(struct rest *rest)
{
	if (!begin(rest, "esp", 8))
		return;
	print_number("spi", " spi 0x%" PRIx64, get32(rest->data));
	print_number("sequence", " seq %" PRIu64, get32(rest->data + 4));
	print_object_end();
}

static void mpls(struct rest *rest);
static void gre(struct rest *rest);
static void ipv4(struct rest *rest);
static void ipv6(struct rest *rest);

static void transport(struct rest *rest, uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
		icmp(rest, protocol == IPPROTO_ICMPV6);
		break;
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		udp_tcp(rest, protocol == IPPROTO_TCP);
		break;
	case IPPROTO_GRE:
		gre(rest);
		break;
	case IPPROTO_ESP:
		esp(rest);
		break;
	case IPPROTO_IPIP:
		ipv4(rest);
		break;
	case IPPROTO_IPV6:
		ipv6(rest);
		break;
	case PROTOCOL_MPLS:
		mpls(rest);
		break;
	default:
		break;
	}
}

/* ---- IP ---------------------------------------------------------------------------------- */

static bool transport_known(uint8_t protocol)
{
	switch (protocol) {
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6:
	case IPPROTO_TCP:
	case IPPROTO_UDP:
	case IPPROTO_GRE:
	case IPPROTO_ESP:
	case IPPROTO_IPIP:
	case IPPROTO_IPV6:
	case PROTOCOL_MPLS:
		return true;
	default:
		return false;
	}
}

static void ipv4(struct rest *rest)
{
	const uint8_t *data = rest->data;
	uint16_t fragment, header;

	if (!begin(rest, "ipv4", 20))
		return;
	fragment = get16(data + 6);
	header = (uint16_t)((data[0] & 0xf) * 4);
	print_ip_address("source", " %s", AF_INET, data + 12);
	print_ip_address("destination", " > %s", AF_INET, data + 16);
	print_number("ttl", " ttl %" PRIu64, data[8]);
	print_number("tos", data[1] != 0 ? " tos 0x%" PRIx64 : NULL, data[1]);
	print_number("id", " id %" PRIu64, get16(data + 4));
	print_flag("dont_fragment", " DF", fragment & 0x4000);
	if ((fragment & 0x3fff) != 0) {
		print_number("fragment_offset", " fragment at %" PRIu64, (fragment & 0x1fffu) * 8);
		print_flag("more_fragments", " more", fragment & 0x2000);
	}
	print_number("length", " length %" PRIu64, get16(data + 2));
	print_number("next", transport_known(data[9]) ? NULL : " proto %" PRIu64, data[9]);
	print_object_end();
	if (header < 20 || header > rest->size || (fragment & 0x1fff) != 0)
		return;
	skip(rest, header);
	transport(rest, data[9]);
}

static void ipv6(struct rest *rest)
{
	const uint8_t *data = rest->data;
	uint8_t class;

	if (!begin(rest, "ipv6", 40))
		return;
	class = (uint8_t)((data[0] & 0xf) << 4 | data[1] >> 4);
	print_ip_address("source", " %s", AF_INET6, data + 8);
	print_ip_address("destination", " > %s", AF_INET6, data + 24);
	print_number("hop_limit", " hoplimit %" PRIu64, data[7]);
	print_number("traffic_class", class != 0 ? " class 0x%" PRIx64 : NULL, class);
	print_number("flow_label", NULL, get32(data) & 0xfffff);
	print_number("length", " length %" PRIu64, get16(data + 4));
	print_number("next", transport_known(data[6]) ? NULL : " next %" PRIu64, data[6]);
	print_object_end();
	skip(rest, 40);
	transport(rest, data[6]);
}

static void ip(struct rest *rest)
{
	if (rest->size > 0 && rest->data[0] >> 4 == 6)
		ipv6(rest);
	else
		ipv4(rest);
}

/* ---- MPLS, GRE, Ethernet ----------------------------------------------------------------- */

static void mpls(struct rest *rest)
{
	bool bottom = false;

	while (!bottom) {
		uint32_t entry;

		if (!begin(rest, "mpls", 4))
			return;
		entry = get32(rest->data);
		bottom = entry & 0x100;
		print_number("label", " label %" PRIu64, entry >> 12);
		print_number("tc", " tc %" PRIu64, entry >> 9 & 7);
		print_bool("bottom", " S", bottom);
		print_number("ttl", " ttl %" PRIu64, entry & 0xff);
		print_object_end();
		skip(rest, 4);
	}
	if (rest->size > 0)
		ip(rest);
}

static void payload(struct rest *rest, uint16_t type)
{
	switch (type) {
	case ETH_P_IP:
		ipv4(rest);
		break;
	case ETH_P_IPV6:
		ipv6(rest);
		break;
	case ETH_P_MPLS_UC:
	case ETH_P_MPLS_MC:
		mpls(rest);
		break;
	default:
		break;
	}
}

static bool payload_known(uint16_t type)
{
	return type == ETH_P_IP || type == ETH_P_IPV6 || type == ETH_P_MPLS_UC ||
	       type == ETH_P_MPLS_MC;
}

static void gre(struct rest *rest)
{
	const uint8_t *data = rest->data;
	uint16_t flags, type;
	uint32_t size = 4;

	if (!begin(rest, "gre", 4))
		return;
	flags = get16(data);
	type = get16(data + 2);
	print_number("flags", flags != 0 ? " flags 0x%04" PRIx64 : NULL, flags);
	print_number("type", payload_known(type) ? NULL : " type 0x%04" PRIx64, type);
	if (flags & GRE_CHECKSUM)
		size += 4;
	if (flags & GRE_KEY) {
		if (rest->size >= size + 4)
			print_number("key", " key %" PRIu64, get32(data + size));
		size += 4;
	}
	if (flags & GRE_SEQUENCE) {
		if (rest->size >= size + 4)
			print_number("sequence", " seq %" PRIu64, get32(data + size));
		size += 4;
	}
	print_object_end();
	if (rest->size < size)
		return;
	skip(rest, size);
	payload(rest, type);
}

static void ethernet(struct rest *rest)
{
	const uint8_t *data = rest->data;
	uint32_t size = 14;
	uint16_t type;

	if (!begin(rest, "ethernet", size))
		return;
	type = get16(data + 12);
	print_mac("source", " %s", data + 6);
	print_mac("destination", " > %s", data);
	if (type == ETH_P_8021Q && rest->size >= 18) {
		print_number("vlan", " vlan %" PRIu64, get16(data + 14) & 0xfff);
		type = get16(data + 16);
		size = 18;
	}
	print_number("type", payload_known(type) ? NULL : " type 0x%04" PRIx64, type);
	print_object_end();
	skip(rest, size);
	payload(rest, type);
}

void decode_print(const char *key, uint8_t layer, const uint8_t *data, uint32_t captured)
{
	struct rest rest = {data, captured, 0};

	print_array_begin(key);
	switch (layer) {
	case PW_LAYER_ETHERNET:
		ethernet(&rest);
		break;
	case PW_LAYER_MPLS:
		mpls(&rest);
		break;
	default:
		ip(&rest);
	}
	print_array_end();
}
