/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The same as fuzz_netlink, with a client that speaks NETLINK_XFRM; with bit 2 of the flags the
 * kernel says the message to the XFRM mirror.
 */
#include <linux/netlink.h>
#include <stdlib.h>
#include <string.h>

#include "control/feed/xfrm_internal.h"

static void say(const struct nlmsghdr *message, size_t size)
{
	struct nlmsghdr *nlh = calloc(1, NLMSG_ALIGN(size)); /* a look behind its end is seen */

	if (!nlh)
		abort();
	memcpy(nlh, message, size);
	/* libmnl takes lengths beyond INT_MAX, which no kernel says. */
	if (size >= sizeof(*nlh) && nlh->nlmsg_len <= size && mnl_nlmsg_ok(nlh, (int)size)) {
		pw_xfrm_event(nlh);
		pw_xfrm_sa_take(nlh, NULL);
		pw_xfrm_policy_take(nlh, NULL);
	}
	free(nlh);
}

#define FUZZ_PROTOCOL       NETLINK_XFRM
#define FUZZ_SAY(nlh, size) say(nlh, size)
#include "fuzz_netlink.c"
