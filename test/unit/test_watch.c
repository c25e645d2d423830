/* SPDX-License-Identifier: BSD-3-Clause */
/* Records of watched packets: rings, filters, traces, captures. No EAL is needed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include <cmocka.h>
#include <pcap/pcap.h>
#include <rte_graph_worker.h>

#include "dataplane/watch/capture.h"
#include "dataplane/watch/order.h"
#include "dataplane/watch/trace.h"
#include "dataplane/worker.h"
#include "lib/pewter_netlink.h"

#define PACKETS 8

/** A worker, its graph's nodes by stage, and packets without a pool. */
struct bed {
	struct pw_worker *worker;
	struct pw_watch watch;
	struct rte_node *nodes;
	struct rte_mbuf *mbufs[PACKETS];
};

/* Ethernet, IPv4 10.0.0.1 > 10.0.0.2, UDP */
static const uint8_t frame[] = {
	0x02, 0,  0, 0, 0,  2, 0x02, 0, 0,  0, 0, 1, 0x08, 0x00, 0x45, 0, 0, 30, 0, 1, 0x40, 0,
	64,   17, 0, 0, 10, 0, 0,    1, 10, 0, 0, 2, 0x10, 0,    0x20, 0, 0, 10, 0, 0, 'h',  'i',
};

static struct rte_mbuf *mbuf_make(const void *data, uint16_t size)
{
	struct rte_mbuf *mbuf = aligned_alloc(64, 2048);

	assert_non_null(mbuf);
	memset(mbuf, 0, 2048);
	mbuf->buf_addr = (uint8_t *)mbuf + sizeof(*mbuf);
	mbuf->buf_len = 2048 - sizeof(*mbuf);
	mbuf->data_off = 128;
	mbuf->nb_segs = 1;
	mbuf->data_len = size;
	mbuf->pkt_len = size;
	memcpy(rte_pktmbuf_mtod(mbuf, void *), data, size);
	return mbuf;
}

static void pull(struct rte_mbuf *mbuf, uint16_t size)
{
	mbuf->data_off += size;
	mbuf->data_len -= size;
	mbuf->pkt_len -= size;
}

static int bed_make(void **state)
{
	struct bed *bed = calloc(1, sizeof(*bed));
	unsigned int i;

	bed->worker = aligned_alloc(64, RTE_ALIGN_CEIL(sizeof(*bed->worker), 64));
	bed->nodes = aligned_alloc(64, PW_AT_COUNT * RTE_ALIGN_CEIL(sizeof(*bed->nodes), 64));
	if (bed->worker == NULL || bed->nodes == NULL)
		return -1;
	memset(bed->worker, 0, sizeof(*bed->worker));
	memset(bed->nodes, 0, PW_AT_COUNT * sizeof(*bed->nodes));
	for (i = 0; i < PW_AT_COUNT; i++) {
		bed->nodes[i].id = i;
		bed->watch.stage[i] = (uint8_t)i;
	}
	for (i = 0; i < PACKETS; i++)
		bed->mbufs[i] = mbuf_make(frame, sizeof(frame));
	*state = bed;
	return 0;
}

static int bed_free(void **state)
{
	struct bed *bed = *state;
	unsigned int i;

	for (i = 0; i < bed->watch.count; i++)
		pw_watch_order_destroy(bed->watch.order[i]);
	for (i = 0; i < PACKETS; i++)
		free(bed->mbufs[i]);
	free(bed->nodes);
	free(bed->worker);
	free(bed);
	return 0;
}

static struct pw_watch_order *order_add(struct bed *bed, bool trace, uint32_t slots, uint32_t room)
{
	struct pw_watch_order *order = pw_watch_order_create(1, slots, room);

	assert_non_null(order);
	order->trace = trace;
	order->stage = trace ? PW_AT_ETHERNET_INPUT : PW_AT_NONE;
	bed->watch.order[bed->watch.count++] = order;
	bed->worker->watch = &bed->watch;
	return order;
}

