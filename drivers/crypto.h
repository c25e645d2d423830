/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_CRYPTO_H
#define PW_CRYPTO_H

#include <assert.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct rte_mbuf;

/**
 * The cryptography of ESP (RFC 4303): seals and opens whole packets in place, in bursts.
 *
 *	| SPI 4 | sequence number 4 | IV | text: payload, padding, pad length, next header | ICV |
 *
 * The engine encrypts or decrypts the text and makes or checks the ICV. It neither knows SAs nor
 * chooses sequence numbers, IVs or padding; those are its caller's.
 */

/* ---- engines ------------------------------------------------------------------------------ */

#define PW_CRYPTO_WHY_BYTES 160

/** Who computes: the same for all keys and workers of the process. */
struct pw_crypto_engine_spec {
	char device[64];      /* "": intel-ipsec-mb, called directly; else a cryptodev of DPDK */
	unsigned int wait_ms; /* cryptodev: how long an answer may take */
};

/**
 * Parses "ipsec_mb" or "cryptodev=NAME[,wait=MILLISECONDS]". Returns 0, or -EINVAL with one
 * sentence in @p why (PW_CRYPTO_WHY_BYTES). Any thread.
 */
int pw_crypto_engine_parse(const char *text, struct pw_crypto_engine_spec *spec, char *why);

/**
 * Makes this the engine; without this call it is ipsec_mb. After EAL's start, before the first
 * key and worker; a cryptodev gets a queue pair for each of @p workers. A NAME that is not there
 * yet is made if it is a virtual device's. Returns 0, or with one sentence in @p why
 * -ENODEV   there is no such device, and none of this name can be made
 * -ENOTSUP  it does none of the suites below
 * -ENOSPC   it has fewer queue pairs than workers
 * or DPDK's errors. Control thread.
 */
int pw_crypto_engine_start(const struct pw_crypto_engine_spec *spec, unsigned int workers,
			   char *why);

/** Gives the device back; keys and workers are freed already. ipsec_mb again. Control thread. */
void pw_crypto_engine_stop(void);

/* ---- suites ------------------------------------------------------------------------------- */

/** How a suite is computed. Its order is the engine's own business. */
enum pw_crypto_method {
	PW_CRYPTO_GCM,    /* RFC 4106 */
	PW_CRYPTO_GMAC,   /* RFC 4543 */
	PW_CRYPTO_CHACHA, /* RFC 7634 */
	PW_CRYPTO_CBC,    /* RFC 3602 with an HMAC (RFC 2404, RFC 4868) */
	PW_CRYPTO_CTR,    /* RFC 3686 with an HMAC */
	PW_CRYPTO_NULL,   /* RFC 2410 with an HMAC */
};

/** One combination of algorithms. Static and read-only. */
struct pw_crypto_suite {
	const char *name;   /* as in an IKE proposal: "aes128gcm16", "aes256-sha256" */
	const char *cipher; /* XFRM's name of the cipher or AEAD: "rfc4106(gcm(aes))" */
	const char *auth;   /* XFRM's name of the integrity algorithm; NULL for an AEAD */
	enum pw_crypto_method method;
	uint8_t key_bytes;      /* of the cipher as XFRM gives it: with the salt at its end */
	uint8_t salt_bytes;     /* of those: salt or nonce */
	uint8_t auth_key_bytes; /* 0 for an AEAD */
	uint8_t iv_bytes;       /* in the packet */
	uint8_t icv_bytes;      /* in the packet */
	uint8_t align;          /* the text is a multiple of this (RFC 4303 2.4: at least 4) */
};

/** What an SA asks for, in XFRM's terms. Lengths in bits; no pointer is kept. */
struct pw_crypto_proposal {
	const char *cipher;    /* cipher, or AEAD when auth is NULL */
	unsigned int key_bits; /* with the salt */
	const char *auth;      /* NULL for an AEAD */
	unsigned int auth_key_bits;
	unsigned int icv_bits; /* of the AEAD, or the truncation of the HMAC */
};

/**
 * Finds the suite for a proposal. Returns 0, or says in @p why (PW_CRYPTO_WHY_BYTES, one
 * sentence that names the algorithm) why not:
 * -ENOSYS   an algorithm that is unknown, or known and refused (DES, 3DES, MD5 and others)
 * -EINVAL   wrong length of a key or of the ICV, or a cipher that lacks its HMAC
 * -ENOTSUP  the engine's device lacks it
 * Any thread.
 */
int pw_crypto_suite_find(const struct pw_crypto_proposal *proposal,
			 const struct pw_crypto_suite **suite, char *why);

/** The suite with number @p index, counting from 0; NULL behind the last. Any thread. */
const struct pw_crypto_suite *pw_crypto_suite_at(unsigned int index);

/* ---- keys --------------------------------------------------------------------------------- */

/**
 * The expanded keys of one SA, in memory of lib/secret.h, or with a cryptodev in the device's
 * sessions. Read-only, for all workers at once.
 */
struct pw_crypto_key;

