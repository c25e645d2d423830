/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_ENDPOINT_H
#define PW_CONTROL_ENDPOINT_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "control/control.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/sa.h"

/** Remote ends of tunnels, between endpoint.c, endpoint_way.c and route.c, nexthop.c, label.c. */

struct pw_path;

struct pw_remote {
	uint32_t id;
	uint32_t refs;
	uint32_t tunnel; /* link index */
	struct pw_address remote;
	struct pw_endpoint_key match;
	bool bound;          /* packets from it are known by the match */
	bool orphan;         /* its tunnel was deleted */
	bool up;             /* there is a way to it */
	bool held_down;      /* said to be down (PW_MSG_ENDPOINT_SET) */
	uint16_t mtu;        /* of the way, 0 = none */
	uint32_t underlay;   /* next-hop id of the way */
	struct pw_path *way; /* held when the remote is on a link of ours */
	const char *down;    /* why there is no way; NULL while there is */
	LIST_ENTRY(pw_remote) by_tunnel;
	LIST_ENTRY(pw_remote) by_vrf;
	LIST_ENTRY(pw_remote) by_hash;
};

/** Routes or next hops that an outer packet may follow changed in a front-door VRF. */
void pw_endpoint_underlay_changed(uint16_t vrf);
void pw_endpoint_underlay_changed_all(void);

/** Finds the way to the remote ends of every VRF that changed. True when one did. */
bool pw_endpoints_resolve(void);

/** Somebody says that a remote end is down, or no longer. 0, or -ENOENT: no such endpoint. */
int pw_endpoint_hold_down(const struct pw_link *tunnel, const struct pw_address *remote, bool down);

/** True while there is a way to the remote end and nobody says that it is down. */
bool pw_endpoint_up(uint32_t id);

/** What protects it changed: publishes it anew. 0 or -ENOSPC. */
int pw_endpoint_protection_changed(uint32_t id);

/** NULL when there is no such endpoint. */
const struct pw_remote *pw_remote_get(uint32_t id);

/** Changes whenever an endpoint comes or goes, so that label sets know they are stale. */
uint64_t pw_endpoint_generation(void);

/** ::ffff:a.b.c.d as the IPv4 address it stands for (RFC 4659 next hops); others unchanged. */
struct pw_address pw_address_unmapped(const struct pw_address *address);

int pw_endpoint_init(void);

/** At the end: lets go of paths, so that they can be reclaimed before pw_endpoint_fini(). */
void pw_endpoints_release(void);
void pw_endpoint_fini(void);

/* Between endpoint.c and endpoint_way.c: */

/** What packets from @p remote (family 0: anybody) to the tunnel are matched by. */
struct pw_endpoint_key pw_endpoint_match(const struct pw_tunnel *tunnel,
					 const struct pw_address *remote, uint16_t vrf);

/** The VRF that a tunnel's outer packets are in. */
uint16_t pw_tunnel_vrf(const struct pw_tunnel *tunnel);

/** Looks for the way again; true when something about it changed (not published yet). */
bool pw_remote_resolve(struct pw_remote *remote);

/** How an outer packet gets to a remote end. */
struct pw_way {
	uint32_t nexthop; /* id; 0 = none */
	uint32_t mtu;
	struct pw_path *path; /* held when the remote is on a link of ours */
	const char *down;     /* why there is none; NULL while there is */
};

/** Finds the way from a front-door VRF by what the workers have now. */
void pw_way_find(uint16_t vrf, const struct pw_address *remote, struct pw_way *way);

/** A way was found through a second table: what changes there concerns the first one too. */
void pw_endpoint_way_leaks(void);

/**
 * Fills in what an endpoint sends with: flags, ready-made header, SA (may be NULL) and MTU, which
 * is at most @p mtu and, where there is a way (@p way_mtu not 0), what goes that way whole, as far
 * as the SA's path MTU is known.
 */
void pw_endpoint_compose(struct pw_endpoint *endpoint, const struct pw_tunnel *tunnel,
			 const struct pw_address *remote, const struct pw_sa *sa, uint32_t mtu,
			 uint16_t way_mtu);

/** Publishes what workers send to it with. 0 or -ENOSPC. */
int pw_remote_publish(struct pw_remote *remote);

#endif
