/* SPDX-License-Identifier: BSD-3-Clause */
/** neighbour-resolve: the control thread holds the packet and asks for the neighbour. */
#include "dataplane/stage.h"

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
};

static uint16_t resolve(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();
	unsigned int held;

	for (uint16_t i = 0; i < n; i++)
		pw_packet(objs[i])->request = PW_REQUEST_RESOLVE;
	held = rte_ring_sp_enqueue_burst(worker->punt, objs, n, NULL);
	if (held)
		worker->punted = true;
	worker->events[PW_EVENT_HELD] += held;
	for (unsigned int i = held; i < n; i++)
		rte_node_enqueue_x1(graph, node, pw_stage_drop(objs[i], PW_DROP_NEIGHBOUR_HOLD),
				    objs[i]);
	return n;
}

PW_STAGE(neighbour_resolve, "neighbour-resolve", resolve, "drop")
