/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_LINKS_H
#define PW_LINKS_H

/**
 * What the files of links, addresses and neighbours share among themselves; what the rest of the
 * control thread may call is in control.h. Control thread only.
 */
#include <sys/queue.h>

#include "control/control.h"
#include "control/request.h"

#define PW_TABLE_MAIN          254
#define PW_TABLE_LOCAL         255
#define PW_MTU_IPV4_MIN        68
#define PW_MTU_IPV6_MIN        1280
#define PW_MTU_MAX             65535
#define PW_MTU_LOOPBACK        65536
#define PW_MTU_VRF             65575 /* as the kernel has it */
#define PW_ADDRESS_TEXT        48
#define PW_LINK_LOOPBACK_INDEX 1

/* ---- link.c: the registry ---- */

/** Copies @p model into the registry under a new index, published. NULL with errno set. */
struct pw_link *pw_link_register(const struct pw_link *model);
void pw_link_unregister(struct pw_link *link);

/** Writes what workers know of the link. 0 or -ENOSPC. */
int pw_link_publish(const struct pw_link *link);

/** The VRF link that owns a routing table, or NULL. */
struct pw_link *pw_link_by_table(uint32_t table);

/** The untagged link of a port, or NULL. */
struct pw_link *pw_link_by_port(uint16_t port);

/** True when the name can be an interface's (as the kernel's dev_valid_name()). */
bool pw_link_name_valid(const char *name);
void pw_link_rename(struct pw_link *link, const char *name);

/** Learns or forgets (0) the kernel interface that is the link's face. */
void pw_link_set_face(struct pw_link *link, uint32_t ifindex, const char *name);

/** Recomputes the VRF of a link whose master changed. */
void pw_link_refresh_vrf(struct pw_link *link);

/* ---- link_change.c: what can be done to links; each whole or not at all ---- */

/** Makes a link of what was checked. On failure errno is set and @p error says why. */
struct pw_link *pw_link_create(const struct pw_link *model, char *error, size_t size);
void pw_link_delete(struct pw_link *link);

int pw_link_set_mtu(struct pw_link *link, uint32_t mtu);
int pw_link_set_up(struct pw_link *link, bool up);
int pw_link_set_master(struct pw_link *link, uint32_t master);
int pw_link_set_tunnel(struct pw_link *link, const struct pw_tunnel *tunnel);

/** The kernel face of a tunnel with a fixed remote comes or goes; a sentence in @p error. */
int pw_link_set_tunnel_face(struct pw_link *link, bool on, char *error, size_t size);

/** Carrier as the device or the kernel reports it. */
void pw_link_set_carrier(struct pw_link *link, bool carrier);

/** The kernel face of a native port reports its MTU and MAC; a change is followed. */
void pw_link_mirror(struct pw_link *link, uint32_t mtu, const uint8_t *mac);

/** Of an IPsec interface; its `dev` stays. */
int pw_link_set_ipsec(struct pw_link *link, const struct pw_ipsec *ipsec);

/** Tells workers, next hops, neighbours and listeners after anything changed. */
int pw_link_changed(struct pw_link *link);

/** Bytes that a tunnel puts before its payload (labels not counted). */
unsigned int pw_tunnel_overhead(const struct pw_tunnel *tunnel);
uint32_t pw_tunnel_default_mtu(const struct pw_tunnel *tunnel);

/* ---- netlink_link*.c ---- */

void pw_netlink_link_init(void);

/** What the link's MTU can be set to. */
void pw_link_mtu_range(const struct pw_link *link, uint32_t *min, uint32_t *max);
void pw_link_notify(const struct pw_link *link, uint16_t type, uint32_t changed);

/** GETLINK: one, and dumps. */
int pw_netlink_link_get(struct pw_request *request);
int pw_netlink_link_dump(struct pw_dump *dump);

/** Tunnels' part of IFLA_INFO_DATA. Kind "gre", "ip6gre", "ipip", "sit" or "ip6tnl". */
int pw_netlink_tunnel_parse(struct pw_request *request, const char *kind, const struct nlattr *data,
			    const struct pw_tunnel *old, struct pw_tunnel *tunnel);
void pw_netlink_tunnel_put(struct nlmsghdr *nlh, const struct pw_tunnel *tunnel);
const char *pw_netlink_tunnel_kind(const struct pw_tunnel *tunnel);

/* ---- link_ipsec.c: IPsec interfaces ---- */

