/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TABLE_SELECTOR_H
#define PW_TABLE_SELECTOR_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <rte_mbuf.h>

/** What policies select packets by (RFC 4301 4.4.1.1), and what of it a packet does not say. */
struct pw_selector {
	union {
		uint64_t words[5];
		struct {
			uint8_t source[16], destination[16]; /* IPv4 in the first 4 bytes */
			/* Network byte order; of ICMP type and code, of a mobility header its
			 * type, of GRE the key, as XFRM has it; 0 where there are none. */
			uint16_t source_port, destination_port;
			uint8_t protocol;
			uint8_t unknown; /* PW_SELECTOR_NO_* */
			uint8_t zero[2];
		};
	};
};
static_assert(sizeof(struct pw_selector) == 40 && offsetof(struct pw_selector, source_port) == 32,
	      "whole words, no padding");

/* Fragments but the first, and packets too short to say (RFC 4301 7: "opaque"). */
#define PW_SELECTOR_NO_PORTS 0x01 /* ports are 0 */
/* Extension headers that cannot be walked. */
#define PW_SELECTOR_NO_PROTOCOL 0x02 /* protocol is 0, and so are the ports */

/** Of a packet whose data begins at its IP header, which was checked. Any worker. */
void pw_selector_of(struct pw_selector *selector, const struct rte_mbuf *mbuf, bool v6);

#endif
