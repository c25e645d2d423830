/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_TEST_INLINE_NIC_H
#define PW_TEST_INLINE_NIC_H

/*
 * A NIC that does ESP, made of a port of rings and of intel-ipsec-mb behind DPDK's rte_security:
 * AES-128-GCM in transport mode, without ESN.
 */
#include <stdbool.h>
#include <stdint.h>

#include "drivers/crypto.h"

struct inline_nic {
	uint16_t ethdev;
	struct pw_crypto_worker *crypto;
	unsigned int sessions, sealed, opened, seen;
	bool metadata_fails; /* the driver takes no packet */
	bool sleeps;         /* opens nothing */
	bool alternates;     /* opens every other */
	bool lies;           /* says of all that it opened it */
};

extern struct inline_nic nic;

/* Makes the port of this name one, after the PE has started. */
void nic_make(const char *name);

/* How many rules it has. */
unsigned int nic_flows(void);

#endif
