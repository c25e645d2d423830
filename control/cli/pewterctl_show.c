/* SPDX-License-Identifier: BSD-3-Clause */
/** show drops, events, ports, stages, workers, summary: what the daemon counts. */
#include "control/cli/pewterctl.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cli/print.h"
#include "lib/pewter_netlink.h"

struct list {
	bool begun;
	bool all;     /* those that never happened too */
	bool details; /* with a sentence, or by worker */
};

static uint64_t number_at(const struct nlattr **table, uint16_t type)
{
	return attribute_number(table[type]);
}

void list_begin(bool *begun)
{
	if (!*begun)
		print_array_begin(NULL);
	*begun = true;
}

int list_end(bool begun, int ret)
{
	if (ret < 0 && !begun)
		return STATUS_FAILED;
	list_begin(&begun);
	print_array_end();
	if (printing_json())
		print_line();
	return ret < 0 ? STATUS_FAILED : STATUS_OK;
}

/* ---- drops and events -------------------------------------------------------------------- */

static int counter_print(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_DROP_ATTR_COUNT];
	struct list *list = context;
	uint64_t packets;

	attributes_parse(nlh, table, PW_DROP_ATTR_COUNT - 1);
	packets = number_at(table, PW_DROP_ATTR_PACKETS);
	if (packets == 0 && !list->all)
		return 0;
	list_begin(&list->begun);
	print_object_begin(NULL);
	print_string("name", "%-22s", attribute_string(table[PW_DROP_ATTR_NAME]));
	print_number("packets", " %12" PRIu64, packets);
	if (list->details || printing_json())
		print_string("reason", "  %s", attribute_string(table[PW_DROP_ATTR_TEXT]));
	print_object_end();
	print_line();
	return 0;
}

static int show_counters(struct client *client, struct list *list, uint16_t type)
{
	int ret = client_dump(client, type, counter_print, list);

	return list_end(list->begun, ret);
}

/* ---- ports ------------------------------------------------------------------------------- */

static void port_counters(const struct nlattr **table)
{
	if (table[PW_PORT_ATTR_RX_PACKETS] == NULL)
		return;
	print_object_begin("rx");
	print_number("packets", "    RX: packets %" PRIu64,
		     number_at(table, PW_PORT_ATTR_RX_PACKETS));
	print_number("bytes", " bytes %" PRIu64, number_at(table, PW_PORT_ATTR_RX_BYTES));
	print_number("missed", " missed %" PRIu64, number_at(table, PW_PORT_ATTR_RX_MISSED));
	print_number("errors", " errors %" PRIu64, number_at(table, PW_PORT_ATTR_RX_ERRORS));
	print_number("no_buffer", " no-buffer %" PRIu64,
		     number_at(table, PW_PORT_ATTR_RX_NO_BUFFER));
	print_object_end();
	print_text("\n");
	print_object_begin("tx");
	print_number("packets", "    TX: packets %" PRIu64,
		     number_at(table, PW_PORT_ATTR_TX_PACKETS));
	print_number("bytes", " bytes %" PRIu64, number_at(table, PW_PORT_ATTR_TX_BYTES));
	print_number("errors", " errors %" PRIu64, number_at(table, PW_PORT_ATTR_TX_ERRORS));
	print_object_end();
	print_text("\n");
}

static void port_interface(const struct nlattr **table)
{
	if (table[PW_PORT_ATTR_L3_RX_PACKETS] == NULL)
		return;
	print_object_begin("interface");
	print_number("rx_packets", "    untagged: rx packets %" PRIu64,
		     number_at(table, PW_PORT_ATTR_L3_RX_PACKETS));
	print_number("rx_bytes", " bytes %" PRIu64, number_at(table, PW_PORT_ATTR_L3_RX_BYTES));
	print_number("tx_packets", " tx packets %" PRIu64,
		     number_at(table, PW_PORT_ATTR_L3_TX_PACKETS));
	print_number("tx_bytes", " bytes %" PRIu64, number_at(table, PW_PORT_ATTR_L3_TX_BYTES));
	print_object_end();
	print_text("\n");
}

static void port_flags(const struct nlattr **table)
{
	bool up = number_at(table, PW_PORT_ATTR_UP), carrier;

	carrier = number_at(table, PW_PORT_ATTR_CARRIER);
	print_text(" <%s%s>",
		   table[PW_PORT_ATTR_UP] == NULL ? "FACE"
		   : up                           ? "UP"
						  : "DOWN",
		   carrier ? ",LOWER_UP" : ",NO-CARRIER");
	if (table[PW_PORT_ATTR_UP] != NULL)
		print_bool("up", NULL, up);
	print_bool("carrier", NULL, carrier);
}

