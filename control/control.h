/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_H
#define PW_CONTROL_H

/**
 * The control thread's objects and who owns them. One thread, one event loop, one state.
 *
 *   loop.h        epoll, timers, deferred work
 *   request.h     a netlink request: attributes, refusals in words, replies, dumps, events
 *   socket.c      the API socket and its clients
 *   link.c        ports, VLANs, VRFs, tunnels            netlink_link*.c, netlink_tunnel.c
 *                 link_change.c: what can be done to them
 *                 link_ipsec.c: IPsec interfaces         netlink_ipsec.c
 *   address.c     addresses of links                     netlink_address.c
 *                 address_mirror.c: their copies in the kernel; steering.c: ports told of them
 *   neighbour.c   neighbours, NBMA maps                  netlink_neighbour.c
 *                 neighbour_resolve.c: finding them out; hold.c: packets that wait
 *   route.c       tables of routes, best of each prefix  netlink_route.c
 *   nexthop.c     next-hop objects, groups; resolution   netlink_nexthop.c
 *   endpoint.c    remote ends of tunnels
 *   spd.c         policies of IPsec interfaces and VRFs; bundle.c: what they send by;
 *                 reverse.c: routes that they make
 *   label.c       incoming labels (AF_MPLS routes)       netlink_mpls.c
 *   face.c        TAPs that are kernel faces; what workers punt
 *   feed/kernel.c mirror of the kernel faces
 *   statistics.c  counters, trace, capture for pewterctl netlink_pewter.c
 */

#include <net/if.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>

#include "dataplane/drops.h"
#include "dataplane/table/interface.h"

/** An IPv4 or IPv6 address in network byte order; IPv4 in the first 4 bytes, rest 0. */
struct pw_address {
	uint8_t family; /* AF_INET, AF_INET6; 0 = unset */
	uint8_t bytes[16];
};

static inline unsigned int pw_address_size(int family)
{
	return family == AF_INET ? 4 : 16;
}

/**
 * Who, besides the operator, makes routes, labels and next hops: what it made is marked with its
 * source and session. What earlier sessions made and the present one has not named is stale.
 */
struct pw_feed {
	uint8_t source; /* PW_ROUTE_FPM, PW_ROUTE_KERNEL */
	uint32_t session;
};

/* ---- links (link.c) ---------------------------------------------------------------------- */

enum pw_link_kind {
	PW_LINK_LOOPBACK, /* "lo", index 1, always there */
	PW_LINK_PORT,
	PW_LINK_VLAN,
	PW_LINK_VRF,
	PW_LINK_TUNNEL, /* gre, ip6gre, ipip, sit, ip6tnl */
	PW_LINK_IPSEC,  /* xfrm, vti, vti6 */
};

/** What a tunnel link was configured with; see IFLA_GRE_* and IFLA_IPTUN_*. */
struct pw_tunnel {
	struct pw_address local;
	struct pw_address remote; /* unset (family 0): multipoint */
	bool mpls_in_ip;          /* RFC 4023 protocol 137 instead of GRE */
	bool ip_in_ip;            /* RFC 2003, 2473, 4213: protocols 4 and 41 instead of GRE */
	bool sit;                 /* of kind sit, where ipip has the same ends */
	uint8_t protocol;         /* ip_in_ip: 4 or 41 only, 0 = any that the kind has */
	bool key_set;             /* the same key both ways */
	uint32_t key;             /* network byte order */
	bool checksum;            /* send GRE checksums */
	bool sequence;            /* send GRE sequence numbers */
	uint8_t ttl;              /* 0 = inherit */
	uint8_t tos;              /* 1 = inherit (as the kernel has it) */
	bool pmtudisc;            /* set DF */
	bool ttl_uniform;         /* RFC 3443 model of what is pushed and popped; default pipe */
	uint8_t label_ttl;        /* pipe: TTL of pushed labels, default 255 */
	uint32_t underlay_link;   /* IFLA_GRE_LINK, 0 = none; its VRF is the front-door VRF */
};

/**
 * What an IPsec interface was configured with (IFLA_XFRM_*, IFLA_VTI_*), and its policies. Its SAs
 * and policies are those with its if_id (kind xfrm), or with its keys as their mark (vti, vti6).
 */
struct pw_ipsec {
	uint8_t family;           /* AF_UNSPEC: xfrm; AF_INET: vti; AF_INET6: vti6 */
	uint32_t if_id;           /* xfrm: not 0 */
	uint32_t ikey, okey;      /* vti: marks inward and outward, host order; not 0 */
	struct pw_address local;  /* vti; unset (family 0): any */
	struct pw_address remote; /* vti; unset: any */
	uint32_t underlay_link;   /* "dev", 0 = none; its VRF is the front-door VRF */
	uint32_t spd;             /* id in pw_spds, as long as the link is there */
};

