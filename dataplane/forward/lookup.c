/* SPDX-License-Identifier: BSD-3-Clause */
/** ipv4-lookup, ipv6-lookup: for packets whose stage before does not look them up itself. */
#include "dataplane/forward/frame.h"

/* What nothing was decided of yet, and is to be sent on as any packet from a wire. */
static inline bool is_new(struct rte_mbuf *mbuf)
{
	return !(pw_packet(mbuf)->flags & ~PW_PACKET_LAYER3);
}

static __rte_always_inline void burst(struct pw_worker *worker, uint32_t generation,
				      struct rte_mbuf **mbufs, rte_edge_t *edges, unsigned int n,
				      const bool v6)
{
	const struct pw_lpm *lpms[PW_LOOKUP_BURST];
	const uint8_t *addresses6[PW_LOOKUP_BURST];
	uint32_t addresses4[PW_LOOKUP_BURST];
	uint64_t others = 0, decided = 0, all = UINT64_MAX >> (PW_LOOKUP_BURST - n);
	bool watched = __atomic_load_n(&worker->watch, __ATOMIC_RELAXED);
	struct pw_frames frames;

	for (unsigned int i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = mbufs[i];
		uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
		const struct pw_vrf *vrf = pw_lookup_vrf_of(mbuf, &edges[i], true);

		lpms[i] = v6 ? vrf->lpm6 : vrf->lpm4;
		if (v6)
			addresses6[i] = ((struct rte_ipv6_hdr *)data)->dst_addr;
		else
			addresses4[i] = ((struct rte_ipv4_hdr *)data)->dst_addr;
		frames.data[i] = data;
		frames.lengths[i] = mbuf->data_len;
		if (unlikely(edges[i] <= PW_LOOKUP_POLICY)) /* or drop */
			decided |= UINT64_C(1) << i;
		else if (unlikely(!is_new(mbuf)))
			others |= UINT64_C(1) << i;
	}
	if (unlikely(decided == all))
		return;
	if (v6)
		pw_lpm_lookup6_bulk(lpms, addresses6, frames.ids, n);
	else
		pw_lpm_lookup4_bulk(lpms, addresses4, frames.ids, n);
	frames.mask = all & ~(decided | others);
	if (likely(!watched))
		pw_frames_make(worker, generation, &frames, mbufs, edges, n, v6);
	frames.mask |= others;
	if (frames.mask)
		pw_frames_others(&frames, mbufs, edges, n, v6);
}

static __rte_always_inline uint16_t lookup(struct rte_graph *graph, struct rte_node *node,
					   void **objs, uint16_t n, const bool v6)
{
	uint32_t generation = __atomic_load_n(&pw_slots_generation, __ATOMIC_ACQUIRE);
	struct pw_worker *worker = pw_worker();
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i += PW_LOOKUP_BURST)
		burst(worker, generation, (struct rte_mbuf **)&objs[i], &edges[i],
		      RTE_MIN(n - i, PW_LOOKUP_BURST), v6);
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

static uint16_t ipv4_lookup(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	return lookup(graph, node, objs, n, false);
}

static uint16_t ipv6_lookup(struct rte_graph *graph, struct rte_node *node, void **objs, uint16_t n)
{
	return lookup(graph, node, objs, n, true);
}

PW_STAGE(ipv4_lookup, "ipv4-lookup", ipv4_lookup, PW_FRAME_STAGES)
PW_STAGE(ipv6_lookup, "ipv6-lookup", ipv6_lookup, PW_FRAME_STAGES)
