/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_RECEIVE_MPLS_PLAIN_H
#define PW_RECEIVE_MPLS_PLAIN_H

/**
 * What mpls-input does at once: a VPN label, alone, with an IPv4 packet behind it that has nothing
 * unusual. It is checked and looked up where it lies, and where a template serves it becomes a
 * frame. Everything else is as it was.
 */

#include "dataplane/forward/frame.h"
#include "dataplane/receive/mpls.h"
#include "dataplane/table/endpoint.h"
#include "dataplane/table/label.h"

/* Label and bottom of stack of an entry as it is in the packet. */
#define PW_MPLS_PLAIN_MASK RTE_BE32(0xfffff100)

/* Where the label of the last packet led; the same label from the same endpoint leads there too. */
struct pw_mpls_way {
	const struct pw_lpm *lpm4; /* NULL: not by this way */
	uint32_t entry;            /* label and bottom of stack, as in the packet */
	uint16_t endpoint;
	uint16_t vrf;
	bool sealed;
};

static inline bool pw_mpls_way_is_open(struct pw_label label, uint16_t endpoint, bool sealed)
{
	if (label.action != PW_LABEL_POP || (label.flags & PW_LABEL_PROTECTED && !sealed))
		return false;
	return !label.allowed || (endpoint && pw_label_allows(label.allowed, endpoint));
}

/* RFC 3443: does the label's TTL reach what is below it? Never upwards (RFC 4023 5.2). */
static inline bool pw_mpls_is_uniform(struct pw_label label, uint16_t endpoint)
{
	if (label.flags & (PW_LABEL_TTL_UNIFORM | PW_LABEL_TTL_PIPE))
		return label.flags & PW_LABEL_TTL_UNIFORM;
	return endpoint && pw_endpoint_get(endpoint)->flags & PW_ENDPOINT_UNIFORM_IN;
}

static __rte_noinline void pw_mpls_way_find(struct pw_mpls_way *way, uint32_t entry,
					    uint16_t endpoint, bool sealed)
{
	uint32_t top = rte_be_to_cpu_32(entry);
	const struct pw_nexthop *nexthop;
	struct pw_label label;
	const struct pw_vrf *vrf;

	*way = (struct pw_mpls_way){.entry = entry, .endpoint = endpoint, .sealed = sealed};
	if (!(top & PW_MPLS_BOTTOM) || pw_mpls_label(top) < PW_LABEL_RESERVED)
		return;
	label = pw_label_get(pw_mpls_label(top));
	if (!pw_mpls_way_is_open(label, endpoint, sealed) || pw_mpls_is_uniform(label, endpoint))
		return;
	nexthop = pw_nexthop_get(label.nexthop);
	if (nexthop->type != PW_NEXTHOP_LOOKUP)
		return;
	vrf = pw_vrf_get((uint16_t)nexthop->vrf);
	/* Policies come first. */
	if (!vrf || vrf->spd)
		return;
	way->vrf = (uint16_t)nexthop->vrf;
	way->lpm4 = vrf->lpm4;
}

/* One packet; its table, or NULL. */
static inline const struct pw_lpm *pw_mpls_plain(struct pw_mpls_way *way, struct rte_mbuf *mbuf,
						 struct pw_frames *frames, uint32_t *addresses,
						 unsigned int i)
{
	const struct pw_packet *packet = pw_packet(mbuf);
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t entry, total;

	if (unlikely(mbuf->data_len < PW_MPLS_ENTRY + sizeof(struct rte_ipv4_hdr)))
		return NULL;
	memcpy(&entry, data, sizeof(entry));
	if (unlikely((entry & PW_MPLS_PLAIN_MASK) != way->entry ||
		     packet->endpoint != way->endpoint || !!packet->sa != way->sealed))
		pw_mpls_way_find(way, entry & PW_MPLS_PLAIN_MASK, packet->endpoint, packet->sa);
	total = pw_ipv4_plain(data + PW_MPLS_ENTRY, mbuf->data_len - PW_MPLS_ENTRY, &addresses[i]);
	if (unlikely(!way->lpm4 || !total || data[3] <= 1 || packet->flags & ~PW_PACKET_LAYER3))
		return NULL;
	/* Congestion is marked here and there in a flow, and must not change its order. */
	if (unlikely(packet->ecn & 1 &&
		     pw_ip_ecn_change(data + PW_MPLS_ENTRY, packet->ecn) != PW_DROP_NONE))
		return NULL;
	frames->data[i] = data + PW_MPLS_ENTRY;
	frames->lengths[i] = total;
	return way->lpm4;
}

/* Those that no template serves go on from the lookup as IP packets of their VRF. */
static __rte_noinline void pw_mpls_others(struct pw_frames *frames, struct rte_mbuf **mbufs,
					  const uint16_t *vrfs, rte_edge_t *edges, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		struct pw_packet *packet = pw_packet(mbufs[i]);

		if (!(frames->mask >> i & 1))
			continue;
		if (!*pw_packet_label(mbufs[i]))
			*pw_packet_label(mbufs[i]) = pw_mpls_entry(mbufs[i], 0);
		mbufs[i]->data_off += PW_MPLS_ENTRY;
		pw_stage_trim(mbufs[i], (uint16_t)frames->lengths[i]);
		packet->vrf = vrfs[i];
		packet->sa = 0; /* a tunnel of this VRF is not what the SA protects */
	}
	pw_frames_others(frames, mbufs, edges, n, false);
}

/** Up to 64 packets; sets the edges of those that it looked up, and returns the others as bits. */
static inline uint64_t pw_mpls_frames(struct pw_worker *worker, uint32_t generation,
				      struct rte_mbuf **mbufs, rte_edge_t *edges, unsigned int n)
{
	const struct pw_lpm *lpms[PW_LOOKUP_BURST], *some = NULL;
	uint64_t others = 0, all = UINT64_MAX >> (PW_LOOKUP_BURST - n);
	uint32_t addresses[PW_LOOKUP_BURST];
	uint16_t vrfs[PW_LOOKUP_BURST];
	struct pw_mpls_way way = {0};
	struct pw_frames frames;

	for (unsigned int i = 0; i < n; i++) {
		lpms[i] = pw_mpls_plain(&way, mbufs[i], &frames, addresses, i);
		vrfs[i] = way.vrf;
		if (unlikely(!lpms[i]))
			others |= UINT64_C(1) << i;
		else
			some = lpms[i];
	}
	if (!some)
		return all;
	/* The others are looked up for nothing. */
	for (unsigned int i = 0; others && i < n; i++)
		if (!lpms[i]) {
			lpms[i] = some;
			addresses[i] = 0;
		}
	pw_lpm_lookup4_bulk(lpms, addresses, frames.ids, n);
	frames.mask = all & ~others;
	pw_frames_make(worker, generation, &frames, mbufs, edges, n, false);
	if (frames.mask)
		pw_mpls_others(&frames, mbufs, vrfs, edges, n);
	return others;
}

#endif
