/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_ENDPOINT_H
#define PW_TABLE_ENDPOINT_H

#include <assert.h>
#include <stdint.h>

#include "dataplane/table/slot.h"

/**
 * Endpoints: the remote ends of tunnels (remote PEs). Outward, an endpoint is a ready-made
 * outer header; inward, it is what (front-door VRF, local, remote, key) of a packet must name,
 * or the packet is refused.
 */
#define PW_ENDPOINTS           32768
#define PW_ENDPOINT_HEADER_MAX 88 /* IPv6 40, UDP 8, ESP 8, IV 16, GRE with all its fields 16 */

enum pw_encapsulation {
	PW_ENCAPSULATION_GRE,        /* RFC 2784, 2890; MPLS, IPv4 or IPv6 inside */
	PW_ENCAPSULATION_MPLS_IN_IP, /* RFC 4023, protocol 137; MPLS only */
	PW_ENCAPSULATION_IP,         /* IP in IP: protocol 4 or 41 (RFC 2003, 2473, 4213), or an SA
				      * in tunnel mode, whose packets look the same on the wire */
};

#define PW_ENDPOINT_IPV6             0x01 /* outer header is IPv6 */
#define PW_ENDPOINT_DF               0x02 /* outer DF set (IPv4) */
#define PW_ENDPOINT_TOS_INHERIT      0x04 /* outer TOS from the payload, otherwise tos */
#define PW_ENDPOINT_TTL_INHERIT      0x08 /* outer TTL from the payload, otherwise ttl */
#define PW_ENDPOINT_KEY              0x10 /* GRE key present, both ways */
#define PW_ENDPOINT_CHECKSUM         0x20 /* GRE checksum sent */
#define PW_ENDPOINT_SEQUENCE         0x40 /* GRE sequence numbers sent (RFC 2890) */
#define PW_ENDPOINT_UNIFORM_IN       0x80 /* inward TTL model is uniform (else pipe / short pipe) */
#define PW_ENDPOINT_DF_INHERIT       0x100  /* instead of DF: as the inner IPv4 header has it */
#define PW_ENDPOINT_NO_ECN           0x200  /* outer ECN field is 0, whatever is inside */
#define PW_ENDPOINT_IPSEC            0x400  /* of an SA in tunnel mode: nothing comes in by it */
#define PW_ENDPOINT_INNER4           0x800  /* IP in IP: IPv4 inside is taken and sent */
#define PW_ENDPOINT_INNER6           0x1000 /* IP in IP: IPv6 inside is taken and sent */

#define PW_PROTECT_OUT               0x01 /* policy: only with an SA; without one it is dropped */
#define PW_PROTECT_IN                0x02 /* policy: what comes in clear is dropped */
#define PW_PROTECT_BLOCK_OUT         0x04 /* policy: nothing goes out */
#define PW_PROTECT_BLOCK_IN          0x08 /* policy: nothing comes in */

#define PW_ENDPOINT_MATCH_MPLS_IN_IP 0x01 /* in pw_endpoint_key.flags only */
#define PW_ENDPOINT_MATCH_ANY_KEY    0x02 /* inside the table only */
#define PW_ENDPOINT_MATCH_IP         0x04 /* protocol 4 or 41; in pw_endpoint_key.flags only */

/** What a packet from a tunnel is matched by. All in network byte order but vrf. */
struct pw_endpoint_key {
	uint8_t local[16]; /* IPv4 in the first 4 bytes, rest 0 */
	uint8_t remote[16];
	uint32_t key; /* 0 without */
	uint16_t vrf; /* front-door VRF */
	uint8_t family;
	uint8_t flags; /* PW_ENDPOINT_KEY or 0, plus PW_ENDPOINT_MATCH_MPLS_IN_IP or 0 */
};
static_assert(sizeof(struct pw_endpoint_key) == 40, "hashed as bytes");

struct pw_endpoint {
	uint16_t flags; /* PW_ENDPOINT_* */
	uint8_t encapsulation;
	uint8_t header_len; /* bytes of header[]: outer IP, and GRE */
	uint8_t ttl;        /* outer TTL or hop limit; the fallback where it is inherited */
	uint8_t tos;
	uint16_t mtu;       /* largest payload, label stack included, in bytes */
	uint16_t vrf;       /* front-door VRF */
	uint8_t protect;    /* PW_PROTECT_* */
	uint8_t esp_at;     /* where in header[] the ESP header is; 0 = in clear */
	uint32_t interface; /* the tunnel */
	uint32_t underlay;  /* next hop of the outer packet (0: no route to the remote) */
	uint32_t id;
	struct pw_endpoint_key match; /* inward */
	/* Further lines: outward. IP in IP in clear: the protocol is 4, which workers change. IPv4:
	 * total length, id and checksum zero, partial_sum is the ones' complement sum of the rest
	 * as 16-bit network-order words (host order, folded to 17 bits at most). UDP and ESP, where
	 * there is an SA: ports and SPI, the rest zero. GRE: flags, and the key where there is one;
	 * protocol, checksum and sequence zero. */
	uint8_t header[PW_ENDPOINT_HEADER_MAX];
	uint32_t partial_sum;
	uint32_t sa;    /* protects what is sent; 0 = none */
	uint8_t gre_at; /* where in header[] GRE begins, or what would follow it */
	uint8_t ip_len; /* bytes of the outer IP header within header[]: 20 or 40 */
	uint8_t spare[30];
};
static_assert(sizeof(struct pw_endpoint) == 192, "three cache lines");

extern struct pw_slots pw_endpoints; /* of struct pw_endpoint */

/** GRE sequence numbers sent to each endpoint; all workers add to it (RFC 2890). */
extern uint32_t pw_endpoint_sequence[PW_ENDPOINTS];

static inline const struct pw_endpoint *pw_endpoint_get(uint32_t id)
{
	return (const struct pw_endpoint *)pw_slot_get(&pw_endpoints, id);
}

/** Why a packet matched no endpoint. */
enum pw_endpoint_miss {
	PW_ENDPOINT_MISS_TUNNEL, /* no tunnel ends at this address with this encapsulation */
	PW_ENDPOINT_MISS_KEY,    /* one does, with another key, or with or without one */
	PW_ENDPOINT_MISS_SOURCE, /* a tunnel matches, but this source is no known endpoint */
};

/** Tunnels with PW_ENDPOINT_MATCH_IP; where there are none, protocols 4 and 41 are the kernel's. */
extern uint32_t pw_tunnel_ip_ends;

/** Inward lookup: the endpoint's id, 0 when there is none. Any worker. */
uint32_t pw_endpoint_find(const struct pw_endpoint_key *key);

/** Explains a miss; slow, for drops. Any worker. */
enum pw_endpoint_miss pw_endpoint_explain(const struct pw_endpoint_key *key);

/** Control thread. */
int pw_endpoint_table_init(void);
void pw_endpoint_table_fini(void);

/** Makes the inward match lead to endpoint @p id. 0, -EEXIST (taken by another), -ENOMEM. */
int pw_endpoint_bind(const struct pw_endpoint_key *key, uint32_t id);
void pw_endpoint_unbind(const struct pw_endpoint_key *key);

/** A tunnel ends here (remote ignored): only for pw_endpoint_explain(). Counts references. */
int pw_tunnel_end_bind(const struct pw_endpoint_key *key);
void pw_tunnel_end_unbind(const struct pw_endpoint_key *key);

#endif
