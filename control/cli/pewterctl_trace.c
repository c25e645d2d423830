/* SPDX-License-Identifier: BSD-3-Clause */
/** trace: packets through the stages, with what each stage decided. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "control/cli/decode.h"
#include "control/cli/pewterctl.h"
#include "control/cli/print.h"
#include "control/cli/watch.h"

#define COUNT_DEFAULT 1
#define WHOLE_MS      100 /* a packet is printed when nothing more of it came for so long */

/** A packet whose records are being gathered: stages work on bursts, so packets come mixed. */
struct packet {
	struct packet *next; /* in order of number */
	uint64_t number;
	uint64_t last_ms;
	size_t count;
	struct nlmsghdr **record;
};

struct trace {
	struct watch watch;
	struct packet *packets;
};

static uint64_t now_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000u + (uint64_t)now.tv_nsec / 1000000u;
}

/* ---- one stage --------------------------------------------------------------------------- */

static bool same_payload(const struct nlattr *left, const struct nlattr *right)
{
	return mnl_attr_get_type(left) == mnl_attr_get_type(right) &&
	       mnl_attr_get_payload_len(left) == mnl_attr_get_payload_len(right) &&
	       memcmp(mnl_attr_get_payload(left), mnl_attr_get_payload(right),
		      mnl_attr_get_payload_len(left)) == 0;
}

/** Equal in all members; the padding between them may be anything. */
static bool same_nest(const struct nlattr *left, const struct nlattr *right)
{
	const struct nlattr *old = mnl_attr_get_payload(right), *new;

	if (mnl_attr_get_payload_len(left) != mnl_attr_get_payload_len(right))
		return false;
	mnl_attr_for_each_nested(new, left)
	{
		if (!same_payload(new, old))
			return false;
		old = mnl_attr_next(old);
	}
	return true;
}

/** Is the attribute there, and not as it was at the stage before? */
static bool news(const struct record *record, const struct record *before, uint16_t type)
{
	const struct nlattr *new = record->table[type], *old;

	old = before != NULL ? before->table[type] : NULL;
	if (new == NULL || old == NULL || printing_json())
		return new != NULL;
	if (type == PW_RECORD_ATTR_NEXTHOP || type == PW_RECORD_ATTR_ENDPOINT)
		return !same_nest(new, old);
	return !same_payload(new, old);
}

static void string_news(const struct record *record, const struct record *before, uint16_t type,
			const char *key, const char *format)
{
	if (news(record, before, type))
		print_string(key, format, attribute_string(record->table[type]));
}

static void number_news(const struct record *record, const struct record *before, uint16_t type,
			const char *key, const char *format)
{
	if (news(record, before, type))
		print_number(key, format, attribute_number(record->table[type]));
}

static void print_icmp(const struct nlattr *attribute)
{
	const uint8_t *icmp;

	if (attribute == NULL || mnl_attr_get_payload_len(attribute) != 2)
		return;
	icmp = mnl_attr_get_payload(attribute);
	print_object_begin("icmp");
	print_number("type", " answered by icmp type %" PRIu64, icmp[0]);
	print_number("code", " code %" PRIu64, icmp[1]);
	print_object_end();
}

static void print_flags(uint64_t flags)
{
	print_bool("made_here", " made-here", flags & 1);
	print_bool("held", " was-held", flags & 8);
}

static void print_port(const struct record *record)
{
	const char *port = attribute_string(record->table[PW_RECORD_ATTR_PORT]);

	if (record->direction == PW_DIRECTION_IN)
		print_string("in_port", " from port %s", port);
	else
		print_string("out_port", " to port %s", port);
}

/** What the stages before this one decided. */
static void print_decisions(const struct record *record, const struct record *before)
{
	print_port(record);
	string_news(record, before, PW_RECORD_ATTR_INTERFACE, "interface", " interface %s");
	if (news(record, before, PW_RECORD_ATTR_TABLE) ||
	    news(record, before, PW_RECORD_ATTR_VRF)) {
		print_string("vrf", " vrf %s", attribute_string(record->table[PW_RECORD_ATTR_VRF]));
		print_number("table", " table %" PRIu64,
			     attribute_number(record->table[PW_RECORD_ATTR_TABLE]));
	}
	if (news(record, before, PW_RECORD_ATTR_ENDPOINT)) {
		print_text(" from tunnel");
		nexthop_print("tunnel", record->table[PW_RECORD_ATTR_ENDPOINT]);
	}
	number_news(record, before, PW_RECORD_ATTR_LABEL, "label", " label %" PRIu64);
	number_news(record, before, PW_RECORD_ATTR_SA, "spi", " SA 0x%08" PRIx64);
	if (news(record, before, PW_RECORD_ATTR_NEXTHOP)) {
		print_text(" nexthop");
		nexthop_print("nexthop", record->table[PW_RECORD_ATTR_NEXTHOP]);
	}
	number_news(record, before, PW_RECORD_ATTR_MTU, "mtu", " mtu %" PRIu64);
	if (printing_json())
		number_news(record, before, PW_RECORD_ATTR_HASH, "hash", NULL);
	string_news(record, before, PW_RECORD_ATTR_DROP, "reason", " reason %s");
	print_icmp(record->table[PW_RECORD_ATTR_ICMP]);
	if (news(record, before, PW_RECORD_ATTR_FLAGS))
		print_flags(attribute_number(record->table[PW_RECORD_ATTR_FLAGS]));
}

