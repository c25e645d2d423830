/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_OUTPUT_H
#define PW_OUTPUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** Packets that wait to be sent on a SEQPACKET socket, in order. The user bounds it. */
struct output {
	uint8_t *data;     /* records: size, then the packet, padded to 4 bytes */
	size_t head, tail; /* bytes sent, bytes filled */
	size_t capacity;   /* bytes */
	bool secret;       /* what was sent, and memory that is given back, is wiped */
};

/** Bytes that wait. */
static inline size_t output_bytes(const struct output *output)
{
	return output->tail - output->head;
}

/** Queues a copy of a packet. 0 or -ENOMEM. */
int output_put(struct output *output, const void *data, size_t size);

/** Sends what the socket takes. 1: all sent, 0: the socket is full, or -errno: it is dead. */
int output_send(struct output *output, int fd);

/** Forgets what waits and frees the memory. */
void output_reset(struct output *output);

#endif
