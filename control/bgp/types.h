/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_TYPES_H
#define BGP_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** What everything in pewter-bgp speaks of: VPN families, addresses, prefixes, RDs, RTs. */

/** The families that are spoken: AFI 1 and 2 with SAFI 128. */
enum bgp_family {
	BGP_VPNV4,
	BGP_VPNV6,
	BGP_FAMILIES,
};

struct bgp_address {
	uint8_t family; /* AF_INET, AF_INET6, or 0 for none; the bytes behind the address are 0 */
	uint8_t bytes[16];
};

/** An IPv4 prefix in a VPNv4 family, an IPv6 one in VPNv6; bits behind the length are 0. */
struct bgp_prefix {
	uint8_t family; /* enum bgp_family */
	uint8_t length;
	uint8_t bytes[16];
};

/** Route distinguishers and route targets are their 8 bytes as one number in host order. */

#define BGP_ADDRESS_TEXT 48
#define BGP_PREFIX_TEXT  56
#define BGP_RD_TEXT      32

const char *bgp_address_text(const struct bgp_address *address, char text[BGP_ADDRESS_TEXT]);
const char *bgp_prefix_text(const struct bgp_prefix *prefix, char text[BGP_PREFIX_TEXT]);

/** An RD: "65000:1", "10.0.0.1:5"; RFC 4364 4.2. */
const char *bgp_rd_text(uint64_t rd, char text[BGP_RD_TEXT]);

/** "A.B.C.D" or "X:Y::Z". False when it is none. */
bool bgp_address_parse(const char *text, struct bgp_address *address);

/** "65000:1", "4200000000:1", "10.0.0.1:1" as an RD; @p target: as a route target (RFC 4360). */
bool bgp_rd_parse(const char *text, bool target, uint64_t *rd);

bool bgp_address_equal(const struct bgp_address *a, const struct bgp_address *b);

/** ::ffff:a.b.c.d becomes a.b.c.d (RFC 4659 3.2.1.2). */
void bgp_address_unmap(struct bgp_address *address);

/** Clears the bits behind the length. */
void bgp_prefix_mask(struct bgp_prefix *prefix);

static inline unsigned int bgp_prefix_bits(enum bgp_family family)
{
	return family == BGP_VPNV4 ? 32 : 128;
}

static inline uint16_t bgp_get16(const uint8_t *bytes)
{
	return (uint16_t)(bytes[0] << 8 | bytes[1]);
}

static inline uint32_t bgp_get32(const uint8_t *bytes)
{
	return (uint32_t)bgp_get16(bytes) << 16 | bgp_get16(bytes + 2);
}

static inline uint64_t bgp_get64(const uint8_t *bytes)
{
	return (uint64_t)bgp_get32(bytes) << 32 | bgp_get32(bytes + 4);
}

static inline uint8_t *bgp_put16(uint8_t *bytes, uint16_t value)
{
	bytes[0] = (uint8_t)(value >> 8);
	bytes[1] = (uint8_t)value;
	return bytes + 2;
}

static inline uint8_t *bgp_put32(uint8_t *bytes, uint32_t value)
{
	bgp_put16(bytes, (uint16_t)(value >> 16));
	return bgp_put16(bytes + 2, (uint16_t)value);
}

static inline uint8_t *bgp_put64(uint8_t *bytes, uint64_t value)
{
	bgp_put32(bytes, (uint32_t)(value >> 32));
	return bgp_put32(bytes + 4, (uint32_t)value);
}

#endif
