/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_FORWARD_FRAME_H
#define PW_FORWARD_FRAME_H

#include "dataplane/forward/lookup.h"
#include "dataplane/transmit/template_write.h"

/**
 * The common way out of a lookup: the next hop's template is at hand and nothing about the packet
 * is unusual, so it becomes a frame at once. What does not goes by tunnel-output or
 * ethernet-output, which know every case.
 */

/** Edges of stages that make frames, behind those of a lookup; PW_FRAME_STAGES are their names. */
enum pw_frame_edge {
	PW_FRAME_SEAL = PW_LOOKUP_EDGES,
	PW_FRAME_TRANSMIT,
	PW_FRAME_EDGES,
};
#define PW_FRAME_STAGES PW_LOOKUP_STAGES, "esp-output", "port-transmit"

#define PW_FRAME_AHEAD  16
/* What tells how a template is written. */
#define PW_FRAME_KINDS                                                                             \
	(PW_TEMPLATE_LINK | PW_TEMPLATE_PLAIN | PW_TEMPLATE_ID | PW_TEMPLATE_SEALED |              \
	 PW_TEMPLATE_FAR | PW_TEMPLATE_UNUSUAL)

/** IPv4 or IPv6 packets of a burst, checked, of which nothing has changed yet. */
struct pw_frames {
	uint64_t mask;                  /* which there are */
	uint8_t *data[PW_LOOKUP_BURST]; /* where each begins */
	uint32_t lengths[PW_LOOKUP_BURST];
	uint32_t ids[PW_LOOKUP_BURST + PW_FRAME_AHEAD]; /* of next hops; room to look ahead */
};

static inline bool pw_frame_fits(const struct pw_template *template, const struct rte_mbuf *mbuf,
				 uint32_t offset, uint32_t length, bool v6)
{
	return template->flags & (v6 ? PW_TEMPLATE_FAST6 : PW_TEMPLATE_FAST4) &&
	       length <= template->room && offset >= PW_TEMPLATE_SIZE &&
	       offset + length + template->tail <= mbuf->buf_len;
}

/* One packet; its edge, or drop when nothing was done. */
static __rte_always_inline rte_edge_t pw_frame_make(struct pw_worker *worker,
						    const struct pw_template *template,
						    struct tally *tally, struct rte_mbuf *mbuf,
						    uint8_t *data, uint32_t length, const bool v6)
{
	uint32_t offset = (uint32_t)(data - (uint8_t *)mbuf->buf_addr), behind;

	if (unlikely(!pw_frame_fits(template, mbuf, offset, length, v6) || data[v6 ? 7 : 8] <= 1))
		return PW_LOOKUP_DROP;
	if (unlikely(template != tally->template))
		tally_turn(worker, tally, template);
	if (v6)
		data[7]--;
	else
		pw_ipv4_decrement((struct rte_ipv4_hdr *)data);
	switch (template->flags & PW_FRAME_KINDS) {
	case PW_TEMPLATE_LINK:
		behind = write_link(template, data, v6);
		break;
	case 0:
		behind = write_template(worker, template, 0, data, length, v6);
		break;
	case PW_TEMPLATE_SEALED:
		behind = write_template(worker, template, PW_TEMPLATE_SEALED, data, length, v6);
		break;
	default:
		behind = write_template(worker, template, template->flags, data, length, v6);
	}
	write_mbuf(template, tally, mbuf, offset, length, behind);
	*pw_packet(mbuf) = template->packet;
	return template->flags & PW_TEMPLATE_SEALED ? PW_FRAME_SEAL : PW_FRAME_TRANSMIT;
}

static inline void pw_frame_prefetch(const struct pw_template *template)
{
	rte_prefetch0(template);
	rte_prefetch0(&template->generation);
}

/*
 * Composes the templates of packets in @p left that found them out of date, and finds the next hop
 * of those that an IPsec interface sends all by one SA; returns which.
 */
