/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_DROPS_H
#define PW_DROPS_H

/**
 * Why packets are dropped. Each reason has a counter per worker, the name that `pewterctl show
 * drops` prints, and a sentence for the operator. Append freely; the API carries the names.
 */
#define PW_DROPS(X)                                                                                \
	/* Ethernet */                                                                             \
	X(ETHERNET_TRUNCATED, "ethernet-truncated", "frame shorter than its headers")              \
	X(ETHERNET_NOT_FOR_ME, "ethernet-not-for-me", "unicast to another station")                \
	X(ETHERNET_MULTICAST, "ethernet-multicast", "multicast or broadcast with no kernel face")  \
	X(ETHERNET_TYPE, "ethernet-type", "EtherType that is neither IP, MPLS nor for the kernel") \
	X(ETHERNET_SEGMENTS, "ethernet-segments", "frame larger than a packet buffer")             \
	X(VLAN_UNKNOWN, "vlan-unknown", "no interface for this VLAN id")                           \
	X(INTERFACE_DOWN, "interface-down", "interface is down or has no VRF")                     \
	/* IP */                                                                                   \
	X(IPV4_VERSION, "ipv4-version", "version is not 4")                                        \
	X(IPV4_HEADER, "ipv4-header", "header length below 20 or beyond the packet")               \
	X(IPV4_LENGTH, "ipv4-length", "total length below the header or beyond the packet")        \
	X(IPV4_CHECKSUM, "ipv4-checksum", "header checksum is wrong")                              \
	X(IPV4_ADDRESS, "ipv4-address", "source or destination no router may forward")             \
	X(IPV6_VERSION, "ipv6-version", "version is not 6")                                        \
	X(IPV6_LENGTH, "ipv6-length", "payload length beyond the packet")                          \
	X(IPV6_ADDRESS, "ipv6-address", "source or destination no router may forward")             \
	X(IP_TTL, "ip-ttl", "TTL or hop limit exceeded in transit")                                \
	X(IP_OPTIONS, "ip-options", "extension headers that cannot be walked")                     \
	/* to this PE */                                                                           \
	X(LOCAL_PROTOCOL, "local-protocol", "protocol that nothing here serves")                   \
	X(LOCAL_PORT, "local-port", "UDP or TCP port that nothing here serves")                    \
	X(LOCAL_ICMP, "local-icmp", "malformed or unserved ICMP")                                  \
	X(LOCAL_TRUNCATED, "local-truncated", "payload shorter than its header")                   \
	/* reassembly */                                                                           \
	X(REASSEMBLY_LENGTH, "reassembly-length", "fragment of impossible length or offset")       \
	X(REASSEMBLY_FULL, "reassembly-full", "no room for another fragment or packet")            \
	X(REASSEMBLY_TIMEOUT, "reassembly-timeout", "the rest did not come, or does not fit")      \
	X(REASSEMBLY_VRF, "reassembly-vrf", "fragments of several packets, as one")                \
	X(REASSEMBLY_ECN, "reassembly-ecn", "congestion on some, others not ECN-capable")          \
	X(REASSEMBLY_TOO_BIG, "reassembly-too-big", "whole packet larger than a packet buffer")    \
	/* tunnels */                                                                              \
	X(GRE_TRUNCATED, "gre-truncated", "shorter than its GRE header")                           \
	X(GRE_FLAGS, "gre-flags", "reserved GRE flags set (RFC 2784 2.3)")                         \
	X(GRE_VERSION, "gre-version", "GRE version is not 0")                                      \
	X(GRE_CHECKSUM, "gre-checksum", "GRE checksum is wrong")                                   \
	X(GRE_KEY, "gre-key", "wrong, missing or unexpected GRE key")                              \
	X(GRE_PROTOCOL, "gre-protocol", "GRE payload that is neither MPLS nor IP")                 \
	X(TUNNEL_UNKNOWN, "tunnel-unknown", "no tunnel ends at this address")                      \
	X(TUNNEL_SOURCE, "tunnel-source", "source is no known endpoint of the tunnel")             \
	X(TUNNEL_DOWN, "tunnel-down", "the tunnel's interface is down")                            \
	X(TUNNEL_NO_VRF, "tunnel-no-vrf", "IP directly in a tunnel that does not take it")         \
	X(TUNNEL_ECN, "tunnel-ecn", "outer says congestion, inner cannot (RFC 6040)")              \
	X(TUNNEL_NO_ROUTE, "tunnel-no-route", "no route to the tunnel's remote end")               \
	X(TUNNEL_LOOP, "tunnel-loop", "the remote end is reached through a tunnel")                \
	X(TUNNEL_PAYLOAD, "tunnel-payload", "a protocol inside that the tunnel does not carry")    \
	X(TUNNEL_MARTIAN, "tunnel-martian", "addresses inside that no such tunnel may carry")      \
	X(TUNNEL_HEADROOM, "tunnel-headroom", "no room before the packet for the headers")         \
	/* MPLS */                                                                                 \
	X(MPLS_TRUNCATED, "mpls-truncated", "shorter than its label stack")                        \
	X(MPLS_DISABLED, "mpls-disabled", "labelled packet where MPLS is not accepted")            \
	X(MPLS_LABEL_UNKNOWN, "mpls-label-unknown", "label that was never given out")              \
	X(MPLS_LABEL_RESERVED, "mpls-label-reserved", "reserved label that must not be here")      \
	X(MPLS_LABEL_REFUSED, "mpls-label-refused", "this endpoint may not use this label")        \
	X(MPLS_LABEL_BLACKHOLE, "mpls-label-blackhole", "label routed to nowhere")                 \
	X(MPLS_STACK, "mpls-stack", "more labels than are walked, or bottom where none may be")    \
	X(MPLS_TTL, "mpls-ttl", "label TTL exceeded")                                              \
	X(MPLS_PAYLOAD, "mpls-payload", "what is below the labels is neither IPv4 nor IPv6")       \
	X(MPLS_MTU, "mpls-mtu", "labelled packet too big for its way")                             \
	X(MPLS_LABEL_CLEAR, "mpls-label-clear", "in clear, with a label that asks for protection") \
	/* ESP */                                                                                  \
	X(ESP_TRUNCATED, "esp-truncated", "shorter than its ESP header and trailer")               \
	X(ESP_SPI, "esp-spi", "no SA with this SPI and destination")                               \
	X(ESP_ENCAPSULATION, "esp-encapsulation", "in UDP and should not be, or the reverse")      \
	X(ESP_SOURCE, "esp-source", "source is not the SA's (RFC 4023 8.1)")                       \
	X(ESP_REPLAY, "esp-replay", "sequence number seen before, or too old to tell")             \
	X(ESP_ICV, "esp-icv", "integrity check failed")                                            \
	X(ESP_LENGTH, "esp-length", "ciphertext is no whole number of blocks")                     \
	X(ESP_PADDING, "esp-padding", "padding is not as RFC 4303 2.4 has it")                     \
	X(ESP_DUMMY, "esp-dummy", "dummy packet (RFC 4303 2.6)")                                   \
	X(ESP_NEXT_HEADER, "esp-next-header", "protocol inside ESP that is no tunnel's")           \
	X(ESP_SEQUENCE, "esp-sequence", "the SA has no sequence number left")                      \
	X(ESP_ENGINE, "esp-engine", "the crypto engine failed")                                    \
	X(PATH_MTU_SA, "path-mtu-sa", "ICMP about ESP that no SA sends from here")                 \
	X(PATH_MTU_OFF, "path-mtu-off", "ICMP about ESP of an SA that has nopmtudisc")             \
	X(PATH_MTU_SEQUENCE, "path-mtu-sequence", "ICMP about ESP never sent, or long ago")        \
	X(PATH_MTU_KNOWN, "path-mtu-known", "ICMP about ESP with an MTU that is no news")          \
	X(PATH_MTU_SMALL, "path-mtu-small", "ICMP about ESP with an MTU below 576 or 1280")        \
	X(SA_NONE, "sa-none", "policy says protect and there is no SA yet")                        \
	X(POLICY_CLEAR, "policy-clear", "in clear where policy says protected")                    \
	X(POLICY_SA, "policy-sa", "protected by an SA that policy does not accept")                \
	X(POLICY_NONE, "policy-none", "into an IPsec interface, and no policy selects it")         \
	X(POLICY_SELECTOR, "policy-selector", "inside an SA, and its policy does not select it")   \
	X(POLICY_BLOCK, "policy-block", "policy says discard")                                     \
	/* forwarding */                                                                           \
	X(ROUTE_NONE, "route-none", "no route in the VRF")                                         \
	X(ROUTE_BLACKHOLE, "route-blackhole", "blackhole route")                                   \
	X(ROUTE_UNREACHABLE, "route-unreachable", "unreachable route")                             \
	X(ROUTE_PROHIBIT, "route-prohibit", "prohibit route")                                      \
	X(ROUTE_LOOP, "route-loop", "too many VRF-to-VRF lookups")                                 \
	X(VRF_NONE, "vrf-none", "the VRF went away")                                               \
	X(MTU_EXCEEDED, "mtu-exceeded", "too big and may not be cut (ICMP was due)")               \
	X(FRAGMENT_FAILED, "fragment-failed", "could not be cut")                                  \
	X(NEIGHBOUR_FAILED, "neighbour-failed", "neighbour does not answer")                       \
	X(NEIGHBOUR_HOLD, "neighbour-hold", "too many packets waiting for the neighbour")          \
	X(NEIGHBOUR_NONE, "neighbour-none", "next hop without a neighbour")                        \
	/* exceptions */                                                                           \
	X(PUNT_NO_FACE, "punt-no-face", "for the kernel, but the port has no kernel face")         \
	X(KERNEL_COPY, "kernel-copy", "left to the kernel, which sees the wire itself")            \
	X(PUNT_RATE, "punt-rate", "for the kernel: over the rate")                                 \
	X(NO_BUFFER, "no-buffer", "out of packet buffers")                                         \
	/* transmission */                                                                         \
	X(PORT_NONE, "port-none", "the port went away")                                            \
	X(PORT_FULL, "port-full", "the port's transmit queue is full")                             \
	X(STOPPED, "stopped", "the daemon is stopping")

