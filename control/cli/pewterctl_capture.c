/* SPDX-License-Identifier: BSD-3-Clause */
/** capture: packets at ports or at a stage, as text, JSON or pcapng. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <linux/if_ether.h>

#include "control/cli/decode.h"
#include "control/cli/pcapng.h"
#include "control/cli/pewterctl.h"
#include "control/cli/print.h"
#include "control/cli/watch.h"

#define INTERFACES_MAX 1024
#define COOKED_HEADER  16

/** An interface of the file: a port or stage, and what packets begin with there. */
struct interface {
	uint8_t layer;
	char name[32];
	uint64_t packets;
};

struct capture {
	struct watch watch;
	FILE *file; /* NULL: to stdout as text or JSON */
	struct pcapng pcapng;
	struct interface *interface;
	uint64_t packets, last_time;
	bool failed;
};

static int fail(struct capture *capture)
{
	say("cannot write %s: %s", capture->watch.file, strerror(errno != 0 ? errno : EIO));
	capture->failed = true;
	return -EIO;
}

static uint16_t link_type(uint8_t layer)
{
	switch (layer) {
	case PW_LAYER_ETHERNET:
		return PCAPNG_ETHERNET;
	case PW_LAYER_MPLS:
		return PCAPNG_COOKED;
	default:
		return PCAPNG_RAW_IP;
	}
}

/** Where a packet was seen: a port, or else a stage. */
static const char *place(const struct capture *capture, const struct record *record)
{
	const char *port = attribute_string(record->table[PW_RECORD_ATTR_PORT]);

	return capture->watch.stage == NULL && port != NULL ? port : record->stage;
}

/** The number of the packet's interface in the file, described when it is first needed. */
static int find_interface(struct capture *capture, const struct record *record)
{
	const char *name = place(capture, record);
	struct interface *interface;
	uint32_t i;
	int ret;

	for (i = 0; i < capture->pcapng.interfaces; i++)
		if (capture->interface[i].layer == record->layer &&
		    strcmp(capture->interface[i].name, name) == 0)
			return (int)i;
	if (i == INTERFACES_MAX)
		return (int)i - 1;
	interface = realloc(capture->interface, (i + 1) * sizeof(*interface));
	if (interface == NULL)
		return -ENOMEM;
	capture->interface = interface;
	memset(&interface[i], 0, sizeof(*interface));
	interface[i].layer = record->layer;
	snprintf(interface[i].name, sizeof(interface[i].name), "%s", name);
	ret = pcapng_interface(
		&capture->pcapng, link_type(record->layer), (uint32_t)capture->watch.snaplen, name,
		capture->watch.stage != NULL ? "stage of pewterd" : "port of pewterd");
	return ret;
}

/**
 * Puts a cooked header before a packet that begins at its labels: Wireshark does not know the
 * link type that MPLS has of its own.
 */
static void cook(struct pcapng_packet *packet)
{
	static uint8_t buffer[COOKED_HEADER + UINT16_MAX];

	memset(buffer, 0, COOKED_HEADER);
	buffer[2] = 0xff; /* ARPHRD_NONE; no address */
	buffer[3] = 0xfe;
	buffer[14] = ETH_P_MPLS_UC >> 8;
	buffer[15] = ETH_P_MPLS_UC & 0xff;
	memcpy(buffer + COOKED_HEADER, packet->data, packet->captured);
	packet->data = buffer;
	packet->captured += COOKED_HEADER;
	packet->length += COOKED_HEADER;
}

static int write_record(struct capture *capture, const struct record *record)
{
	const char *drop = attribute_string(record->table[PW_RECORD_ATTR_DROP]);
	struct pcapng_packet packet = {
		.time = record->time,
		.captured = record->captured,
		.length = (uint32_t)attribute_number(record->table[PW_RECORD_ATTR_LENGTH]),
		.data = record->data,
		.direction = record->direction == PW_DIRECTION_IN    ? PCAPNG_INBOUND
			     : record->direction == PW_DIRECTION_OUT ? PCAPNG_OUTBOUND
								     : PCAPNG_UNKNOWN,
	};
	char comment[96];
	int interface;

	if (record->layer == PW_LAYER_MPLS)
		cook(&packet);
	errno = 0;
	interface = find_interface(capture, record);
	if (interface < 0)
		return fail(capture);
	if (drop != NULL) {
		snprintf(comment, sizeof(comment), "%s: %s", record->stage, drop);
		packet.comment = comment;
	}
	packet.interface = (uint32_t)interface;
	if (pcapng_write(&capture->pcapng, &packet) != 0)
		return fail(capture);
	capture->interface[interface].packets++;
	return 0;
}

