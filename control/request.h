/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_REQUEST_H
#define PW_REQUEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <libmnl/libmnl.h>
#include <linux/netlink.h>

/**
 * One netlink request, from whichever feed it came (API socket, FPM, start-up file), and what
 * is said back. Handlers decode it, refuse it in words or apply it whole.
 */
struct pw_client; /* where replies go; NULL: a feed without replies */
struct pw_feed;   /* control.h */

struct pw_request {
	struct pw_client *client;
	const struct nlmsghdr *nlh; /* length already checked against the buffer */
	const struct pw_feed *feed; /* whose routes are meant; NULL: the operator's */
	uint32_t protocol;          /* NETLINK_ROUTE or NETLINK_XFRM */
	int error;                  /* what pw_refuse() was called with */
	uint32_t error_offset;      /* of the bad attribute in the message, 0 = none */
	char text[160];             /* the extended-ack string */
};

/** Handles a non-dump request. Returns 0 or -errno (after pw_refuse()); nothing changed then. */
typedef int (*pw_request_fn)(struct pw_request *request);

/**
 * Writes the next messages of a dump into the reply with pw_dump_message(); called again until
 * it returns 0 (done). Returns 1 for "more", or -errno. cursor[] is the handler's own, all zero
 * at first, so objects that come or go between calls must not break it.
 */
struct pw_dump {
	struct pw_request *request; /* for pw_refuse(); its nlh is the copy below */
	const struct nlmsghdr *nlh; /* a copy of the request, kept for the dump's life */
	uint64_t cursor[8];
	char *buffer; /* where pw_dump_message() writes */
	size_t size, used;
	size_t room; /* the buffer's true size, for one message that is larger than size */
};
typedef int (*pw_dump_fn)(struct pw_dump *dump);

/**
 * Registers the handlers of a message type. @p family is the first byte of the payload
 * (rtgen_family) or -1 for any. A registered family wins over -1. Either function may be NULL.
 */
void pw_request_register(uint16_t type, int family, pw_request_fn handle, pw_dump_fn dump);

/**
 * The same for a protocol (NETLINK_ROUTE, NETLINK_XFRM), whose type numbers overlap. Pewter's
 * own types, from 0x400, are the same in every protocol.
 *
 * A request is a dump when its type has a dump function and one of the bits of NLM_F_DUMP is
 * set: NLM_F_EXCL is one of them, so only GETs may have a dump function.
 */
void pw_request_register_protocol(uint32_t protocol, uint16_t type, int family,
				  pw_request_fn handle, pw_dump_fn dump);

/**
 * Refuses: fills in text and offset, returns @p error (negative errno) for `return`.
 * @p attribute is the bad one, or NULL.
 */
int pw_refuse(struct pw_request *request, const struct nlattr *attribute, int error,
	      const char *format, ...) __attribute__((format(printf, 4, 5)));

/**
 * Parses attributes behind a fixed header of @p header_size bytes. table[] has @p max + 1
 * entries. Unknown types (above max, or with a NULL name in @p names) are refused by number
 * and name of the family of attributes @p what, e.g. "route"; types with a size in @p sizes
 * (0 = any) must have exactly that payload, or at least that for strings and nests. Duplicates
 * are refused. Returns 0 or -errno, refused.
 */
struct pw_attribute_policy {
	const char *name;  /* as the UAPI has it: "RTA_GATEWAY"; NULL = not taken */
	uint16_t min, max; /* payload bytes; max 0 = unlimited */
	bool ignored;      /* accepted and not used: says so here rather than in silence */
	bool last;         /* may be there twice: the last one counts, as in the kernel */
};
int pw_request_attributes(struct pw_request *request, size_t header_size, const char *what,
			  const struct pw_attribute_policy *policy, uint16_t max,
			  const struct nlattr **table);
int pw_request_nested(struct pw_request *request, const struct nlattr *nest, const char *what,
		      const struct pw_attribute_policy *policy, uint16_t max,
		      const struct nlattr **table);

