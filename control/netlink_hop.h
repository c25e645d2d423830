/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_NETLINK_HOP_H
#define PW_NETLINK_HOP_H

#include <linux/rtnetlink.h>

#include "control/nexthop.h"
#include "control/request.h"
#include "control/route.h"

/** Next hops in messages: what routes, label routes and next-hop objects have in common. */

/** Where the parts of a hop were in the message, for refusals. */
struct pw_hop_source {
	const struct nlattr *oif;
	const struct nlattr *gateway;
	const struct nlattr *encap;
};

/** RTA_GATEWAY or NHA_GATEWAY: an address of @p family. */
int pw_hop_get_gateway(struct pw_request *request, const struct nlattr *attribute, int family,
		       struct pw_hop *hop);

/** RTA_VIA: an address with its family. */
int pw_hop_get_via(struct pw_request *request, const struct nlattr *attribute, struct pw_hop *hop);

/** RTA_ENCAP_TYPE and RTA_ENCAP; either may be NULL. Only MPLS is known. */
int pw_hop_get_encap(struct pw_request *request, const struct nlattr *type,
		     const struct nlattr *encap, struct pw_hop *hop);

/** A label stack in wire format: RTA_NEWDST, MPLS_IPTUNNEL_DST. */
int pw_hop_get_labels(struct pw_request *request, const struct nlattr *attribute,
		      struct pw_hop *hop);

/** RTA_MULTIPATH into spec->hops. @p family AF_MPLS: RTA_NEWDST and RTA_VIA. */
int pw_hop_get_multipath(struct pw_request *request, const struct nlattr *attribute, int family,
			 struct pw_route_spec *spec, struct pw_hop_source *sources);

/** Checks every hop of the spec and takes its path. 0 with a held path, or refused. */
int pw_hops_take(struct pw_request *request, struct pw_route_spec *spec, int family,
		 const struct pw_hop_source *sources, struct pw_path **path);

/** Writes one hop: via, dev, encap (AF_MPLS: RTA_NEWDST instead). */
void pw_hop_put(struct nlmsghdr *nlh, int family, const struct pw_hop *hop);

/** Writes RTA_MULTIPATH. */
void pw_hop_put_multipath(struct nlmsghdr *nlh, int family, const struct pw_path *path);

/** RTNH_F_*: onlink, dead, linkdown. */
uint32_t pw_hop_flags(const struct pw_leg *leg);

/** Writes a label stack in wire format. */
void pw_hop_put_labels(struct nlmsghdr *nlh, uint16_t type, const uint32_t *labels,
		       unsigned int count);

/** RTA_ENCAP_TYPE or NHA_ENCAP_TYPE, and the nest behind it. */
void pw_hop_put_encap(struct nlmsghdr *nlh, uint16_t type, uint16_t encap,
		      const struct pw_hop *hop);

/** Room for the legs of a path in a message, generously. */
size_t pw_hop_room(const struct pw_path *path);

#endif
