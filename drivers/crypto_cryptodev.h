/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CRYPTO_CRYPTODEV_H
#define PW_CRYPTO_CRYPTODEV_H

/*
 * The lookaside engine's parts:
 *
 *   crypto_cryptodev.c        the device, its queue pairs, what it can do
 *   crypto_cryptodev_key.c    sessions, and the memory they are in
 *   crypto_cryptodev_burst.c  packets, and answers that do not come
 */

#include <rte_cryptodev.h>

#include "drivers/crypto_internal.h"

/** What of a packet's operation the device reads and writes besides the packet; behind the op. */
struct pw_lookaside_area {
	uint8_t iv[16];
	uint8_t aad[16];
	uint8_t digest[64]; /* where the ICV's place in the packet is taken (HMAC with ESN) */
};

#define PW_LOOKASIDE_AREA (sizeof(struct rte_crypto_op) + sizeof(struct rte_crypto_sym_op))
#define PW_LOOKASIDE_IV   (PW_LOOKASIDE_AREA + offsetof(struct pw_lookaside_area, iv))

struct pw_cryptodev {
	char name[RTE_CRYPTODEV_NAME_MAX_LEN];
	char created[RTE_CRYPTODEV_NAME_MAX_LEN]; /* the virtual device that is ours; or "" */
	uint8_t id;
	int node;
	uint64_t pairs_free; /* bits */
	uint64_t wait;       /* cycles */
};

/** The device; one a process. */
extern struct pw_cryptodev pw_cryptodev;

int pw_cryptodev_start(const struct pw_crypto_engine_spec *spec, unsigned int workers, char *why);
void pw_cryptodev_stop(void);

/** A queue pair of the device's, or -ENOSPC; and back. */
int pw_cryptodev_pair_take(void);
void pw_cryptodev_pair_give(uint16_t pair);

/** What a device is asked to do; points at the caller's raw keys. */
struct pw_cryptodev_xforms {
	struct rte_crypto_sym_xform *first;
	struct rte_crypto_sym_xform part[2];
};

/** For @p suite; without raw keys (NULL) to ask whether a device can. Also for inline crypto. */
void pw_cryptodev_xforms(const struct pw_crypto_suite *suite, bool open, bool esn,
			 const uint8_t *raw, const uint8_t *auth_raw,
			 struct pw_cryptodev_xforms *xforms);

/** pw_crypto_engine's. */
int pw_cryptodev_lacks(const struct pw_crypto_suite *suite, char *why);
int pw_cryptodev_key_start(struct pw_crypto_key *key, const uint8_t *raw, const uint8_t *auth_raw);
bool pw_cryptodev_key_stop(struct pw_crypto_key *key);

/**
 * A pool of sessions holds keys: locks its memory, unless that is never swapped anyway, and leaves
 * it out of core files. 0, -EAGAIN (may not be locked), or -errno.
 */
int pw_cryptodev_pool_guard(struct rte_mempool *pool);

/** Frees the keys that waited for answers, or all of them when the device has stopped. */
void pw_cryptodev_keys_sweep(bool all);
/** Frees the sessions' memory. */
void pw_cryptodev_pools_free(void);

#endif