/** The interface is found by its numbers, and has policies: none yet, and nothing passes. */
int pw_ipsec_added(struct pw_link *link);
void pw_ipsec_deleted(struct pw_link *link);
void pw_ipsec_fini(void);

/** Another link that has the same if_id or key, or (vti) the same two ends; NULL: none. */
const struct pw_link *pw_ipsec_same(const struct pw_ipsec *wanted, const struct pw_link *self);

/** Bytes of the outer IP header, of a vti's MTU. */
uint32_t pw_ipsec_default_mtu(const struct pw_ipsec *ipsec);

/** (netlink_ipsec.c) IFLA_INFO_DATA. Kind "xfrm", "vti" or "vti6"; @p old NULL: a new link. */
int pw_netlink_ipsec_parse(struct pw_request *request, const char *kind, const struct nlattr *data,
			   const struct pw_link *old, struct pw_ipsec *ipsec);
void pw_netlink_ipsec_put(struct nlmsghdr *nlh, const struct pw_ipsec *ipsec);
bool pw_netlink_ipsec_is(const char *kind);
const char *pw_netlink_ipsec_kind(const struct pw_ipsec *ipsec);

/* ---- address.c ---- */

#define PW_ADDRESS_API    0x1 /* somebody asked for it over the API */
#define PW_ADDRESS_KERNEL 0x2 /* the kernel face has it */

struct pw_link_address {
	TAILQ_ENTRY(pw_link_address) next;
	struct pw_link *link;
	struct pw_address local;
	struct pw_address peer; /* = local, but for point-to-point addresses */
	struct pw_address broadcast;
	uint8_t length;
	uint8_t origin; /* PW_ADDRESS_* */
	bool pushed;    /* we put it on the kernel face, so we take it away again */
	bool seen;      /* named by the dump of the kernel's addresses that is going on */
	bool local_routed;
	bool connected_routed;
	uint32_t flags;                        /* IFA_F_* as configured */
	uint32_t valid_until, preferred_until; /* seconds of the monotonic clock, 0: forever */
	uint8_t protocol;
	char label[IFNAMSIZ];
};
TAILQ_HEAD(pw_link_addresses, pw_link_address);

int pw_address_init(void);
void pw_address_fini(void);
struct pw_link_addresses *pw_address_list(uint32_t link);

/** Adds a checked address; -EEXIST, -ENOMEM or what the route table says. */
int pw_address_add(const struct pw_link_address *model);
void pw_address_delete(struct pw_link_address *address);
struct pw_link_address *pw_address_find(uint32_t link, const struct pw_address *local, int length);
void pw_address_set(struct pw_link_address *address, const struct pw_link_address *model);

/** Routes of all addresses of the link. Adding is whole or not at all; 0 or -errno. */
int pw_address_routes_add(struct pw_link *link);
void pw_address_routes_delete(struct pw_link *link);

/** Seconds of the clock that lifetimes are counted on. */
uint32_t pw_address_seconds(void);
void pw_address_link_deleted(struct pw_link *link);

/** True when the address lies in a connected prefix of the link. */
bool pw_address_on_link(const struct pw_link *link, const struct pw_address *address);
void pw_address_icmp_source(const struct pw_link *link, uint32_t *source4, uint8_t source6[16]);
void pw_address_vrf_sources(uint16_t vrf);
void pw_address_tick(void);

bool pw_address_same(const struct pw_address *a, const struct pw_address *b);
uint32_t pw_address_hash(const struct pw_address *address, uint32_t seed);
bool pw_address_link_local(const struct pw_address *address);
bool pw_address_multicast(const struct pw_address *address);
const char *pw_address_format(const struct pw_address *address, char text[PW_ADDRESS_TEXT]);

/* address_mirror.c: the copies on the kernel faces */

/** Puts what the API configured on the kernel face, and takes it away again. */
void pw_address_push(struct pw_link_address *address);
void pw_address_unpush(struct pw_link_address *address);
void pw_address_push_all(struct pw_link *link);
void pw_address_push_due(void);               /* what the kernel dropped: once a second at most */
void pw_address_repush(struct pw_link *link); /* its VRF changed */

/** The face is gone: nothing of what was pushed or mirrored is there any more. */
void pw_address_face_gone(struct pw_link *link);
void pw_address_sweep_begin(void); /* before a dump of the kernel's addresses */
void pw_address_sweep_end(void);   /* mirrored ones that it did not name are gone */

/* steering.c: local addresses of VRFs and the ports that must know them */
void pw_steering_port(struct pw_link *link, uint16_t vrf, bool add);
void pw_steering_fini(void);

