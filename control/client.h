/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CLIENT_H
#define PW_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "control/request.h"

/**
 * A connection to the API socket: bounded input, bounded output, at most one dump at work.
 * Requests are taken in order; while a dump runs, or answers pile up because the client does
 * not read them, what it sends waits in its own socket. Events that do not fit are lost, and
 * NLMSG_OVERRUN says so.
 */

/** 0 or -ENOMEM. The caller makes pw_client_flush_all() an after-round hook. */
int pw_client_init(void);
/** Closes every client. */
void pw_client_fini(void);

/** Takes a connected descriptor. The client, or NULL with errno set (the descriptor stays). */
struct pw_client *pw_client_add(int fd);
unsigned int pw_client_count(void);

/** Sends what is queued, continues dumps and stalled input: an after-round hook. */
void pw_client_flush_all(void *context);

/** The protocol that the client said in its HELLO. */
uint32_t pw_client_protocol(const struct pw_client *client);

/** True when the peer ran as user 0 when it connected: it may see keys. */
bool pw_client_root(const struct pw_client *client);

/** Queues one packet for the client, a copy of @p data. */
void pw_client_queue(struct pw_client *client, const void *data, size_t size);

/** Begins the dump that @p request asks for; it runs between rounds. 0 or -ENOMEM. */
int pw_client_dump(struct pw_client *client, const struct pw_request *request, pw_dump_fn fn);

/** Its HELLO. Returns the size of a dump's packets that @p dump_bytes comes to. */
uint32_t pw_client_hello(struct pw_client *client, uint32_t protocol, uint32_t dump_bytes);

/** Events of @p group from now on, or no more. 0 or -EINVAL: no such group. */
int pw_client_subscribe(struct pw_client *client, uint32_t group, bool on);

/** An NLMSG_OVERRUN follows what is queued. */
void pw_client_overrun(struct pw_client *client);

/** Registers the handlers of netlink_client.c. */
void pw_client_register(void);

/** For tests: bytes queued for the client. */
size_t pw_client_queued(const struct pw_client *client);

#endif
