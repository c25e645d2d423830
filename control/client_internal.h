/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CLIENT_INTERNAL_H
#define PW_CLIENT_INTERNAL_H

#include <sys/queue.h>

#include "control/client.h"
#include "control/output.h"
#include "lib/pewter_netlink.h"

/** What client.c, client_event.c and client_input.c have in common. */

struct dump;

struct pw_client {
	LIST_ENTRY(pw_client) next;
	TAILQ_ENTRY(pw_client) next_active;
	bool active; /* has work after the round */
	bool hangup; /* the other end is closed: nobody reads answers */
	bool broken; /* closed after the round */
	bool lost;   /* events were: NLMSG_OVERRUN is due */
	bool root;   /* the peer runs as user 0 */
	int fd;
	struct pw_watcher *watcher;
	uint32_t protocol;
	uint32_t dump_bytes;
	uint64_t groups[PW_NETLINK_GROUPS / 64];
	struct output output;
	uint8_t *input; /* what is left of a packet that had to wait */
	size_t input_size, input_used;
	struct dump *dump;
	void (*on_close)(void *context);
	void *on_close_context;
};

LIST_HEAD(pw_client_list, pw_client);
extern struct pw_client_list pw_clients;

/** It has work after the round. */
void pw_client_activate(struct pw_client *client);
/** It is closed after the round. */
void pw_client_break(struct pw_client *client);

/** What comes and goes on it may hold keys, of which no copy stays. */
static inline bool pw_client_secret(const struct pw_client *client)
{
	return client->protocol == NETLINK_XFRM;
}

/** Answers pile up, or a dump is at work: what else the client wants has to wait. */
bool pw_client_stalled(const struct pw_client *client);

/** No event of any group from now on. */
void pw_client_groups_leave(struct pw_client *client);
/** Events were lost and all before them is sent: now the client can be told. */
void pw_client_overrun_queue(struct pw_client *client);

/** 0 or -ENOMEM. */
int pw_client_input_init(void);
void pw_client_input_fini(void);
/** Takes one packet. The bytes read, 0 when there is no more for now. */
size_t pw_client_receive(struct pw_client *client);
/** Goes on with the packet that had to wait, if there is one. */
void pw_client_input_continue(struct pw_client *client);
void pw_client_input_free(struct pw_client *client);

#endif
