/* SPDX-License-Identifier: BSD-3-Clause */
/** PW_MSG_TRACE and PW_MSG_CAPTURE: what the client wants to see. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <linux/rtnetlink.h>
#include <pcap/pcap.h>

#include "control/statistics.h"
#include "control/watch.h"
#include "dataplane/watch/capture.h"
#include "dataplane/watch/trace.h"
#include "dataplane/worker.h"

#define FILTER_MAX     (PW_FILTER_INSTRUCTIONS * sizeof(struct bpf_insn))
#define STAGE_NAME_MAX 32

static const struct pw_attribute_policy watch_policy[PW_WATCH_ATTR_COUNT] = {
	[PW_WATCH_ATTR_PACKETS] = {.name = "PW_WATCH_ATTR_PACKETS", .min = 4, .max = 4},
	[PW_WATCH_ATTR_STAGE] = {.name = "PW_WATCH_ATTR_STAGE", .min = 2, .max = STAGE_NAME_MAX},
	[PW_WATCH_ATTR_PORT] = {.name = "PW_WATCH_ATTR_PORT", .min = 2, .max = IFNAMSIZ},
	[PW_WATCH_ATTR_SNAPLEN] = {.name = "PW_WATCH_ATTR_SNAPLEN", .min = 4, .max = 4},
	[PW_WATCH_ATTR_FILTER_ETHERNET] = {.name = "PW_WATCH_ATTR_FILTER_ETHERNET",
					   .min = sizeof(struct bpf_insn),
					   .max = FILTER_MAX},
	[PW_WATCH_ATTR_FILTER_IP] = {.name = "PW_WATCH_ATTR_FILTER_IP",
				     .min = sizeof(struct bpf_insn),
				     .max = FILTER_MAX},
};

static_assert(sizeof(struct bpf_insn) == 8, "as documented in lib/pewter_netlink.h");

/** Wishes in the words of the dataplane. */
struct wish {
	uint8_t stage;
	uint16_t port;
	uint32_t limit;
	uint32_t snaplen;
	const struct nlattr *ethernet, *ip;
};

/** The instructions of classic BPF. bpf_filter() aborts at any other. */
static bool instruction_known(uint16_t code)
{
	static const uint16_t others[] = {
		BPF_LD | BPF_W | BPF_ABS,
		BPF_LD | BPF_H | BPF_ABS,
		BPF_LD | BPF_B | BPF_ABS,
		BPF_LD | BPF_W | BPF_IND,
		BPF_LD | BPF_H | BPF_IND,
		BPF_LD | BPF_B | BPF_IND,
		BPF_LD | BPF_W | BPF_LEN,
		BPF_LDX | BPF_W | BPF_LEN,
		BPF_LDX | BPF_B | BPF_MSH,
		BPF_LD | BPF_IMM,
		BPF_LDX | BPF_IMM,
		BPF_LD | BPF_MEM,
		BPF_LDX | BPF_MEM,
		BPF_ST,
		BPF_STX,
		BPF_RET | BPF_K,
		BPF_RET | BPF_A,
		BPF_MISC | BPF_TAX,
		BPF_MISC | BPF_TXA,
		BPF_JMP | BPF_JA,
		BPF_ALU | BPF_NEG,
	};
	unsigned int i;

	switch (code & ~BPF_X) {
	case BPF_JMP | BPF_JEQ:
	case BPF_JMP | BPF_JGT:
	case BPF_JMP | BPF_JGE:
	case BPF_JMP | BPF_JSET:
	case BPF_ALU | BPF_ADD:
	case BPF_ALU | BPF_SUB:
	case BPF_ALU | BPF_MUL:
	case BPF_ALU | BPF_DIV:
	case BPF_ALU | BPF_MOD:
	case BPF_ALU | BPF_AND:
	case BPF_ALU | BPF_OR:
	case BPF_ALU | BPF_XOR:
	case BPF_ALU | BPF_LSH:
	case BPF_ALU | BPF_RSH:
		return true; /* with a constant or X */
	default:
		break;
	}
	for (i = 0; i < RTE_DIM(others); i++)
		if (code == others[i])
			return true;
	return false;
}

