/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_INLINE_FRAMES_H
#define PW_TEST_INLINE_FRAMES_H

/*
 * Packets between a customer (10.1.0.2, at port RED) and one behind the remote PE (10.2.0.2): GRE
 * with a label in ESP between 10.255.0.1 and 10.255.0.2. A packet is told by its mark.
 */
#include <stdint.h>

#include "drivers/crypto.h"

#define INLINE_FRAME 142 /* bytes of a sealed one */
#define INLINE_KEY   20  /* with its salt */

enum { CORE0, CORE1, RED }; /* ports */

/* Of the SAs that the tests configure (bytes 0x5a), and of another one (bytes 0xa5). */
extern struct pw_crypto_key *key, *other_key;

void keys_make(void);
void keys_free(void);

/* From the remote PE to this address, sealed; the mark is the number. */
void sealed_frame(uint8_t *frame, const struct pw_crypto_key *with, uint32_t to, uint32_t number);

/* Such a one comes to the PE; the other: with this in its last byte changed. */
void receive(uint8_t port, uint32_t number);
void receive_changed(uint8_t port, const struct pw_crypto_key *with, uint32_t number,
		     uint8_t change);

void customer_sends(uint32_t mark);

/* Frame @at of those sent: to the customer, the packet with this mark. */
void delivered(unsigned int at, uint32_t mark);

/* By this port, sealed, with this number, and the customer's packet is in it. */
void left(unsigned int at, unsigned int port, uint32_t number, uint32_t mark);

#endif
