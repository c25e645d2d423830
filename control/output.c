/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/output.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BATCH         64 /* packets a system call */
#define CAPACITY_MIN  4096
#define CAPACITY_KEEP (64u << 10) /* an empty queue gives more than this back */

static size_t record_size(size_t size)
{
	return sizeof(uint32_t) + ((size + 3) & ~(size_t)3);
}

/** What is not, or no longer, waiting. */
static void output_wipe(const struct output *output, size_t from, size_t to)
{
	if (output->secret && output->data)
		explicit_bzero(output->data + from, to - from);
}

void output_reset(struct output *output)
{
	output_wipe(output, 0, output->tail);
	free(output->data);
	*output = (struct output){.secret = output->secret};
}

static int output_reserve(struct output *output, size_t size)
{
	size_t waiting = output_bytes(output), capacity = output->capacity;
	uint8_t *data;

	if (output->tail + size <= capacity)
		return 0;
	if (waiting + size <= capacity / 2) { /* room at the front, and cheap enough to move */
		memmove(output->data, output->data + output->head, waiting);
		output_wipe(output, waiting, output->tail);
		output->head = 0;
		output->tail = waiting;
		return 0;
	}
	capacity = capacity ? capacity : CAPACITY_MIN;
	while (capacity < waiting + size)
		capacity *= 2;
	capacity = capacity > output->capacity ? capacity : 2 * capacity;
	data = malloc(capacity);
	if (!data)
		return -ENOMEM;
	if (waiting)
		memcpy(data, output->data + output->head, waiting);
	output_wipe(output, 0, output->tail);
	free(output->data);
	*output = (struct output){
		.data = data, .tail = waiting, .capacity = capacity, .secret = output->secret};
	return 0;
}

int output_put(struct output *output, const void *data, size_t size)
{
	size_t record = record_size(size);
	uint32_t length = (uint32_t)size;

	if (output_reserve(output, record))
		return -ENOMEM;
	memcpy(output->data + output->tail, &length, sizeof(length));
	memcpy(output->data + output->tail + sizeof(length), data, size);
	output->tail += record;
	return 0;
}

/** Gathers a batch of records from the head. Returns how many. */
static unsigned int output_gather(const struct output *output, struct mmsghdr *messages,
				  struct iovec *vectors)
{
	size_t at = output->head;
	unsigned int count;

	for (count = 0; count < BATCH && at < output->tail; count++) {
		uint32_t length;

		memcpy(&length, output->data + at, sizeof(length));
		vectors[count].iov_base = output->data + at + sizeof(length);
		vectors[count].iov_len = length;
		messages[count] = (struct mmsghdr){
			.msg_hdr = {.msg_iov = &vectors[count], .msg_iovlen = 1},
		};
		at += record_size(length);
	}
	return count;
}

int output_send(struct output *output, int fd)
{
	struct mmsghdr messages[BATCH];
	struct iovec vectors[BATCH];

	while (output_bytes(output)) {
		unsigned int count = output_gather(output, messages, vectors);
		int sent = sendmmsg(fd, messages, count, MSG_DONTWAIT | MSG_NOSIGNAL);

		if (sent < 0 && errno == EINTR)
			continue;
		if (sent < 0)
			return errno == EAGAIN || errno == ENOBUFS ? 0 : -errno;
		for (int i = 0; i < sent; i++) {
			size_t record = record_size(vectors[i].iov_len);

			output_wipe(output, output->head, output->head + record);
			output->head += record;
		}
	}
	if (output->capacity > CAPACITY_KEEP)
		output_reset(output);
	output->head = output->tail = 0;
	return 1;
}
