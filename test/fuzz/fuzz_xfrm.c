/* SPDX-License-Identifier: BSD-3-Clause */
/* The same as fuzz_netlink, with a client that speaks NETLINK_XFRM. */
#include <linux/netlink.h>

#define FUZZ_PROTOCOL NETLINK_XFRM
#include "fuzz_netlink.c"