static int port_print(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_PORT_ATTR_COUNT];
	struct list *list = context;
	char text[ADDRESS_TEXT];

	attributes_parse(nlh, table, PW_PORT_ATTR_COUNT - 1);
	list_begin(&list->begun);
	print_object_begin(NULL);
	print_number("ifindex", "%" PRIu64 ": ", number_at(table, PW_PORT_ATTR_IFINDEX));
	print_string("ifname", "%s:", attribute_string(table[PW_PORT_ATTR_NAME]));
	port_flags(table);
	print_number("mtu", " mtu %" PRIu64, number_at(table, PW_PORT_ATTR_MTU));
	print_number("mtu_max", " (max %" PRIu64 ")", number_at(table, PW_PORT_ATTR_MTU_MAX));
	print_string("vrf", " vrf %s", attribute_string(table[PW_PORT_ATTR_VRF]));
	print_string("driver", " driver %s", attribute_string(table[PW_PORT_ATTR_DRIVER]));
	print_string("device", ":%s", attribute_string(table[PW_PORT_ATTR_DEVICE]));
	print_text("\n");
	print_string("address", "    link/ether %s",
		     attribute_address(table[PW_PORT_ATTR_MAC], text));
	print_number("rx_queues", " queues rx %" PRIu64, number_at(table, PW_PORT_ATTR_RX_QUEUES));
	print_number("tx_queues", " tx %" PRIu64, number_at(table, PW_PORT_ATTR_TX_QUEUES));
	print_string("face", " face %s", attribute_string(table[PW_PORT_ATTR_FACE]));
	print_text("\n");
	port_counters(table);
	port_interface(table);
	print_object_end();
	return 0;
}

/* ---- stages ------------------------------------------------------------------------------ */

struct stage {
	char name[64];
	uint16_t order, worker;
	uint64_t calls, packets, cycles;
};

struct stages {
	struct stage *stage;
	size_t count;
	bool by_worker;
};

static int stage_add(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_STAGE_ATTR_COUNT];
	struct stages *stages = context;
	struct stage *stage = NULL;
	const char *name;
	uint16_t worker;
	size_t i;

	attributes_parse(nlh, table, PW_STAGE_ATTR_COUNT - 1);
	name = attribute_string(table[PW_STAGE_ATTR_NAME]);
	worker = (uint16_t)number_at(table, PW_STAGE_ATTR_WORKER);
	for (i = 0; i < stages->count && stage == NULL; i++)
		if (strcmp(stages->stage[i].name, name != NULL ? name : "?") == 0 &&
		    (!stages->by_worker || stages->stage[i].worker == worker))
			stage = &stages->stage[i];
	if (stage == NULL) {
		stage = realloc(stages->stage, (stages->count + 1) * sizeof(*stage));
		if (stage == NULL)
			return -1;
		stages->stage = stage;
		stage += stages->count++;
		memset(stage, 0, sizeof(*stage));
		snprintf(stage->name, sizeof(stage->name), "%s", name != NULL ? name : "?");
		stage->worker = worker;
		stage->order = (uint16_t)number_at(table, PW_STAGE_ATTR_ORDER);
	}
	stage->calls += number_at(table, PW_STAGE_ATTR_CALLS);
	stage->packets += number_at(table, PW_STAGE_ATTR_PACKETS);
	stage->cycles += number_at(table, PW_STAGE_ATTR_CYCLES);
	return 0;
}

static int stage_compare(const void *left, const void *right)
{
	const struct stage *a = left, *b = right;

	if (a->order != b->order)
		return a->order < b->order ? -1 : 1;
	return strcmp(a->name, b->name) != 0 ? strcmp(a->name, b->name) : a->worker - b->worker;
}

static void stage_print(const struct stage *stage, bool by_worker)
{
	double calls = stage->calls > 0 ? (double)stage->calls : 1;
	double packets = stage->packets > 0 ? (double)stage->packets : 1;

	print_object_begin(NULL);
	print_string("stage", "%-20s", stage->name);
	if (by_worker)
		print_number("worker", " %6" PRIu64, stage->worker);
	print_number("calls", " %14" PRIu64, stage->calls);
	print_number("packets", " %14" PRIu64, stage->packets);
	print_number("cycles", NULL, stage->cycles);
	print_real("packets_per_call", " %12.1f", (double)stage->packets / calls);
	if (stage->packets > 0)
		print_real("cycles_per_packet", " %13.0f", (double)stage->cycles / packets);
	else
		print_text(" %13s", "-");
	print_object_end();
	print_line();
}

