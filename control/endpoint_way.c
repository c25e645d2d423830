/* SPDX-License-Identifier: BSD-3-Clause */
/* The way to a remote end through the underlay, and the ready-made header that goes with it. */
#include "control/endpoint.h"

#include <string.h>

#include <linux/rtnetlink.h>
#include <rte_byteorder.h>
#include <rte_ip.h>
#include <rte_udp.h>

#include "control/nexthop.h"
#include "control/xfrm.h"
#include "dataplane/table/neighbour.h"
#include "dataplane/table/vrf.h"

#define LOOKUPS_MAX      4 /* tables that a way may lead through */
#define TTL_FALLBACK     64
#define PROTOCOL_IPIP    4 /* what IP in IP's ready-made header says; 41 with each packet */
#define PROTOCOL_GRE     47
#define PROTOCOL_MPLS    137 /* RFC 4023 */
#define PROTOCOL_ESP     50
#define PROTOCOL_UDP     17 /* ESP in it (RFC 3948) */
#define TOS_INHERIT      1  /* as the kernel has it */
#define GRE_HAS_CHECKSUM 0x80
#define GRE_HAS_KEY      0x20
#define GRE_HAS_SEQUENCE 0x10

uint16_t pw_tunnel_vrf(const struct pw_tunnel *tunnel)
{
	const struct pw_link *link = pw_link_by_index(tunnel->underlay_link);

	return link ? pw_link_vrf(link) : PW_VRF_DEFAULT;
}

struct pw_endpoint_key pw_endpoint_match(const struct pw_tunnel *tunnel,
					 const struct pw_address *remote, uint16_t vrf)
{
	struct pw_endpoint_key match = {
		.key = tunnel->key_set ? tunnel->key : 0,
		.vrf = vrf,
		.family = tunnel->local.family,
		.flags = (tunnel->key_set ? PW_ENDPOINT_KEY : 0) |
			 (tunnel->mpls_in_ip ? PW_ENDPOINT_MATCH_MPLS_IN_IP : 0) |
			 (tunnel->ip_in_ip ? PW_ENDPOINT_MATCH_IP : 0),
	};

	memcpy(match.local, tunnel->local.bytes, sizeof(match.local));
	memcpy(match.remote, remote->bytes, sizeof(match.remote));
	return match;
}

/* ---- the way ----------------------------------------------------------------------------- */

/* On a link of ours: the outer packet's next hop is the remote itself. */
static void way_on_link(const struct pw_address *remote, uint32_t oif, struct pw_way *way)
{
	const struct pw_link *link = pw_link_by_index(oif);
	struct pw_hop hop = {.type = RTN_UNICAST, .oif = oif, .gateway = *remote};
	const char *why;

	way->down = "the remote is on a link that carries no tunnels";
	if (!link || (link->kind != PW_LINK_PORT && link->kind != PW_LINK_VLAN))
		return;
	way->down = "no room for the remote's next hop";
	if (pw_leg_take(&hop, &way->path, &why))
		return;
	way->nexthop = way->path->id;
	way->mtu = link->mtu;
	way->down = way->path->usable ? NULL : "the remote does not answer on its link";
}

static void way_by_neighbour(const struct pw_nexthop *nexthop, struct pw_way *way)
{
	const struct pw_neighbour *neighbour = pw_neighbour_get(nexthop->neighbour);
	const struct pw_link *link = pw_link_by_index(nexthop->interface);

	way->nexthop = nexthop->id;
	way->mtu = link ? link->mtu : neighbour->mtu;
	way->mtu -= RTE_MIN(way->mtu, nexthop->label_count * 4u);
	way->down = neighbour->state == PW_NEIGHBOUR_FAILED ? "the gateway does not answer" : NULL;
}

