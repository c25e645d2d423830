/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PEWTERCTL_CLIENT_H
#define PEWTERCTL_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>

/**
 * A connection to pewterd's API socket. Whatever goes wrong has been said on stderr when a
 * function returns a negative number.
 */
struct client {
	const char *path;
	int fd; /* -1: not connected yet */
	uint32_t seq;
	uint8_t *buffer; /* the packet read last */
	size_t size;
};

/** Says one line on stderr, after the program's name and, in a batch, the line's number. */
void say(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** A prefix for say(), "FILE:LINE: "; NULL for none. */
void say_where(const char *where);

void client_close(struct client *client);

/** A request without attributes, in the caller's @p buffer. */
struct nlmsghdr *client_message(void *buffer, uint16_t type, uint16_t flags);

/** Connects when need be and sends; fills in the sequence number. 0 or negative. */
int client_send(struct client *client, struct nlmsghdr *nlh);

/** Sends and waits for the acknowledgement. 0 or negative. */
int client_request(struct client *client, struct nlmsghdr *nlh);

/** Called for each message that answers; negative ends it (nothing more is read). */
typedef int (*client_fn)(const struct nlmsghdr *nlh, void *context);

/** Sends a request and calls @p fn for each answer. 0 or negative. */
int client_dump(struct client *client, uint16_t type, client_fn fn, void *context);

/** The same for a request with one answer. */
int client_get(struct client *client, uint16_t type, client_fn fn, void *context);

#define CLIENT_TIMEOUT 1 /* nothing came in time, or a signal did */
#define CLIENT_DONE    2 /* NLMSG_DONE */

/**
 * Reads one packet of a stream and calls @p fn for its messages. 0, CLIENT_TIMEOUT, CLIENT_DONE,
 * or negative. @p timeout_ms -1: waits.
 */
int client_stream(struct client *client, int timeout_ms, client_fn fn, void *context);

/* Attributes of an answer. Absent or ill-formed ones read as 0 or NULL. */

/** table[0 .. max]; attributes above are skipped. */
void attributes_parse(const struct nlmsghdr *nlh, const struct nlattr **table, uint16_t max);
void attributes_nested(const struct nlattr *nest, const struct nlattr **table, uint16_t max);
uint64_t attribute_number(const struct nlattr *attribute); /* of 1, 2, 4 or 8 bytes */
const char *attribute_string(const struct nlattr *attribute);

#define ADDRESS_TEXT 48
/** IPv4, IPv6 or MAC address by its size; "?" for anything else. */
const char *attribute_address(const struct nlattr *attribute, char text[ADDRESS_TEXT]);

#endif
