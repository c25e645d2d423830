/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bulk: a file of a million routes need not wait a million times for an answer. Changes are
 * acknowledged to the program at once and sent by the bufferful; the daemon takes one bufferful
 * while the program fills the next. Anything else waits until all before it is answered, so the
 * order holds. An error reaches the program in the place of a later answer.
 */
#include "control/cli/preload.h"

#include <errno.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* Few turns between two processes; iproute2 asks for a send buffer of 64 KiB. */
#define BUFFER_BYTES 61440
#define ANSWER_BYTES 4096 /* an error carries the request that it is about */

struct bulk {
	_Alignas(struct nlmsghdr) uint8_t buffer[BUFFER_BYTES];
	size_t used;
	struct nlmsghdr *last; /* in the buffer */
	uint32_t sent_seq;     /* the last message of what was sent; its answer is awaited */
	bool sent;
	/* What the program reads next. */
	_Alignas(struct nlmsghdr) uint8_t answer[ANSWER_BYTES];
	size_t answer_size;
	/* The first error of the daemon's. */
	_Alignas(struct nlmsghdr) uint8_t failure[ANSWER_BYTES];
	size_t failure_size;
};

/* One socket at a time: iproute2 has one for its requests and opens others for questions. */
static struct bulk *owner;
static int owner_fd;

struct bulk *preload_bulk_new(int fd)
{
	const char *wanted = getenv("PEWTER_RUN_BULK");

	if (owner || !wanted || !*wanted)
		return NULL;
	owner = calloc(1, sizeof(*owner));
	owner_fd = fd;
	return owner;
}

/**
 * RTM_NEW* and RTM_DEL* that want no more than an acknowledgement. iproute2 finds out what is
 * supported by requests that must fail, without a sequence number.
 */
static bool deferrable(const struct nlmsghdr *header, size_t size)
{
	return size <= BUFFER_BYTES && size >= sizeof(*header) && header->nlmsg_len == size &&
	       header->nlmsg_type >= RTM_BASE && header->nlmsg_type <= RTM_MAX &&
	       (header->nlmsg_type - RTM_BASE) % 4 < 2 && header->nlmsg_flags & NLM_F_ACK &&
	       !(header->nlmsg_flags & NLM_F_ECHO) && header->nlmsg_seq;
}

static void fail(struct bulk *bulk, int error, uint32_t seq)
{
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} message = {
		.header = {.nlmsg_len = sizeof(message),
			   .nlmsg_type = NLMSG_ERROR,
			   .nlmsg_flags = NLM_F_CAPPED,
			   .nlmsg_seq = seq},
		.error = {.error = -error, .msg = {.nlmsg_seq = seq}},
	};

	memcpy(bulk->failure, &message, sizeof(message));
	bulk->failure_size = sizeof(message);
}

/** Reads until what was sent is answered. False when something of it failed, now or before. */
static bool await(int fd, struct bulk *bulk)
{
	union {
		struct nlmsghdr header;
		uint8_t bytes[ANSWER_BYTES];
	} answer;

	while (bulk->sent) {
		ssize_t size = REAL(recv)(fd, &answer, sizeof(answer), 0);
		struct nlmsgerr *error = NLMSG_DATA(&answer.header);

		if (size < 0 && errno == EINTR)
			continue;
		if (size <= 0) {
			fail(bulk, size < 0 ? errno : ECONNRESET, bulk->sent_seq);
			bulk->sent = false;
			break;
		}
		if ((size_t)size < NLMSG_LENGTH(sizeof(*error)) ||
		    answer.header.nlmsg_type != NLMSG_ERROR)
			continue;
		if (error->error && !bulk->failure_size) {
			memcpy(bulk->failure, &answer, (size_t)size);
			bulk->failure_size = (size_t)size;
		}
		if (answer.header.nlmsg_seq == bulk->sent_seq)
			bulk->sent = false;
	}
	return !bulk->failure_size;
}

/** Sends the buffer, once the one before is answered. False when something failed. */
static bool flush(int fd, struct bulk *bulk)
{
	if (!await(fd, bulk))
		return false;
	if (!bulk->used)
		return true;
	bulk->last->nlmsg_flags |= NLM_F_ACK;
	if (REAL(send)(fd, bulk->buffer, bulk->used, MSG_NOSIGNAL) < 0) {
		fail(bulk, errno, bulk->last->nlmsg_seq);
		return false;
	}
	bulk->sent_seq = bulk->last->nlmsg_seq;
	bulk->sent = true;
	bulk->used = 0;
	return true;
}

