/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * ethernet-input: frame -> interface and VRF; IP header checks; and for what is plain IPv4, at
 * once its next hop.
 */
#include "dataplane/forward/frame.h"
#include "dataplane/receive/plain.h"

#include <netinet/in.h>
#include <rte_ether.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_IPV4 = PW_FRAME_EDGES,
	EDGE_IPV6,
	EDGE_MPLS,
	EDGE_PUNT,
	EDGE_ESP,
};

/* For the kernel: by its own sight of the wire, by the interface's TAP, or not at all. */
static rte_edge_t to_kernel(struct rte_mbuf *mbuf, const struct pw_interface *interface,
			    enum pw_drop otherwise)
{
	if (interface->flags & PW_INTERFACE_NATIVE)
		return pw_stage_drop(mbuf, PW_DROP_KERNEL_COPY);
	if (!(interface->flags & PW_INTERFACE_FACE))
		return pw_stage_drop(mbuf, otherwise);
	return EDGE_PUNT;
}

static rte_edge_t ip(struct rte_mbuf *mbuf, const struct pw_interface *interface, uint16_t header,
		     bool v6)
{
	enum pw_drop drop;

	rte_pktmbuf_adj(mbuf, header);
	pw_packet(mbuf)->flags |= PW_PACKET_LAYER3;
	drop = v6 ? pw_ipv6_check(mbuf) : pw_ipv4_check(mbuf);
	if (unlikely(drop != PW_DROP_NONE))
		return pw_stage_drop(mbuf, drop);
	if (v6) {
		const struct rte_ipv6_hdr *ip6 = rte_pktmbuf_mtod(mbuf, const void *);

		/* Link-local traffic is between the CE and the kernel (ND, routing protocols). */
		if (unlikely(pw_ipv6_is_link_local(ip6->src_addr) ||
			     pw_ipv6_is_link_local(ip6->dst_addr)))
			return to_kernel(mbuf, interface, PW_DROP_PUNT_NO_FACE);
	}
	if (!v6 && pw_is_esp(rte_pktmbuf_mtod(mbuf, const void *)))
		return EDGE_ESP;
	return v6 ? EDGE_IPV6 : EDGE_IPV4;
}

/* What the last frame's port and interface were: a burst rarely has more than a few of each. */
struct recent {
	uint16_t port;
	const struct pw_port_table *table;
	uint32_t interface;
	const struct pw_interface *entry;
};

static const struct pw_port_table *port_of(struct recent *recent, uint16_t port)
{
	if (unlikely(port != recent->port)) {
		recent->port = port;
		recent->table = pw_port_get(port);
	}
	return recent->table;
}

static const struct pw_interface *interface_of(struct recent *recent, uint32_t interface)
{
	if (unlikely(interface != recent->interface)) {
		recent->interface = interface;
		recent->entry = pw_interface_get(interface);
	}
	return recent->entry;
}

static rte_edge_t frame(struct pw_worker *worker, struct recent *recent, struct rte_mbuf *mbuf)
{
	struct pw_packet *packet = pw_packet(mbuf);
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(mbuf, const struct rte_ether_hdr *);
	const struct pw_port_table *port = port_of(recent, packet->port);
	const struct pw_interface *interface;
	uint16_t header = sizeof(*ether);
	uint16_t type;

	if (unlikely(mbuf->nb_segs != 1))
		return pw_stage_drop(mbuf, PW_DROP_ETHERNET_SEGMENTS);
	if (unlikely(mbuf->data_len < sizeof(*ether)))
		return pw_stage_drop(mbuf, PW_DROP_ETHERNET_TRUNCATED);
	if (unlikely(!port))
		return pw_stage_drop(mbuf, PW_DROP_PORT_NONE);
	type = ether->ether_type;
	packet->interface = port->untagged;
	if (unlikely(type == RTE_BE16(RTE_ETHER_TYPE_VLAN))) {
		const struct rte_vlan_hdr *tag = (const void *)(ether + 1);
		uint16_t id;

		if (unlikely(mbuf->data_len < sizeof(*ether) + sizeof(*tag)))
			return pw_stage_drop(mbuf, PW_DROP_ETHERNET_TRUNCATED);
		header += sizeof(*tag);
		type = tag->eth_proto;
		/* Id 0 is a priority tag: the frame belongs to the untagged interface. */
		id = rte_be_to_cpu_16(tag->vlan_tci) & 0xfff;
		if (id)
			packet->interface = port->vlan[id];
		if (unlikely(!packet->interface))
			return pw_stage_drop(mbuf, PW_DROP_VLAN_UNKNOWN);
	}
	interface = interface_of(recent, packet->interface);
	if (unlikely(!(interface->flags & PW_INTERFACE_UP)))
		return pw_stage_drop(mbuf, PW_DROP_INTERFACE_DOWN);
	worker->counters[packet->interface].rx_packets++;
	worker->counters[packet->interface].rx_bytes += mbuf->pkt_len;
	packet->vrf = interface->vrf;
	mbuf->l2_len = header;
	if (unlikely(!rte_is_same_ether_addr(&ether->dst_addr,
					     (const struct rte_ether_addr *)interface->mac))) {
		if (rte_is_multicast_ether_addr(&ether->dst_addr))
			return to_kernel(mbuf, interface, PW_DROP_ETHERNET_MULTICAST);
		return pw_stage_drop(mbuf, PW_DROP_ETHERNET_NOT_FOR_ME);
	}
	if (likely(type == RTE_BE16(RTE_ETHER_TYPE_IPV4)))
		return ip(mbuf, interface, header, false);
	if (type == RTE_BE16(RTE_ETHER_TYPE_IPV6))
		return ip(mbuf, interface, header, true);
	if (type == RTE_BE16(RTE_ETHER_TYPE_MPLS)) {
		if (!(interface->flags & PW_INTERFACE_MPLS))
			return pw_stage_drop(mbuf, PW_DROP_MPLS_DISABLED);
		rte_pktmbuf_adj(mbuf, header);
		return EDGE_MPLS;
	}
	return to_kernel(mbuf, interface, PW_DROP_ETHERNET_TYPE);
}

