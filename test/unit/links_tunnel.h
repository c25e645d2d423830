/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_LINKS_TUNNEL_H
#define PW_TEST_LINKS_TUNNEL_H

#include <stdbool.h>
#include <stdint.h>

/* The IFLA_LINKINFO of tunnels, as iproute2 sends it. A file of its own: the UAPI header of
 * tunnels and the C library's of IP exclude each other. */
struct nlmsghdr;

struct gre {
	const char *local, *remote;
	bool key, sequence, nopmtudisc, external;
	uint32_t ikey, okey;
	uint8_t ttl, tos;
	uint32_t link;
};

void gre_put(struct nlmsghdr *nlh, const struct gre *gre);
void iptunnel_put(struct nlmsghdr *nlh, const char *kind, const char *local, const char *remote,
		  uint8_t protocol);

#endif
