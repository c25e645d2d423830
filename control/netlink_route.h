/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_NETLINK_ROUTE_H
#define PW_NETLINK_ROUTE_H

#include "control/request.h"
#include "control/route.h"

/** RTM_GETROUTE for one destination: `ip route get`. (netlink_route_get.c) */
int pw_netlink_route_get(struct pw_request *request);

/** RTM_GETROUTE with NLM_F_DUMP; family AF_UNSPEC dumps IPv4, IPv6 and MPLS. */
int pw_netlink_route_dump(struct pw_dump *dump);

/** The AF_MPLS part of a dump; cursor[1] is its own. (netlink_mpls.c) */
int pw_netlink_label_dump(struct pw_dump *dump, uint32_t oif, uint8_t protocol);

/** Writes a route message behind a header that is there already. */
void pw_netlink_route_put(struct nlmsghdr *nlh, const struct pw_table *table, int family,
			  const struct pw_prefix *prefix, const struct pw_route *route);

/** Where packets of this router's own over the route come from; false when it is not known. */
bool pw_netlink_route_source(const struct pw_table *table, int family,
			     const struct pw_prefix *prefix, const struct pw_route *route,
			     struct pw_address *source);

#endif
