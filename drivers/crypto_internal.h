/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CRYPTO_INTERNAL_H
#define PW_CRYPTO_INTERNAL_H

#include <stdbool.h>
#include <stdint.h>

/* The library's header otherwise defines names like CBC, DES and SHA1. */
#define NO_COMPAT_IMB_API_053
#include <intel-ipsec-mb.h>

#include "drivers/crypto.h"

/* What the engines share, and the parts (keys, workers, packets) of each. */

/** An engine. Control thread, but for seal and open. */
struct pw_crypto_engine {
	/** 0, or -ENOTSUP with a sentence. */
	int (*lacks)(const struct pw_crypto_suite *suite, char *why);
	/** The key's head is filled already. 0 or -errno. */
	int (*key_start)(struct pw_crypto_key *key, const uint8_t *raw, const uint8_t *auth_raw);
	/** Is the key's memory to be freed now? Otherwise the engine does it later. */
	bool (*key_stop)(struct pw_crypto_key *key);
	int (*worker_start)(struct pw_crypto_worker *worker);
	void (*worker_stop)(struct pw_crypto_worker *worker);
	unsigned int (*seal)(struct pw_crypto_worker *worker, struct pw_crypto_op *ops,
			     unsigned int count);
	unsigned int (*open)(struct pw_crypto_worker *worker, struct pw_crypto_op *ops,
			     unsigned int count);
};

extern const struct pw_crypto_engine pw_crypto_ipsec_mb;
extern const struct pw_crypto_engine pw_crypto_cryptodev;
/** The one in use. */
extern const struct pw_crypto_engine *pw_crypto_engine;

/** ipsec_mb: expands the raw keys into @p key. 0 or -errno. */
int pw_crypto_key_expand(struct pw_crypto_key *key, const uint8_t *raw, const uint8_t *auth_raw);

struct pw_lookaside;

/** For a cipher in jobs, and the HMAC beside it. */
struct pw_crypto_chain {
	uint8_t inner[64]; /* hash states behind the padded key */
	uint8_t outer[64];
	uint8_t encrypt[16 * 15]; /* round keys */
	uint8_t decrypt[16 * 15];
};

/** Sessions of a cryptodev: one for each direction, with and without ESN for an AEAD. */
struct pw_crypto_sessions {
	void *session[2][2];        /* [open][esn]; the same for both without an AEAD */
	uint32_t unanswered;        /* atomic: operations whose answer is overdue */
	struct pw_crypto_key *next; /* freed, but unanswered */
};

struct pw_crypto_key {
	const struct pw_crypto_suite *suite;
	aes_gcm_enc_dec_t gcm_seal;
	aes_gcm_enc_dec_t gcm_open;
	uint8_t method;
	uint8_t iv_bytes;
	uint8_t icv_bytes;
	uint8_t block_mask; /* text bytes that must be zero: block - 1 */
	uint32_t salt;      /* as in memory */
	uint8_t cipher_mode;
	uint8_t hash;
	uint8_t cipher_key_bytes; /* without the salt */
	uint8_t text_min;
	union {
		struct gcm_key_data gcm;
		struct pw_crypto_chain chain;
		uint8_t chacha[32];
		struct pw_crypto_sessions sessions;
	} __attribute__((aligned(64)));
};

/** What a job needs beside the packet while it is under way. */
struct pw_crypto_slot {
	uint8_t icv[64];   /* open: the ICV that the packet should have */
	uint64_t nonce[2]; /* CTR, ChaCha: salt and IV; 16-byte aligned as the next */
	uint64_t aad[2];   /* ChaCha with ESN */
	struct pw_crypto_op *op;
	uint32_t icv_head; /* open with ESN: the ICV's bytes that the high half lies on */
} __attribute__((aligned(64)));

struct pw_crypto_worker {
	const struct pw_crypto_engine *engine;
	struct pw_lookaside *lookaside; /* cryptodev's */
	IMB_MGR *manager;
	IMB_JOB *jobs[IMB_MAX_BURST_SIZE];
	struct pw_crypto_slot slots[IMB_MAX_BURST_SIZE];
	struct gcm_context_data gcm __attribute__((aligned(64)));
	/* Random IVs: see pw_crypto_random_iv(). */
	uint8_t random_key[16 * 15] __attribute__((aligned(16)));
	uint8_t unused[16 * 15] __attribute__((aligned(16))); /* decryption's round keys */
	uint64_t refills;
	uint32_t pool_left;
	uint8_t pool[1024];
	IMB_JOB random_job;
	uint8_t manager_memory[] __attribute__((aligned(64)));
};

static inline bool pw_crypto_length_good(const struct pw_crypto_op *op)
{
	const struct pw_crypto_key *key = op->key;

	return op->text_bytes <= PW_CRYPTO_TEXT_MAX && op->text_bytes >= key->text_min &&
	       (op->text_bytes & key->block_mask) == 0;
}

/** Memory that a manager takes, and its preparation in such memory (64-byte aligned, zero). */
size_t pw_crypto_manager_bytes(void);
int pw_crypto_manager_init(void *memory, IMB_MGR **manager);

/**
 * The most capable instruction set that managers made from now on may use; tests lower it to
 * run what other processors will. All managers and keys in use together need the same.
 */
extern IMB_ARCH pw_crypto_arch_max;

/**
 * AES-GCM or ChaCha20-Poly1305 with any AAD: what seal and open do for one packet, so that
 * published vectors can be run through it. @p nonce is 12 bytes, 8-byte aligned; for GMAC the
 * text is part of the AAD and text_bytes is 0.
 */
void pw_crypto_gcm_seal(struct pw_crypto_worker *worker, const struct pw_crypto_key *key,
			const uint64_t nonce[2], const void *aad, uint64_t aad_bytes, uint8_t *text,
			uint32_t text_bytes, uint8_t *icv);
bool pw_crypto_gcm_open(struct pw_crypto_worker *worker, const struct pw_crypto_key *key,
			const uint64_t nonce[2], const void *aad, uint64_t aad_bytes, uint8_t *text,
			uint32_t text_bytes, const uint8_t *icv);

#endif