static int show_stages(struct client *client, const struct list *list)
{
	struct stages stages = {.by_worker = list->details};
	bool begun = false;
	size_t i;
	int ret = client_dump(client, PW_MSG_STAGE, stage_add, &stages);

	if (ret == 0) {
		qsort(stages.stage, stages.count, sizeof(*stages.stage), stage_compare);
		print_text("%-20s%s %14s %14s %12s %13s\n", "stage", list->details ? " worker" : "",
			   "calls", "packets", "packets/call", "cycles/packet");
		list_begin(&begun);
	}
	for (i = 0; ret == 0 && i < stages.count; i++)
		if (list->all || printing_json() || stages.stage[i].packets > 0)
			stage_print(&stages.stage[i], list->details);
	free(stages.stage);
	return list_end(begun, ret);
}

/* ---- workers and summary ----------------------------------------------------------------- */

static int worker_print(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_WORKER_ATTR_COUNT];
	struct list *list = context;

	attributes_parse(nlh, table, PW_WORKER_ATTR_COUNT - 1);
	list_begin(&list->begun);
	print_object_begin(NULL);
	print_number("worker", "worker %" PRIu64 ":", number_at(table, PW_WORKER_ATTR_INDEX));
	if (table[PW_WORKER_ATTR_CPU] != NULL)
		print_number("cpu", " cpu %" PRIu64, number_at(table, PW_WORKER_ATTR_CPU));
	print_number("rx_packets", " received %" PRIu64,
		     number_at(table, PW_WORKER_ATTR_RX_PACKETS));
	print_number("drops", " dropped %" PRIu64, number_at(table, PW_WORKER_ATTR_DROPS));
	print_number("walks", " walks %" PRIu64, number_at(table, PW_WORKER_ATTR_WALKS));
	print_number("idle_walks", " idle %" PRIu64, number_at(table, PW_WORKER_ATTR_IDLE_WALKS));
	print_number("sleeps", " sleeps %" PRIu64, number_at(table, PW_WORKER_ATTR_SLEEPS));
	print_number("busy_cycles", NULL, number_at(table, PW_WORKER_ATTR_BUSY));
	print_object_end();
	print_line();
	return 0;
}