static void enter(struct bed *bed, enum pw_stage_id stage, unsigned int first, uint16_t count)
{
	pw_watch_stage(bed->worker, &bed->nodes[stage], (void **)&bed->mbufs[first], count);
}

static const struct pw_record *next_record(struct pw_watch_order *order)
{
	return pw_record_peek(order->rings[0]);
}

static void expect_record(struct pw_watch_order *order, uint32_t number, enum pw_stage_id stage)
{
	const struct pw_record *record = next_record(order);

	assert_non_null(record);
	assert_int_equal(record->number, number);
	assert_int_equal(record->stage, stage);
	pw_record_release(order->rings[0]);
}

static struct bpf_insn *compile(int link_type, const char *text)
{
	pcap_t *pcap = pcap_open_dead(link_type, 65535);
	struct bpf_program program;
	struct bpf_insn *copy;

	assert_int_equal(pcap_compile(pcap, &program, text, 1, PCAP_NETMASK_UNKNOWN), 0);
	copy = malloc(program.bf_len * sizeof(*copy));
	memcpy(copy, program.bf_insns, program.bf_len * sizeof(*copy));
	pcap_freecode(&program);
	pcap_close(pcap);
	return copy;
}

static void test_ring(void **state)
{
	struct pw_record_ring *ring = pw_record_ring_create(4, 16);
	uint32_t i;

	assert_non_null(ring);
	assert_null(pw_record_peek(ring));
	for (i = 0; i < 4; i++) {
		struct pw_record *record = pw_record_take(ring);

		assert_non_null(record);
		memset(record->data, (int)i, ring->room);
		record->number = i;
		pw_record_commit(ring);
	}
	assert_null(pw_record_take(ring));
	assert_int_equal(ring->lost, 1);
	/* Counters wrap around 2^32 without harm. */
	for (i = 0; i < 4; i++) {
		const struct pw_record *record = pw_record_peek(ring);

		assert_int_equal(record->number, i);
		assert_int_equal(record->data[15], i);
		pw_record_release(ring);
	}
	assert_null(pw_record_peek(ring));
	ring->head = ring->tail = UINT32_MAX;
	for (i = 0; i < 4; i++) {
		assert_non_null(pw_record_take(ring));
		pw_record_commit(ring);
	}
	assert_null(pw_record_take(ring));
	pw_record_ring_destroy(ring);
}

static void test_stage_names(void **state)
{
	unsigned int stage;

	for (stage = PW_AT_NONE + 1; stage < PW_AT_COUNT; stage++)
		assert_int_equal(pw_stage_find(pw_stage_name(stage)), stage);
	assert_int_equal(pw_stage_find("port-receive-1"), PW_AT_PORT_RECEIVE);
	assert_int_equal(pw_stage_find("dropped"), PW_AT_NONE);
	assert_int_equal(pw_stage_find(""), PW_AT_NONE);
	assert_string_equal(pw_stage_name(PW_AT_NONE), "?");
}

/** Every stage of the packet's way is known by its name, so none is invisible. */
static void test_all_stages_are_known(void **state)
{
	unsigned int i;

	for (i = 0; pw_path_stages[i] != NULL; i++) {
		if (pw_stage_find(pw_path_stages[i]) == PW_AT_NONE)
			fail_msg("stage %s cannot be watched", pw_path_stages[i]);
	}
}

