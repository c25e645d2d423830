/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_PATH_H
#define PW_PATH_H

/**
 * The packet's way, in the packet's order. Each stage is one file, one rte_graph node.
 *
 *   receive/port.c       port-receive      every port's RX queue of this worker
 *   receive/ethernet.c   ethernet-input    MAC, VLAN -> interface; IPv4 and IPv6 header checks
 *   receive/local.c      local-input       addressed to this PE: tunnels, echo, kernel
 *   receive/reassembly.c reassembly        fragments of outer packets
 *   receive/esp.c        esp-input         SA, replay window, ICV, decryption
 *   receive/gre.c        gre-input         flags, key, checksum, known endpoint
 *   receive/mpls.c       mpls-input        label: known, allowed, TTL; pop or swap
 *   forward/lookup.c     ipv4-lookup       VRF and destination -> next hop, TTL, MTU
 *                        ipv6-lookup
 *   forward/policy.c     policy            protect, bypass or discard, where policies are
 *   transmit/impose.c    tunnel-output     labels, GRE, outer header, all ready-made
 *   transmit/esp.c       esp-output        sequence numbers, encryption
 *   transmit/fragment.c  fragment          too big and may be cut
 *   transmit/ethernet.c  ethernet-output   the neighbour's ready-made header
 *   transmit/port.c      port-transmit     the worker's TX queues
 *   exception/icmp.c     icmp-error        time exceeded, unreachable, too big; rate-limited
 *   exception/echo.c     icmp-echo         pings to this PE
 *   exception/resolve.c  neighbour-resolve the control thread holds it and asks the kernel
 *   exception/kernel.c   kernel-punt       the control thread gives it to the kernel face
 *   exception/path_mtu.c path-mtu          ICMP about ESP of ours; the control thread judges it
 *   exception/drop.c     drop              every drop has a name and a counter
 *
 * From ethernet-input on, a packet's data begins at its layer-3 header (IP or MPLS) and the
 * packet is one segment. l2_len in the mbuf is the length of the Ethernet header before it.
 */

#include <assert.h>
#include <stdalign.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_graph.h>
#include <rte_graph_worker.h>
#include <rte_mbuf.h>

#include "dataplane/drops.h"

/**
 * What the stages know of a packet: a dynamic mbuf field at a fixed place (end of the second line),
 * and two words of the mbuf's own that drivers only write when they receive: hash.rss is the hash
 * of the flow (0 = not computed), pw_packet_label() the topmost label entry.
 */
struct pw_packet {
	uint32_t nexthop; /* next-hop id that was chosen */
	union {
		uint32_t sa; /* SA it came in by (0 = in clear); esp-output: is to leave by */
		uint32_t icmp_info; /* for icmp-error: rest of the ICMP header: the MTU */
	};
	uint16_t interface; /* ingress interface */
	uint16_t endpoint;  /* ingress endpoint, 0 = came in by no tunnel */
	uint16_t vrf;       /* where its destination is looked up */
	uint16_t port;      /* where it leaves */
	uint8_t reason;     /* enum pw_drop */
	union {
		uint8_t icmp_type; /* for icmp-error: ICMPv4 numbers, mapped for IPv6 */
		uint8_t esp_at;    /* esp-output: bytes before the ESP header */
	};
	union {
		uint8_t icmp_code;
		uint8_t esp_mode; /* enum pw_packet_esp */
		uint8_t ecn;      /* mpls-input: ECN field of the outer header */
	};
	uint8_t flags; /* PW_PACKET_* */
	uint8_t trace; /* watched packet's number + 1, 0 = not watched */
	uint8_t loops; /* next-hop LOOKUPs so far */
	union {
		uint16_t mtu;     /* fragment: largest piece in bytes at layer 3 */
		uint16_t request; /* in a punt ring: enum pw_packet_request */
	};
};

/*
 * Drivers register fields too, eight aligned bytes for rte_security some of them, and before or
 * after us: rte_mbuf_dyn places the first such field in bytes 96 to 103.
 */
#define PW_PACKET_OFFSET 104
static_assert(PW_PACKET_OFFSET + sizeof(struct pw_packet) <= sizeof(struct rte_mbuf) &&
		      PW_PACKET_OFFSET >= offsetof(struct rte_mbuf, dynfield1) + 12 &&
		      PW_PACKET_OFFSET % alignof(struct pw_packet) == 0,
	      "in dynfield1, with three words left before it");

/** What is left to do with a packet beside ESP. */
enum pw_packet_esp {
	PW_ESP_TRANSIT, /* esp-input: perhaps not for this PE; esp-output: ethernet-output follows
			 */
	PW_ESP_LOCAL,   /* esp-input: addressed to this PE */
	PW_ESP_FRAME,   /* esp-output: begins with its Ethernet header, port-transmit follows */
};

/** What a worker wants of the control thread. */
enum pw_packet_request {
	PW_REQUEST_RESOLVE,  /* hold it until its neighbour is known: data begins at layer 3 */
	PW_REQUEST_PUNT,     /* give it to the kernel: an untagged frame for the face whose number
			      * is in nexthop, of the interface it came in on */
	PW_REQUEST_PATH_MTU, /* ICMP about ESP that was too big: data begins at layer 3 */
};

#define PW_PACKET_ORIGINATED 0x01 /* made here (ICMP, echo): TTL is not decremented */
#define PW_PACKET_LABELLED   0x02 /* layer 3 is MPLS, transmission says 0x8847 */
#define PW_PACKET_NO_ICMP    0x04 /* never answer this with an ICMP error */
#define PW_PACKET_RELEASED   0x08 /* was held for its neighbour: header checks are done */
#define PW_PACKET_IMPOSED    0x10 /* the next hop's labels are on already */
#define PW_PACKET_FORWARDED  0x40 /* TTL is decremented, next hop chosen: not to be done again */
#define PW_PACKET_LAYER3     0x80 /* the data begins at layer 3, behind l2_len bytes of frame */

static inline struct pw_packet *pw_packet(struct rte_mbuf *mbuf)
{
	return RTE_PTR_ADD(mbuf, PW_PACKET_OFFSET);
}

/** Topmost label entry as received (host order); 0 = none. */
static inline uint32_t *pw_packet_label(struct rte_mbuf *mbuf)
{
	return &mbuf->hash.fdir.hi;
}

/** Nothing is known of @p mbuf yet: all is 0. */
static inline struct pw_packet *pw_packet_clear(struct rte_mbuf *mbuf)
{
	mbuf->hash.rss = 0;
	*pw_packet_label(mbuf) = 0;
	return memset(pw_packet(mbuf), 0, sizeof(struct pw_packet));
}

/** @p mbuf carries what @p from did, or a part of it. */
static inline void pw_packet_copy(struct rte_mbuf *mbuf, struct rte_mbuf *from)
{
	*pw_packet(mbuf) = *pw_packet(from);
	mbuf->hash = from->hash;
}

/** Reserves the mbuf field. Control thread, once, before any port starts. 0 or -errno. */
int pw_packet_register(void);

/** The nodes that a worker's graph is made of, NULL-terminated. */
extern const char *const pw_path_stages[];

#endif
