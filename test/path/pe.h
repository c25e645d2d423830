/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_PE_H
#define PW_TEST_PE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/**
 * A whole PE inside the calling thread: every table, the control loop, one worker that is
 * stepped by hand, and ports made of rings. Nothing happens unless pe_run() or pe_wait() is
 * called, so what comes out depends only on what went in.
 */
#define PE_PORTS_MAX 8

struct pe_config {
	const char *const *names; /* of the ports */
	unsigned int ports;
	const char *socket; /* path of the API socket, NULL: none */
	bool exact; /* frames arrive in buffers of exactly their length, for the sanitizer */
};

/** A frame that the PE sent; valid during the call only. */
typedef void (*pe_sent_fn)(unsigned int port, const uint8_t *frame, size_t length, void *context);

/** 0 or -errno, having said why on stderr. Port n has MAC address 02:50:00:00:00:n. */
int pe_start(const struct pe_config *config);
void pe_stop(void);

/** Puts a frame on a port's receive queue. 0, -ENOMEM, or -ENOBUFS when the queue is full. */
int pe_send(unsigned int port, const uint8_t *frame, size_t length);

/**
 * Steps the worker and the control loop in turn until nothing moves any more.
 * Returns the number of frames that were sent.
 */
unsigned int pe_run(pe_sent_fn sent, void *context);

/**
 * One round of the control loop (waits at most @p timeout_ms) and of the worker. With @p sent
 * NULL what is sent stays in the ports' rings for the next call.
 */
unsigned int pe_wait(int timeout_ms, pe_sent_fn sent, void *context);

/** Sets the ICMP and punt limits to full (tests that do not mean them) or to @p packets. */
void pe_rate_set(unsigned int packets);

/** Bytes before the frames that pe_send() puts into buffers of the pool; at first what is usual. */
extern uint16_t pe_headroom;

/** Buffers neither in a pool nor in the PE's hands would be leaks: those in use now. */
unsigned int pe_buffers_used(void);

#endif
