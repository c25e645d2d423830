/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_PE_FIXTURE_H
#define PW_TEST_PE_FIXTURE_H

/* A PE of ports made of rings within a cmocka program, and what it sends and drops. */
#include <stddef.h>
#include <stdint.h>

#include "dataplane/drops.h"

/* What the PE sent when run() was called last, in its order on each port. */
struct sent_frame {
	unsigned int port;
	size_t length;
	uint8_t bytes[256];
};

extern struct sent_frame sent[128];
extern unsigned int sent_count;

/* Port n has names[n], which must stay. 0, or less than 0 and stderr says why. */
int pe_fixture_start(const char *const *names, unsigned int ports);
int pe_fixture_stop(void);

/*
 * Runs a shell script whose `ip` speaks to the PE; its exit status, or -1. In it $PW_ERR is the
 * name of a file for what commands say on stderr.
 */
int configure(const char *script);

/* The same, and the test fails unless the script succeeds. */
void configured(const char *script);

/* Until nothing moves any more; returns how many frames were sent. */
unsigned int run(void);

/* How many packets were dropped for this reason since it was asked last. */
uint64_t drops(enum pw_drop drop);

#endif
