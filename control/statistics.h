/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_STATISTICS_H
#define PW_STATISTICS_H

#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"
#include "control/request.h"
#include "dataplane/table/nexthop.h"
#include "lib/pewter_netlink.h"

/**
 * What pewterctl shows, watches and sets: lib/pewter_netlink.h's messages from 0x420 up.
 *
 *   statistics_names.c what the dataplane's numbers are called
 *   statistics.c       counters: drops, events, ports, stages, workers, summary
 *   statistics_sa.c    security associations and policies
 *   netlink_pewter.c   tables: VRFs, neighbours, tunnels, labels; knobs of labels and tunnels
 *   watch_request.c    traces and captures as clients ask for them
 *   watch.c            ... and on their way from the workers to the clients
 */

/* For these files: */

void pw_statistics_register(void);
void pw_statistics_sa_register(void);

/** Numbers of SAs and policies in the summary. */
void pw_statistics_put_ipsec(struct nlmsghdr *nlh);

void pw_netlink_pewter_register(void);
void pw_netlink_pewter_set_register(void);
void pw_watch_register(void);
void pw_watch_fini(void);

/** pw_dump_message() with the family header in it. */
struct nlmsghdr *pw_statistics_message(struct pw_dump *dump, uint16_t type, size_t room);

/** Forgets which link is which VRF's and port's; call before a batch of the following. */
void pw_statistics_names_refresh(void);

/** The VRF link's name; "default" for VRF 0; NULL for a table without a link. */
const char *pw_statistics_vrf_name(uint16_t vrf);

/** Name of the port's link, else of the port; NULL when there is neither. */
const char *pw_statistics_port_name(uint16_t port);

/** Index of the port's link (no VLAN), 0 when it has none. */
uint32_t pw_statistics_port_link(uint16_t port);

/** Finds a port by either name; PW_PORT_NONE when there is none. */
uint16_t pw_statistics_port_find(const char *name);

/** Name of the link with this interface id, NULL when there is none. */
const char *pw_statistics_interface_name(uint32_t interface);

/** "incomplete", "reachable", "failed", "none" */
const char *pw_statistics_neighbour_state(uint8_t state);

/** Bytes that pw_statistics_put_nexthop() may take. */
#define PW_STATISTICS_NEXTHOP_ROOM 256

/** Nests a next hop (PW_NEXTHOP_ATTR_*) as attribute @p type; id 0: nothing. */
void pw_statistics_put_nexthop(struct nlmsghdr *nlh, uint16_t type, uint32_t id);

/** Puts a string attribute, unless @p text is NULL. */
void pw_statistics_put_name(struct nlmsghdr *nlh, uint16_t type, const char *text);

/** Puts an address of a family (AF_INET, AF_INET6); nothing for any other family. */
void pw_statistics_put_address(struct nlmsghdr *nlh, uint16_t type, int family, const void *bytes);

#endif
