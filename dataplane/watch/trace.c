/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/watch/trace.h"

#include "dataplane/worker.h"

/**
 * Picks a packet: gives it a number and a mark. A packet whose stages would not all fit into
 * the ring is not picked, so that traces are whole.
 */
static void pick(struct pw_watch_order *order, struct pw_record_ring *ring, struct rte_mbuf *mbuf,
		 uint8_t layer)
{
	uint32_t number;
	uint8_t mark;

	if (__atomic_load_n(&order->picked, __ATOMIC_RELAXED) >= order->limit)
		return;
	if (!pw_filter_match(&order->filter, mbuf, layer))
		return;
	if (pw_record_room(ring) < PW_TRACE_STAGES) {
		pw_record_lose(ring);
		return;
	}
	number = __atomic_fetch_add(&order->picked, 1, __ATOMIC_ACQ_REL);
	if (number >= order->limit)
		return;
	mark = (uint8_t)(1 + number % PW_WATCH_MARKS);
	__atomic_store_n(&order->numbers[mark], number + 1, __ATOMIC_RELEASE);
	pw_packet(mbuf)->trace = mark;
}

static bool port_matches(const struct pw_watch_order *order, enum pw_stage_id stage,
			 const struct pw_packet *packet)
{
	return order->port == PW_PORT_NONE || stage != PW_AT_ETHERNET_INPUT ||
	       packet->port == order->port;
}

void pw_trace_stage(struct pw_watch_order *order, const struct pw_worker *worker,
		    enum pw_stage_id stage, void **objs, uint16_t n)
{
	struct pw_record_ring *ring = order->rings[worker->index];
	uint16_t i;

	for (i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = objs[i];
		struct pw_packet *packet = pw_packet(mbuf);
		uint8_t layer = pw_watch_layer(stage, mbuf);
		struct pw_record *record;
		uint32_t number;

		/* A fresh packet: what the buffer held before may have left a mark. */
		if (stage == PW_AT_ETHERNET_INPUT)
			packet->trace = 0;
		if (stage == order->stage && packet->trace == 0 &&
		    port_matches(order, stage, packet))
			pick(order, ring, mbuf, layer);
		if (packet->trace == 0)
			continue;
		number = __atomic_load_n(&order->numbers[packet->trace], __ATOMIC_ACQUIRE);
		if (number == 0)
			continue; /* an earlier trace's mark */
		record = pw_record_take(ring);
		if (record == NULL)
			continue;
		pw_record_fill(record, worker, stage, layer, mbuf, ring->room);
		record->number = number;
		pw_record_commit(ring);
	}
}