static void test_trace_follows_a_packet(void **state)
{
	struct bed *bed = *state;
	struct pw_watch_order *order = order_add(bed, true, 64, PW_TRACE_DATA);
	const struct pw_record *record;

	order->limit = 1;
	enter(bed, PW_AT_ETHERNET_INPUT, 0, 2);
	assert_int_equal(pw_packet(bed->mbufs[0])->trace, 1);
	assert_int_equal(pw_packet(bed->mbufs[1])->trace, 0);
	pull(bed->mbufs[0], 14);
	pull(bed->mbufs[1], 14);
	pw_packet(bed->mbufs[0])->vrf = 3;
	enter(bed, PW_AT_IPV4_LOOKUP, 0, 2);
	pw_packet(bed->mbufs[0])->reason = PW_DROP_ROUTE_NONE;
	enter(bed, PW_AT_DROP, 0, 2);

	record = next_record(order);
	assert_int_equal(record->layer, PW_LAYER_ETHERNET);
	assert_int_equal(record->direction, PW_DIRECTION_IN);
	assert_int_equal(record->captured, sizeof(frame));
	assert_memory_equal(record->data, frame, sizeof(frame));
	expect_record(order, 1, PW_AT_ETHERNET_INPUT);
	record = next_record(order);
	assert_int_equal(record->layer, PW_LAYER_IP);
	assert_int_equal(record->packet.vrf, 3);
	assert_memory_equal(record->data, frame + 14, sizeof(frame) - 14);
	expect_record(order, 1, PW_AT_IPV4_LOOKUP);
	assert_int_equal(next_record(order)->packet.reason, PW_DROP_ROUTE_NONE);
	expect_record(order, 1, PW_AT_DROP);
	assert_null(next_record(order));
	assert_int_equal(pw_watch_order_picked(order), 1);
}

static void test_trace_numbers_packets(void **state)
{
	struct bed *bed = *state;
	struct pw_watch_order *order = order_add(bed, true, 1024, PW_TRACE_DATA);
	unsigned int round, i;
	uint32_t number = 0;

	/* More packets than there are marks. */
	for (round = 0; round < 40; round++) {
		enter(bed, PW_AT_ETHERNET_INPUT, 0, PACKETS);
		enter(bed, PW_AT_PORT_TRANSMIT, 0, PACKETS);
		for (i = 0; i < PACKETS; i++)
			expect_record(order, number + i + 1, PW_AT_ETHERNET_INPUT);
		for (i = 0; i < PACKETS; i++)
			expect_record(order, ++number, PW_AT_PORT_TRANSMIT);
	}
	assert_int_equal(pw_watch_order_picked(order), 40 * PACKETS);
	assert_int_equal(pw_watch_order_lost(order), 0);
}

static void test_trace_ignores_old_marks(void **state)
{
	struct bed *bed = *state;
	struct pw_watch_order *order = order_add(bed, true, 64, PW_TRACE_DATA);

	pw_packet(bed->mbufs[0])->trace = 9;
	enter(bed, PW_AT_IPV4_LOOKUP, 0, 1);
	assert_null(next_record(order));
	order->limit = 0;
	enter(bed, PW_AT_ETHERNET_INPUT, 0, 1);
	assert_int_equal(pw_packet(bed->mbufs[0])->trace, 0);
	assert_null(next_record(order));
}

static void test_trace_is_whole_or_lost(void **state)
{
	struct bed *bed = *state;
	struct pw_watch_order *order = order_add(bed, true, PW_TRACE_STAGES, PW_TRACE_DATA);

	enter(bed, PW_AT_ETHERNET_INPUT, 0, 2);
	assert_int_equal(pw_watch_order_picked(order), 1);
	assert_int_equal(pw_watch_order_lost(order), 1);
	assert_int_equal(pw_packet(bed->mbufs[1])->trace, 0);
}

