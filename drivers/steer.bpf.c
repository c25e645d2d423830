/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which frames of a kernel interface are Pewter's. One decision, compiled twice: with
 * PW_STEER_XDP for AF_XDP ports (ours are redirected to the socket of their queue), without it
 * for AF_PACKET ports (a socket filter lets only ours into Pewter's ring, and a tc program
 * takes them away from the kernel).
 *
 * When in doubt a frame is the kernel's: ARP, ND, LLDP, BGP, IKE and SSH live there. ESP is
 * Pewter's only to addresses that it has security associations for: the kernel may have its own.
 */
#include <linux/bpf.h>
#include <linux/if_ether.h>
#include <linux/in.h>
#include <linux/pkt_cls.h>
#include <linux/types.h>
#include <stdbool.h>

#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>

#include "steer.h"

#define PROTOCOL_HOP_BY_HOP   0
#define PROTOCOL_ICMP         1
#define PROTOCOL_IPV4         4
#define PROTOCOL_UDP          17
#define PROTOCOL_IPV6         41
#define PROTOCOL_ROUTING      43
#define PROTOCOL_FRAGMENT     44
#define PROTOCOL_GRE          47
#define PROTOCOL_ESP          50
#define PROTOCOL_ICMPV6       58
#define PROTOCOL_DESTINATION  60
#define PROTOCOL_MPLS         137

#define ICMP_UNREACHABLE      3
#define ICMP_FRAG_NEEDED      4 /* code of it */
#define ICMP_ECHO_REQUEST     8
#define ICMPV6_TOO_BIG        2
#define ICMPV6_ECHO_REQUEST   128
#define ICMPV6_ROUTER_SOLICIT 133
#define ICMPV6_REDIRECT       137

#define UDP_PORT_ESP          4500 /* and IKE's; RFC 3948 */

/* RFC 8200 wants each extension header once, destination options twice. */
#define EXTENSIONS_MAX 6

/* What is further into a frame is not looked at. */
#define OFFSET_MAX 512

struct address4 {
	__u8 bytes[4];
};

struct address6 {
	__u8 bytes[16];
};

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct pw_steer_config);
} pw_config SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PW_STEER_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address4);
	__type(value, __u8);
} pw_local4 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PW_STEER_ADDRESSES);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, struct address6);
	__type(value, __u8);
} pw_local6 SEC(".maps");

struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, PW_STEER_VLAN_IDS);
	__type(key, __u32);
	__type(value, __u8);
} pw_vlans SEC(".maps");

struct ethernet {
	__u8 destination[6];
	__u8 source[6];
	__be16 type;
};

struct vlan {
	__be16 tci;
	__be16 type;
};

struct ipv4 {
	__u8 version_ihl;
	__u8 tos;
	__be16 length;
	__be16 id;
	__be16 fragment;
	__u8 ttl;
	__u8 protocol;
	__be16 checksum;
	__u8 source[4];
	__u8 destination[4];
};

struct ipv6 {
	__be32 version_class_flow;
	__be16 length;
	__u8 next;
	__u8 hop_limit;
	__u8 source[16];
	__u8 destination[16];
};

#ifdef PW_STEER_XDP
#define CONTEXT struct xdp_md
#define LOAD(context, offset, to)                                                                  \
	({                                                                                         \
		const __u8 *from = (void *)(long)(context)->data;                                  \
		bool fits = false;                                                                 \
		from += (offset)&0x3ff;                                                            \
		if (from + sizeof(*(to)) <= (const __u8 *)(long)(context)->data_end) {             \
			__builtin_memcpy(to, from, sizeof(*(to)));                                 \
			fits = true;                                                               \
		}                                                                                  \
		fits;                                                                              \
	})
#else
#define CONTEXT                   struct __sk_buff
#define LOAD(context, offset, to) (bpf_skb_load_bytes(context, offset, to, sizeof(*(to))) == 0)
#endif

/* What is behind the IP header and its extensions. */
struct upper {
	__u32 offset;
	__u8 protocol;
	bool fragment;
};

/*
 * A fragment of an ICMP packet to an echo address is ours whatever it is: the later ones do
 * not say, and the pieces must not be torn apart.
 */
static __always_inline bool echo_is_ours(CONTEXT *context, const struct upper *upper, __u8 request)
{
	__u8 type;

	if (upper->fragment)
		return true;
	return LOAD(context, upper->offset, &type) && type == request;
}

/*
 * RFC 3948 2: neither a keepalive (one byte) nor IKE (marked by an SPI of 0). Later fragments have
 * no ports, so all fragments are the kernel's.
 */
static __always_inline bool udp_is_esp(CONTEXT *context, const struct upper *upper)
{
	struct {
		__be16 source;
		__be16 destination;
		__be16 length; /* the frame may be padded */
		__be16 checksum;
		__be32 spi;
		__be32 sequence;
	} udp;

	if (upper->fragment || !LOAD(context, upper->offset, &udp))
		return false;
	return udp.destination == bpf_htons(UDP_PORT_ESP) && bpf_ntohs(udp.length) > sizeof(udp) &&
	       udp.spi != 0;
}

