/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_WATCH_H
#define PW_WATCH_H

/**
 * Watching packets: traces (a packet through all its stages) and captures (packets at a port or
 * a stage). The control thread makes orders and publishes them to the workers (order.h);
 * workers append records to rings of their own (record.h), which the control thread empties.
 * While nothing is watched, a stage pays for one test of worker->watch.
 */

#include <stdint.h>

struct pw_worker;
struct rte_node;

/**
 * Called by every stage with the packets that enter it, while worker->watch is set. Takes no
 * lock, allocates nothing, and changes nothing but pw_packet(mbuf)->trace: that is set where a
 * packet is picked, in ethernet-input at the earliest. From there on stages leave it alone, and
 * copy it to packets that they make of this one.
 */
void pw_watch_stage(struct pw_worker *worker, const struct rte_node *node, void **objs, uint16_t n);

#endif
