/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_FEED_FPM_H
#define PW_FEED_FPM_H

#include <net/if.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "control/control.h"

/**
 * FRR's routes: zebra's module dplane_fpm_nl connects over TCP and sends what it puts into the
 * kernel as netlink messages in frames.
 *
 *   fpm.c            the connection; stale routes and their sweep
 *   fpm_frame.c      frames out of the stream
 *   fpm_message.c    a message made one of Pewter's and handled
 *   fpm_nexthop.c    zebra's next-hop ids and groups
 *   fpm_interface.c  the kernel's interfaces as links of Pewter
 *   fpm_show.c       pewterctl show fpm
 *
 * Zebra replays everything when it connects and says nothing of what went before: routes of
 * earlier sessions forward on and are swept some time after the next session began. Control
 * thread only.
 */

#define PW_FPM_ADDRESS "127.0.0.1"
#define PW_FPM_PORT    2620
#define PW_FPM_HOLD    60 /* seconds */

/** One --fpm-interface: an interface where zebra runs is this link. */
struct pw_fpm_map {
	uint32_t ifindex;    /* 0: by name */
	char name[IFNAMSIZ]; /* in the kernel */
	char link[IFNAMSIZ]; /* in Pewter */
};

struct pw_fpm_options {
	bool enabled;
	struct sockaddr_storage address;
	uint32_t hold; /* seconds from a session's begin until what it did not name is swept */
	struct pw_fpm_map *map;
	size_t map_count;
};

/** "ADDRESS", "ADDRESS:PORT", "[IPV6]:PORT", NULL for the default. 0 or -EINVAL. */
int pw_fpm_parse_address(const char *text, struct sockaddr_storage *address);

/** "KERNELNAME=LINK" or "IFINDEX=LINK". 0 or -EINVAL. */
int pw_fpm_parse_map(const char *text, struct pw_fpm_map *map);

/** Listens, unless @p options are not enabled; they stay the caller's. 0, or -errno and said. */
int pw_fpm_start(const struct pw_fpm_options *options);
void pw_fpm_stop(void);

#endif
