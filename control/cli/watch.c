/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/watch.h"

#include <getopt.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>

#include <pcap/pcap.h>

#include "control/cli/pewterctl.h"
#include "control/cli/print.h"

#define POLL_MS    50
#define STOP_TRIES 40 /* polls to wait for the rest after a signal */

static volatile sig_atomic_t stopped;

static void stop(int signal)
{
	stopped = 1;
}

/* ---- options ----------------------------------------------------------------------------- */

enum { OPTION_PORT = 256, OPTION_STAGE, OPTION_SNAPLEN };

static const struct option options[] = {
	{"count", required_argument, NULL, 'c'},
	{"write", required_argument, NULL, 'w'},
	{"port", required_argument, NULL, OPTION_PORT},
	{"stage", required_argument, NULL, OPTION_STAGE},
	{"snaplen", required_argument, NULL, OPTION_SNAPLEN},
	{"json", no_argument, NULL, 'j'},
	{0},
};

static bool take_option(struct watch *watch, int option, bool capture)
{
	switch (option) {
	case 'c':
		return parse_number(optarg, "a count", 1, UINT32_MAX - 1, &watch->count);
	case 'j':
		print_json(true);
		return true;
	case OPTION_PORT:
		watch->port = optarg;
		return true;
	case OPTION_STAGE:
		watch->stage = optarg;
		return true;
	case 'w':
		watch->file = optarg;
		break;
	case OPTION_SNAPLEN:
		if (capture && !parse_number(optarg, "a snaplen", 1, UINT32_MAX, &watch->snaplen))
			return false;
		break;
	default:
		usage(capture ? "capture" : "trace");
		return false;
	}
	if (!capture)
		usage("trace");
	return capture;
}

/** Joins words with spaces; false: out of memory. */
static bool join(char **joined, int argc, char **argv)
{
	size_t size = 1;
	int i;

	*joined = NULL;
	for (i = 0; i < argc; i++)
		size += strlen(argv[i]) + 1;
	if (argc == 0)
		return true;
	*joined = calloc(1, size);
	if (*joined == NULL)
		return false;
	for (i = 0; i < argc; i++) {
		strcat(*joined, argv[i]);
		if (i + 1 < argc)
			strcat(*joined, " ");
	}
	return true;
}

bool watch_parse(struct watch *watch, int argc, char **argv, bool capture)
{
	int option;

	memset(watch, 0, sizeof(*watch));
	optind = 0;
	while ((option = getopt_long(argc, argv, "+c:w:j", options, NULL)) != -1)
		if (!take_option(watch, option, capture))
			return false;
	if (watch->port != NULL && watch->stage != NULL) {
		say("watch a port or a stage, not both");
		return false;
	}
	if (watch->port != NULL && (strlen(watch->port) >= IFNAMSIZ || watch->port[0] == '\0')) {
		say("\"%s\" is no name of a port", watch->port);
		return false;
	}
	if (watch->stage != NULL && (strlen(watch->stage) > 30 || watch->stage[0] == '\0')) {
		say("there is no stage \"%s\"", watch->stage);
		return false;
	}
	if (!join(&watch->filter, argc - optind, argv + optind)) {
		say("out of memory");
		return false;
	}
	return true;
}

void watch_free(struct watch *watch)
{
	free(watch->filter);
	watch->filter = NULL;
}

/* ---- filter ------------------------------------------------------------------------------ */

/** Does every packet of the stage begin with its Ethernet header? */
static bool at_ethernet(const char *stage)
{
	return stage == NULL || strcmp(stage, "ethernet-input") == 0 ||
	       strcmp(stage, "port-transmit") == 0;
}

/**
 * Compiles the filter for a link type and puts it. What cannot match there, matches nothing.
 * False with the compiler's words in @p error.
 */
static bool put_filter(struct nlmsghdr *nlh, uint16_t type, int link_type, const char *filter,
		       char error[PCAP_ERRBUF_SIZE])
{
	static const struct bpf_insn reject = BPF_STMT(BPF_RET | BPF_K, 0);
	pcap_t *pcap = pcap_open_dead(link_type, 65535);
	struct bpf_program program;
	bool compiled;

	if (pcap == NULL) {
		snprintf(error, PCAP_ERRBUF_SIZE, "out of memory");
		return false;
	}
	compiled = pcap_compile(pcap, &program, filter, 1, PCAP_NETMASK_UNKNOWN) == 0;
	if (!compiled)
		snprintf(error, PCAP_ERRBUF_SIZE, "%s", pcap_geterr(pcap));
	pcap_close(pcap);
	if (compiled && program.bf_len > PW_FILTER_INSTRUCTIONS) {
		snprintf(error, PCAP_ERRBUF_SIZE, "it is too long");
		pcap_freecode(&program);
		compiled = false;
	}
	if (!compiled) {
		mnl_attr_put(nlh, type, sizeof(reject), &reject);
		return false;
	}
	mnl_attr_put(nlh, type, program.bf_len * sizeof(*program.bf_insns), program.bf_insns);
	pcap_freecode(&program);
	return true;
}

