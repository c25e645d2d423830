/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_POLICY_PE_H
#define PW_TEST_POLICY_PE_H

/*
 * A PE whose VRFs have policies: red0 and red1 are customers' ports in one VRF, blue0 is in
 * another, core0 leads to a remote PE through a tunnel, which stands for an SA here. Policies are
 * published as the control thread does.
 */
#include <stdint.h>

#include "dataplane/drops.h"
#include "dataplane/table/policy.h"
#include "test/path/frame.h"

#define ETHER FRAME_ETHER
#define INNER (ETHER + 20 + 4 + 4) /* of what left by the tunnel: IPv4, GRE, label */

enum { CORE, RED0, RED1, BLUE };

extern uint16_t red; /* the VRF */

/* Of the group, and of each test. */
int setup(void **state);
int teardown(void **state);
int fresh(void **state);
int clean(void **state);

/* Packets that stage `policy` has seen so far. */
uint64_t policed(void);

#define RULES_MAX 4

/* An SPD with room for what it replaces. */
struct policies {
	struct pw_policy_rule out[RULES_MAX], in[RULES_MAX];
	unsigned int outs, ins;
	uint8_t out_default, in_default, fwd_default;
};

struct pw_policy_rule rule(uint8_t action, const char *source, unsigned int source_length,
			   const char *destination, unsigned int destination_length);

#define TO(action, prefix, length)   rule(action, "0.0.0.0", 0, prefix, length)
#define FROM(action, prefix, length) rule(action, prefix, length, "0.0.0.0", 0)

/* In place of what this SPD had; and without it. */
void spd_set(uint32_t id, const struct policies *policies);
void spd_free(uint32_t id);

/* The VRF has these from now on. */
void red_policies(struct policies policies);
void blue_policies(struct policies policies);

void send4_as(unsigned int port, const char *from, const char *to, uint8_t protocol, uint8_t ttl,
	      uint16_t fragment, uint16_t destination_port);
void send4(unsigned int port, const char *from, const char *to);
void send6(unsigned int port, const char *from, const char *to);

/* One packet came out of this port as it went in, but for the TTL. */
void routed(unsigned int port);

/* One packet came out of this port, with this byte there. */
void answered(unsigned int port, unsigned int at, uint8_t byte);

/* One packet went into the tunnel. */
void tunnelled(void);

/* One was dropped for this reason, and nothing came out. */
void dropped(enum pw_drop drop);

#endif