/** The same for attributes anywhere in the message, e.g. behind a struct rtnexthop. */
int pw_request_parse(struct pw_request *request, const char *data, size_t size, const char *what,
		     const struct pw_attribute_policy *policy, uint16_t max,
		     const struct nlattr **table);

/**
 * Decodes and handles one NETLINK_ROUTE message as if it came over the socket, without a client.
 * The caller has checked nlmsg_len against its buffer. 0 or -errno, with the text of the refusal.
 */
int pw_request_internal(const struct nlmsghdr *nlh, char *error, size_t size);

/** The same for a message of @p protocol (NETLINK_ROUTE, NETLINK_XFRM). */
int pw_request_internal_protocol(uint32_t protocol, const struct nlmsghdr *nlh, char *error,
				 size_t size);

/** The same for a feed: what is made is marked as its own, and only its own is changed. */
int pw_request_feed(const struct pw_feed *feed, const struct nlmsghdr *nlh, char *error,
		    size_t size);

/**
 * Registers a function that sees the messages of a packet, up to PW_REQUESTS_AHEAD at a time,
 * before each of them is handled: to fetch memory that they will need. Of a message only the
 * length is checked, and that it is a request; nothing may be changed. One function, for all types.
 */
#define PW_REQUESTS_AHEAD 16
typedef void (*pw_ahead_fn)(const struct nlmsghdr *const *messages, unsigned int count);
void pw_request_register_ahead(pw_ahead_fn fn);

/** Shows it the first messages in @p data. Returns how many bytes they are. For client_input.c. */
size_t pw_request_ahead(const void *data, size_t size);

/**
 * Handles one message of a client whose nlmsg_len is at least a header's and fits in what was
 * received; acknowledges, answers or begins the dump. For client_input.c.
 */
void pw_request_dispatch(struct pw_client *client, const struct nlmsghdr *nlh);

/**
 * Writes an NLMSG_ERROR about @p request into @p buffer of PW_ERROR_MAX bytes, aligned for
 * nlmsghdr. @p error 0 acknowledges. Returns its length.
 */
#define PW_ERROR_ECHO_MAX 2048 /* bytes of a request that are sent back with its error */
#define PW_ERROR_MAX      (PW_ERROR_ECHO_MAX + 256)
size_t pw_request_error(const struct pw_request *request, int error, void *buffer);

/** Who asked by NLM_F_ECHO to hear of the change being made, or NULL. For client_event.c. */
struct pw_client *pw_request_echo(uint32_t *seq);

/** The same as the NLMSG_DONE of a dump, with the error that ended it early, or 0. */
size_t pw_request_done(const struct pw_request *request, int error, void *buffer);

/** Sends a message that the handler built (a GET's answer); seq and pid are filled in. 0. */
int pw_reply(struct pw_request *request, struct nlmsghdr *nlh);

/**
 * Room for one message of a dump, at least @p room bytes, header set (type, NLM_F_MULTI, seq);
 * NULL when the buffer is full: return 1 and come again. Finish with pw_dump_commit() once
 * nlmsg_len is final.
 */
struct nlmsghdr *pw_dump_message(struct pw_dump *dump, uint16_t type, size_t room);
void pw_dump_commit(struct pw_dump *dump, struct nlmsghdr *nlh);

/** Tells every client that subscribed to @p group (RTNLGRP_*). Never blocks. */
void pw_notify(uint32_t group, const struct nlmsghdr *nlh);

/** True when anybody listens to the group: saves building the message. */
bool pw_notify_wanted(uint32_t group);

/**
 * Streams (trace, capture): messages to a client outside of a request, with the seq that the
 * caller put in @p nlh. Never blocks. False when the client's output is full (nothing of the
 * message was queued; come again later) or the client is going away.
 */
bool pw_client_stream(struct pw_client *client, const struct nlmsghdr *nlh);

/**
 * Calls @p fn(@p context) once, when the client is closed for any reason, before it is freed;
 * @p client must not be used after that. One function a client: a later call replaces it, a
 * NULL @p fn takes it back.
 */
void pw_client_on_close(struct pw_client *client, void (*fn)(void *context), void *context);

#endif