struct pw_link {
	uint32_t index; /* = interface id of the dataplane */
	enum pw_link_kind kind;
	char name[IFNAMSIZ];
	char alias[256]; /* IFLA_IFALIAS */
	bool admin_up;   /* IFF_UP */
	bool carrier;    /* IFF_RUNNING / IFF_LOWER_UP: lower layer works */
	uint32_t mtu;
	uint8_t mac[6];
	uint32_t master; /* VRF link's index, 0 = default VRF */
	uint16_t port;   /* PORT and VLAN: port index, else PW_PORT_NONE */
	uint32_t parent; /* VLAN: the port's link */
	uint16_t vlan;   /* VLAN: id */
	uint32_t table;  /* VRF: routing table */
	bool mpls_input; /* labelled frames are taken off the wire, as net.mpls.conf.DEV.input */
	struct pw_tunnel tunnel;
	struct pw_ipsec ipsec;
	bool reverse_route;    /* IPsec: routes to what its policies send (reverse.c) */
	struct pw_face *face;  /* TAP face (face.h), NULL without */
	uint32_t face_ifindex; /* the kernel's interface (native or TAP), 0 without */
	char face_name[IFNAMSIZ];
};

/** IPv4 or IPv6 packets, without labels, go into the tunnel and come out of it. */
static inline bool pw_tunnel_carries(const struct pw_tunnel *tunnel, int family)
{
	if (!tunnel->ip_in_ip)
		return !tunnel->mpls_in_ip;
	if (family == AF_INET)
		return tunnel->protocol != IPPROTO_IPV6;
	return tunnel->protocol == IPPROTO_IPV6 ||
	       (!tunnel->protocol && (tunnel->sit || tunnel->local.family == AF_INET6));
}

struct pw_link *pw_link_by_index(uint32_t index);
struct pw_link *pw_link_by_name(const char *name);
struct pw_link *pw_link_by_face(uint32_t kernel_ifindex);

/** (link_ipsec.c) The xfrm link with this if_id, or NULL. */
struct pw_link *pw_link_by_if_id(uint32_t if_id);

/**
 * (link_ipsec.c) The vti whose key matches a mark, as SAs and policies have it: inward its ikey,
 * else its okey. NULL where none does, where several do, and for a mask of 0.
 */
struct pw_link *pw_link_by_mark(uint32_t value, uint32_t mask, bool inward);

/** Iterates in order of index: the first link with an index above @p after, or NULL. */
struct pw_link *pw_link_next(uint32_t after);

/** Dataplane VRF index that the link's packets are looked up in (VRF link: its own table). */
uint16_t pw_link_vrf(const struct pw_link *link);

/** Linux table id of the same. */
uint32_t pw_link_table(const struct pw_link *link);

/** Up, with carrier, and (VLAN) so its parent. */
bool pw_link_operational(const struct pw_link *link);

/** Creates "lo". */
int pw_link_init(void);
void pw_link_fini(void);

/** A port was opened: makes its link. @return the link, NULL with errno set. */
struct pw_link *pw_link_add_port(uint16_t port);

/** The event loop's once-a-second look at ports: carrier changes. */
void pw_link_poll(void);

/* ---- addresses (address.c) --------------------------------------------------------------- */

/** The first (primary) address of a link or of any link in a VRF; 0 or -ENOENT. */
int pw_address_primary(uint32_t link, int family, struct pw_address *address);
int pw_address_primary_vrf(uint16_t vrf, int family, struct pw_address *address);

/** Kernel mirror: an address appeared on or went from the kernel face of @p link. */
void pw_address_mirror(struct pw_link *link, const struct pw_address *address, unsigned int length,
		       bool add);

/**
 * (steering.c) A VRF got or lost a local address (of a link, or a tunnel's end): its ports'
 * steering programs are told. Counted.
 */
void pw_address_local_changed(uint16_t vrf, const struct pw_address *address, bool add);

/**
 * (steering.c) There is an inbound security association (or a larval one) with this destination
 * in a VRF, or no longer: ESP to the address is Pewter's, no longer the kernel's. Counted.
 */
void pw_address_esp_changed(uint16_t vrf, const struct pw_address *address, bool add);

/** (steering.c) The same for protocols 4 and 41: a tunnel of IP in IP ends there, or no longer. */
void pw_address_ip_changed(uint16_t vrf, const struct pw_address *address, bool add);

/* ---- neighbours (neighbour.c) ------------------------------------------------------------ */

/**
 * The dataplane neighbour for (link, address) on an Ethernet-framed link, made on demand
 * (incomplete until resolved) and counted. Returns its id, or -ENOSPC / -EINVAL.
 */
int pw_neighbour_take(struct pw_link *link, const struct pw_address *address, uint32_t *id);
void pw_neighbour_drop(uint32_t id);

