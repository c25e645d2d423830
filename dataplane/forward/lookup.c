/* SPDX-License-Identifier: BSD-3-Clause */
/** ipv4-lookup, ipv6-lookup: for packets whose stage before does not look them up itself. */
#include "dataplane/forward/lookup.h"

static uint16_t lookup(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n,
		       void (*burst)(struct rte_mbuf **, rte_edge_t *, unsigned int, bool))
{
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i += PW_LOOKUP_BURST)
		burst((struct rte_mbuf **)&objs[i], &edges[i], RTE_MIN(n - i, PW_LOOKUP_BURST),
		      true);
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

static uint16_t ipv4_lookup(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	return lookup(graph, node, objs, n, pw_lookup4);
}

static uint16_t ipv6_lookup(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	return lookup(graph, node, objs, n, pw_lookup6);
}

PW_STAGE(ipv4_lookup, "ipv4-lookup", ipv4_lookup, PW_LOOKUP_STAGES)
PW_STAGE(ipv6_lookup, "ipv6-lookup", ipv6_lookup, PW_LOOKUP_STAGES)