/* Of what was too big, as an ICMP error quotes it; what quotes too little is the kernel's. */
static __always_inline bool quotes_esp(CONTEXT *context, __u32 offset, __u8 protocol)
{
	struct {
		__be16 source;
		__be16 destination;
		__be16 length;
		__be16 checksum;
		__be32 spi;
	} udp;

	if (protocol != PROTOCOL_UDP)
		return protocol == PROTOCOL_ESP;
	return LOAD(context, offset, &udp) && udp.source == bpf_htons(UDP_PORT_ESP) && udp.spi != 0;
}

static __always_inline bool too_big4(CONTEXT *context, __u32 offset)
{
	struct {
		__u8 type;
		__u8 code;
		__u8 rest[6];
		struct ipv4 ip;
	} error;

	if (!LOAD(context, offset, &error) || error.type != ICMP_UNREACHABLE ||
	    error.code != ICMP_FRAG_NEEDED || error.ip.version_ihl != 0x45 ||
	    error.ip.fragment & bpf_htons(0x1fff))
		return false;
	return quotes_esp(context, offset + sizeof(error), error.ip.protocol);
}

static __always_inline bool too_big6(CONTEXT *context, __u32 offset)
{
	struct {
		__u8 type;
		__u8 rest[7];
		struct ipv6 ip;
	} error;

	if (!LOAD(context, offset, &error) || error.type != ICMPV6_TOO_BIG ||
	    (error.ip.version_class_flow & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000))
		return false;
	return quotes_esp(context, offset + sizeof(error), error.ip.next);
}

/* A router says how large ESP may be. */
static __always_inline bool about_esp(CONTEXT *context, const struct upper *upper)
{
	if (upper->fragment)
		return false;
	return upper->protocol == PROTOCOL_ICMP ? too_big4(context, upper->offset)
						: too_big6(context, upper->offset);
}

/* Of what is sent to a local address with this value in its map. */
static __always_inline bool local_is_ours(CONTEXT *context, const struct upper *upper, __u8 value,
					  __u8 icmp, __u8 request)
{
	if (upper->protocol == PROTOCOL_GRE || upper->protocol == PROTOCOL_MPLS)
		return true;
	if (upper->protocol == PROTOCOL_ESP)
		return value & PW_STEER_ESP;
	if (upper->protocol == PROTOCOL_IPV4 || upper->protocol == PROTOCOL_IPV6)
		return value & PW_STEER_IP;
	if (upper->offset > OFFSET_MAX)
		return false;
	if (upper->protocol == PROTOCOL_UDP)
		return value & PW_STEER_ESP && udp_is_esp(context, upper);
	if (upper->protocol != icmp)
		return false;
	if (value & PW_STEER_ESP && about_esp(context, upper))
		return true;
	return value & PW_STEER_ECHO && echo_is_ours(context, upper, request);
}

static __always_inline bool ipv4_is_ours(CONTEXT *context, __u32 offset, bool transit)
{
	struct upper upper;
	struct ipv4 ip;
	__u32 header;
	__u8 *local;

	if (!LOAD(context, offset, &ip))
		return false;
	header = (ip.version_ihl & 0x0f) * 4;
	if (ip.version_ihl >> 4 != 4 || header < sizeof(ip))
		return false;
	/* Multicast, reserved, broadcast; loopback; link-local (RFC 3927 7). */
	if (ip.destination[0] >= 224 || ip.destination[0] == 127 || ip.source[0] == 127)
		return false;
	if ((ip.destination[0] == 169 && ip.destination[1] == 254) ||
	    (ip.source[0] == 169 && ip.source[1] == 254))
		transit = false;
	local = bpf_map_lookup_elem(&pw_local4, ip.destination);
	if (!local)
		return transit;
	upper.offset = offset + header;
	upper.protocol = ip.protocol;
	upper.fragment = ip.fragment & bpf_htons(0x3fff);
	return local_is_ours(context, &upper, *local, PROTOCOL_ICMP, ICMP_ECHO_REQUEST);
}

/* Walks the extension headers to what they carry (for a fragment: what the first one says it
 * carries). Tunnels use destination options (RFC 2473 4.1.1). */
