/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * ESP packets through intel-ipsec-mb. AES-GCM and GMAC by its direct functions, one packet after
 * the other; everything else as jobs, collected over the burst and submitted together, so that
 * CBC encryption and the HMACs fill the library's lanes. docs/crypto.md has the measurements.
 */
#include "drivers/crypto_internal.h"

#include <arpa/inet.h>
#include <emmintrin.h>
#include <string.h>

/* Packets ahead whose keys are fetched when they are others. */
#define AHEAD 3

/* ---- one packet at a time: GCM and GMAC --------------------------------------------------- */

/* In one store: the library loads all 16 bytes at once, and two smaller stores that are still on
 * their way cannot be forwarded to that. It costs 37 cycles of 113 (docs/crypto.md). */
static inline void store_whole(uint64_t room[2], uint64_t first, uint64_t second)
{
	_mm_store_si128((__m128i *)room, _mm_set_epi64x((int64_t)second, (int64_t)first));
}

/* The nonce of RFC 4106, 4543, 3686 and 7634: salt, IV. */
static inline void nonce_make(const struct pw_crypto_key *key, const uint8_t *esp, uint64_t *nonce)
{
	uint32_t iv[2];

	memcpy(iv, esp + 8, sizeof(iv));
	store_whole(nonce, key->salt | (uint64_t)iv[0] << 32, iv[1]);
}

/* The AAD of RFC 4106 section 5 and RFC 7634: the header, or SPI and 64-bit number. */
static inline const void *aad_make(const struct pw_crypto_op *op, uint64_t *room, uint32_t *bytes)
{
	uint32_t word[2];

	*bytes = 8;
	if (!op->esn)
		return op->esp;
	memcpy(word, op->esp, sizeof(word));
	store_whole(room, word[0] | (uint64_t)htonl(op->esn_high) << 32, word[1]);
	*bytes = 12;
	return room;
}

inline void pw_crypto_gcm_seal(struct pw_crypto_worker *worker, const struct pw_crypto_key *key,
			       const uint64_t nonce[2], const void *aad, uint64_t aad_bytes,
			       uint8_t *text, uint32_t text_bytes, uint8_t *icv)
{
	key->gcm_seal(&key->gcm, &worker->gcm, text, text, text_bytes, (const uint8_t *)nonce, aad,
		      aad_bytes, icv, 16);
}

inline bool pw_crypto_gcm_open(struct pw_crypto_worker *worker, const struct pw_crypto_key *key,
			       const uint64_t nonce[2], const void *aad, uint64_t aad_bytes,
			       uint8_t *text, uint32_t text_bytes, const uint8_t *icv)
{
	uint64_t good[2], got[2];

	key->gcm_open(&key->gcm, &worker->gcm, text, text, text_bytes, (const uint8_t *)nonce, aad,
		      aad_bytes, (uint8_t *)good, 16);
	memcpy(got, icv, sizeof(got));
	return ((good[0] ^ got[0]) | (good[1] ^ got[1])) == 0;
}

static inline void gcm_one(struct pw_crypto_worker *worker, struct pw_crypto_op *op, bool open)
{
	uint8_t *text = op->esp + 16;
	uint64_t nonce[2] __attribute__((aligned(16))), room[2] __attribute__((aligned(16)));
	uint32_t aad_bytes;
	const void *aad = aad_make(op, room, &aad_bytes);
	bool good = true;

	nonce_make(op->key, op->esp, nonce);
	if (open)
		good = pw_crypto_gcm_open(worker, op->key, nonce, aad, aad_bytes, text,
					  op->text_bytes, text + op->text_bytes);
	else
		pw_crypto_gcm_seal(worker, op->key, nonce, aad, aad_bytes, text, op->text_bytes,
				   text + op->text_bytes);
	op->status = good ? PW_CRYPTO_OK : PW_CRYPTO_BAD_ICV;
}

/*
 * RFC 4543 section 3.3: everything from the SPI to the text's end is AAD, and with ESN the high
 * half stands between SPI and number: the SPI moves 4 bytes forward for a moment.
 * GCM without text is quicker than the library's own GMAC functions.
 */
static inline void gmac_one(struct pw_crypto_worker *worker, struct pw_crypto_op *op, bool open)
{
	uint8_t *aad = op->esp, *icv = op->esp + 16 + op->text_bytes;
	uint32_t aad_bytes = 16 + op->text_bytes;
	uint64_t nonce[2] __attribute__((aligned(16)));
	uint32_t front, spi, high = htonl(op->esn_high);
	bool good = true;

	nonce_make(op->key, op->esp, nonce);
	memcpy(&front, op->esp - 4, 4);
	memcpy(&spi, op->esp, 4);
	if (op->esn) {
		memcpy(op->esp - 4, &spi, 4);
		memcpy(op->esp, &high, 4);
		aad -= 4;
		aad_bytes += 4;
	}
	if (open)
		good = pw_crypto_gcm_open(worker, op->key, nonce, aad, aad_bytes, icv, 0, icv);
	else
		pw_crypto_gcm_seal(worker, op->key, nonce, aad, aad_bytes, icv, 0, icv);
	if (op->esn) {
		memcpy(op->esp - 4, &front, 4);
		memcpy(op->esp, &spi, 4);
	}
	op->status = good ? PW_CRYPTO_OK : PW_CRYPTO_BAD_ICV;
}