static void test_filters(void **state)
{
	static const uint8_t labels[] = {0x00, 0x06, 0x40, 0xff, 0x00, 0x06, 0x51, 0xff};
	struct bed *bed = *state;
	struct pw_filter filter = {0};
	struct rte_mbuf *mbuf = bed->mbufs[0];
	uint8_t data[128];

	assert_true(pw_filter_match(&filter, mbuf, PW_LAYER_ETHERNET));
	filter.ethernet = compile(DLT_EN10MB, "src host 10.0.0.1 and udp dst port 8192");
	filter.ip = compile(DLT_RAW, "dst host 10.0.0.2");
	assert_true(pw_filter_match(&filter, mbuf, PW_LAYER_ETHERNET));
	pull(mbuf, 14);
	assert_true(pw_filter_match(&filter, mbuf, PW_LAYER_IP));
	assert_false(pw_filter_match(&filter, mbuf, PW_LAYER_ETHERNET));
	free(mbuf);

	/* Two labels, and the IP packet below them. */
	memcpy(data, labels, sizeof(labels));
	memcpy(data + sizeof(labels), frame + 14, sizeof(frame) - 14);
	bed->mbufs[0] = mbuf_make(data, sizeof(labels) + sizeof(frame) - 14);
	assert_true(pw_filter_match(&filter, bed->mbufs[0], PW_LAYER_MPLS));
	/* Labels without a bottom match nothing, whatever is there. */
	bed->mbufs[0]->data_len = bed->mbufs[0]->pkt_len = 6;
	assert_false(pw_filter_match(&filter, bed->mbufs[0], PW_LAYER_MPLS));
	free(filter.ethernet);
	free(filter.ip);
}

static void test_trace_picks_by_filter_and_port(void **state)
{
	struct bed *bed = *state;
	struct pw_watch_order *order = order_add(bed, true, 256, PW_TRACE_DATA);

	order->filter.ethernet = compile(DLT_EN10MB, "src host 10.0.0.1");
	order->port = 4;
	pw_packet(bed->mbufs[1])->port = 4;
	pw_packet(bed->mbufs[2])->port = 4;
	rte_pktmbuf_mtod(bed->mbufs[2], uint8_t *)[29] = 9; /* source 10.0.0.9 */
	enter(bed, PW_AT_ETHERNET_INPUT, 0, 3);
	assert_int_equal(pw_packet(bed->mbufs[0])->trace, 0);
	assert_int_equal(pw_packet(bed->mbufs[1])->trace, 1);
	assert_int_equal(pw_packet(bed->mbufs[2])->trace, 0);
}

static void test_trace_from_a_later_stage(void **state)
{
	struct bed *bed = *state;
	struct pw_watch_order *order = order_add(bed, true, 64, PW_TRACE_DATA);

	order->stage = PW_AT_IPV4_LOOKUP;
	order->filter.ip = compile(DLT_RAW, "host 10.0.0.2");
	enter(bed, PW_AT_ETHERNET_INPUT, 0, 1);
	pull(bed->mbufs[0], 14);
	enter(bed, PW_AT_IPV4_LOOKUP, 0, 1);
	/* Seen again (another VRF): it keeps its number. */
	enter(bed, PW_AT_IPV4_LOOKUP, 0, 1);
	expect_record(order, 1, PW_AT_IPV4_LOOKUP);
	expect_record(order, 1, PW_AT_IPV4_LOOKUP);
	assert_null(next_record(order));
}

static void test_capture_at_ports(void **state)
{
	struct bed *bed = *state;
	struct pw_watch_order *order = order_add(bed, false, 64, 20);

	order->port = 2;
	pw_packet(bed->mbufs[0])->port = 2;
	pw_packet(bed->mbufs[1])->port = 3;
	enter(bed, PW_AT_ETHERNET_INPUT, 0, 2);
	enter(bed, PW_AT_IPV4_LOOKUP, 0, 2);
	enter(bed, PW_AT_PORT_TRANSMIT, 0, 2);
	assert_int_equal(next_record(order)->direction, PW_DIRECTION_IN);
	assert_int_equal(next_record(order)->captured, 20);
	assert_int_equal(next_record(order)->length, sizeof(frame));
	expect_record(order, 1, PW_AT_ETHERNET_INPUT);
	assert_int_equal(next_record(order)->direction, PW_DIRECTION_OUT);
	expect_record(order, 2, PW_AT_PORT_TRANSMIT);
	assert_null(next_record(order));
	/* Nothing is marked: captures leave packets alone. */
	assert_int_equal(pw_packet(bed->mbufs[0])->trace, 0);
}

