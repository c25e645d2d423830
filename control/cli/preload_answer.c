/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A kernel answers every request; programs wait for that for ever (charon: in select(), with a lock
 * that all its threads need). Pewter's daemon may end in between. Then the request is answered
 * here, with NLMSG_ERROR: whether it was done nobody knows.
 */
#include "control/cli/preload.h"

#include <errno.h>
#include <linux/netlink.h>
#include <string.h>

#define AWAITED (UINT64_C(1) << 32) /* and the request's sequence number */
#define OWED    (UINT64_C(1) << 33) /* its connection is lost */

void preload_answer_await(struct netlink_socket *s, const struct msghdr *message)
{
	struct nlmsghdr header;

	atomic_store(&s->awaited, 0);
	if (!message || message->msg_iovlen == 0 || message->msg_iov[0].iov_len < sizeof(header))
		return;
	memcpy(&header, message->msg_iov[0].iov_base, sizeof(header));
	atomic_store(&s->awaited, AWAITED | header.nlmsg_seq);
}

void preload_answer_arrived(struct netlink_socket *s, const struct msghdr *message, size_t size)
{
	uint64_t awaited = atomic_load(&s->awaited);
	struct nlmsghdr header;
	size_t step;

	if (!awaited || message->msg_iovlen == 0)
		return;
	if (size > message->msg_iov[0].iov_len)
		size = message->msg_iov[0].iov_len;
	for (size_t at = 0; at < size && size - at >= sizeof(header); at += step) {
		memcpy(&header, (const uint8_t *)message->msg_iov[0].iov_base + at, sizeof(header));
		step = NLMSG_ALIGN(header.nlmsg_len);
		if (step < sizeof(header))
			return;
		/* Of a dump all but NLMSG_DONE have the flag. */
		if (header.nlmsg_seq == (uint32_t)awaited &&
		    (!(header.nlmsg_flags & NLM_F_MULTI) || header.nlmsg_type == NLMSG_DONE))
			atomic_compare_exchange_strong(&s->awaited, &awaited, 0);
	}
}

void preload_answer_lost(struct netlink_socket *s)
{
	uint64_t awaited = atomic_load(&s->awaited);

	if (awaited)
		atomic_compare_exchange_strong(&s->awaited, &awaited, awaited | OWED);
}

bool preload_answer_owed(struct netlink_socket *s, struct msghdr *message, int flags, ssize_t *size)
{
	uint64_t awaited = atomic_load(&s->awaited);
	struct {
		struct nlmsghdr header;
		struct nlmsgerr error;
	} answer = {
		.header = {.nlmsg_len = sizeof(answer),
			   .nlmsg_type = NLMSG_ERROR,
			   .nlmsg_seq = (uint32_t)awaited},
		.error = {.error = -ECONNRESET, .msg.nlmsg_seq = (uint32_t)awaited},
	};
	size_t copied = 0;

	if (!(awaited & OWED))
		return false;
	for (size_t i = 0; i < message->msg_iovlen && copied < sizeof(answer); i++) {
		size_t part = message->msg_iov[i].iov_len;

		if (part > sizeof(answer) - copied)
			part = sizeof(answer) - copied;
		if (part)
			memcpy(message->msg_iov[i].iov_base, (uint8_t *)&answer + copied, part);
		copied += part;
	}
	message->msg_flags = copied < sizeof(answer) ? MSG_TRUNC : 0;
	message->msg_controllen = 0;
	*size = (ssize_t)(flags & MSG_TRUNC ? sizeof(answer) : copied);
	if (!(flags & MSG_PEEK))
		atomic_compare_exchange_strong(&s->awaited, &awaited, 0);
	return true;
}