static __always_inline bool ipv6_upper(CONTEXT *context, struct upper *upper)
{
	struct {
		__u8 next;
		__u8 length;
	} extension;

#pragma unroll
	for (int i = 0; i < EXTENSIONS_MAX; i++) {
		switch (upper->protocol) {
		case PROTOCOL_HOP_BY_HOP:
		case PROTOCOL_ROUTING:
		case PROTOCOL_DESTINATION:
			if (upper->offset > OFFSET_MAX || !LOAD(context, upper->offset, &extension))
				return false;
			upper->offset += (extension.length + 1) * 8;
			break;
		case PROTOCOL_FRAGMENT:
			if (upper->offset > OFFSET_MAX || !LOAD(context, upper->offset, &extension))
				return false;
			upper->offset += 8;
			upper->fragment = true;
			break;
		default:
			return true;
		}
		upper->protocol = extension.next;
		/* What follows the header in a later fragment is payload. */
		if (upper->fragment)
			return true;
	}
	return false;
}

static __always_inline bool link_local(const __u8 *address)
{
	return address[0] == 0xfe && (address[1] & 0xc0) == 0x80;
}

static __always_inline bool ipv6_is_ours(CONTEXT *context, __u32 offset, bool transit)
{
	struct upper upper = {.offset = offset + sizeof(struct ipv6)};
	struct ipv6 ip;
	__u8 *local;
	__u8 type;

	if (!LOAD(context, offset, &ip))
		return false;
	if ((ip.version_class_flow & bpf_htonl(0xf0000000)) != bpf_htonl(0x60000000))
		return false;
	if (ip.destination[0] == 0xff || link_local(ip.destination) || link_local(ip.source))
		return false;
	upper.protocol = ip.next;
	local = bpf_map_lookup_elem(&pw_local6, ip.destination);
	if (!local) {
		/* A neighbour that asks for an address we do not have; never routed
		 * (RFC 4861: hop limit 255). */
		if (ip.next == PROTOCOL_ICMPV6 && LOAD(context, upper.offset, &type) &&
		    type >= ICMPV6_ROUTER_SOLICIT && type <= ICMPV6_REDIRECT)
			return false;
		return transit;
	}
	if (!ipv6_upper(context, &upper))
		return false;
	return local_is_ours(context, &upper, *local, PROTOCOL_ICMPV6, ICMPV6_ECHO_REQUEST);
}

static __always_inline bool vlan_is_ours(__u16 tci)
{
	__u32 id = tci & 0x0fff;
	__u8 *ours = bpf_map_lookup_elem(&pw_vlans, &id);

	return ours && *ours;
}

static __always_inline bool same_mac(const __u8 *a, const __u8 *b)
{
	return a[0] == b[0] && a[1] == b[1] && a[2] == b[2] && a[3] == b[3] && a[4] == b[4] &&
	       a[5] == b[5];
}

static __always_inline bool vlan_type(__be16 type)
{
	return type == bpf_htons(ETH_P_8021Q) || type == bpf_htons(ETH_P_8021AD);
}

static __always_inline bool frame_is_ours(CONTEXT *context)
{
	struct pw_steer_config *config;
	struct ethernet ethernet;
	__u32 offset = sizeof(ethernet);
	struct vlan vlan;
	__u32 zero = 0;

	config = bpf_map_lookup_elem(&pw_config, &zero);
	if (!config || !LOAD(context, 0, &ethernet))
		return false;
#ifndef PW_STEER_XDP
	/* The tag may be beside the frame; tag 0 is only a priority. */
	if (context->vlan_present && (context->vlan_tci & 0x0fff))
		return vlan_is_ours(context->vlan_tci);
#endif
	if (vlan_type(ethernet.type)) {
		if (!LOAD(context, offset, &vlan))
			return false;
		if (vlan.tci & bpf_htons(0x0fff))
			return vlan_is_ours(bpf_ntohs(vlan.tci));
		ethernet.type = vlan.type;
		offset += sizeof(vlan);
	}
	if (!same_mac(ethernet.destination, config->mac))
		return false; /* multicast, broadcast, somebody else's */
	switch (bpf_ntohs(ethernet.type)) {
	case ETH_P_MPLS_UC:
		return true;
	case ETH_P_IP:
		return ipv4_is_ours(context, offset, config->enabled);
	case ETH_P_IPV6:
		return ipv6_is_ours(context, offset, config->enabled);
	default:
		return false;
	}
}

#ifdef PW_STEER_XDP

struct {
	__uint(type, BPF_MAP_TYPE_XSKMAP);
	__uint(max_entries, PW_STEER_QUEUES);
	__type(key, __u32);
	__type(value, __u32);
} xsks_map SEC(".maps");

SEC("xdp")
int pewter_steer(struct xdp_md *context)
{
	if (frame_is_ours(context))
		return bpf_redirect_map(&xsks_map, context->rx_queue_index, XDP_PASS);
	return XDP_PASS;
}

#else

SEC("tc")
int pewter_steer(struct __sk_buff *skb)
{
	return frame_is_ours(skb) ? TC_ACT_SHOT : TC_ACT_OK;
}

SEC("socket")
int pewter_filter(struct __sk_buff *skb)
{
	return frame_is_ours(skb) ? -1 : 0;
}

#endif

char _license[] SEC("license") = "Dual BSD/GPL";