/**
 * What bpf_validate() leaves out: it lets jumps go back, and unknown instructions pass. A
 * worker must neither loop nor abort.
 */
static bool program_safe(const struct bpf_insn *program, uint32_t count)
{
	uint32_t i;

	for (i = 0; i < count; i++) {
		if (!instruction_known(program[i].code))
			return false;
		if (program[i].code == (BPF_JMP | BPF_JA) && program[i].k >= count - i - 1)
			return false;
	}
	return true;
}

/** Checks and copies a program. 0 with *@p copy, NULL without an attribute; -errno, refused. */
static int take_filter(struct pw_request *request, const struct nlattr *attribute,
		       struct bpf_insn **copy)
{
	struct bpf_insn *program;
	uint32_t size, count;

	if (attribute == NULL)
		return 0;
	size = mnl_attr_get_payload_len(attribute);
	count = size / sizeof(*program);
	if (size % sizeof(*program) != 0)
		return pw_refuse(request, attribute, -EINVAL,
				 "filter of %u bytes is not made of whole instructions", size);
	program = malloc(size);
	if (program == NULL)
		return pw_refuse(request, NULL, -ENOMEM, "out of memory");
	memcpy(program, mnl_attr_get_payload(attribute), size);
	if (!bpf_validate(program, (int)count) || !program_safe(program, count)) {
		free(program);
		return pw_refuse(request, attribute, -EINVAL,
				 "filter is no valid BPF program without loops");
	}
	*copy = program;
	return 0;
}

static void copy_name(char *name, size_t size, const struct nlattr *attribute)
{
	size_t length = mnl_attr_get_payload_len(attribute);

	if (length > size - 1)
		length = size - 1;
	memcpy(name, mnl_attr_get_payload(attribute), length);
	name[length] = '\0';
}

static int parse_stage(struct pw_request *request, const struct nlattr *attribute, uint8_t *stage)
{
	char name[STAGE_NAME_MAX + 1];
	enum pw_stage_id found;

	copy_name(name, sizeof(name), attribute);
	found = pw_stage_find(name);
	if (found == PW_AT_NONE || strcmp(pw_stage_name(found), name) != 0)
		return pw_refuse(request, attribute, -ENOENT, "there is no stage \"%s\"", name);
	if (found == PW_AT_PORT_RECEIVE)
		return pw_refuse(request, attribute, -EINVAL,
				 "packets are first seen at stage \"%s\"",
				 pw_stage_name(PW_AT_ETHERNET_INPUT));
	*stage = (uint8_t)found;
	return 0;
}

static int parse_port(struct pw_request *request, const struct nlattr *attribute, uint16_t *port)
{
	char name[IFNAMSIZ + 1];

	copy_name(name, sizeof(name), attribute);
	*port = pw_statistics_port_find(name);
	if (*port == PW_PORT_NONE)
		return pw_refuse(request, attribute, -ENODEV, "there is no port \"%s\"", name);
	return 0;
}