/* ---- jobs: ChaCha, CBC, CTR, NULL --------------------------------------------------------- */

/* ChaCha20-Poly1305 takes its AAD apart from the text. */
static inline void job_aead(IMB_JOB *job, struct pw_crypto_slot *slot,
			    const struct pw_crypto_op *op)
{
	const struct pw_crypto_key *key = op->key;
	uint32_t aad_bytes;

	job->enc_keys = key->chacha;
	job->dec_keys = key->chacha;
	job->u.CHACHA20_POLY1305.aad = aad_make(op, slot->aad, &aad_bytes);
	job->u.CHACHA20_POLY1305.aad_len_in_bytes = aad_bytes;
	job->hash_start_src_offset_in_bytes = 8 + key->iv_bytes;
	job->msg_len_to_hash_in_bytes = op->text_bytes;
}

/*
 * An HMAC runs from the SPI to the text's end, and with ESN over the high half behind it
 * (RFC 4303 2.2.1). There lies the ICV: not made yet on the way out, and on the way in its
 * first bytes are kept in the slot meanwhile. So nothing behind the packet is touched.
 */
static inline void job_hmac(IMB_JOB *job, struct pw_crypto_slot *slot, struct pw_crypto_op *op,
			    bool open)
{
	const struct pw_crypto_key *key = op->key;
	uint32_t covered = 8u + key->iv_bytes + op->text_bytes;
	uint32_t high = htonl(op->esn_high);

	job->enc_keys = key->chain.encrypt;
	job->dec_keys = key->chain.decrypt;
	job->u.HMAC._hashed_auth_key_xor_ipad = key->chain.inner;
	job->u.HMAC._hashed_auth_key_xor_opad = key->chain.outer;
	job->hash_start_src_offset_in_bytes = 0;
	if (op->esn) {
		if (open)
			memcpy(&slot->icv_head, op->esp + covered, 4);
		memcpy(op->esp + covered, &high, 4);
		covered += 4;
	}
	job->msg_len_to_hash_in_bytes = covered;
}

/* What a job reads of its key when the burst is run; many keys do not fit into the cache. */
static inline void chain_prefetch(const struct pw_crypto_chain *chain, bool open)
{
	const uint8_t *round_keys = open ? chain->decrypt : chain->encrypt;

	__builtin_prefetch(chain->inner);
	__builtin_prefetch(chain->outer);
	for (size_t i = 0; i < sizeof(chain->encrypt); i += 64)
		__builtin_prefetch(round_keys + i);
}

static inline void job_fill(IMB_JOB *job, struct pw_crypto_slot *slot, struct pw_crypto_op *op,
			    bool open)
{
	const struct pw_crypto_key *key = op->key;
	uint32_t text_at = 8u + key->iv_bytes;

	slot->op = op;
	op->status = PW_CRYPTO_FAILED; /* until the job is done */
	job->user_data = slot;
	job->src = op->esp;
	job->dst = op->esp + text_at;
	job->key_len_in_bytes = key->cipher_key_bytes;
	job->cipher_start_src_offset_in_bytes = text_at;
	job->msg_len_to_cipher_in_bytes = op->text_bytes;
	job->cipher_mode = key->cipher_mode;
	job->hash_alg = key->hash;
	job->cipher_direction = open ? IMB_DIR_DECRYPT : IMB_DIR_ENCRYPT;
	job->chain_order = open ? IMB_ORDER_HASH_CIPHER : IMB_ORDER_CIPHER_HASH;
	job->auth_tag_output = open ? slot->icv : op->esp + text_at + op->text_bytes;
	job->auth_tag_output_len_in_bytes = key->icv_bytes;
	if (key->method == PW_CRYPTO_CBC) {
		job->iv = op->esp + 8;
		job->iv_len_in_bytes = 16;
	} else if (key->method != PW_CRYPTO_NULL) {
		nonce_make(key, op->esp, slot->nonce);
		job->iv = (const uint8_t *)slot->nonce;
		job->iv_len_in_bytes = 12; /* CTR: the block counter from 1 (RFC 3686) */
	}
	if (key->method == PW_CRYPTO_CHACHA) {
		job_aead(job, slot, op);
		return;
	}
	job_hmac(job, slot, op, open);
	chain_prefetch(&key->chain, open);
}

static inline bool equal_always(const uint8_t *a, const uint8_t *b, unsigned int bytes)
{
	uint32_t differs = 0, x, y;

	/* Every ICV is a multiple of 4 bytes long. */
	for (unsigned int i = 0; i < bytes; i += 4) {
		memcpy(&x, a + i, 4);
		memcpy(&y, b + i, 4);
		differs |= x ^ y;
	}
	return differs == 0;
}

