/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_FEED_KERNEL_H
#define PW_FEED_KERNEL_H

#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"

/**
 * The kernel's part: rtnetlink with the host, for the interfaces that are kernel faces of links.
 * What the kernel knows of them (addresses, neighbours, carrier) is mirrored; what it must know
 * (addresses, up, MTU) is pushed; unresolved neighbours are asked for. Control thread only.
 * Without pw_kernel_feed_init() the commands return -ENOTCONN and nothing else happens.
 */

/** Subscribes, then mirrors what there is on the faces of all links. 0 or -errno. */
int pw_kernel_feed_init(void);

/** Takes back the addresses that were pushed and lets go of the kernel. */
void pw_kernel_feed_fini(void);
bool pw_kernel_feed_running(void);

/** A link got a kernel face: mirrors what is on it and brings it to the link's state. */
void pw_kernel_face_added(struct pw_link *link);

/** The face's VRF changed: ARP with addresses that other VRFs have too needs settings. */
void pw_kernel_face_vrf(struct pw_link *link, bool vrf);

/* Commands. 0 or the kernel's -errno. */
int pw_kernel_address(uint32_t ifindex, const struct pw_address *local,
		      const struct pw_address *peer, unsigned int length, bool prefix_route,
		      bool add);
int pw_kernel_link_up(uint32_t ifindex, bool up);
int pw_kernel_link_mtu(uint32_t ifindex, uint32_t mtu);

/** Asks the kernel to find (or to confirm) a neighbour; the answer comes as an event. */
int pw_kernel_neighbour_ask(uint32_t ifindex, const struct pw_address *address);
int pw_kernel_neighbour_set(uint32_t ifindex, const struct pw_address *address,
			    const uint8_t mac[6], uint16_t nud);
int pw_kernel_neighbour_delete(uint32_t ifindex, const struct pw_address *address);

/* kernel_command.c: the socket that commands go over, and its dumps */
int pw_kernel_command_init(void);
void pw_kernel_command_fini(void);

struct nlmsghdr;
typedef int (*pw_kernel_fn)(const struct nlmsghdr *nlh, void *context);

/**
 * Dumps @p type (RTM_GETLINK, RTM_GETADDR, RTM_GETNEIGH) of one interface, 0 = all (but links:
 * one). @p fn is called for each object after the whole dump came, so it may give commands.
 */
int pw_kernel_dump(uint16_t type, uint32_t ifindex, pw_kernel_fn fn, void *context);

/** RTM_GETROUTE of the main table, or RTM_GETNEXTHOP, in the same way. */
int pw_kernel_dump_routes(uint16_t type, int family, pw_kernel_fn fn, void *context);

/* kernel_route.c: the kernel's main table as Pewter's underlay */

/** Before pw_kernel_feed_init(); the default is to mirror. */
void pw_kernel_routes_enable(bool enable);
void pw_kernel_routes_start(void);
void pw_kernel_routes_stop(void);

/** RTM_NEWROUTE and RTM_DELROUTE; RTM_NEWNEXTHOP and RTM_DELNEXTHOP. */
void pw_kernel_route(const struct nlmsghdr *nlh);
void pw_kernel_nexthop(const struct nlmsghdr *nlh);

/** Something that routes hang on changed: they are read again soon; or at once. */
void pw_kernel_routes_changed(void);
void pw_kernel_routes_read(void);

#endif