static __rte_noinline uint64_t pw_frames_compose(struct pw_worker *worker, uint32_t generation,
						 struct pw_frames *frames, uint64_t left,
						 unsigned int n, bool v6)
{
	uint64_t stale = 0;

	/* First all, then any: packets of one next hop keep their order. */
	for (unsigned int i = 0; i < n; i++) {
		uint32_t id = frames->ids[i];
		uint8_t type = pw_slot_tag(&pw_nexthops, id);
		const struct pw_nexthop *nexthop;

		if (!(left >> i & 1))
			continue;
		if (type == PW_NEXTHOP_POLICY) {
			nexthop = pw_nexthop_get(id);
			id = nexthop->type == PW_NEXTHOP_POLICY ? pw_spd_get(nexthop->spd)->all[v6]
								: 0;
			if (!id)
				continue;
			frames->ids[i] = id;
			stale |= UINT64_C(1) << i;
		} else if ((type == PW_NEXTHOP_TUNNEL || type == PW_NEXTHOP_NEIGHBOUR) &&
			   worker->templates[id].generation != generation) {
			stale |= UINT64_C(1) << i;
		}
	}
	for (unsigned int i = 0; unlikely(stale) && i < n; i++) {
		struct pw_template *template = &worker->templates[frames->ids[i]];

		if (stale >> i & 1 && template->generation != generation)
			pw_template_compose(template, frames->ids[i], generation);
	}
	return stale;
}

/**
 * Makes frames of the packets whose next hops' templates serve, and sets their edges. Of the
 * others, which stay in the mask, nothing has changed.
 */
static __rte_always_inline void pw_frames_make(struct pw_worker *worker, uint32_t generation,
					       struct pw_frames *frames, struct rte_mbuf **mbufs,
					       rte_edge_t *edges, unsigned int n, const bool v6)
{
	const struct pw_template *templates = worker->templates;
	uint64_t mask = frames->mask, left = 0;
	struct tally tally = {0};

	memset(&frames->ids[n], 0, PW_FRAME_AHEAD * sizeof(frames->ids[0]));
	for (unsigned int i = 0; i < PW_FRAME_AHEAD; i++)
		pw_frame_prefetch(&templates[frames->ids[i]]);
again:
	for (unsigned int i = 0; i < n; i++) {
		const struct pw_template *template = &templates[frames->ids[i]];
		rte_edge_t edge = PW_LOOKUP_DROP;

		pw_frame_prefetch(&templates[frames->ids[i + PW_FRAME_AHEAD]]);
		if (unlikely(!(mask >> i & 1)))
			continue;
		if (likely(template->generation == generation))
			edge = pw_frame_make(worker, template, &tally, mbufs[i], frames->data[i],
					     frames->lengths[i], v6);
		if (unlikely(edge == PW_LOOKUP_DROP))
			left |= UINT64_C(1) << i;
		else
			edges[i] = edge;
	}
	if (unlikely(left)) {
		mask = pw_frames_compose(worker, generation, frames, left, n, v6);
		left &= ~mask;
		if (mask)
			goto again;
	}
	if (tally.packets)
		tally_count(worker, &tally);
	frames->mask = left;
}

/** Those that no template serves: the edges to the stages that know every case. */
static inline void pw_frames_others(const struct pw_frames *frames, struct rte_mbuf **mbufs,
				    rte_edge_t *edges, unsigned int n, const bool v6)
{
	struct rte_mbuf *others[PW_LOOKUP_BURST];
	rte_edge_t ways[PW_LOOKUP_BURST];
	uint32_t ids[PW_LOOKUP_BURST];
	unsigned int count = 0;

	for (unsigned int i = 0; i < n; i++) {
		others[count] = mbufs[i];
		ids[count] = frames->ids[i];
		ways[count] = PW_LOOKUP_LOCAL; /* anything but drop and policy */
		count += frames->mask >> i & 1;
	}
	pw_lookup_decide_burst(others, ids, ways, count, v6);
	count = 0;
	for (unsigned int i = 0; i < n; i++)
		if (frames->mask >> i & 1)
			edges[i] = ways[count++];
}

#endif