static int parse(struct pw_request *request, bool trace, struct wish *wish)
{
	const struct nlattr *table[PW_WATCH_ATTR_COUNT];
	int ret = pw_request_attributes(request, sizeof(struct rtgenmsg), "watch", watch_policy,
					PW_WATCH_ATTR_COUNT - 1, table);

	if (ret != 0)
		return ret;
	if (table[PW_WATCH_ATTR_PACKETS] != NULL &&
	    mnl_attr_get_u32(table[PW_WATCH_ATTR_PACKETS]) != 0)
		wish->limit = mnl_attr_get_u32(table[PW_WATCH_ATTR_PACKETS]);
	if (table[PW_WATCH_ATTR_STAGE] != NULL)
		ret = parse_stage(request, table[PW_WATCH_ATTR_STAGE], &wish->stage);
	if (ret == 0 && table[PW_WATCH_ATTR_PORT] != NULL)
		ret = parse_port(request, table[PW_WATCH_ATTR_PORT], &wish->port);
	if (ret != 0)
		return ret;
	if (wish->port != PW_PORT_NONE && table[PW_WATCH_ATTR_STAGE] != NULL)
		return pw_refuse(request, table[PW_WATCH_ATTR_PORT], -EINVAL,
				 "watch a port or a stage, not both");
	if (table[PW_WATCH_ATTR_SNAPLEN] != NULL) {
		wish->snaplen = mnl_attr_get_u32(table[PW_WATCH_ATTR_SNAPLEN]);
		if (trace || wish->snaplen == 0)
			return pw_refuse(request, table[PW_WATCH_ATTR_SNAPLEN], -EINVAL,
					 trace ? "a trace has no snaplen"
					       : "snaplen is at least 1");
		wish->snaplen = RTE_MIN(wish->snaplen, (uint32_t)PW_CAPTURE_SNAPLEN_MAX);
	}
	wish->ethernet = table[PW_WATCH_ATTR_FILTER_ETHERNET];
	wish->ip = table[PW_WATCH_ATTR_FILTER_IP];
	return 0;
}

static int make_order(struct pw_request *request, bool trace, const struct wish *wish,
		      struct pw_watch_order **made)
{
	uint32_t slots = trace ? PW_TRACE_SLOTS : pw_capture_slots(wish->snaplen);
	struct pw_watch_order *order = pw_watch_order_create(pw_worker_count, slots, wish->snaplen);
	int ret;

	if (order == NULL)
		return pw_refuse(request, NULL, -ENOMEM, "out of memory");
	order->trace = trace;
	order->stage = wish->stage;
	order->port = wish->port;
	order->limit = wish->limit;
	ret = take_filter(request, wish->ethernet, &order->filter.ethernet);
	if (ret == 0)
		ret = take_filter(request, wish->ip, &order->filter.ip);
	if (ret != 0) {
		pw_watch_order_destroy(order);
		return ret;
	}
	*made = order;
	return 0;
}

static int begin(struct pw_request *request, bool trace)
{
	struct wish wish = {
		.stage = trace ? PW_AT_ETHERNET_INPUT : PW_AT_NONE,
		.port = PW_PORT_NONE,
		.limit = UINT32_MAX,
		.snaplen = trace ? PW_TRACE_DATA : PW_CAPTURE_SNAPLEN_MAX,
	};
	struct pw_watch_order *order = NULL;
	int ret;

	if (request->client == NULL)
		return pw_refuse(request, NULL, -EOPNOTSUPP, "a feed cannot watch packets");
	ret = pw_watch_room(request, trace);
	if (ret == -EALREADY)
		return pw_refuse(request, NULL, -EBUSY, "this connection watches already");
	if (ret != 0)
		return pw_refuse(request, NULL, ret,
				 trace ? "another trace is running"
				       : "%d captures are running already",
				 PW_WATCH_ORDERS - 1);
	ret = parse(request, trace, &wish);
	if (ret == 0)
		ret = make_order(request, trace, &wish, &order);
	if (ret != 0)
		return ret;
	ret = pw_watch_begin(request, order);
	if (ret != 0) {
		pw_watch_order_destroy(order);
		return pw_refuse(request, NULL, ret, "out of memory");
	}
	return 0;
}

static int begin_trace(struct pw_request *request)
{
	return begin(request, true);
}

static int begin_capture(struct pw_request *request)
{
	return begin(request, false);
}

void pw_watch_register(void)
{
	pw_request_register(PW_MSG_TRACE, -1, begin_trace, NULL);
	pw_request_register(PW_MSG_CAPTURE, -1, begin_capture, NULL);
	pw_request_register(PW_MSG_WATCH_STOP, -1, pw_watch_stop, NULL);
}
