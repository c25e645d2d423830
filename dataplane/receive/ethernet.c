/* SPDX-License-Identifier: BSD-3-Clause */
/**
 * ethernet-input: frame -> interface and VRF; IP header checks; and for what is plain IPv4, at
 * once its next hop.
 */
#include "dataplane/forward/lookup.h"
#include "dataplane/receive/entry.h"

#include <netinet/in.h>
#include <rte_ether.h>

enum edge {
	EDGE_DROP = PW_STAGE_DROP,
	EDGE_IPV4 = PW_LOOKUP_EDGES,
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

/* ESP to this PE need not be looked up: esp-input knows its destinations. */
static inline bool is_esp(const struct rte_ipv4_hdr *ip)
{
	return ip->next_proto_id == IPPROTO_ESP &&
	       !(ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG));
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
	if (!v6 && is_esp(rte_pktmbuf_mtod(mbuf, const void *)))
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

static __rte_noinline rte_edge_t frame(struct pw_worker *worker, struct recent *recent,
				       struct rte_mbuf *mbuf)
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

/* First octets of addresses that are neither sources nor destinations: see pw_ipv4_check(). */
static const uint8_t no_octet[256] = {[0] = 1, [127] = 1, [224 ... 255] = 1};

static __rte_noinline void entry_compose(struct pw_entry *entry, uint16_t port, uint16_t vlan,
					 uint32_t generation)
{
	const struct pw_port_table *table = pw_port_get(port);
	const struct pw_interface *interface;
	const struct pw_vrf *vrf;

	*entry = (struct pw_entry){.generation = generation};
	if (!table)
		return;
	entry->interface = vlan ? table->vlan[vlan] : table->untagged;
	interface = pw_interface_get(entry->interface);
	vrf = pw_vrf_get(interface->vrf);
	entry->vrf = interface->vrf;
	memcpy(&entry->mac, interface->mac, sizeof(interface->mac));
	/* Policies come first: ipv4-lookup sees to it. */
	if (interface->flags & PW_INTERFACE_UP && vrf && !vrf->spd)
		entry->lpm4 = vrf->lpm4;
}

/*
 * An IPv4 packet without options and with nothing wrong, to this router's MAC: ready to be looked
 * up. Returns where it entered; or NULL, when nothing has changed and frame() will say what it is.
 * Written for few instructions; what passes here, passes there too.
 */
static inline const struct pw_entry *plain(struct pw_worker *worker, uint32_t generation,
					   struct rte_mbuf *mbuf, uint32_t *address)
{
	struct pw_packet *packet = pw_packet(mbuf);
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint16_t header = sizeof(struct rte_ether_hdr), vlan = 0;
	const struct rte_ipv4_hdr *ip;
	struct pw_entry *entry;
	uint16_t room, total;
	uint64_t front;
	uint32_t type;

	if (unlikely(mbuf->nb_segs != 1 || packet->port >= PW_PORTS ||
		     mbuf->data_len < sizeof(struct rte_ether_hdr) + sizeof(struct rte_vlan_hdr) +
					      sizeof(*ip)))
		return NULL;
	memcpy(&type, data + 12, sizeof(type));
	if ((uint16_t)type == RTE_BE16(RTE_ETHER_TYPE_VLAN)) {
		/* Id 0 is a priority tag: the frame belongs to the untagged interface. */
		vlan = rte_be_to_cpu_16((uint16_t)(type >> 16)) & 0xfff;
		header += sizeof(struct rte_vlan_hdr);
		memcpy(&type, data + 16, sizeof(type));
	}
	entry = &worker->entries[packet->port * PW_VLANS + vlan];
	if (unlikely(entry->generation != generation))
		entry_compose(entry, packet->port, vlan, generation);
	memcpy(&front, data, sizeof(front));
	/* EtherType, version and header length */
	if (unlikely((type & rte_cpu_to_be_32(0xffffff00)) !=
			     rte_cpu_to_be_32(RTE_ETHER_TYPE_IPV4 << 16 | RTE_IPV4_VHL_DEF << 8) ||
		     (front ^ entry->mac) << 16 || !entry->lpm4))
		return NULL;
	ip = (const struct rte_ipv4_hdr *)(data + header);
	room = mbuf->data_len - header;
	total = rte_be_to_cpu_16(ip->total_length);
	if (unlikely(total < sizeof(*ip) || total > room || !pw_ipv4_sum_is_right(ip) ||
		     no_octet[ip->src_addr & 0xff] | no_octet[ip->dst_addr & 0xff]))
		return NULL;
	mbuf->l2_len = header;
	mbuf->data_off += header;
	pw_stage_trim(mbuf, total);
	packet->interface = entry->interface;
	packet->vrf = entry->vrf;
	packet->flags = PW_PACKET_LAYER3;
	*address = ip->dst_addr;
	return entry;
}

/* What packets of one entry, one after the other, add to its interface's counters. */
static inline void count(struct pw_worker *worker, const struct pw_entry *entry, uint32_t packets,
			 uint32_t bytes)
{
	worker->counters[entry->interface].rx_packets += packets;
	worker->counters[entry->interface].rx_bytes += bytes;
}

static void burst_input(struct pw_worker *worker, struct recent *recent, uint32_t generation,
			void **objs, rte_edge_t *edges, uint16_t n)
{
	/* Those before the first packet's count nothing. Sums and index in registers: what is
	 * added up in memory waits for its own last store. */
	const struct pw_entry *last = worker->entries;
	uint32_t packets = 0, bytes = 0;
	struct pw_lookup_burst burst;
	uint16_t found = 0;

	for (uint16_t i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = objs[i];
		uint16_t length = mbuf->data_len;
		const struct pw_entry *entry;

		if (i + 4 < n)
			rte_prefetch0(rte_pktmbuf_mtod((struct rte_mbuf *)objs[i + 4], void *));
		entry = plain(worker, generation, mbuf, &burst.addresses[found]);
		if (unlikely(!entry)) {
			edges[i] = frame(worker, recent, mbuf);
			continue;
		}
		if (unlikely(entry != last)) {
			count(worker, last, packets, bytes);
			last = entry;
			packets = bytes = 0;
		}
		packets++;
		bytes += length;
		if (is_esp(rte_pktmbuf_mtod(mbuf, const void *))) {
			edges[i] = EDGE_ESP;
			continue;
		}
		burst.lpms[found] = entry->lpm4;
		burst.mbufs[found] = mbuf;
		burst.at[found++] = i;
	}
	count(worker, last, packets, bytes);
	burst.count = found;
	pw_lookup4_burst(worker, &burst, edges, EDGE_IPV4);
}

static uint16_t ethernet_input(struct rte_graph *graph, struct rte_node *node, void **objs,
			       uint16_t n)
{
	uint32_t generation = __atomic_load_n(&pw_slots_generation, __ATOMIC_ACQUIRE);
	struct pw_worker *worker = pw_worker();
	struct recent recent = {.port = PW_PORT_NONE, .entry = pw_interface_get(0)};
	rte_edge_t edges[n];

	for (uint16_t i = 0; i < n; i += PW_LOOKUP_BURST)
		burst_input(worker, &recent, generation, &objs[i], &edges[i],
			    RTE_MIN(n - i, PW_LOOKUP_BURST));
	pw_stage_next(graph, node, edges, objs, n);
	return n;
}

PW_STAGE(ethernet_input, "ethernet-input", ethernet_input, PW_LOOKUP_STAGES, "ipv4-lookup",
	 "ipv6-lookup", "mpls-input", "kernel-punt", "esp-input")