/* Several ways: all of them when they are alike, else the first that will do. */
static void way_by_group(const struct pw_nexthop *nexthop, struct pw_way *way)
{
	const struct pw_group *group = pw_slot_get(&pw_groups, nexthop->group);
	bool alike = true;
	struct pw_way best = {.down = "no way of a multipath route will do"};

	for (unsigned int i = 0; i < PW_GROUP_BUCKETS; i++) {
		const struct pw_nexthop *member = pw_nexthop_get(group->bucket[i]);
		struct pw_way one = {.down = ""};

		if (member->type == PW_NEXTHOP_NEIGHBOUR)
			way_by_neighbour(member, &one);
		if (one.down) {
			alike = false;
			continue;
		}
		if (best.down || one.mtu < best.mtu)
			best = one;
	}
	*way = best;
	if (alike)
		way->nexthop = nexthop->id;
}

static void way_find(uint16_t vrf, const struct pw_address *remote, struct pw_way *way)
{
	const struct pw_nexthop *nexthop;

	for (unsigned int i = 0; i < LOOKUPS_MAX; i++) {
		nexthop = pw_nexthop_get(pw_vrf_route_lookup(vrf, remote->family, remote->bytes));
		if (nexthop->type != PW_NEXTHOP_LOOKUP)
			break;
		pw_endpoint_way_leaks();
		vrf = (uint16_t)nexthop->vrf;
	}
	switch (nexthop->type) {
	case PW_NEXTHOP_GLEAN:
		way_on_link(remote, nexthop->interface, way);
		return;
	case PW_NEXTHOP_NEIGHBOUR:
		way_by_neighbour(nexthop, way);
		return;
	case PW_NEXTHOP_GROUP:
		way_by_group(nexthop, way);
		return;
	case PW_NEXTHOP_TUNNEL:
	case PW_NEXTHOP_POLICY:
		way->down = "the route to the remote leads into a tunnel";
		return;
	case PW_NEXTHOP_LOCAL:
		way->down = "the remote is an address of this router";
		return;
	case PW_NEXTHOP_LOOKUP:
		way->down = "the route to the remote leads through too many tables";
		return;
	default:
		way->down = "no route to the remote";
		return;
	}
}

void pw_way_find(uint16_t vrf, const struct pw_address *remote, struct pw_way *way)
{
	*way = (struct pw_way){.down = ""};
	way_find(vrf, remote, way);
	if (way->down)
		way->nexthop = way->mtu = 0;
	way->mtu = RTE_MIN(way->mtu, (uint32_t)UINT16_MAX);
}

bool pw_remote_resolve(struct pw_remote *remote)
{
	struct pw_way way;
	bool changed;

	if (remote->orphan)
		return false;
	pw_way_find(remote->match.vrf, &remote->remote, &way);
	changed = way.nexthop != remote->underlay || way.mtu != remote->mtu ||
		  remote->up != !way.down;
	remote->underlay = way.nexthop;
	remote->mtu = (uint16_t)way.mtu;
	remote->up = !way.down;
	remote->down = way.down;
	if (remote->way)
		pw_path_drop(remote->way); /* a grace period after it was last published */
	remote->way = way.path;
	return changed;
}

/* ---- the header -------------------------------------------------------------------------- */

static uint8_t protocol_of(const struct pw_tunnel *tunnel)
{
	if (tunnel->ip_in_ip)
		return PROTOCOL_IPIP;
	return tunnel->mpls_in_ip ? PROTOCOL_MPLS : PROTOCOL_GRE;
}

/* The outer header's own; of IP in IP the ECN field is the inner packet's (RFC 6040 4.1). */
static uint8_t tos_of(const struct pw_tunnel *tunnel)
{
	if (tunnel->tos == TOS_INHERIT)
		return 0;
	return tunnel->ip_in_ip ? tunnel->tos & 0xfc : tunnel->tos;
}

