/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_NETLINK_LINK_H
#define PW_NETLINK_LINK_H

#include <linux/if_link.h>
#include <linux/rtnetlink.h>

#include "control/links.h"

/** Between netlink_link.c (any link) and netlink_link_kind.c (what is of a kind). */
#define PW_LINK_KIND_MAX 32

/** A NEWLINK, decoded. What is to become of the link is in `wanted`, `set` says what is named. */
struct pw_link_request {
	const struct ifinfomsg *header;
	const struct nlattr *attributes[IFLA_MAX + 1];
	const struct nlattr *info[IFLA_INFO_MAX + 1];
	char kind[PW_LINK_KIND_MAX + 1]; /* empty: none given */
	struct pw_link wanted;
	struct {
		bool name, alias, mtu, master, up, tunnel, ipsec;
	} set;
};

/** Checks of what is common to all kinds; @p link NULL: it is to be made. */
int pw_link_check_common(struct pw_request *request, struct pw_link_request *in,
			 const struct pw_link *link);

/** Makes a link of a decoded request: checks all, then does it. */
int pw_link_request_create(struct pw_request *request, struct pw_link_request *in);

/** What a kind's own data may change: a tunnel everything, the others nothing. */
int pw_link_check_change(struct pw_request *request, struct pw_link_request *in,
			 const struct pw_link *link);

#endif
