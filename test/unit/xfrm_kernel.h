/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_XFRM_KERNEL_H
#define PW_TEST_XFRM_KERNEL_H

/*
 * What plays the kernel for the XFRM mirror: a thread that answers with messages which Linux 6.1
 * sent to pewterd when charon was its IKE daemon (test/vectors/xfrm, with a word on how they were
 * recorded), and that keeps what it is told.
 */
#include "sa_fixture.h"

#define SHOWN 16
#define LARGE 4096

struct recorded {
	char name[32];
	uint32_t words[LARGE / 4] __attribute__((aligned(8)));
};
extern struct recorded recorded[SHOWN];
extern unsigned int recorded_count;

void recordings_read(void);

/* The one of this name; fails the test when there is none. */
struct nlmsghdr *recording(const char *name);

struct shown {
	bool there;
	uint32_t words[LARGE / 4] __attribute__((aligned(8))); /* an XFRM_MSG_NEWSA or NEWPOLICY */
	uint64_t sent;                                         /* its count */
	struct xfrm_lifetime_cur told;
	unsigned int states, soft, hard; /* messages about it */
};

struct played_kernel {
	int commands, events; /* its ends */
	struct shown sas[SHOWN], policies[SHOWN];
	unsigned int dumps; /* that it was asked for */
};

extern struct played_kernel kernel;

/* It answers at the one socket from now on, and says events by the other; closes both in the end.
 */
void kernel_start(int events, int commands);
void kernel_end(void);

/* It has the SA or the policy of a recorded message. */
struct shown *show(struct shown *all, const char *name);

struct nlmsghdr *shown_message(struct shown *shown);
struct xfrm_usersa_info *shown_info(struct shown *shown);

/* An attribute's payload; NULL when it is not there. */
void *attribute_of(struct nlmsghdr *nlh, size_t header, uint16_t type);

/* It says an event, and the mirror hears it. */
void events_say(const struct nlmsghdr *nlh);

#endif