static void summary_uptime(uint64_t nanoseconds)
{
	uint64_t seconds = nanoseconds / 1000000000u;

	print_real("uptime", NULL, (double)nanoseconds / 1e9);
	print_text(" up %" PRIu64 "d %02" PRIu64 ":%02" PRIu64 ":%02" PRIu64, seconds / 86400,
		   seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
}

static int summary_print(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *t[PW_SUMMARY_ATTR_COUNT];

	attributes_parse(nlh, t, PW_SUMMARY_ATTR_COUNT - 1);
	print_object_begin(NULL);
	print_string("version", "pewterd %s", attribute_string(t[PW_SUMMARY_ATTR_VERSION]));
	print_number("pid", " pid %" PRIu64, number_at(t, PW_SUMMARY_ATTR_PID));
	summary_uptime(number_at(t, PW_SUMMARY_ATTR_UPTIME));
	print_number("workers", "\n    workers %" PRIu64, number_at(t, PW_SUMMARY_ATTR_WORKERS));
	print_number("ports", " ports %" PRIu64, number_at(t, PW_SUMMARY_ATTR_PORTS));
	print_number("vrfs", " vrfs %" PRIu64, number_at(t, PW_SUMMARY_ATTR_VRFS));
	print_number("tunnels", " tunnels %" PRIu64, number_at(t, PW_SUMMARY_ATTR_TUNNELS));
	print_number("endpoints", " endpoints %" PRIu64, number_at(t, PW_SUMMARY_ATTR_ENDPOINTS));
	print_number("routes4", "\n    routes ipv4 %" PRIu64,
		     number_at(t, PW_SUMMARY_ATTR_ROUTES4));
	print_number("routes6", " ipv6 %" PRIu64, number_at(t, PW_SUMMARY_ATTR_ROUTES6));
	print_number("labels", " labels %" PRIu64, number_at(t, PW_SUMMARY_ATTR_LABELS));
	print_number("nexthops", " nexthops %" PRIu64, number_at(t, PW_SUMMARY_ATTR_NEXTHOPS));
	print_number("neighbours", " neighbours %" PRIu64,
		     number_at(t, PW_SUMMARY_ATTR_NEIGHBOURS));
	print_number("sas", " SAs %" PRIu64, number_at(t, PW_SUMMARY_ATTR_SAS));
	print_number("policies", " policies %" PRIu64, number_at(t, PW_SUMMARY_ATTR_POLICIES));
	print_number("lpm_bytes", "\n    memory of routes %" PRIu64 " bytes",
		     number_at(t, PW_SUMMARY_ATTR_LPM_BYTES));
	print_number("buffers", " packet buffers %" PRIu64, number_at(t, PW_SUMMARY_ATTR_BUFFERS));
	print_number("buffers_used", " in use %" PRIu64,
		     number_at(t, PW_SUMMARY_ATTR_BUFFERS_USED));
	print_number("rx_packets", "\n    RX: packets %" PRIu64,
		     number_at(t, PW_SUMMARY_ATTR_RX_PACKETS));
	print_number("rx_bytes", " bytes %" PRIu64, number_at(t, PW_SUMMARY_ATTR_RX_BYTES));
	print_number("tx_packets", "\n    TX: packets %" PRIu64,
		     number_at(t, PW_SUMMARY_ATTR_TX_PACKETS));
	print_number("tx_bytes", " bytes %" PRIu64, number_at(t, PW_SUMMARY_ATTR_TX_BYTES));
	print_number("drops", "\n    dropped %" PRIu64, number_at(t, PW_SUMMARY_ATTR_DROPS));
	print_object_end();
	print_line();
	return 0;
}

static int show_summary(struct client *client)
{
	struct list list = {0};

	if (printing_json())
		return client_get(client, PW_MSG_SUMMARY, summary_print, NULL) < 0 ? STATUS_FAILED
										   : STATUS_OK;
	if (client_get(client, PW_MSG_SUMMARY, summary_print, NULL) < 0 ||
	    client_dump(client, PW_MSG_WORKER, worker_print, &list) < 0)
		return STATUS_FAILED;
	return STATUS_OK;
}

static int show_ports(struct client *client)
{
	struct list list = {0};
	int ret = client_dump(client, PW_MSG_PORT, port_print, &list);

	return list_end(list.begun, ret);
}

static int show_workers(struct client *client)
{
	struct list list = {0};
	int ret = client_dump(client, PW_MSG_WORKER, worker_print, &list);

	return list_end(list.begun, ret);
}

/* ---- the command ------------------------------------------------------------------------- */

enum what {
	DROPS,
	EVENTS,
	PORTS,
	STAGES,
	WORKERS,
	VRFS,
	NEIGHBOURS,
	TUNNELS,
	LABELS,
	SUMMARY,
	FPM,
	SAS,
	POLICIES
};

static const char *const whats[] = {
	"drops",   "events", "ports",   "stages", "workers", "vrfs",     "neighbours",
	"tunnels", "labels", "summary", "fpm",    "sas",     "policies",
};

/** The index of the name that @p text begins, as ip(8) has it: the first one wins. */
static int find_what(const char *text)
{
	unsigned int i;

	for (i = 0; i < sizeof(whats) / sizeof(whats[0]); i++)
		if (strncmp(whats[i], text, strlen(text)) == 0)
			return (int)i;
	/* The American spelling too. */
	return strcmp(text, "neighbors") == 0 || strcmp(text, "neighbor") == 0 ? NEIGHBOURS : -1;
}

static int show(struct client *client, enum what what, struct list *list)
{
	switch (what) {
	case DROPS:
		return show_counters(client, list, PW_MSG_DROP);
	case EVENTS:
		return show_counters(client, list, PW_MSG_EVENT);
	case PORTS:
		return show_ports(client);
	case STAGES:
		return show_stages(client, list);
	case WORKERS:
		return show_workers(client);
	case VRFS:
		return show_vrfs(client);
	case NEIGHBOURS:
		return show_neighbours(client);
	case TUNNELS:
		return show_tunnels(client);
	case LABELS:
		return show_labels(client);
	case SUMMARY:
		return show_summary(client);
	case FPM:
		return show_fpm(client);
	case SAS:
		return show_sas(client);
	case POLICIES:
		return show_policies(client);
	}
	return STATUS_USAGE;
}

int command_show(struct client *client, int argc, char **argv)
{
	struct list list = {0};
	int option, what = SUMMARY;

	optind = 0; /* GNU: begin anew, options anywhere */
	while ((option = getopt(argc, argv, "adj")) != -1) {
		if (option == 'a')
			list.all = true;
		else if (option == 'd')
			list.details = true;
		else if (option == 'j')
			print_json(true);
		else
			return usage("show");
	}
	if (argc - optind > 1) {
		say("one thing at a time: \"%s\" after \"%s\"", argv[optind + 1], argv[optind]);
		return STATUS_USAGE;
	}
	if (optind < argc)
		what = find_what(argv[optind]);
	if (what < 0) {
		say("cannot show \"%s\"", argv[optind]);
		return usage("show");
	}
	return show(client, (enum what)what, &list);
}
