/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PEWTERCTL_WATCH_H
#define PEWTERCTL_WATCH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/cli/client.h"
#include "lib/pewter_netlink.h"

/** What trace and capture share: options, the filter, the stream of records. */
struct watch {
	uint64_t count;   /* packets; 0: until stopped */
	uint64_t snaplen; /* 0: all of a packet */
	const char *port, *stage;
	const char *file;       /* capture: NULL: as text */
	char *filter;           /* NULL: everything */
	uint64_t matched, lost; /* as the daemon says at the end */
};

/** A record's attributes, and what every user of it wants. */
struct record {
	const struct nlattr *table[PW_RECORD_ATTR_COUNT];
	uint64_t number, time;
	const char *stage;
	uint8_t layer, direction;
	const uint8_t *data;
	uint32_t captured;
};

/**
 * Parses the command's options and joins what follows them to the filter. False: it was wrong,
 * and that has been said.
 */
bool watch_parse(struct watch *watch, int argc, char **argv, bool capture);
void watch_free(struct watch *watch);

/** Takes a PW_MSG_RECORD apart; false for anything else. */
bool record_parse(struct record *record, const struct nlmsghdr *nlh);

/**
 * Runs a watch (PW_MSG_TRACE, PW_MSG_CAPTURE) until it is complete, or a signal stops it.
 * @p fn gets the daemon's messages, @p idle is called every 50 ms or so. A STATUS_*.
 */
int watch_run(struct client *client, uint16_t type, struct watch *watch, client_fn fn,
	      void (*idle)(void *context), void *context);

#define TIME_TEXT 40
/** "2026-01-31 12:34:56.123456789", local time. */
const char *watch_time(uint64_t nanoseconds, char text[TIME_TEXT]);

#endif
