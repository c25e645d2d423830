/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/watch/order.h"

#include <string.h>

#include <rte_cycles.h>

#include "dataplane/worker.h"
#include "lib/pewter_netlink.h"

static const char *const stage_names[PW_AT_COUNT] = {[PW_AT_NONE] = "?",
#define STAGE_NAME(id, name) [PW_AT_##id] = name,
						     PW_STAGE_IDS(STAGE_NAME)
#undef STAGE_NAME
};

const char *pw_stage_name(enum pw_stage_id stage)
{
	return stage_names[stage < PW_AT_COUNT ? stage : PW_AT_NONE];
}

enum pw_stage_id pw_stage_find(const char *name)
{
	unsigned int stage;

	for (stage = PW_AT_NONE + 1; stage < PW_AT_COUNT; stage++) {
		size_t length = strlen(stage_names[stage]);

		if (strncmp(name, stage_names[stage], length) == 0 &&
		    (name[length] == '\0' || name[length] == '-'))
			return (enum pw_stage_id)stage;
	}
	return PW_AT_NONE;
}

struct pw_record_ring *pw_record_ring_create(uint32_t slots, uint32_t room)
{
	uint32_t stride = RTE_ALIGN_CEIL(sizeof(struct pw_record) + room, RTE_CACHE_LINE_SIZE);
	struct pw_record_ring *ring;
	size_t size = sizeof(*ring) + (size_t)slots * stride;

	ring = aligned_alloc(RTE_CACHE_LINE_SIZE, size);
	if (ring == NULL)
		return NULL;
	/* Touched now, so that a worker takes no page fault when it writes the first time. */
	memset(ring, 0, size);
	ring->stride = stride;
	ring->room = room;
	ring->slots = slots;
	return ring;
}

void pw_record_ring_destroy(struct pw_record_ring *ring)
{
	free(ring);
}

struct pw_watch_order *pw_watch_order_create(uint16_t workers, uint32_t slots, uint32_t data)
{
	struct pw_watch_order *order;
	uint16_t i;

	order = calloc(1, sizeof(*order) + workers * sizeof(order->rings[0]));
	if (order == NULL)
		return NULL;
	order->port = PW_PORT_NONE;
	order->limit = UINT32_MAX;
	order->ring_count = workers;
	for (i = 0; i < workers; i++) {
		order->rings[i] = pw_record_ring_create(slots, data);
		if (order->rings[i] == NULL) {
			pw_watch_order_destroy(order);
			return NULL;
		}
	}
	return order;
}

void pw_watch_order_destroy(struct pw_watch_order *order)
{
	uint16_t i;

	if (order == NULL)
		return;
	for (i = 0; i < order->ring_count; i++)
		pw_record_ring_destroy(order->rings[i]);
	free(order->filter.ethernet);
	free(order->filter.ip);
	free(order);
}

uint64_t pw_watch_order_lost(const struct pw_watch_order *order)
{
	uint64_t lost = 0;
	uint16_t i;

	for (i = 0; i < order->ring_count; i++)
		lost += __atomic_load_n(&order->rings[i]->lost, __ATOMIC_RELAXED);
	return lost;
}

uint32_t pw_watch_order_picked(const struct pw_watch_order *order)
{
	return RTE_MIN(__atomic_load_n(&order->picked, __ATOMIC_ACQUIRE), order->limit);
}

void pw_watch_stages(struct pw_watch *watch)
{
	rte_node_t id, count = RTE_MIN(rte_node_max_count(), (rte_node_t)PW_WATCH_NODES);

	for (id = 0; id < count; id++) {
		const char *name = rte_node_id_to_name(id);

		watch->stage[id] = name != NULL ? pw_stage_find(name) : PW_AT_NONE;
	}
}

/** Is this an IP header, by version and lengths? */
static bool looks_like_ip(const struct rte_mbuf *mbuf)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint32_t length = rte_pktmbuf_data_len(mbuf);

	if (length >= 20 && data[0] >= 0x45 && data[0] <= 0x4f)
		return (uint32_t)(data[2] << 8 | data[3]) <= length;
	if (length >= 40 && data[0] >> 4 == 6)
		return (uint32_t)(data[4] << 8 | data[5]) + 40 <= length;
	return false;
}