/* Those of a burst whose next hop's template is not at hand; all, while anybody watches. */
static __rte_noinline void others_input(struct pw_plain *burst, struct rte_mbuf **mbufs,
					rte_edge_t *edges, unsigned int n, bool watched)
{
	for (unsigned int i = 0; i < n; i++) {
		if (!(burst->frames.mask >> i & 1))
			continue;
		pw_plain_settle(burst, mbufs[i], i);
		edges[i] = EDGE_IPV4;
	}
	if (!watched)
		pw_frames_others(&burst->frames, mbufs, edges, n, false);
}

static __rte_noinline void frame_burst(struct pw_worker *worker, uint32_t generation,
				       struct recent *recent, struct rte_mbuf **mbufs,
				       rte_edge_t *edges, uint64_t mask, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint16_t vlan;

		if (!(mask >> i & 1))
			continue;
		/* The first from there: plain from the next walk on. */
		if (unlikely(pw_entry_stale(worker, generation, mbufs[i], &vlan) != NULL))
			worker->entries_generation = 0;
		edges[i] = frame(worker, recent, mbufs[i]);
	}
}

static void lookup_burst(struct pw_plain *burst, unsigned int n)
{
	const struct pw_lpm *lpms[PW_LOOKUP_BURST];
	unsigned int some = (unsigned int)__builtin_ctzll(burst->frames.mask);

	if (likely(!(burst->turns & (burst->turns - 1)))) {
		const struct pw_entry *entry = burst->entries[some];

		pw_lpm_lookup4_same(entry->lpm4, burst->addresses, burst->frames.ids, n);
		return;
	}
	for (unsigned int i = 0; i < n; i++) {
		/* What is not plain is looked up for nothing. */
		unsigned int k = burst->frames.mask >> i & 1 ? i : some;

		lpms[i] = burst->entries[k]->lpm4;
	}
	pw_lpm_lookup4_bulk(lpms, burst->addresses, burst->frames.ids, n);
}

static void burst_input(struct pw_worker *worker, struct recent *recent, uint32_t generation,
			struct rte_mbuf **mbufs, rte_edge_t *edges, uint16_t n)
{
	bool watched = __atomic_load_n(&worker->watch, __ATOMIC_RELAXED);
	struct pw_plain burst;

	pw_plain_burst(worker, generation, mbufs, &burst, n);
	if (burst.esp)
		for (unsigned int i = 0; i < n; i++)
			edges[i] = EDGE_ESP; /* the others' follow */
	if (unlikely(burst.others))
		frame_burst(worker, generation, recent, mbufs, edges, burst.others, n);
	if (!burst.frames.mask)
		return;
	if (likely(!watched)) {
		lookup_burst(&burst, n);
		pw_frames_make(worker, generation, &burst.frames, mbufs, edges, n, false);
	}
	if (burst.frames.mask)
		others_input(&burst, mbufs, edges, n, watched);
}

static uint16_t ethernet_input(struct rte_graph *graph, struct rte_node *node, void **objs,
			       uint16_t n)
{
	uint32_t generation = __atomic_load_n(&pw_slots_generation, __ATOMIC_ACQUIRE);
	struct pw_worker *worker = pw_worker();
	struct recent recent = {.port = PW_PORT_NONE, .entry = pw_interface_get(0)};
	rte_edge_t edges[n];

	if (unlikely(worker->entries_generation != generation))
		pw_entries_refresh(worker, generation, (struct rte_mbuf **)objs, n);
	for (uint16_t i = 0; i < n; i += PW_LOOKUP_BURST)
		burst_input(worker, &recent, generation, (struct rte_mbuf **)&objs[i], &edges[i],
			    RTE_MIN(n - i, PW_LOOKUP_BURST));
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(ethernet_input, "ethernet-input", ethernet_input, PW_FRAME_STAGES, "ipv4-lookup",
	 "ipv6-lookup", "mpls-input", "kernel-punt", "esp-input")
