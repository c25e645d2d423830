/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/types.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *bgp_address_text(const struct bgp_address *address, char text[BGP_ADDRESS_TEXT])
{
	if (!address->family || !inet_ntop(address->family, address->bytes, text, BGP_ADDRESS_TEXT))
		strcpy(text, "-");
	return text;
}

const char *bgp_prefix_text(const struct bgp_prefix *prefix, char text[BGP_PREFIX_TEXT])
{
	inet_ntop(prefix->family == BGP_VPNV4 ? AF_INET : AF_INET6, prefix->bytes, text,
		  BGP_ADDRESS_TEXT);
	snprintf(text + strlen(text), 6, "/%u", prefix->length);
	return text;
}

const char *bgp_rd_text(uint64_t rd, char text[BGP_RD_TEXT])
{
	switch (rd >> 48) {
	case 0:
		snprintf(text, BGP_RD_TEXT, "%u:%u", (unsigned int)(rd >> 32 & 0xffff),
			 (unsigned int)rd);
		break;
	case 1:
		snprintf(text, BGP_RD_TEXT, "%u.%u.%u.%u:%u", (unsigned int)(rd >> 40 & 255),
			 (unsigned int)(rd >> 32 & 255), (unsigned int)(rd >> 24 & 255),
			 (unsigned int)(rd >> 16 & 255), (unsigned int)(rd & 0xffff));
		break;
	default:
		snprintf(text, BGP_RD_TEXT, "%u:%u", (unsigned int)(rd >> 16 & 0xffffffff),
			 (unsigned int)(rd & 0xffff));
	}
	return text;
}

bool bgp_address_parse(const char *text, struct bgp_address *address)
{
	*address = (struct bgp_address){.family = strchr(text, ':') ? AF_INET6 : AF_INET};
	return inet_pton(address->family, text, address->bytes) == 1;
}

static bool number(const char *text, uint64_t max, uint64_t *value)
{
	char *end;

	if (!isdigit((unsigned char)*text))
		return false;
	errno = 0;
	*value = strtoull(text, &end, 10);
	return !errno && !*end && *value <= max;
}

bool bgp_rd_parse(const char *text, bool target, uint64_t *rd)
{
	char head[32];
	const char *colon = strrchr(text, ':');
	uint64_t first, second, type;
	struct in_addr address;

	if (!colon || (size_t)(colon - text) >= sizeof(head))
		return false;
	memcpy(head, text, (size_t)(colon - text));
	head[colon - text] = '\0';
	if (inet_pton(AF_INET, head, &address) == 1) {
		type = 1;
		first = ntohl(address.s_addr);
	} else if (number(head, UINT32_MAX, &first)) {
		type = first > UINT16_MAX ? 2 : 0;
	} else {
		return false;
	}
	if (!number(colon + 1, type ? UINT16_MAX : UINT32_MAX, &second))
		return false;
	*rd = type ? first << 16 | second : first << 32 | second;
	*rd |= target ? type << 56 | UINT64_C(2) << 48 : type << 48;
	return true;
}

bool bgp_address_equal(const struct bgp_address *a, const struct bgp_address *b)
{
	return memcmp(a, b, sizeof(*a)) == 0;
}

void bgp_address_unmap(struct bgp_address *address)
{
	static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};

	if (address->family != AF_INET6 || memcmp(address->bytes, mapped, sizeof(mapped)) != 0)
		return;
	address->family = AF_INET;
	memmove(address->bytes, address->bytes + 12, 4);
	memset(address->bytes + 4, 0, 12);
}

void bgp_prefix_mask(struct bgp_prefix *prefix)
{
	unsigned int whole = prefix->length / 8;

	if (prefix->length % 8)
		prefix->bytes[whole++] &= (uint8_t)(0xff00 >> prefix->length % 8);
	memset(prefix->bytes + whole, 0, sizeof(prefix->bytes) - whole);
}
