/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_NEIGHBOURS_H
#define PW_NEIGHBOURS_H

/** Between neighbour.c (what there is), neighbour_resolve.c (finding them out) and hold.c
 * (packets). */
#include "control/links.h"

#define PW_NEIGHBOUR_BUCKETS 16384
LIST_HEAD(neighbours, pw_link_neighbour);

struct neighbours *pw_neighbour_bucket(uint32_t number);

/** Publishes a state and what follows from it: host route, groups, held packets, events. */
void pw_neighbour_settle(struct pw_link_neighbour *neighbour, uint8_t state, uint16_t nud);

/* neighbour_resolve.c */
int pw_neighbour_timer_init(void);
void pw_neighbour_timer_fini(void);

/** Takes its host route away. */
void pw_neighbour_unroute(struct pw_link_neighbour *neighbour);

/** Back to "not known". It may be gone afterwards; what next hops need is asked for again. */
void pw_neighbour_unresolve(struct pw_link_neighbour *neighbour);

/** No longer waited for. */
void pw_neighbour_wait_stop(struct pw_link_neighbour *neighbour);

#endif