/** The program hears of the failure as the answer to the request @p seq. */
static void answer_failure(struct bulk *bulk, uint32_t seq)
{
	struct nlmsghdr *header = (struct nlmsghdr *)bulk->answer;
	struct nlmsgerr *error = NLMSG_DATA(header);

	memcpy(bulk->answer, bulk->failure, bulk->failure_size);
	bulk->answer_size = bulk->failure_size;
	bulk->failure_size = 0;
	bulk->used = 0;
	if (seq != header->nlmsg_seq)
		fprintf(stderr, "%u commands before the one named now: ", seq - header->nlmsg_seq);
	header->nlmsg_seq = seq;
	error->msg.nlmsg_seq = seq;
}

static void answer_success(struct bulk *bulk, const struct nlmsghdr *request)
{
	struct nlmsghdr *header = (struct nlmsghdr *)bulk->answer;
	struct nlmsgerr *error = NLMSG_DATA(header);

	*header = (struct nlmsghdr){.nlmsg_len = NLMSG_LENGTH(sizeof(*error)),
				    .nlmsg_type = NLMSG_ERROR,
				    .nlmsg_flags = NLM_F_CAPPED,
				    .nlmsg_seq = request->nlmsg_seq};
	*error = (struct nlmsgerr){.msg = *request};
	bulk->answer_size = header->nlmsg_len;
}

void preload_bulk_settle(void)
{
	if (owner && flush(owner_fd, owner))
		await(owner_fd, owner);
}

bool preload_bulk_send(int fd, struct bulk *bulk, const struct msghdr *message, ssize_t *size)
{
	const struct nlmsghdr *request;
	size_t length;

	if (!message->msg_iovlen || message->msg_iov[0].iov_len < sizeof(*request))
		return false;
	request = message->msg_iov[0].iov_base;
	length = message->msg_iov[0].iov_len;
	if (message->msg_iovlen == 1 && deferrable(request, length)) {
		size_t room = NLMSG_ALIGN(length);

		*size = (ssize_t)length;
		if (bulk->used + room > BUFFER_BYTES && !flush(fd, bulk)) {
			answer_failure(bulk, request->nlmsg_seq);
			return true;
		}
		bulk->last = (struct nlmsghdr *)(bulk->buffer + bulk->used);
		memset(bulk->last, 0, room);
		memcpy(bulk->last, request, length);
		bulk->last->nlmsg_flags &= (uint16_t)~NLM_F_ACK;
		bulk->used += room;
		answer_success(bulk, request);
		return true;
	}
	if (flush(fd, bulk) && await(fd, bulk))
		return false;
	answer_failure(bulk, request->nlmsg_seq);
	*size = 0;
	for (size_t i = 0; i < message->msg_iovlen; i++)
		*size += (ssize_t)message->msg_iov[i].iov_len;
	return true;
}

bool preload_bulk_receive(struct bulk *bulk, struct msghdr *message, int flags, ssize_t *size)
{
	size_t copied = 0;

	if (!bulk->answer_size)
		return false;
	/* A look at the size of an answer is followed by memory for it. */
	preload_heap_lend(flags & MSG_PEEK &&
			  ((struct nlmsgerr *)NLMSG_DATA(bulk->answer))->error == 0);
	for (size_t i = 0; i < message->msg_iovlen && copied < bulk->answer_size; i++) {
		size_t part = bulk->answer_size - copied;

		part = part < message->msg_iov[i].iov_len ? part : message->msg_iov[i].iov_len;
		memcpy(message->msg_iov[i].iov_base, bulk->answer + copied, part);
		copied += part;
	}
	message->msg_flags = copied < bulk->answer_size ? MSG_TRUNC : 0;
	message->msg_controllen = 0;
	*size = (ssize_t)(flags & MSG_TRUNC ? bulk->answer_size : copied);
	if (!(flags & MSG_PEEK))
		bulk->answer_size = 0;
	return true;
}

void preload_bulk_close(int fd, struct bulk *bulk)
{
	const struct nlmsghdr *header = (const struct nlmsghdr *)bulk->failure;
	const struct nlmsgerr *error = NLMSG_DATA(header);
	const struct nlattr *attribute;

	if (flush(fd, bulk) && await(fd, bulk)) {
		owner = NULL;
		free(bulk);
		return;
	}
	/* The words follow the request, which the kernel and Pewter echo unless it is long. */
	attribute = (const struct nlattr *)(error + 1);
	if (!(header->nlmsg_flags & NLM_F_CAPPED))
		attribute = (const struct nlattr *)((const char *)&error->msg +
						    NLMSG_ALIGN(error->msg.nlmsg_len));
	/* The program believes that all is well, and is about to say so. */
	if (header->nlmsg_flags & NLM_F_ACK_TLVS && attribute->nla_type == NLMSGERR_ATTR_MSG)
		fprintf(stderr, "Error: %s.\n", (const char *)(attribute + 1));
	else
		fprintf(stderr, "Error: %s.\n", strerror(-error->error));
	fprintf(stderr, "Command failed, %u before the last\n",
		bulk->last->nlmsg_seq - header->nlmsg_seq);
	_exit(2);
}
