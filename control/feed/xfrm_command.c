/* SPDX-License-Identifier: BSD-3-Clause */
/* Requests to the kernel's XFRM: one after the other, dumps, and batches. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "control/feed/xfrm_internal.h"

static int fd = -1;
static uint32_t sequence;

/* Answers hold keys. */
static char reply[PW_XFRM_BUFFER] __attribute__((aligned(8)));

static char batch[32768] __attribute__((aligned(8)));
static struct nlmsghdr *batch_last;
static size_t batch_used;

void pw_xfrm_command_begin(int commands)
{
	fd = commands;
	batch_used = 0;
}

void pw_xfrm_command_end(void)
{
	if (fd >= 0)
		close(fd);
	fd = -1;
}

struct nlmsghdr *pw_xfrm_message(void *buffer, uint16_t type, uint16_t flags)
{
	struct nlmsghdr *nlh = mnl_nlmsg_put_header(buffer);

	nlh->nlmsg_type = type;
	nlh->nlmsg_flags = NLM_F_REQUEST | flags;
	nlh->nlmsg_seq = ++sequence;
	return nlh;
}

const struct nlattr *pw_xfrm_attribute(const struct nlmsghdr *nlh, size_t size, uint16_t type,
				       size_t least)
{
	const struct nlattr *attribute;

	if (mnl_nlmsg_get_payload_len(nlh) < size)
		return NULL;
	mnl_attr_for_each(attribute, nlh,
			  size) if (mnl_attr_get_type(attribute) ==
				    type) return mnl_attr_get_payload_len(attribute) >= least
		? attribute
		: NULL;
	return NULL;
}

/* ---- one after the other ------------------------------------------------------------------- */

/** 1 for more, 0 for done, or -errno, of one received buffer. */
static int replies_handle(size_t bytes, uint32_t seq, pw_xfrm_fn fn, void *context)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)reply;
	int left = (int)bytes, ret;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		if (nlh->nlmsg_seq != seq)
			continue;
		if (nlh->nlmsg_type == NLMSG_DONE || nlh->nlmsg_type == NLMSG_ERROR) {
			if (mnl_nlmsg_get_payload_len(nlh) < sizeof(int))
				return -EBADMSG;
			ret = *(const int *)mnl_nlmsg_get_payload(nlh);
			return ret > 0 ? -EBADMSG : ret;
		}
		ret = fn ? fn(nlh, context) : 0;
		if (ret < 0)
			return ret;
	}
	return 1;
}

int pw_xfrm_exchange(struct nlmsghdr *nlh, pw_xfrm_fn fn, void *context)
{
	uint32_t seq = nlh->nlmsg_seq;
	int ret = 1;

	if (fd < 0)
		return -ENOTCONN;
	/* So that every exchange has an end, whether or not it has an answer. */
	if ((nlh->nlmsg_flags & NLM_F_DUMP) != NLM_F_DUMP)
		nlh->nlmsg_flags |= NLM_F_ACK;
	if (send(fd, nlh, nlh->nlmsg_len, MSG_NOSIGNAL) < 0)
		return -errno;
	while (ret > 0) {
		ssize_t bytes = recv(fd, reply, sizeof(reply), 0);

		if (bytes < 0 && errno == EINTR)
			continue;
		if (bytes <= 0)
			return bytes == 0 ? -ECONNRESET : errno == EAGAIN ? -ETIMEDOUT : -errno;
		ret = replies_handle((size_t)bytes, seq, fn, context);
		explicit_bzero(reply, (size_t)bytes);
	}
	return ret;
}

/* ---- dumps --------------------------------------------------------------------------------- */

struct collected {
	struct collected *before;
	struct nlmsghdr message[];
};

static int collect(const struct nlmsghdr *nlh, void *context)
{
	struct collected **last = context;
	struct collected *entry = calloc(1, sizeof(*entry) + NLMSG_ALIGN(nlh->nlmsg_len));

	if (!entry)
		return -ENOMEM;
	memcpy(entry->message, nlh, nlh->nlmsg_len);
	entry->before = *last;
	*last = entry;
	return 0;
}

int pw_xfrm_dump(uint16_t type, pw_xfrm_fn fn, void *context)
{
	struct collected *last = NULL, *entry;
	char buffer[MNL_NLMSG_HDRLEN];
	int ret = pw_xfrm_exchange(pw_xfrm_message(buffer, type, NLM_F_DUMP), collect, &last);

	while ((entry = last)) {
		last = entry->before;
		if (!ret)
			fn(entry->message, context);
		explicit_bzero(entry->message, entry->message->nlmsg_len);
		free(entry);
	}
	return ret;
}

/* ---- batches ------------------------------------------------------------------------------- */

/** Shows @p fn the answers of one received buffer. False behind that to the last request. */
static bool batch_answers(size_t bytes, uint32_t last, pw_xfrm_fn fn)
{
	const struct nlmsghdr *nlh = (const struct nlmsghdr *)reply;
	int left = (int)bytes;

	for (; mnl_nlmsg_ok(nlh, left); nlh = mnl_nlmsg_next(nlh, &left)) {
		fn(nlh, NULL);
		if (nlh->nlmsg_type == NLMSG_ERROR && nlh->nlmsg_seq == last)
			return false;
	}
	return true;
}

void pw_xfrm_batch_send(pw_xfrm_fn fn)
{
	ssize_t bytes;

	if (!batch_used)
		return;
	/* Its acknowledgement, or error, is behind all other answers. */
	batch_last->nlmsg_flags |= NLM_F_ACK;
	bytes = send(fd, batch, batch_used, MSG_NOSIGNAL);
	batch_used = 0;
	while (bytes > 0) {
		bytes = recv(fd, reply, sizeof(reply), 0);
		if (bytes > 0 && !batch_answers((size_t)bytes, batch_last->nlmsg_seq, fn))
			break;
	}
}

void pw_xfrm_batch_add(const struct nlmsghdr *nlh, pw_xfrm_fn fn)
{
	if (batch_used + nlh->nlmsg_len > sizeof(batch))
		pw_xfrm_batch_send(fn);
	batch_last = (struct nlmsghdr *)(batch + batch_used);
	memcpy(batch_last, nlh, nlh->nlmsg_len);
	batch_used += NLMSG_ALIGN(nlh->nlmsg_len);
}
