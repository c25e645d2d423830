/* SPDX-License-Identifier: BSD-3-Clause */
/* Events: who listens to which group, and what happens when there is no room for one. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "control/client_internal.h"
#include "control/loop.h"
#include "control/xfrm.h"

#define EVENTS_MAX (1u << 20) /* bytes that wait; beyond these events are lost */

static uint32_t listeners[2][PW_NETLINK_GROUPS]; /* of NETLINK_ROUTE's groups; of XFRM's */

/** The two protocols' groups have the same numbers. */
static uint32_t *group_listeners(uint32_t protocol, uint32_t group)
{
	return &listeners[protocol == NETLINK_XFRM][group];
}

static bool client_listens(const struct pw_client *client, uint32_t group)
{
	return client->groups[group / 64] >> (group % 64) & 1;
}

static void event_queue(struct pw_client *client, const struct nlmsghdr *nlh)
{
	if (client->lost || output_bytes(&client->output) + nlh->nlmsg_len > EVENTS_MAX) {
		client->lost = true;
		return;
	}
	pw_client_queue(client, nlh, nlh->nlmsg_len);
	pw_loop_again(0);
}

static void event_queue_all(uint32_t protocol, uint32_t group, const struct nlmsghdr *nlh)
{
	struct pw_client *client;

	if (!*group_listeners(protocol, group))
		return;
	LIST_FOREACH (client, &pw_clients, next)
		if (client->protocol == protocol && client_listens(client, group))
			event_queue(client, nlh);
}

void pw_notify(uint32_t group, const struct nlmsghdr *nlh)
{
	uint32_t seq;
	struct pw_client *echo = pw_request_echo(&seq);

	if (group >= PW_NETLINK_GROUPS)
		return;
	if (echo && !client_listens(echo, group)) {
		struct nlmsghdr *copy = malloc(nlh->nlmsg_len);

		if (copy) {
			memcpy(copy, nlh, nlh->nlmsg_len);
			copy->nlmsg_seq = seq;
			pw_client_queue(echo, copy, copy->nlmsg_len);
			free(copy);
		}
	}
	event_queue_all(NETLINK_ROUTE, group, nlh);
}

bool pw_notify_wanted(uint32_t group)
{
	uint32_t seq;

	return group < PW_NETLINK_GROUPS &&
	       (*group_listeners(NETLINK_ROUTE, group) || pw_request_echo(&seq));
}

void pw_notify_xfrm(uint32_t group, const struct nlmsghdr *nlh)
{
	if (group < PW_NETLINK_GROUPS)
		event_queue_all(NETLINK_XFRM, group, nlh);
}

bool pw_notify_xfrm_wanted(uint32_t group)
{
	return group < PW_NETLINK_GROUPS && *group_listeners(NETLINK_XFRM, group);
}

void pw_client_overrun(struct pw_client *client)
{
	client->lost = true;
	pw_client_activate(client);
	pw_loop_again(0);
}

void pw_client_overrun_queue(struct pw_client *client)
{
	struct nlmsghdr overrun = {.nlmsg_len = sizeof(overrun), .nlmsg_type = NLMSG_OVERRUN};

	if (!client->lost || output_bytes(&client->output))
		return;
	client->lost = false;
	pw_client_queue(client, &overrun, sizeof(overrun));
}

int pw_client_subscribe(struct pw_client *client, uint32_t group, bool on)
{
	if (group == 0 || group >= PW_NETLINK_GROUPS)
		return -EINVAL;
	if (client_listens(client, group) == on)
		return 0;
	client->groups[group / 64] ^= UINT64_C(1) << (group % 64);
	*group_listeners(client->protocol, group) += on ? 1 : -1;
	return 0;
}

void pw_client_groups_leave(struct pw_client *client)
{
	for (uint32_t group = 1; group < PW_NETLINK_GROUPS; group++)
		pw_client_subscribe(client, group, false);
}