/** Exceptions come from stages on both sides of the Ethernet header. */
static uint8_t exception_layer(const struct rte_mbuf *mbuf, const struct pw_packet *packet)
{
	switch (packet->reason) {
	case PW_DROP_ETHERNET_TRUNCATED:
	case PW_DROP_ETHERNET_NOT_FOR_ME:
	case PW_DROP_ETHERNET_SEGMENTS:
	case PW_DROP_VLAN_UNKNOWN:
	case PW_DROP_MPLS_DISABLED:
	case PW_DROP_PORT_FULL:
		return PW_LAYER_ETHERNET;
	case PW_DROP_NONE:
	case PW_DROP_ETHERNET_MULTICAST:
	case PW_DROP_ETHERNET_TYPE:
	case PW_DROP_INTERFACE_DOWN:
	case PW_DROP_KERNEL_COPY:
	case PW_DROP_PUNT_NO_FACE:
	case PW_DROP_PUNT_RATE:
	case PW_DROP_PORT_NONE:
	case PW_DROP_NO_BUFFER:
	case PW_DROP_STOPPED:
	case PW_DROP_ESP_SEQUENCE:
	case PW_DROP_ESP_ENGINE:
	case PW_DROP_SA_NONE:
		return looks_like_ip(mbuf) ? PW_LAYER_IP : PW_LAYER_ETHERNET;
	case PW_DROP_MPLS_TRUNCATED:
	case PW_DROP_MPLS_LABEL_UNKNOWN:
	case PW_DROP_MPLS_LABEL_RESERVED:
	case PW_DROP_MPLS_LABEL_REFUSED:
	case PW_DROP_MPLS_LABEL_BLACKHOLE:
	case PW_DROP_MPLS_STACK:
	case PW_DROP_MPLS_TTL:
	case PW_DROP_MPLS_PAYLOAD:
	case PW_DROP_MPLS_LABEL_CLEAR:
		return looks_like_ip(mbuf) ? PW_LAYER_IP : PW_LAYER_MPLS;
	default:
		return packet->flags & PW_PACKET_LABELLED ? PW_LAYER_MPLS : PW_LAYER_IP;
	}
}

uint8_t pw_watch_layer(enum pw_stage_id stage, const struct rte_mbuf *mbuf)
{
	const struct pw_packet *packet = pw_packet((struct rte_mbuf *)(uintptr_t)mbuf);

	switch (stage) {
	case PW_AT_PORT_RECEIVE:
	case PW_AT_ETHERNET_INPUT:
	case PW_AT_PORT_TRANSMIT:
		return PW_LAYER_ETHERNET;
	case PW_AT_MPLS_INPUT:
		return PW_LAYER_MPLS;
	case PW_AT_ESP_OUTPUT:
		return packet->esp_mode == PW_ESP_FRAME ? PW_LAYER_ETHERNET : PW_LAYER_IP;
	case PW_AT_KERNEL_PUNT:
	case PW_AT_DROP:
		return exception_layer(mbuf, packet);
	default:
		return packet->flags & PW_PACKET_LABELLED ? PW_LAYER_MPLS : PW_LAYER_IP;
	}
}

static uint8_t direction(enum pw_stage_id stage)
{
	switch (stage) {
	case PW_AT_ETHERNET_INPUT:
		return PW_DIRECTION_IN;
	case PW_AT_PORT_TRANSMIT:
		return PW_DIRECTION_OUT;
	default:
		return PW_DIRECTION_NONE;
	}
}

void pw_record_fill(struct pw_record *record, const struct pw_worker *worker,
		    enum pw_stage_id stage, uint8_t layer, struct rte_mbuf *mbuf, uint32_t room)
{
	uint32_t length = RTE_MIN((uint32_t)rte_pktmbuf_data_len(mbuf), room);

	record->tsc = rte_rdtsc();
	record->length = rte_pktmbuf_pkt_len(mbuf);
	record->captured = length;
	record->worker = worker->index;
	record->stage = stage;
	record->layer = layer;
	record->direction = direction(stage);
	record->hash = mbuf->hash.rss;
	record->label = *pw_packet_label(mbuf);
	record->packet = *pw_packet(mbuf);
	memcpy(record->data, rte_pktmbuf_mtod(mbuf, const void *), length);
}

/** Where the IP header below a label stack begins; -1 when there is none. */
static int below_labels(const uint8_t *data, uint32_t length)
{
	uint32_t offset;

	for (offset = 0; offset + 4 <= length; offset += 4)
		if (data[offset + 2] & 1)
			return (int)offset + 4;
	return -1;
}

bool pw_filter_match(const struct pw_filter *filter, const struct rte_mbuf *mbuf, uint8_t layer)
{
	const uint8_t *data = rte_pktmbuf_mtod(mbuf, const uint8_t *);
	uint32_t length = rte_pktmbuf_data_len(mbuf);
	uint32_t wire = rte_pktmbuf_pkt_len(mbuf);
	int offset = 0;

	if (layer == PW_LAYER_ETHERNET)
		return filter->ethernet == NULL ||
		       bpf_filter(filter->ethernet, data, wire, length) != 0;
	if (filter->ip == NULL)
		return true;
	if (layer == PW_LAYER_MPLS)
		offset = below_labels(data, length);
	return offset >= 0 && bpf_filter(filter->ip, data + offset, wire - (uint32_t)offset,
					 length - (uint32_t)offset) != 0;
}

void pw_watch_stage(struct pw_worker *worker, const struct rte_node *node, void **objs, uint16_t n)
{
	/* A walk may see it go from one stage to the next; what it points to stays for the walk. */
	const struct pw_watch *watch = __atomic_load_n(&worker->watch, __ATOMIC_CONSUME);
	enum pw_stage_id stage;
	uint16_t i;

	if (watch == NULL || node->id >= PW_WATCH_NODES)
		return;
	stage = (enum pw_stage_id)watch->stage[node->id];
	if (stage == PW_AT_NONE)
		return;
	for (i = 0; i < watch->count; i++) {
		struct pw_watch_order *order = watch->order[i];

		if (order->trace)
			pw_trace_stage(order, worker, stage, objs, n);
		else
			pw_capture_stage(order, worker, stage, objs, n);
	}
}
