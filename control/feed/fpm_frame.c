/* SPDX-License-Identifier: BSD-3-Clause */
/* Frames: version 1, type 1 (netlink), length in network byte order with these four bytes. */
#include <errno.h>
#include <string.h>

#include <libmnl/libmnl.h>

#include "control/feed/fpm_internal.h"

#define HEADER       4
#define VERSION      1
#define TYPE_NETLINK 1

/* The frame's length; 0 when it has not come in full; -EBADMSG. */
static int frame_length(const uint8_t *bytes, size_t size, const char **why)
{
	int length;

	*why = NULL;
	if (size >= 1 && bytes[0] != VERSION)
		*why = "a frame's version is not 1";
	else if (size >= 2 && bytes[1] != TYPE_NETLINK)
		*why = "a frame does not hold netlink (FRR: use the module dplane_fpm_nl)";
	if (*why)
		return -EBADMSG;
	if (size < HEADER)
		return 0;
	length = bytes[2] << 8 | bytes[3];
	if (length < HEADER + NLMSG_HDRLEN) {
		*why = "a frame is too short for a message";
		return -EBADMSG;
	}
	return (size_t)length <= size ? length : 0;
}

/* The message's end is the next one's begin, or 0 when it does not fit in what is left. */
static size_t message_step(const struct nlmsghdr *nlh, size_t left)
{
	if (left < sizeof(*nlh) || nlh->nlmsg_len < sizeof(*nlh) || nlh->nlmsg_len > left)
		return 0;
	return NLMSG_ALIGN(nlh->nlmsg_len) < left ? NLMSG_ALIGN(nlh->nlmsg_len) : left;
}

static int frame_handle(char *payload, size_t size, pw_fpm_message_fn fn, const char **why)
{
	size_t at = 0, step;

	/* All or nothing: a frame that is cut short somewhere is not trusted before either. */
	for (; at < size; at += step) {
		step = message_step((const struct nlmsghdr *)(payload + at), size - at);
		if (!step) {
			*why = "a message does not fit in its frame";
			return -EBADMSG;
		}
	}
	for (at = 0; at < size; at += step) {
		struct nlmsghdr *nlh = (struct nlmsghdr *)(payload + at);

		step = message_step(nlh, size - at);
		fn(nlh, at + step < size ? (const struct nlmsghdr *)(payload + at + step) : NULL);
	}
	return 0;
}

int pw_fpm_stream_handle(struct pw_fpm_stream *stream, pw_fpm_message_fn fn, const char **why)
{
	/* Frames stand anywhere in the stream, messages on 4 bytes. */
	static uint32_t payload[PW_FPM_FRAME_MAX / sizeof(uint32_t) + 1];
	size_t at = 0;
	int length;

	while ((length = frame_length(stream->bytes + at, stream->used - at, why)) > 0) {
		size_t size = (size_t)length - HEADER;
		int ret;

		memcpy(payload, stream->bytes + at + HEADER, size);
		pw_fpm_counters.frames++;
		ret = frame_handle((char *)payload, size, fn, why);
		if (ret)
			return ret;
		at += (size_t)length;
	}
	if (length < 0)
		return length;
	stream->used -= at;
	memmove(stream->bytes, stream->bytes + at, stream->used);
	return 0;
}
