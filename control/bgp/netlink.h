/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef BGP_NETLINK_H
#define BGP_NETLINK_H

#include "control/bgp/config.h"
#include "control/bgp/rib.h"
#include "lib/api.h"

/** Routes, labels and links as netlink messages. */

/** A route in a message of Pewter's. */
struct bgp_netlink_route {
	uint32_t table;
	uint32_t metric;
	uint32_t label; /* family AF_MPLS: the incoming label */
	uint8_t family; /* AF_INET, AF_INET6, AF_MPLS */
	uint8_t protocol;
	uint8_t type;
	bool encapsulated; /* a hop pushes labels */
	struct bgp_prefix prefix;
	unsigned int hop_count;
	struct bgp_hop hops[BGP_PATHS_MAX];
};

/** False: the message is none of these, or ill-formed. */
bool bgp_netlink_parse(const struct nlmsghdr *nlh, struct bgp_netlink_route *route);

/** RTM_NEWROUTE (@p hops) or RTM_DELROUTE (NULL). False: the batch is full. */
bool bgp_netlink_put_route(struct pw_api_batch *batch, uint32_t table, uint32_t metric,
			   const struct bgp_prefix *prefix, const struct bgp_hops *hops);

/** An own label that leads to a VRF device, or its deletion (@p ifindex 0). */
bool bgp_netlink_put_label(struct pw_api_batch *batch, uint32_t label, uint32_t ifindex);

/** A next-hop object to a PE (@p id 0: Pewter chooses one), or the deletion of one. */
bool bgp_netlink_put_nexthop(struct pw_api_batch *batch, const struct bgp_address *address,
			     uint32_t oif, uint32_t id);
/** True: it is one of those, of protocol bgp, without a label. */
bool bgp_netlink_parse_nexthop(const struct nlmsghdr *nlh, struct bgp_address *address,
			       uint32_t *oif, uint32_t *id);

/** A dump request: RTM_GETLINK or RTM_GETROUTE of a family. */
bool bgp_netlink_put_dump(struct pw_api_batch *batch, uint16_t type, uint8_t family);
bool bgp_netlink_put_subscribe(struct pw_api_batch *batch, uint32_t group);

/** A link in a message of Pewter's. */
struct bgp_netlink_link {
	char name[16];
	char kind[16];
	uint32_t ifindex;
	uint32_t flags;
	uint32_t master;
	uint32_t table;           /* kind vrf */
	struct bgp_address local; /* kinds gre and ip6gre */
	bool has_key;
	uint32_t key;
};
bool bgp_netlink_parse_link(const struct nlmsghdr *nlh, struct bgp_netlink_link *link);

#endif
