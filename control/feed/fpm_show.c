/* SPDX-License-Identifier: BSD-3-Clause */
#include <libmnl/libmnl.h>
#include <linux/rtnetlink.h>

#include "control/feed/fpm_internal.h"
#include "control/label.h"
#include "control/request.h"
#include "control/route.h"
#include "lib/pewter_netlink.h"

#define ROOM 1024

static size_t labels_count(size_t *stale)
{
	const struct pw_label_route *route;
	size_t count = 0;

	for (uint32_t label = 0; (route = pw_label_next(label)); label = route->label + 1) {
		if (route->source != PW_ROUTE_FPM)
			continue;
		count++;
		*stale += route->session != pw_fpm_feed.session;
	}
	return count;
}

static void put_state(struct nlmsghdr *nlh, const struct pw_fpm_state *state)
{
	char text[64];

	mnl_attr_put_u8(nlh, PW_FPM_ATTR_ENABLED, state->enabled);
	if (!state->enabled)
		return;
	mnl_attr_put_strz(nlh, PW_FPM_ATTR_LISTEN, pw_fpm_address_text(&state->listener, text));
	mnl_attr_put_u32(nlh, PW_FPM_ATTR_HOLD, state->hold);
	mnl_attr_put_u64(nlh, PW_FPM_ATTR_SESSIONS, state->sessions);
	if (state->connected)
		mnl_attr_put_strz(nlh, PW_FPM_ATTR_PEER, pw_fpm_address_text(&state->peer, text));
	if (state->sweep_in)
		mnl_attr_put_u32(nlh, PW_FPM_ATTR_SWEEP_IN, state->sweep_in);
	mnl_attr_put_u64(nlh, PW_FPM_ATTR_SWEPT, state->swept);
}

static int fpm_get(struct pw_request *request)
{
	uint32_t buffer[ROOM / sizeof(uint32_t)] = {0};
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);
	const struct pw_fpm_counters *counters = &pw_fpm_counters;
	size_t routes, stale, labels;
	struct pw_fpm_state state;

	pw_fpm_state(&state);
	pw_route_feed_count(&pw_fpm_feed, &routes, &stale);
	labels = labels_count(&stale);
	nlh->nlmsg_type = PW_MSG_FPM;
	mnl_nlmsg_put_extra_header(nlh, sizeof(struct rtgenmsg));
	put_state(nlh, &state);
	mnl_attr_put_u64(nlh, PW_FPM_ATTR_FRAMES, counters->frames);
	mnl_attr_put_u64(nlh, PW_FPM_ATTR_MESSAGES, counters->messages);
	mnl_attr_put_u64(nlh, PW_FPM_ATTR_SKIPPED, counters->verdicts[PW_FPM_SKIPPED]);
	mnl_attr_put_u64(nlh, PW_FPM_ATTR_REFUSED, counters->verdicts[PW_FPM_REFUSED]);
	if (counters->skipped[0])
		mnl_attr_put_strz(nlh, PW_FPM_ATTR_SKIPPED_TEXT, counters->skipped);
	if (counters->refused[0])
		mnl_attr_put_strz(nlh, PW_FPM_ATTR_REFUSED_TEXT, counters->refused);
	mnl_attr_put_u64(nlh, PW_FPM_ATTR_ROUTES, routes);
	mnl_attr_put_u64(nlh, PW_FPM_ATTR_LABELS, labels);
	mnl_attr_put_u64(nlh, PW_FPM_ATTR_STALE, stale);
	mnl_attr_put_u64(nlh, PW_FPM_ATTR_WAITING, pw_fpm_nexthops_waiting());
	return pw_reply(request, nlh);
}

void pw_fpm_show_register(void)
{
	pw_request_register(PW_MSG_FPM, -1, fpm_get, NULL);
}
