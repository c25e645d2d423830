/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CONTROL_LABEL_H
#define PW_CONTROL_LABEL_H

#include <stdbool.h>
#include <stdint.h>

#include "control/control.h"
#include "control/nexthop.h"

/** Incoming labels: AF_MPLS routes, and which remote ends of tunnels may use them. */

/** RTA_TTL_PROPAGATE as given. */
enum pw_label_propagate {
	PW_LABEL_PROPAGATE_DEFAULT,
	PW_LABEL_PROPAGATE_ON,
	PW_LABEL_PROPAGATE_OFF,
};

/** Remote ends that one label may be limited to. */
#define PW_LABEL_REMOTES_MAX 1024

struct pw_label_route {
	uint32_t label;
	uint8_t type; /* RTN_UNICAST, RTN_BLACKHOLE */
	uint8_t protocol;
	uint8_t propagate; /* enum pw_label_propagate */
	uint8_t source;    /* a feed's, 0: the operator's */
	uint32_t session;
	uint16_t set; /* workers' set of endpoints, 0 = all */
	struct pw_path *path;
	uint32_t remote_count;
	struct pw_address *remotes;
};

/** NULL when the label has no route. */
struct pw_label_route *pw_label_find(uint32_t label);

/** The first with a label of at least this, NULL at the end. */
struct pw_label_route *pw_label_next(uint32_t label);

/** The lowest label from 16 up that has no route; 0 when there is none. */
uint32_t pw_label_unused(void);

/** Adds (no route there yet) or replaces. Holds @p model's path. 0 or -ENOMEM. */
int pw_label_put(const struct pw_label_route *model);
void pw_label_delete(struct pw_label_route *route);

unsigned int pw_label_count(void);

/** Looks again at labels whose paths went. For pw_routes_settle(). */
void pw_labels_settle(void);

/** Publishes sets again when endpoints came or went. */
void pw_labels_resolve(void);

int pw_labels_init(void);
void pw_labels_fini(void);

/** Tells subscribers (netlink_mpls.c). */
void pw_label_notify(const struct pw_label_route *route, uint16_t type, uint16_t flags);

#endif