/** What happened besides a packet's fate; counted per worker as well. */
#define PW_EVENTS(X)                                                                               \
	X(ICMP_SENT, "icmp-sent", "ICMP errors sent")                                              \
	X(ICMP_RATE, "icmp-rate", "ICMP errors not sent: over the rate")                           \
	X(ICMP_FORBIDDEN, "icmp-forbidden", "ICMP errors not sent: RFC 1122 3.2.2, RFC 4443 2.4")  \
	X(ICMP_NO_SOURCE, "icmp-no-source", "ICMP errors not sent: no address to send from")       \
	X(ECHO_ANSWERED, "echo-answered", "pings answered")                                        \
	X(PUNTED, "punted", "frames given to the kernel by its face")                              \
	X(FROM_KERNEL, "from-kernel", "frames sent for the kernel")                                \
	X(HELD, "held", "packets handed over to wait for their neighbour")                         \
	X(REASSEMBLED, "reassembled", "packets put together from fragments")                       \
	X(FRAGMENTED, "fragmented", "packets cut into fragments")                                  \
	X(HANDED_OVER, "handed-over", "packets sent by another worker's queue")                    \
	X(PATH_MTU, "path-mtu", "path MTUs of SAs that ICMP lowered")

enum pw_event {
#define PW_EVENT_ENUM(id, name, text) PW_EVENT_##id,
	PW_EVENTS(PW_EVENT_ENUM)
#undef PW_EVENT_ENUM
		PW_EVENT_COUNT,
};

enum pw_drop {
	PW_DROP_NONE,
#define PW_DROP_ENUM(id, name, text) PW_DROP_##id,
	PW_DROPS(PW_DROP_ENUM)
#undef PW_DROP_ENUM
		PW_DROP_COUNT,
};

/** The counter's name, as users see it. */
const char *pw_drop_name(enum pw_drop drop);

/** One sentence for the operator. */
const char *pw_drop_text(enum pw_drop drop);

const char *pw_event_name(enum pw_event event);
const char *pw_event_text(enum pw_event event);

#endif
