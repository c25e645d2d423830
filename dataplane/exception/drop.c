/* SPDX-License-Identifier: BSD-3-Clause */
/** drop: counts the reason and frees. */
#include "dataplane/stage.h"

static uint16_t drop(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	struct pw_worker *worker = pw_worker();

	for (uint16_t i = 0; i < n; i++)
		worker->drops[pw_packet(objs[i])->reason]++;
	rte_pktmbuf_free_bulk((struct rte_mbuf **)objs, n);
	return n;
}

/* A node must name an edge to be in the graph's list of edges; drop leads nowhere. */
static uint16_t drop_watched(struct rte_graph *graph, struct rte_node *node, void **objs,
			     uint16_t n)
{
	struct pw_worker *worker = pw_worker();

	if (unlikely(worker->watch != NULL))
		pw_watch_stage(worker, node, objs, n);
	return drop(graph, node, objs, n);
}

static struct rte_node_register drop_node = {
	.name = "drop",
	.process = drop_watched,
};
RTE_NODE_REGISTER(drop_node)