static void test_capture_stops_at_its_limit(void **state)
{
	struct bed *bed = *state;
	struct pw_watch_order *order = order_add(bed, false, 64, 20);

	order->stage = PW_AT_DROP;
	order->limit = 3;
	enter(bed, PW_AT_DROP, 0, 2);
	enter(bed, PW_AT_DROP, 2, PACKETS - 2);
	expect_record(order, 1, PW_AT_DROP);
	expect_record(order, 2, PW_AT_DROP);
	expect_record(order, 3, PW_AT_DROP);
	assert_null(next_record(order));
	assert_int_equal(pw_watch_order_picked(order), 3);
}

static void test_capture_counts_what_it_loses(void **state)
{
	struct bed *bed = *state;
	struct pw_watch_order *order = order_add(bed, false, 4, 20);

	order->stage = PW_AT_DROP;
	enter(bed, PW_AT_DROP, 0, PACKETS);
	assert_int_equal(pw_watch_order_lost(order), PACKETS - 4);
	assert_int_equal(pw_watch_order_picked(order), 4);
}

static void test_two_orders_at_once(void **state)
{
	struct bed *bed = *state;
	struct pw_watch_order *trace = order_add(bed, true, 64, PW_TRACE_DATA);
	struct pw_watch_order *capture = order_add(bed, false, 64, 64);

	enter(bed, PW_AT_ETHERNET_INPUT, 0, 1);
	expect_record(trace, 1, PW_AT_ETHERNET_INPUT);
	expect_record(capture, 1, PW_AT_ETHERNET_INPUT);
}

static void test_layers_of_drops(void **state)
{
	struct bed *bed = *state;
	struct rte_mbuf *mbuf = bed->mbufs[0];
	struct pw_packet *packet = pw_packet(mbuf);

	packet->reason = PW_DROP_KERNEL_COPY;
	assert_int_equal(pw_watch_layer(PW_AT_DROP, mbuf), PW_LAYER_ETHERNET);
	pull(mbuf, 14);
	assert_int_equal(pw_watch_layer(PW_AT_DROP, mbuf), PW_LAYER_IP);
	packet->reason = PW_DROP_ETHERNET_NOT_FOR_ME;
	assert_int_equal(pw_watch_layer(PW_AT_DROP, mbuf), PW_LAYER_ETHERNET);
	packet->reason = PW_DROP_ROUTE_NONE;
	assert_int_equal(pw_watch_layer(PW_AT_DROP, mbuf), PW_LAYER_IP);
	packet->flags = PW_PACKET_LABELLED;
	assert_int_equal(pw_watch_layer(PW_AT_ETHERNET_OUTPUT, mbuf), PW_LAYER_MPLS);
	assert_int_equal(pw_watch_layer(PW_AT_PORT_TRANSMIT, mbuf), PW_LAYER_ETHERNET);
}

static void test_capture_slots(void **state)
{
	assert_int_equal(pw_capture_slots(1), PW_CAPTURE_SLOTS_MAX);
	assert_int_equal(pw_capture_slots(PW_CAPTURE_SNAPLEN_MAX), 512);
	assert_int_equal(pw_capture_slots(1u << 30), PW_CAPTURE_SLOTS_MIN);
}

#define BED(test) cmocka_unit_test_setup_teardown(test, bed_make, bed_free)

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_ring),
		cmocka_unit_test(test_stage_names),
		cmocka_unit_test(test_all_stages_are_known),
		cmocka_unit_test(test_capture_slots),
		BED(test_trace_follows_a_packet),
		BED(test_trace_numbers_packets),
		BED(test_trace_ignores_old_marks),
		BED(test_trace_is_whole_or_lost),
		BED(test_filters),
		BED(test_trace_picks_by_filter_and_port),
		BED(test_trace_from_a_later_stage),
		BED(test_capture_at_ports),
		BED(test_capture_stops_at_its_limit),
		BED(test_capture_counts_what_it_loses),
		BED(test_two_orders_at_once),
		BED(test_layers_of_drops),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