void pw_netlink_address_init(void);
void pw_address_notify(const struct pw_link_address *address, uint16_t type);

/* ---- neighbour.c ---- */

struct pw_held;
TAILQ_HEAD(pw_held_list, pw_held);

enum pw_neighbour_wait {
	PW_WAIT_NONE,
	PW_WAIT_ANSWER, /* the kernel was asked */
	PW_WAIT_FAILED, /* failed a moment ago: packets are refused at once */
	PW_WAIT_USERS,  /* its host route is on its way out: does anything else need it? */
};

struct pw_link_neighbour {
	TAILQ_ENTRY(pw_link_neighbour) next;    /* of the link, in order of appearance */
	TAILQ_ENTRY(pw_link_neighbour) pending; /* asked for, or failed lately */
	LIST_ENTRY(pw_link_neighbour) bucket;
	struct pw_link *link; /* NULL: the link is gone, somebody still holds the id */
	struct pw_address address;
	uint8_t mac[6];
	struct pw_address remote; /* tunnels: the NBMA address */
	uint32_t endpoint;        /* tunnels: the id held */
	uint32_t id;              /* dataplane's, 0 on tunnels */
	uint32_t references;      /* next hops that use it, its own host route's among them */
	uint16_t nud;             /* as shown: NUD_* */
	uint8_t state;            /* enum pw_neighbour_state */
	uint8_t protocol;
	uint32_t flags;    /* NTF_* as shown */
	bool configured;   /* by the API: the kernel does not overrule it */
	bool gleaned;      /* a packet asked for it */
	bool routed;       /* its host route is there */
	uint8_t wait;      /* enum pw_neighbour_wait: why it is on the pending list */
	bool pushed;       /* the kernel face has it as a permanent entry of ours */
	bool seen;         /* named by the dump of the kernel's neighbours that is going on */
	uint64_t deadline; /* of the pending state, ms */
	uint64_t updated;  /* ms */
	struct pw_held_list held;
	uint32_t held_count;
};
TAILQ_HEAD(pw_link_neighbours, pw_link_neighbour);

int pw_neighbour_init(void);
void pw_neighbour_fini(void);
struct pw_link_neighbours *pw_neighbour_list(uint32_t link);
struct pw_link_neighbour *pw_neighbour_find(const struct pw_link *link,
					    const struct pw_address *address);

/** Finds or makes; NULL with errno set. */
struct pw_link_neighbour *pw_neighbour_obtain(struct pw_link *link,
					      const struct pw_address *address);
/** Frees one that nothing needs any more. */
void pw_neighbour_release(struct pw_link_neighbour *neighbour);

/** The neighbour of a dataplane id, or NULL. */
struct pw_link_neighbour *pw_neighbour_by_id(uint32_t id);

/** True on links whose neighbours have MAC addresses. */
bool pw_neighbour_ethernet(const struct pw_link *link);

/** Static or given by the API. 0 or -errno. */
int pw_neighbour_configure(struct pw_link_neighbour *neighbour, const uint8_t *mac, uint16_t nud);
int pw_neighbour_configure_nbma(struct pw_link_neighbour *neighbour,
				const struct pw_address *remote, uint16_t nud);
void pw_neighbour_delete(struct pw_link_neighbour *neighbour);

/** Asks for it and waits, unless that is under way. False: too many are waited for. */
bool pw_neighbour_resolve(struct pw_link_neighbour *neighbour);

/** Something that neighbours' headers or host routes depend on changed. */
void pw_neighbour_link_changed(struct pw_link *link);
void pw_neighbour_routes_delete(struct pw_link *link);
void pw_neighbour_link_down(struct pw_link *link);
void pw_neighbour_link_deleted(struct pw_link *link);
void pw_neighbour_sweep_begin(void);
void pw_neighbour_sweep_end(void);

/** Sends on what waited for neighbours that were resolved (or failed) in this batch. */
void pw_neighbour_flush(void);

/** The two-times-a-second look at deadlines; tests call it with their own time. */
void pw_neighbour_tick(uint64_t now_ms);
uint64_t pw_neighbour_now(void);

/* hold.c */
void pw_hold_settled(struct pw_link_neighbour *neighbour); /* flush sends what it holds */
void pw_hold_drop(struct pw_link_neighbour *neighbour, enum pw_drop reason);
void pw_hold_init(void);
void pw_hold_fini(void);

void pw_netlink_neighbour_init(void);
void pw_neighbour_notify(const struct pw_link_neighbour *neighbour, uint16_t type);

#endif
