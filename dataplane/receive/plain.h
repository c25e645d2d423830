/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_RECEIVE_PLAIN_H
#define PW_RECEIVE_PLAIN_H

/** What ethernet-input sees at once: IPv4 packets with nothing unusual about them. */

#include <netinet/in.h>
#include <rte_ether.h>

#include "dataplane/forward/frame.h"
#include "dataplane/receive/entry.h"

static void pw_entry_compose(struct pw_entry *entry, uint16_t port, uint16_t vlan,
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

/* What came in plain, of a burst. */
struct pw_plain {
	struct pw_frames frames;
	uint64_t others; /* those that are not plain */
	uint64_t esp;    /* those that are ESP: settled already, not to be looked up */
	uint64_t turns;  /* those that entered elsewhere than the plain one before: few */
	const struct pw_entry *entries[PW_LOOKUP_BURST];
	uint32_t addresses[PW_LOOKUP_BURST];
};

static inline const struct pw_packet *pw_packet_of(const struct rte_mbuf *mbuf)
{
	return RTE_PTR_ADD(mbuf, PW_PACKET_OFFSET);
}

/* EtherType IPv4: bytes 12 and 13 of a frame, in the upper half of a word. */
#define PW_PLAIN_TYPE (UINT64_C(0x0008) << 32)

/*
 * An IPv4 packet with nothing unusual, to this router's MAC: ready to be looked up. False: the
 * general way will say what it is. What passes here, passes there too.
 */
static inline bool pw_plain(const struct pw_worker *worker, uint32_t generation,
			    const struct rte_mbuf *mbuf, struct pw_plain *burst, unsigned int i)
{
	uint32_t port = pw_packet_of(mbuf)->port;
	uint8_t *data = rte_pktmbuf_mtod(mbuf, uint8_t *);
	uint32_t room = mbuf->data_len, vlan = 0, total;
	const struct pw_entry *entry;
	uint64_t front, rest;

	if (unlikely(mbuf->nb_segs != 1 || room < sizeof(struct rte_ether_hdr) +
							   sizeof(struct rte_vlan_hdr) +
							   sizeof(struct rte_ipv4_hdr)))
		return false;
	memcpy(&front, data, sizeof(front));
	memcpy(&rest, data + 8, sizeof(rest));
	data += sizeof(struct rte_ether_hdr);
	room -= sizeof(struct rte_ether_hdr);
	if ((uint16_t)(rest >> 32) == RTE_BE16(RTE_ETHER_TYPE_VLAN)) {
		/* Id 0 is a priority tag: the frame belongs to the untagged interface. */
		vlan = rte_be_to_cpu_16((uint16_t)(rest >> 48)) & 0xfff;
		memcpy(&rest, data - 2, sizeof(rest));
		data += sizeof(struct rte_vlan_hdr);
		room -= sizeof(struct rte_vlan_hdr);
	}
	entry = &worker->entries[port * PW_VLANS + vlan];
	if (unlikely(entry->generation != generation || (front ^ entry->mac) << 16 ||
		     (uint16_t)((rest ^ PW_PLAIN_TYPE) >> 32) || !entry->lpm4))
		return false;
	total = pw_ipv4_plain(data, room, &burst->addresses[i]);
	if (unlikely(!total))
		return false;
	burst->frames.data[i] = data;
	burst->frames.lengths[i] = total;
	burst->entries[i] = entry;
	return true;
}

/* ESP to this PE need not be looked up: esp-input knows its destinations. */
static inline bool pw_is_esp(const struct rte_ipv4_hdr *ip)
{
	return ip->next_proto_id == IPPROTO_ESP &&
	       !(ip->fragment_offset & RTE_BE16(RTE_IPV4_HDR_OFFSET_MASK | RTE_IPV4_HDR_MF_FLAG));
}

/* What packets of one entry, one after the other, add to its interface's counters. */
static inline void pw_plain_count(struct pw_worker *worker, const struct pw_entry *entry,
				  uint32_t packets, uint32_t bytes)
{
	worker->counters[entry->interface].rx_packets += packets;
	worker->counters[entry->interface].rx_bytes += bytes;
}

/* A plain packet that another stage goes on with: its data begins at the IP header. */
static inline void pw_plain_settle(struct pw_plain *burst, struct rte_mbuf *mbuf, unsigned int i)
{
	uint16_t offset = (uint16_t)(burst->frames.data[i] - (uint8_t *)mbuf->buf_addr);
	struct pw_packet *packet = pw_packet(mbuf);

	mbuf->l2_len = offset - mbuf->data_off;
	mbuf->data_off = offset;
	pw_stage_trim(mbuf, (uint16_t)burst->frames.lengths[i]);
	packet->interface = (uint16_t)burst->entries[i]->interface;
	packet->vrf = burst->entries[i]->vrf;
	packet->flags = PW_PACKET_LAYER3;
}

/* Which of a burst are plain. */
static __rte_noinline void pw_plain_burst(struct pw_worker *worker, uint32_t generation,
					  struct rte_mbuf **mbufs, struct pw_plain *burst,
					  unsigned int n)
{
	/* Counts nothing. */
	static const struct pw_entry nowhere;
	const struct pw_entry *last = &nowhere;
	uint64_t others = 0, esp = 0, turns = 0;
	uint32_t bytes = 0, first = 0;

	for (unsigned int i = 0; i < n; i++) {
		if (unlikely(!pw_plain(worker, generation, mbufs[i], burst, i))) {
			burst->addresses[i] = 0;
			burst->entries[i] = last;
			others |= UINT64_C(1) << i;
			first++;
			continue;
		}
		if (unlikely(burst->entries[i] != last)) {
			pw_plain_count(worker, last, i - first, bytes);
			last = burst->entries[i];
			first = i;
			bytes = 0;
			turns |= UINT64_C(1) << i;
		}
		bytes += mbufs[i]->data_len;
		if (unlikely(pw_is_esp((const struct rte_ipv4_hdr *)burst->frames.data[i]))) {
			pw_plain_settle(burst, mbufs[i], i);
			esp |= UINT64_C(1) << i;
		}
	}
	pw_plain_count(worker, last, n - first, bytes);
	burst->frames.mask = (UINT64_MAX >> (64 - n)) & ~(others | esp);
	burst->others = others;
	burst->esp = esp;
	burst->turns = turns;
}

/* The entry of a frame, to be composed when it is out of date; else NULL. */
static struct pw_entry *pw_entry_stale(const struct pw_worker *worker, uint32_t generation,
				       const struct rte_mbuf *mbuf, uint16_t *vlan)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	struct pw_entry *entry;
	uint16_t type;

	*vlan = 0;
	if (mbuf->data_len < sizeof(struct rte_ether_hdr) + sizeof(struct rte_vlan_hdr))
		return NULL;
	memcpy(&type, data + 12, sizeof(type));
	if (type == RTE_BE16(RTE_ETHER_TYPE_VLAN))
		*vlan = (uint16_t)(data[14] << 8 | data[15]) & 0xfff;
	entry = &worker->entries[pw_packet_of(mbuf)->port * PW_VLANS + *vlan];
	return entry->generation == generation ? NULL : entry;
}

/* Before any packet of a walk is looked at: those of one flow all go the same way. */
static __rte_noinline void pw_entries_refresh(struct pw_worker *worker, uint32_t generation,
					      struct rte_mbuf **mbufs, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		uint16_t vlan;
		struct pw_entry *entry = pw_entry_stale(worker, generation, mbufs[i], &vlan);

		if (entry)
			pw_entry_compose(entry, pw_packet_of(mbufs[i])->port, vlan, generation);
	}
	worker->entries_generation = generation;
}

#endif
