/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_FEED_KERNEL_HOP_H
#define PW_FEED_KERNEL_HOP_H

#include <stdbool.h>
#include <stdint.h>

#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "dataplane/table/nexthop.h"

/** Ways out in the kernel's messages, as far as they lead over faces of the default VRF. */

/* One way out of a route, as attributes of the kernel's message. */
struct pw_kernel_hop {
	uint32_t oif; /* Pewter's */
	uint8_t weight;
	int family; /* of the gateway */
	const void *gateway;
	uint16_t gateway_size;
	const struct nlattr *encap, *encap_type;
};

struct pw_kernel_hops {
	struct pw_kernel_hop list[PW_GROUP_BUCKETS];
	unsigned int count;
	bool unknown; /* by a next-hop object that has not been read */
};

/** Attributes by type, table[0 .. max]; unknown ones are left out. */
void pw_kernel_attributes(const struct nlmsghdr *nlh, size_t header, const struct nlattr **table,
			  uint16_t max);

/** 0 when it is missing or of another size. */
uint32_t pw_kernel_u32(const struct nlattr *attribute);

/** Reads the kernel's next-hop objects, for routes that name nothing else; and forgets them. */
void pw_kernel_objects_read(void);
void pw_kernel_objects_free(void);

/** The ways out of a route; they point into its message, and into the objects. */
void pw_kernel_hops_take(struct pw_kernel_hops *hops, const struct rtmsg *rtm,
			 const struct nlattr **table);

/** Writes them, one or several, behind a struct rtmsg. */
void pw_kernel_hops_put(struct nlmsghdr *nlh, int family, const struct pw_kernel_hops *hops,
			bool onlink);

#endif