static bool put_filters(struct nlmsghdr *nlh, const struct watch *watch)
{
	char ethernet_error[PCAP_ERRBUF_SIZE], ip_error[PCAP_ERRBUF_SIZE];
	bool ethernet, ip;

	if (watch->filter == NULL)
		return true;
	ethernet = put_filter(nlh, PW_WATCH_ATTR_FILTER_ETHERNET, DLT_EN10MB, watch->filter,
			      ethernet_error);
	ip = put_filter(nlh, PW_WATCH_ATTR_FILTER_IP, DLT_RAW, watch->filter, ip_error);
	if (!ethernet && (!ip || at_ethernet(watch->stage))) {
		say("filter \"%s\": %s", watch->filter, ethernet_error);
		return false;
	}
	/* Drops and punts are seen on both sides of the Ethernet header. */
	if (!ip && !at_ethernet(watch->stage) && strcmp(watch->stage, "drop") != 0 &&
	    strcmp(watch->stage, "kernel-punt") != 0) {
		say("filter \"%s\": at stage %s packets begin at their IP header: %s",
		    watch->filter, watch->stage, ip_error);
		return false;
	}
	return true;
}

/* ---- the stream -------------------------------------------------------------------------- */

bool record_parse(struct record *record, const struct nlmsghdr *nlh)
{
	const struct nlattr *data;

	if (nlh->nlmsg_type != PW_MSG_RECORD)
		return false;
	attributes_parse(nlh, record->table, PW_RECORD_ATTR_COUNT - 1);
	record->number = attribute_number(record->table[PW_RECORD_ATTR_NUMBER]);
	record->time = attribute_number(record->table[PW_RECORD_ATTR_TIME]);
	record->stage = attribute_string(record->table[PW_RECORD_ATTR_STAGE]);
	if (record->stage == NULL)
		record->stage = "?";
	record->layer = (uint8_t)attribute_number(record->table[PW_RECORD_ATTR_LAYER]);
	record->direction = (uint8_t)attribute_number(record->table[PW_RECORD_ATTR_DIRECTION]);
	data = record->table[PW_RECORD_ATTR_DATA];
	record->data = data != NULL ? mnl_attr_get_payload(data) : NULL;
	record->captured = data != NULL ? mnl_attr_get_payload_len(data) : 0;
	return true;
}

struct stream {
	struct watch *watch;
	client_fn fn;
	void *context;
};

static int message(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_END_ATTR_COUNT];
	struct stream *stream = context;

	if (nlh->nlmsg_type != PW_MSG_WATCH_END)
		return stream->fn(nlh, stream->context);
	attributes_parse(nlh, table, PW_END_ATTR_COUNT - 1);
	stream->watch->matched = attribute_number(table[PW_END_ATTR_MATCHED]);
	stream->watch->lost = attribute_number(table[PW_END_ATTR_LOST]);
	return 0;
}

static bool begin(struct client *client, uint16_t type, const struct watch *watch)
{
	static uint32_t buffer[(2 * (PW_FILTER_INSTRUCTIONS * 8 + 4) + 256) / sizeof(uint32_t)];
	struct nlmsghdr *nlh = client_message(buffer, type, NLM_F_ACK);

	if (watch->count != 0)
		mnl_attr_put_u32(nlh, PW_WATCH_ATTR_PACKETS, (uint32_t)watch->count);
	if (watch->stage != NULL)
		mnl_attr_put_strz(nlh, PW_WATCH_ATTR_STAGE, watch->stage);
	if (watch->port != NULL)
		mnl_attr_put_strz(nlh, PW_WATCH_ATTR_PORT, watch->port);
	if (watch->snaplen != 0)
		mnl_attr_put_u32(nlh, PW_WATCH_ATTR_SNAPLEN, (uint32_t)watch->snaplen);
	return put_filters(nlh, watch) && client_send(client, nlh) == 0;
}

/** The stop has a sequence number of its own; the stream's goes on. */
static int send_stop(struct client *client)
{
	uint32_t buffer[16], seq = client->seq;
	int ret = client_send(client, client_message(buffer, PW_MSG_WATCH_STOP, 0));

	client->seq = seq;
	return ret;
}

static int follow(struct client *client, struct stream *stream, void (*idle)(void *context))
{
	int tries = 0, ret;

	for (;;) {
		ret = client_stream(client, POLL_MS, message, stream);
		if (idle != NULL)
			idle(stream->context);
		if (ret < 0 || ret == CLIENT_DONE)
			return ret < 0 ? STATUS_FAILED : STATUS_OK;
		if (!stopped)
			continue;
		if (tries++ == 0 && send_stop(client) < 0)
			return STATUS_FAILED;
		if (ret == CLIENT_TIMEOUT && tries > STOP_TRIES) {
			say("pewterd does not end the watch");
			return STATUS_FAILED;
		}
	}
}

int watch_run(struct client *client, uint16_t type, struct watch *watch, client_fn fn,
	      void (*idle)(void *context), void *context)
{
	struct stream stream = {watch, fn, context};
	struct sigaction action = {.sa_handler = stop}, old_int, old_term;
	int status = STATUS_FAILED;

	stopped = 0;
	sigaction(SIGINT, &action, &old_int);
	sigaction(SIGTERM, &action, &old_term);
	if (begin(client, type, watch))
		status = follow(client, &stream, idle);
	sigaction(SIGINT, &old_int, NULL);
	sigaction(SIGTERM, &old_term, NULL);
	/* A watch that did not end goes with the connection; the next command makes another. */
	if (status != STATUS_OK)
		client_close(client);
	return status;
}

const char *watch_time(uint64_t nanoseconds, char text[TIME_TEXT])
{
	time_t seconds = (time_t)(nanoseconds / 1000000000u);
	struct tm local;
	size_t length;

	localtime_r(&seconds, &local);
	length = strftime(text, TIME_TEXT, "%Y-%m-%d %H:%M:%S", &local);
	snprintf(text + length, TIME_TEXT - length, ".%09u",
		 (unsigned int)(nanoseconds % 1000000000u));
	return text;
}
