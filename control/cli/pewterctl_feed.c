/* SPDX-License-Identifier: BSD-3-Clause */
/** show fpm: the connection from FRR's zebra and what came over it. */
#include "control/cli/pewterctl.h"

#include <inttypes.h>
#include <stddef.h>

#include "control/cli/print.h"
#include "lib/pewter_netlink.h"

static void print_routes(const struct nlattr **table)
{
	print_attribute("routes", "\n    routes %" PRIu64, table[PW_FPM_ATTR_ROUTES]);
	print_attribute("labels", " labels %" PRIu64, table[PW_FPM_ATTR_LABELS]);
	print_attribute("stale", " stale %" PRIu64, table[PW_FPM_ATTR_STALE]);
	print_attribute("sweep_in", " (swept in %" PRIu64 " s)", table[PW_FPM_ATTR_SWEEP_IN]);
	print_attribute("swept", " swept %" PRIu64, table[PW_FPM_ATTR_SWEPT]);
	print_attribute("waiting", " groups waiting %" PRIu64, table[PW_FPM_ATTR_WAITING]);
	print_attribute("hold", " hold %" PRIu64 " s", table[PW_FPM_ATTR_HOLD]);
}

static int fpm_print(const struct nlmsghdr *nlh, void *context)
{
	const struct nlattr *table[PW_FPM_ATTR_COUNT];
	bool enabled;

	attributes_parse(nlh, table, PW_FPM_ATTR_COUNT - 1);
	enabled = attribute_number(table[PW_FPM_ATTR_ENABLED]);
	print_object_begin(NULL);
	print_bool("enabled", NULL, enabled);
	if (!enabled) {
		print_text("off: pewterd runs without --fpm");
	} else {
		print_name("listen", "listening on %s", table[PW_FPM_ATTR_LISTEN]);
		print_bool("connected", NULL, table[PW_FPM_ATTR_PEER] != NULL);
		print_name("peer", " connected from %s", table[PW_FPM_ATTR_PEER]);
		if (table[PW_FPM_ATTR_PEER] == NULL)
			print_text(" not connected");
		print_attribute("sessions", " sessions %" PRIu64, table[PW_FPM_ATTR_SESSIONS]);
		print_routes(table);
		print_attribute("frames", "\n    frames %" PRIu64, table[PW_FPM_ATTR_FRAMES]);
		print_attribute("messages", " messages %" PRIu64, table[PW_FPM_ATTR_MESSAGES]);
		print_attribute("skipped", " skipped %" PRIu64, table[PW_FPM_ATTR_SKIPPED]);
		print_attribute("refused", " refused %" PRIu64, table[PW_FPM_ATTR_REFUSED]);
		print_name("last_skipped", "\n    last skipped: %s",
			   table[PW_FPM_ATTR_SKIPPED_TEXT]);
		print_name("last_refused", "\n    last refused: %s",
			   table[PW_FPM_ATTR_REFUSED_TEXT]);
	}
	print_object_end();
	print_line();
	return 0;
}

int show_fpm(struct client *client)
{
	return client_get(client, PW_MSG_FPM, fpm_print, NULL) < 0 ? STATUS_FAILED : STATUS_OK;
}