static uint8_t write_ipv4(uint8_t *at, const struct pw_tunnel *tunnel,
			  const struct pw_address *remote, uint8_t protocol)
{
	struct rte_ipv4_hdr ip = {
		.version_ihl = RTE_IPV4_VHL_DEF,
		.type_of_service = tos_of(tunnel),
		.fragment_offset = tunnel->pmtudisc ? RTE_BE16(RTE_IPV4_HDR_DF_FLAG) : 0,
		.time_to_live = tunnel->ttl,
		.next_proto_id = protocol,
	};

	memcpy(&ip.src_addr, tunnel->local.bytes, 4);
	memcpy(&ip.dst_addr, remote->bytes, 4);
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

static uint8_t write_ipv6(uint8_t *at, const struct pw_tunnel *tunnel,
			  const struct pw_address *remote, uint8_t protocol)
{
	uint32_t tos = tos_of(tunnel);
	struct rte_ipv6_hdr ip = {
		.vtc_flow = rte_cpu_to_be_32(6u << 28 | tos << 20),
		.proto = protocol,
		.hop_limits = tunnel->ttl,
	};

	memcpy(ip.src_addr, tunnel->local.bytes, 16);
	memcpy(ip.dst_addr, remote->bytes, 16);
	memcpy(at, &ip, sizeof(ip));
	return sizeof(ip);
}

/* RFC 2784 2.1, RFC 2890 2: flags, protocol; checksum, key and sequence where they are. */
static uint8_t write_gre(uint8_t *at, const struct pw_tunnel *tunnel)
{
	uint8_t length = 4;

	at[0] = (tunnel->checksum ? GRE_HAS_CHECKSUM : 0) | (tunnel->key_set ? GRE_HAS_KEY : 0) |
		(tunnel->sequence ? GRE_HAS_SEQUENCE : 0);
	if (tunnel->checksum)
		length += 4;
	if (tunnel->key_set) {
		memcpy(at + length, &tunnel->key, 4);
		length += 4;
	}
	return length + (tunnel->sequence ? 4 : 0);
}

static uint32_t words_sum(const uint8_t *bytes, unsigned int size)
{
	uint32_t sum = 0;

	for (unsigned int i = 0; i < size; i += 2)
		sum += (uint32_t)bytes[i] << 8 | bytes[i + 1];
	return (sum & 0xffff) + (sum >> 16);
}

/* Without path MTU discovery, what is inside an ipip tunnel decides, as in the kernel. */
static bool df_inherit(const struct pw_tunnel *tunnel)
{
	return tunnel->ip_in_ip && !tunnel->sit && tunnel->local.family == AF_INET &&
	       !tunnel->pmtudisc;
}

static uint16_t inner_of(const struct pw_tunnel *tunnel)
{
	if (!tunnel->ip_in_ip)
		return 0;
	return (pw_tunnel_carries(tunnel, AF_INET) ? PW_ENDPOINT_INNER4 : 0) |
	       (pw_tunnel_carries(tunnel, AF_INET6) ? PW_ENDPOINT_INNER6 : 0);
}

static uint16_t flags_of(const struct pw_tunnel *tunnel)
{
	bool ipv6 = tunnel->local.family == AF_INET6;

	return (ipv6 ? PW_ENDPOINT_IPV6 : 0) | (tunnel->pmtudisc && !ipv6 ? PW_ENDPOINT_DF : 0) |
	       (tunnel->tos == TOS_INHERIT ? PW_ENDPOINT_TOS_INHERIT : 0) |
	       (tunnel->ttl == 0 ? PW_ENDPOINT_TTL_INHERIT : 0) |
	       (tunnel->key_set ? PW_ENDPOINT_KEY : 0) |
	       (tunnel->checksum ? PW_ENDPOINT_CHECKSUM : 0) |
	       (tunnel->sequence ? PW_ENDPOINT_SEQUENCE : 0) |
	       (tunnel->ttl_uniform ? PW_ENDPOINT_UNIFORM_IN : 0) |
	       (df_inherit(tunnel) ? PW_ENDPOINT_DF_INHERIT : 0) | inner_of(tunnel);
}

/* RFC 3948 2.1: ports and SPI now; lengths, sequence number and IV with each packet. */
static uint8_t write_esp(uint8_t *at, const struct pw_sa *sa)
{
	struct rte_udp_hdr udp = {.src_port = sa->udp_local, .dst_port = sa->udp_remote};
	uint8_t length = 0;

	if (sa->flags & PW_SA_UDP) {
		memcpy(at, &udp, sizeof(udp));
		length += sizeof(udp);
	}
	memcpy(at + length, &sa->spi, sizeof(sa->spi));
	return length + 8 + sa->iv_bytes;
}

/* Outer IP, UDP and ESP where an SA is used, GRE. */
static void write_header(struct pw_endpoint *endpoint, const struct pw_tunnel *tunnel,
			 const struct pw_address *remote, const struct pw_sa *sa)
{
	uint8_t protocol = protocol_of(tunnel);
	uint8_t length;

	if (sa)
		protocol = sa->flags & PW_SA_UDP ? PROTOCOL_UDP : PROTOCOL_ESP;
	if (tunnel->local.family == AF_INET6) {
		length = write_ipv6(endpoint->header, tunnel, remote, protocol);
	} else {
		length = write_ipv4(endpoint->header, tunnel, remote, protocol);
		endpoint->partial_sum = words_sum(endpoint->header, length);
	}
	endpoint->ip_len = length;
	if (sa) {
		endpoint->sa = sa->id;
		endpoint->esp_at = sa->esp_at;
		length += write_esp(endpoint->header + length, sa);
	}
	endpoint->gre_at = length;
	if (!tunnel->mpls_in_ip && !tunnel->ip_in_ip)
		length += write_gre(endpoint->header + length, tunnel);
	endpoint->header_len = length;
}

/* The largest packet, labels included, whose outer packet goes the remote's way in one piece. */
static uint16_t payload_max(uint16_t way_mtu, const struct pw_endpoint *endpoint,
			    const struct pw_sa *sa)
{
	uint16_t gre = endpoint->header_len - endpoint->gre_at;
	uint16_t room = sa ? pw_sa_payload_max(sa, way_mtu) : way_mtu;
	uint16_t around = sa ? gre : endpoint->header_len;

	return room > around ? room - around : 0;
}

static uint8_t encapsulation_of(const struct pw_tunnel *tunnel)
{
	if (tunnel->ip_in_ip)
		return PW_ENCAPSULATION_IP;
	return tunnel->mpls_in_ip ? PW_ENCAPSULATION_MPLS_IN_IP : PW_ENCAPSULATION_GRE;
}

void pw_endpoint_compose(struct pw_endpoint *endpoint, const struct pw_tunnel *tunnel,
			 const struct pw_address *remote, const struct pw_sa *sa, uint32_t mtu,
			 uint16_t way_mtu)
{
	endpoint->flags = flags_of(tunnel);
	endpoint->encapsulation = encapsulation_of(tunnel);
	endpoint->ttl = tunnel->ttl ? tunnel->ttl : TTL_FALLBACK;
	endpoint->tos = tos_of(tunnel);
	write_header(endpoint, tunnel, remote, sa);
	if (sa && sa->path_mtu)
		way_mtu = RTE_MIN(way_mtu, sa->path_mtu);
	if (way_mtu)
		mtu = RTE_MIN(mtu, (uint32_t)payload_max(way_mtu, endpoint, sa));
	endpoint->mtu = (uint16_t)RTE_MIN(mtu, (uint32_t)UINT16_MAX);
}

int pw_remote_publish(struct pw_remote *remote)
{
	const struct pw_link *link = pw_link_by_index(remote->tunnel);
	const struct pw_tunnel *tunnel = &link->tunnel;
	struct pw_endpoint endpoint = {
		.flags = flags_of(tunnel), /* protection depends on what is sent */
		.encapsulation = encapsulation_of(tunnel),
		.vrf = remote->match.vrf,
		.interface = remote->tunnel,
		.underlay = remote->underlay,
		.id = remote->id,
		.match = remote->match,
	};
	struct pw_protection protection;

	pw_protection_of(&endpoint, &protection);
	endpoint.protect = protection.protect;
	pw_endpoint_compose(&endpoint, tunnel, &remote->remote, protection.hot, link->mtu,
			    remote->mtu);
	return pw_slot_set(&pw_endpoints, remote->id, &endpoint);
}
