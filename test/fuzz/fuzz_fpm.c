/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes -> what zebra writes to its FPM connection. An input is a row of records: a byte of
 * flags, two bytes length, bytes of the stream. With bit 0 they are messages, which are put into
 * a frame, and with bit 4 one whose length is made to agree; with bit 1 the batch ends behind the
 * record; with bit 2 the session ends; with bit 3 what is stale is swept.
 */
#include <linux/netlink.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "control/feed/fpm_internal.h"
#include "control/label.h"
#include "control/route.h"
#include "lib/log.h"
#include "test/fuzz/setup.h"
#include "test/path/pe.h"

#define FRAME   1
#define BATCH   2
#define SESSION 4
#define SWEEP   8
#define LENGTH  16
#define HEADER  4

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct pw_fpm_stream stream;

static const struct pw_fpm_map map[] = {
	{.ifindex = 1, .link = "lo"},    {.ifindex = 2, .link = "core"},
	{.ifindex = 4, .link = "mgre0"}, {.ifindex = 5, .link = "red"},
	{.ifindex = 6, .link = "blue"},  {.ifindex = 7, .link = "gre7"},
	{.ifindex = 8, .link = "mgre6"}, {.ifindex = 9, .link = "v100"},
};

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	fuzz_start();
	fuzz_configure((*argv)[0], PW_FUZZ_CONFIGURE);
	pw_log_set_level(PW_LOG_ERROR); /* refusals are what most inputs come to */
	pw_fpm_interfaces_begin(map, sizeof(map) / sizeof(*map), false);
	return 0;
}

static void session_end(void)
{
	stream.used = 0;
	pw_fpm_nexthops_settle();
	pw_fpm_nexthops_stale();
	pw_fpm_feed.session++;
}

static void sweep(void)
{
	struct pw_route_sweep at = {0};
	struct pw_label_route *route;

	while (pw_route_feed_sweep(&pw_fpm_feed, &at, 3))
		;
	for (uint32_t label = 0; (route = pw_label_next(label));) {
		label = route->label + 1;
		if (route->source == PW_ROUTE_FPM && route->session != pw_fpm_feed.session)
			pw_label_delete(route);
	}
	pw_fpm_nexthops_sweep();
}

static void take(const uint8_t *bytes, size_t size, uint8_t flags)
{
	uint32_t length = (uint32_t)size;
	uint8_t *at = stream.bytes + stream.used;
	const char *why;

	if ((flags & FRAME) && size >= sizeof(struct nlmsghdr)) {
		at[0] = at[1] = 1;
		at[2] = (uint8_t)((size + HEADER) >> 8);
		at[3] = (uint8_t)(size + HEADER);
		memcpy(at + HEADER, bytes, size);
		if (flags & LENGTH)
			memcpy(at + HEADER, &length, sizeof(length));
		size += HEADER;
	} else {
		memcpy(at, bytes, size);
	}
	stream.used += size;
	if (pw_fpm_stream_handle(&stream, pw_fpm_message, &why))
		session_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	while (size > 3) {
		size_t length = (size_t)data[1] << 8 | data[2];

		if (length > size - 3)
			length = size - 3;
		if (length > UINT16_MAX - HEADER)
			length = UINT16_MAX - HEADER;
		take(data + 3, length, data[0]);
		if (data[0] & BATCH) {
			pw_fpm_nexthops_settle();
			pe_wait(0, NULL, NULL);
		}
		if (data[0] & SESSION)
			session_end();
		if (data[0] & SWEEP)
			sweep();
		data += 3 + length;
		size -= 3 + length;
	}
	/* The next input begins with nothing of this one. */
	session_end();
	sweep();
	pe_wait(0, NULL, NULL);
	return 0;
}