static inline unsigned int job_finish(const IMB_JOB *job, bool open)
{
	const struct pw_crypto_slot *slot = job->user_data;
	struct pw_crypto_op *op = slot->op;
	const struct pw_crypto_key *key = op->key;
	uint8_t *icv = op->esp + 8 + key->iv_bytes + op->text_bytes;

	if (open && op->esn && key->method != PW_CRYPTO_CHACHA)
		memcpy(icv, &slot->icv_head, 4);
	if (job->status != IMB_STATUS_COMPLETED)
		return 1;
	if (open && !equal_always(icv, slot->icv, key->icv_bytes))
		op->status = PW_CRYPTO_BAD_ICV;
	else
		op->status = PW_CRYPTO_OK;
	return op->status != PW_CRYPTO_OK;
}

/* Runs the jobs filled so far to their end; nothing stays in a lane. Returns how many failed. */
static unsigned int jobs_run(struct pw_crypto_worker *worker, unsigned int count, bool open)
{
	IMB_MGR *manager = worker->manager;
	unsigned int done = 0, failed = 0;
	uint32_t got = IMB_SUBMIT_BURST_NOCHECK(manager, count, worker->jobs);

	for (;;) {
		for (uint32_t i = 0; i < got; i++)
			failed += job_finish(worker->jobs[i], open);
		done += got;
		if (done >= count)
			return failed;
		got = IMB_FLUSH_BURST(manager, count - done, worker->jobs);
		if (got == 0)
			return failed + count - done;
	}
}

/* ---- bursts ------------------------------------------------------------------------------- */

/*
 * A key that the packet before did not use: its head, the round keys, and from the end as many
 * powers of GCM's hash key (48 at most) as the text has blocks and the lengths and AAD besides.
 */
static inline void key_prefetch(const struct pw_crypto_op *op)
{
	const char *line = (const char *)op->key;
	uint32_t powers = op->text_bytes / 16 + 4;

	for (size_t i = 0; i < 5; i++)
		__builtin_prefetch(line + 64 * i);
	if (powers > 48)
		powers = 48;
	line = (const char *)(&op->key->gcm + 1);
	for (uint32_t i = 0; i < powers; i += 4)
		__builtin_prefetch(line -= 64);
}

static inline __attribute__((always_inline)) unsigned int burst(struct pw_crypto_worker *worker,
								struct pw_crypto_op *ops,
								unsigned int count, bool open)
{
	unsigned int failed = 0, filled = 0, room = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct pw_crypto_op *op = &ops[i];

		if (i + AHEAD < count && op[AHEAD].key != op[AHEAD - 1].key)
			key_prefetch(&op[AHEAD]);
		if (!pw_crypto_length_good(op)) {
			op->status = PW_CRYPTO_BAD_LENGTH;
			failed++;
			continue;
		}
		if (op->key->method == PW_CRYPTO_GCM) {
			gcm_one(worker, op, open);
			failed += op->status != PW_CRYPTO_OK;
			continue;
		}
		if (op->key->method == PW_CRYPTO_GMAC) {
			gmac_one(worker, op, open);
			failed += op->status != PW_CRYPTO_OK;
			continue;
		}
		if (filled == room) {
			if (filled > 0)
				failed += jobs_run(worker, filled, open);
			filled = 0;
			room = count - i < IMB_MAX_BURST_SIZE ? count - i : IMB_MAX_BURST_SIZE;
			room = IMB_GET_NEXT_BURST(worker->manager, room, worker->jobs);
			if (room == 0) {
				op->status = PW_CRYPTO_FAILED;
				failed++;
				continue;
			}
		}
		job_fill(worker->jobs[filled], &worker->slots[filled], op, open);
		filled++;
	}
	if (filled > 0)
		failed += jobs_run(worker, filled, open);
	return failed;
}

static unsigned int burst_seal(struct pw_crypto_worker *worker, struct pw_crypto_op *ops,
			       unsigned int count)
{
	return burst(worker, ops, count, false);
}

static unsigned int burst_open(struct pw_crypto_worker *worker, struct pw_crypto_op *ops,
			       unsigned int count)
{
	return burst(worker, ops, count, true);
}

static int lacks_nothing(const struct pw_crypto_suite *suite, char *why)
{
	return 0;
}

static bool key_stop(struct pw_crypto_key *key)
{
	return true;
}

static int worker_start(struct pw_crypto_worker *worker)
{
	return 0;
}

static void worker_stop(struct pw_crypto_worker *worker)
{
}

const struct pw_crypto_engine pw_crypto_ipsec_mb = {
	.lacks = lacks_nothing,
	.key_start = pw_crypto_key_expand,
	.key_stop = key_stop,
	.worker_start = worker_start,
	.worker_stop = worker_stop,
	.seal = burst_seal,
	.open = burst_open,
};
