/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_REQUEST_FIXTURE_H
#define PW_TEST_REQUEST_FIXTURE_H

/* A socket whose requests meet handlers of our own, and a client of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <sys/socket.h>
#include <sys/types.h>

#include <libmnl/libmnl.h>

#include "control/socket.h"

#define OBJECTS    20000 /* in a dump of links */
#define PACKET_MAX (1 << 20)

extern char path[64]; /* of the socket */
extern struct pw_socket_options options;
extern unsigned int handled;       /* routes that the handler took */
extern uint8_t packet[PACKET_MAX]; /* what get() received */

int setup(void **state);
int teardown(void **state);

/* So many rounds of the event loop. */
void rounds(unsigned int count);

/* A new client's socket. */
int dial(void);

/* A request in the buffer, with so many bytes of a fixed header; and a route that is taken. */
struct nlmsghdr *message(void *buffer, uint16_t type, uint16_t flags, uint32_t seq, size_t header);
struct nlmsghdr *route(void *buffer, uint16_t flags, uint32_t seq);

void put(int fd, const void *data, size_t size);

/* One packet that is there within some rounds; -1 when none comes, 0 at the end. */
ssize_t get(int fd);

/* The next packet says this error, 0 for an acknowledgement, with these words or none (NULL). */
void expect_error(int fd, int error, uint32_t seq, const char *text, uint32_t offset);

#endif