static void print_record(const struct record *record)
{
	static const char *const directions[] = {NULL, "in", "out"};
	char text[TIME_TEXT];

	print_object_begin(NULL);
	print_string(NULL, "%s", printing_json() ? NULL : watch_time(record->time, text) + 11);
	print_number("number", NULL, record->number);
	print_number("time", NULL, record->time);
	print_string("port", " %s", attribute_string(record->table[PW_RECORD_ATTR_PORT]));
	if (record->direction < 3)
		print_string("direction", " %s", directions[record->direction]);
	print_string("stage", record->direction == PW_DIRECTION_NONE ? " %s" : NULL, record->stage);
	print_string("drop", " (%s)", attribute_string(record->table[PW_RECORD_ATTR_DROP]));
	print_number("length", " %" PRIu64 " bytes: ",
		     attribute_number(record->table[PW_RECORD_ATTR_LENGTH]));
	decode_print("headers", record->layer, record->data, record->captured);
	print_hex("data", record->data, record->captured);
	print_object_end();
	print_line();
}

static int take_record(const struct nlmsghdr *nlh, void *context)
{
	struct capture *capture = context;
	struct record record;

	if (!record_parse(&record, nlh))
		return 0;
	capture->packets++;
	capture->last_time = record.time;
	if (capture->file != NULL)
		return write_record(capture, &record);
	print_record(&record);
	return 0;
}

/** So that a reader at the other end of a pipe sees packets as they come. */
static void flush(void *context)
{
	struct capture *capture = context;

	if (capture->file != NULL)
		fflush(capture->file);
}

static bool open_file(struct capture *capture)
{
	const char *name = capture->watch.file;

	if (name == NULL)
		return true;
	if (strcmp(name, "-") == 0) {
		if (isatty(STDOUT_FILENO)) {
			say("pcapng is not for a terminal; give a file or a pipe");
			return false;
		}
		capture->file = stdout;
	} else {
		capture->file = fopen(name, "wbe");
	}
	if (capture->file == NULL) {
		say("cannot open %s: %s", name, strerror(errno));
		return false;
	}
	errno = 0;
	if (pcapng_begin(&capture->pcapng, capture->file, "pewterctl " PW_VERSION) != 0) {
		fail(capture);
		return false;
	}
	return true;
}

static void finish_file(struct capture *capture)
{
	uint32_t i;

	if (capture->file == NULL)
		return;
	/* What was lost is not known by interface: the first one tells. */
	for (i = 0; i < capture->pcapng.interfaces && !capture->failed; i++)
		if (pcapng_statistics(&capture->pcapng, i, capture->last_time,
				      capture->interface[i].packets,
				      i == 0 ? capture->watch.lost : 0) != 0)
			fail(capture);
	errno = 0;
	if ((capture->file == stdout ? fflush(stdout) : fclose(capture->file)) != 0 &&
	    !capture->failed)
		fail(capture);
}

static int run(struct client *client, struct capture *capture)
{
	int status;

	if (!open_file(capture)) {
		if (capture->file != NULL && capture->file != stdout)
			fclose(capture->file);
		return STATUS_FAILED;
	}
	status = watch_run(client, PW_MSG_CAPTURE, &capture->watch, take_record, flush, capture);
	finish_file(capture);
	free(capture->interface);
	if (status == STATUS_OK && (capture->file != NULL || capture->watch.lost > 0))
		fprintf(stderr, "%" PRIu64 " packets captured, %" PRIu64 " lost\n",
			capture->packets, capture->watch.lost);
	return capture->failed ? STATUS_FAILED : status;
}

int command_capture(struct client *client, int argc, char **argv)
{
	struct capture capture = {0};
	int status = STATUS_USAGE;

	if (watch_parse(&capture.watch, argc, argv, true))
		status = run(client, &capture);
	watch_free(&capture.watch);
	return status;
}
