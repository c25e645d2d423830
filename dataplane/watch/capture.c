/* SPDX-License-Identifier: BSD-3-Clause */
#include "dataplane/watch/capture.h"

#include "dataplane/worker.h"

uint32_t pw_capture_slots(uint32_t snaplen)
{
	uint32_t slots = PW_CAPTURE_MEMORY / (uint32_t)(sizeof(struct pw_record) + snaplen);

	slots = rte_align32prevpow2(slots);
	return RTE_MAX(RTE_MIN(slots, (uint32_t)PW_CAPTURE_SLOTS_MAX),
		       (uint32_t)PW_CAPTURE_SLOTS_MIN);
}

static bool wanted(const struct pw_watch_order *order, enum pw_stage_id stage)
{
	if (order->stage != PW_AT_NONE)
		return stage == order->stage;
	return stage == PW_AT_ETHERNET_INPUT || stage == PW_AT_PORT_TRANSMIT;
}

void pw_capture_stage(struct pw_watch_order *order, const struct pw_worker *worker,
		      enum pw_stage_id stage, void **objs, uint16_t n)
{
	struct pw_record_ring *ring = order->rings[worker->index];
	uint16_t i;

	if (!wanted(order, stage))
		return;
	for (i = 0; i < n; i++) {
		struct rte_mbuf *mbuf = objs[i];
		uint8_t layer = pw_watch_layer(stage, mbuf);
		struct pw_record *record;
		uint32_t number;

		if (order->port != PW_PORT_NONE && pw_packet(mbuf)->port != order->port)
			continue;
		if (__atomic_load_n(&order->picked, __ATOMIC_RELAXED) >= order->limit)
			return;
		if (!pw_filter_match(&order->filter, mbuf, layer))
			continue;
		record = pw_record_take(ring);
		if (record == NULL)
			continue;
		number = __atomic_fetch_add(&order->picked, 1, __ATOMIC_ACQ_REL);
		if (number >= order->limit)
			return; /* the slot stays free */
		pw_record_fill(record, worker, stage, layer, mbuf, ring->room);
		record->number = number + 1;
		pw_record_commit(ring);
	}
}
