/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_API_H
#define PW_API_H

#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

/**
 * A program's end of Pewter's API socket (pewter_netlink.h), for programs with an event loop of
 * their own. Needs libmnl. Any thread, one at a time for each connection or batch.
 */

/** Connects. A non-blocking SOCK_SEQPACKET descriptor, or -errno. */
int pw_api_open(const char *path);

/**
 * What an NLMSG_ERROR or NLMSG_DONE says: 0, the daemon's negative errno, or -EPROTO when the
 * message is ill-formed. @p text becomes its sentence, or NULL without one.
 */
int pw_api_error(const struct nlmsghdr *nlh, const char **text);

/** The refused message in an NLMSG_ERROR; NULL when it is not whole. */
const struct nlmsghdr *pw_api_error_request(const struct nlmsghdr *nlh);

/** Messages that are sent in one packet. */
struct pw_api_batch {
	uint8_t *data;
	size_t size, used;
	struct nlmsghdr *last;
	uint32_t seq; /* of the last message; runs on from batch to batch */
};

/**
 * Begins a message with @p header bytes of zeroed fixed header, in room for @p room bytes in all.
 * NULL: the batch is full, or out of memory (@p size 0 before). End it with pw_api_batch_end().
 */
struct nlmsghdr *pw_api_batch_begin(struct pw_api_batch *batch, uint16_t type, uint16_t flags,
				    size_t header, size_t room);
void pw_api_batch_end(struct pw_api_batch *batch, struct nlmsghdr *nlh);

/** Sends the batch as one packet and empties it. 0, -EAGAIN (try again), or -errno. */
int pw_api_batch_send(struct pw_api_batch *batch, int fd);

void pw_api_batch_free(struct pw_api_batch *batch);

#endif