static bool same_headers(const struct record *record, const struct record *before)
{
	return before != NULL && before->layer == record->layer &&
	       before->captured == record->captured &&
	       memcmp(before->data, record->data, record->captured) == 0;
}

static void print_stage(const struct record *record, const struct record *before, uint64_t begin)
{
	print_object_begin(NULL);
	print_string("stage", "  %-18s", record->stage);
	print_number("time", NULL, record->time);
	print_text(" +%" PRIu64 "ns", record->time - begin);
	print_number("worker", NULL, attribute_number(record->table[PW_RECORD_ATTR_WORKER]));
	print_number("length", " %" PRIu64 " bytes",
		     attribute_number(record->table[PW_RECORD_ATTR_LENGTH]));
	print_decisions(record, before);
	if (printing_json() || !same_headers(record, before)) {
		print_text("\n      ");
		decode_print("headers", record->layer, record->data, record->captured);
	}
	print_object_end();
	print_line();
}

/* ---- one packet -------------------------------------------------------------------------- */

static void packet_print(const struct packet *packet)
{
	struct record record, before;
	char text[TIME_TEXT];
	uint64_t begin;
	size_t i;

	record_parse(&record, packet->record[0]);
	begin = record.time;
	print_object_begin(NULL);
	print_number("packet", "packet %" PRIu64, packet->number);
	print_text(" %s", watch_time(begin, text));
	print_number("time", NULL, begin);
	print_text(" worker %" PRIu64 "\n", attribute_number(record.table[PW_RECORD_ATTR_WORKER]));
	print_array_begin("stages");
	for (i = 0; i < packet->count; i++) {
		if (i > 0)
			before = record;
		record_parse(&record, packet->record[i]);
		print_stage(&record, i > 0 ? &before : NULL, begin);
	}
	print_array_end();
	print_object_end();
	if (printing_json())
		print_line();
}

static void packet_free(struct packet *packet)
{
	size_t i;

	for (i = 0; i < packet->count; i++)
		free(packet->record[i]);
	free(packet->record);
	free(packet);
}

static struct packet *find_packet(struct trace *trace, uint64_t number)
{
	struct packet **at = &trace->packets, *packet;

	while (*at != NULL && (*at)->number < number)
		at = &(*at)->next;
	if (*at != NULL && (*at)->number == number)
		return *at;
	packet = calloc(1, sizeof(*packet));
	if (packet == NULL)
		return NULL;
	packet->number = number;
	packet->next = *at;
	*at = packet;
	return packet;
}

static int take_record(const struct nlmsghdr *nlh, void *context)
{
	struct trace *trace = context;
	struct nlmsghdr **larger, *copy;
	struct packet *packet;
	struct record record;

	if (!record_parse(&record, nlh))
		return 0;
	packet = find_packet(trace, record.number);
	copy = malloc(nlh->nlmsg_len);
	if (packet == NULL || copy == NULL) {
		free(copy);
		return -1;
	}
	larger = realloc(packet->record, (packet->count + 1) * sizeof(*larger));
	if (larger == NULL) {
		free(copy);
		return -1;
	}
	packet->record = larger;
	memcpy(copy, nlh, nlh->nlmsg_len);
	packet->record[packet->count++] = copy;
	packet->last_ms = now_ms();
	return 0;
}

/** Prints, in order, the packets that are whole by now; all of them at the end. */
static void print_whole(struct trace *trace, bool all)
{
	uint64_t now = now_ms();

	while (trace->packets != NULL && (all || now - trace->packets->last_ms >= WHOLE_MS)) {
		struct packet *packet = trace->packets;

		trace->packets = packet->next;
		if (packet->count > 0)
			packet_print(packet);
		packet_free(packet);
	}
}

static void idle(void *context)
{
	print_whole(context, false);
}

int command_trace(struct client *client, int argc, char **argv)
{
	struct trace trace = {0};
	int status = STATUS_USAGE;

	if (watch_parse(&trace.watch, argc, argv, false)) {
		if (trace.watch.count == 0)
			trace.watch.count = COUNT_DEFAULT;
		status = watch_run(client, PW_MSG_TRACE, &trace.watch, take_record, idle, &trace);
		print_whole(&trace, true);
		if (status == STATUS_OK && trace.watch.lost > 0)
			fprintf(stderr, "%" PRIu64 " records lost\n", trace.watch.lost);
	}
	watch_free(&trace.watch);
	return status;
}