/** NBMA map of a tunnel: where @p address is reached; true and @p remote when there is an entry. */
bool pw_neighbour_nbma(const struct pw_link *tunnel, const struct pw_address *address,
		       struct pw_address *remote);

/**
 * Kernel mirror: state of a neighbour on the kernel face. @p nud is the kernel's (NUD_*), 0 when
 * it deleted the neighbour; @p mac goes with the states that have one.
 */
void pw_neighbour_mirror(struct pw_link *link, const struct pw_address *address, const uint8_t *mac,
			 uint16_t nud);

/** (hold.c) A packet that waits for a neighbour; takes the mbuf. */
struct rte_mbuf;
void pw_neighbour_hold(struct rte_mbuf *mbuf);

/** (face.c) A packet from a worker's punt ring: does what the worker asks; takes the mbuf. */
void pw_punt_take(struct rte_mbuf *mbuf);

/** What the control thread dropped and did, beside the workers' own counts. */
extern uint64_t pw_control_drops[PW_DROP_COUNT];
extern uint64_t pw_control_events[PW_EVENT_COUNT];

/* ---- routes, next hops, endpoints, labels ------------------------------------------------ */

/** (route.c) A connected prefix, a local address, or a host route for a resolved neighbour. */
enum pw_route_source {
	PW_ROUTE_LOCAL,     /* wins over everything for its prefix */
	PW_ROUTE_CONNECTED, /* glean on the link */
	PW_ROUTE_NEIGHBOUR, /* host route to a known neighbour; not shown as a route; yields to
			     * any configured route of the same length, but one that only names
			     * the neighbour's own link */
};

/**
 * Adds or removes such a route in the table of @p link. Counted: the same prefix may be added
 * for several reasons. @p neighbour only for PW_ROUTE_NEIGHBOUR. 0, -ENOSPC, -ENOMEM, -ENOENT.
 */
int pw_route_internal(enum pw_route_source source, struct pw_link *link,
		      const struct pw_address *prefix, unsigned int length, uint32_t neighbour,
		      bool add);

/** (nexthop.c) Something about the link changed (up, down, mtu, master, carrier, tunnel). */
void pw_nexthop_link_changed(struct pw_link *link);

/** The link is about to go: routes through it go with it, as in the kernel. */
void pw_nexthop_link_deleted(struct pw_link *link);

/** A neighbour's state changed, so group members may leave or come back. */
void pw_nexthop_neighbour_changed(uint32_t neighbour);

/** (endpoint.c) NBMA entry of a tunnel came, changed or went: next hops through it follow. */
void pw_endpoint_nbma_changed(struct pw_link *tunnel, const struct pw_address *address);

/**
 * The endpoint (tunnel, remote), made on demand and counted. An NBMA entry holds one, and so
 * does every next hop that uses it: both make the remote a known source.
 */
int pw_endpoint_take(struct pw_link *tunnel, const struct pw_address *remote, uint32_t *id);
void pw_endpoint_drop(uint32_t id);

/**
 * Could a tunnel be like this? For @p self, or for a new one when NULL. 0, -EEXIST or -EINVAL
 * with one sentence in @p why. Before it is created or changed, so that nothing is half-applied.
 */
int pw_endpoint_tunnel_check(const struct pw_tunnel *wanted, const struct pw_link *self,
			     const char **why);

/** A tunnel link was created, reconfigured (all its endpoints follow) or is about to go. */
int pw_endpoint_tunnel_added(struct pw_link *tunnel);
void pw_endpoint_tunnel_changed(struct pw_link *tunnel);
void pw_endpoint_tunnel_deleted(struct pw_link *tunnel);

/**
 * Called once after every batch of messages or events: resolves what the batch made dirty
 * (endpoints over changed underlay routes, recursive next hops, groups) and publishes.
 */
void pw_resolve(void);

int pw_route_init(void);
void pw_route_fini(void);

/**
 * (label.c) Only these remote ends of tunnels may use an incoming label, now and when they come
 * later; replaces what was said before. @p count 0: every known endpoint may.
 * 0, -ENOENT (the label has no route), -ENOSPC, -ENOMEM.
 */
int pw_label_allow(uint32_t label, const struct pw_address *remotes, uint32_t count);

/**
 * (label.c) A label below 2^20 is taken only out of an SA, or from clear as well. It is the
 * label's, whatever becomes of its route: a speaker that takes it back and gives it again does
 * not open it.
 */
void pw_label_protect(uint32_t label, bool on);
bool pw_label_protected(uint32_t label);

/* ---- pewterctl (statistics.c, netlink_pewter.c, watch.c) --------------------------------- */

/** Registers the messages of lib/pewter_netlink.h from 0x420 up. 0 or -errno. */
int pw_statistics_init(void);

/** Ends every trace and capture; after the workers have stopped, before the clients go. */
void pw_statistics_fini(void);

#endif