/**
 * Expands keys. @p cipher_key ends with the salt where the suite has one; @p auth_key is NULL
 * with 0 bytes for an AEAD. The caller's copies are not kept and are the caller's to wipe.
 * Returns 0, or
 * -EINVAL   a length that is not the suite's
 * -ENOTSUP  this processor lacks what the engine needs (AES-NI, PCLMULQDQ, SSE4.2), or the
 *           engine's device lacks the suite
 * -EIO      the engine's self-test failed
 * or pw_secret_alloc()'s errors, or those of the device. Control thread.
 */
int pw_crypto_key_new(const struct pw_crypto_suite *suite, const void *cipher_key,
		      size_t cipher_key_bytes, const void *auth_key, size_t auth_key_bytes,
		      struct pw_crypto_key **key);

/**
 * Wipes and frees; no worker may use the key any more. Where a cryptodev owes an answer that it
 * was given the key for, that is done once it has answered or is stopped. NULL is allowed.
 * Control thread.
 */
void pw_crypto_key_free(struct pw_crypto_key *key);

const struct pw_crypto_suite *pw_crypto_key_suite(const struct pw_crypto_key *key);

/* ---- the packet's way --------------------------------------------------------------------- */

/** One thread's engine: lanes, scratch, random numbers. In memory of lib/secret.h. */
struct pw_crypto_worker;

/**
 * Returns 0 or the errors of pw_crypto_key_new(), or getrandom()'s, or
 * -ENOSPC  the engine's device has no queue pair left
 * Control thread.
 */
int pw_crypto_worker_new(struct pw_crypto_worker **worker);

/** NULL is allowed. Control thread, when the worker has stopped. */
void pw_crypto_worker_free(struct pw_crypto_worker *worker);

/** The most text a packet may have. */
#define PW_CRYPTO_TEXT_MAX 65024
/** Bytes in front of the SPI that must belong to the packet (its IP or UDP header always does). */
#define PW_CRYPTO_HEADROOM 4

enum pw_crypto_status {
	PW_CRYPTO_OK,
	PW_CRYPTO_BAD_ICV,    /* open: forged, damaged, or the wrong key or sequence number */
	PW_CRYPTO_BAD_LENGTH, /* no whole number of the cipher's blocks, or too long */
	PW_CRYPTO_FAILED,     /* the engine did not do it; drop the packet */
};

/*
 * A device that does not answer in time may still write to the packet. The engine then holds a
 * reference to the packet's mbuf until the device has answered: the caller drops the packet as
 * any other, with rte_pktmbuf_free(), and its memory is not used again before.
 */

/**
 * One packet. In one piece, with room for the ICV behind the text (the suite's icv_bytes) and
 * PW_CRYPTO_HEADROOM bytes in front of the SPI. Nothing else is written, and those bytes in
 * front, changed for a moment by some suites, are as before when the call returns.
 */
struct pw_crypto_op {
	const struct pw_crypto_key *key;
	uint8_t *esp;          /* the SPI */
	struct rte_mbuf *mbuf; /* that esp is in. NULL: memory that outlives the worker */
	uint32_t esn_high;     /* host byte order, if esn: high half of the sequence number */
	uint16_t text_bytes;   /* behind the IV, without the ICV */
	bool esn;              /* RFC 4303 2.2.1 */
	uint8_t status;        /* result: enum pw_crypto_status */
};
static_assert(sizeof(struct pw_crypto_op) == 32, "two operations in a cache line");

/**
 * Encrypts and appends the ICV. The IV field is filled already: a number that is never used
 * twice with this key for GCM, GMAC, ChaCha and CTR, an unpredictable one for CBC
 * (pw_crypto_random_iv()). Suites and keys may be mixed; each op gets its status.
 * Returns how many failed. The worker's own thread; no allocation, lock or system call, but one
 * line of log when a device falls silent and one when it answers again.
 */
unsigned int pw_crypto_seal(struct pw_crypto_worker *worker, struct pw_crypto_op *ops,
			    unsigned int count);

/**
 * Checks the ICV (ipsec_mb: in constant time; a cryptodev: as its driver does) and decrypts. A
 * packet whose status is not PW_CRYPTO_OK holds no text that may be used: it may be decrypted all
 * the same, and must be dropped. Otherwise as pw_crypto_seal().
 */
unsigned int pw_crypto_open(struct pw_crypto_worker *worker, struct pw_crypto_op *ops,
			    unsigned int count);

/** Fetches into the cache what a small packet needs of a key. Any thread. */
void pw_crypto_key_prefetch(const struct pw_crypto_key *key);

/**
 * Writes an unpredictable 16-byte IV: output of AES-256 in counter mode under a key that this
 * worker got from getrandom() and that is used for nothing else. Without that key the next block
 * cannot be told from chance whatever earlier ones (which are public) say, which is what CBC
 * needs (RFC 3602 section 3; NIST SP 800-38A appendix C), and no block repeats within 2^64.
 * No allocation, lock or system call. The worker's own thread, not within seal or open.
 */
void pw_crypto_random_iv(struct pw_crypto_worker *worker, uint8_t iv[16]);

#endif
