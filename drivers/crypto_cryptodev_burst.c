/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Packets through a cryptodev: a burst is put on the worker's queue pair and awaited.
 *
 * A device that does not answer in time still has operations of ours, and may write to their
 * packets whenever it comes back, or never. So those are kept as they are: the operation and its
 * memory, a reference to the packet's mbuf, the key's sessions. Until the last of them has come
 * back, this worker gives the device nothing new, and its packets fail at once.
 */
#include "drivers/crypto_cryptodev.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_malloc.h>
#include <rte_mbuf.h>
#include <rte_pause.h>

#include "lib/log.h"

#define SLOTS 256
#define BACK  64

/* An operation; it has one packet at a time. */
struct slot {
	struct rte_mbuf mbuf; /* the packet, as the device sees it: one piece, from the SPI */
	struct rte_crypto_op *operation;
	struct pw_crypto_op *op; /* the caller's; NULL: its call is over */
	bool given;              /* the device has it */
	uint32_t saved[2];       /* the packet's bytes in place of which ESN's stand meanwhile */
	/* When the answer is overdue: */
	struct pw_crypto_key *key;
	struct rte_mbuf *held;
};

struct pw_lookaside {
	struct rte_mempool *pool;
	uint16_t pair;
	uint16_t unanswered;
	bool silent; /* said so; nothing has been answered since */
	struct rte_crypto_op *operations[SLOTS];
	struct slot slots[SLOTS];
};

static struct pw_lookaside_area *area_of(const struct slot *slot)
{
	return rte_crypto_op_ctod_offset(slot->operation, struct pw_lookaside_area *,
					 PW_LOOKASIDE_AREA);
}

static rte_iova_t area_iova(const struct slot *slot, size_t offset)
{
	return rte_crypto_op_ctophys_offset(slot->operation, PW_LOOKASIDE_AREA + offset);
}

/* ---- a packet ----------------------------------------------------------------------------- */

static rte_iova_t iova_of(const struct pw_crypto_op *op, const uint8_t *address)
{
	if (rte_eal_iova_mode() == RTE_IOVA_VA)
		return (uintptr_t)address;
	if (op->mbuf != NULL)
		return rte_mbuf_iova_get(op->mbuf) +
		       (rte_iova_t)(address - (const uint8_t *)op->mbuf->buf_addr);
	return rte_mem_virt2iova(address);
}

/* The mbuf of a slot: @p bytes from @p from on. */
static void mbuf_set(struct slot *slot, uint8_t *from, uint32_t bytes)
{
	slot->mbuf.buf_addr = from;
	rte_mbuf_iova_set(&slot->mbuf, iova_of(slot->op, from));
	slot->mbuf.buf_len = (uint16_t)bytes;
	slot->mbuf.data_len = (uint16_t)bytes;
	slot->mbuf.pkt_len = bytes;
}

static void digest_set(struct slot *slot, uint8_t *icv, rte_iova_t iova)
{
	struct rte_crypto_sym_op *sym = slot->operation->sym;

	sym->auth.digest.data = icv;
	sym->auth.digest.phys_addr = iova;
}

/* RFC 4106 and 7634: salt and IV; SPI, number. */
static void aead_fill(struct slot *slot)
{
	const struct pw_crypto_op *op = slot->op;
	struct rte_crypto_sym_op *sym = slot->operation->sym;
	struct pw_lookaside_area *area = area_of(slot);
	uint8_t *icv = op->esp + 16 + op->text_bytes;
	uint32_t high = htonl(op->esn_high);

	memcpy(area->iv, &op->key->salt, 4);
	memcpy(area->iv + 4, op->esp + 8, 8);
	memcpy(area->aad, op->esp, 8);
	if (op->esn) {
		memcpy(area->aad + 8, area->aad + 4, 4);
		memcpy(area->aad + 4, &high, 4);
	}
	sym->aead.data.offset = 16;
	sym->aead.data.length = op->text_bytes;
	sym->aead.digest.data = icv;
	sym->aead.digest.phys_addr = iova_of(op, icv);
	sym->aead.aad.data = area->aad;
	sym->aead.aad.phys_addr = area_iova(slot, offsetof(struct pw_lookaside_area, aad));
	mbuf_set(slot, op->esp, 16u + op->text_bytes + op->key->icv_bytes);
}

/* RFC 4543 section 3.3: with ESN the SPI moves 4 bytes forward for a while, and the high half
 * stands in its place. */
static void gmac_fill(struct slot *slot)
{
	const struct pw_crypto_op *op = slot->op;
	struct rte_crypto_sym_op *sym = slot->operation->sym;
	struct pw_lookaside_area *area = area_of(slot);
	uint32_t covered = 16u + op->text_bytes, high = htonl(op->esn_high);
	uint8_t *from = op->esp;

	memcpy(area->iv, &op->key->salt, 4);
	memcpy(area->iv + 4, op->esp + 8, 8);
	digest_set(slot, op->esp + covered, iova_of(op, op->esp + covered));
	if (op->esn) {
		memcpy(slot->saved, op->esp - 4, 8);
		memcpy(op->esp - 4, op->esp, 4);
		memcpy(op->esp, &high, 4);
		from -= 4;
		covered += 4;
	}
	sym->auth.data.offset = 0;
	sym->auth.data.length = covered;
	mbuf_set(slot, from, covered + op->key->icv_bytes);
}

/*
 * A cipher and an HMAC. With ESN the high half is hashed behind the text (RFC 4303 2.2.1), where
 * the ICV is: so that is in the slot meanwhile.
 */
static void chain_fill(struct slot *slot, bool open)
{
	const struct pw_crypto_op *op = slot->op;
	const struct pw_crypto_key *key = op->key;
	struct rte_crypto_sym_op *sym = slot->operation->sym;
	struct pw_lookaside_area *area = area_of(slot);
	uint32_t text_at = 8u + key->iv_bytes, covered = text_at + op->text_bytes;
	uint32_t high = htonl(op->esn_high), one = htonl(1);
	uint8_t *icv = op->esp + covered;

	if (key->method == PW_CRYPTO_CBC) {
		memcpy(area->iv, op->esp + 8, 16);
	} else if (key->method == PW_CRYPTO_CTR) { /* RFC 3686: blocks count from 1 */
		memcpy(area->iv, &key->salt, 4);
		memcpy(area->iv + 4, op->esp + 8, 8);
		memcpy(area->iv + 12, &one, 4);
	}
	sym->cipher.data.offset = text_at;
	sym->cipher.data.length = op->text_bytes;
	digest_set(slot, icv, iova_of(op, icv));
	if (op->esn) {
		if (open)
			memcpy(area->digest, icv, key->icv_bytes);
		digest_set(slot, area->digest,
			   area_iova(slot, offsetof(struct pw_lookaside_area, digest)));
		memcpy(icv, &high, 4);
		covered += 4;
	}
	sym->auth.data.offset = 0;
	sym->auth.data.length = covered;
	mbuf_set(slot, op->esp, text_at + op->text_bytes + key->icv_bytes);
}

static void slot_fill(struct slot *slot, struct pw_crypto_op *op, bool open)
{
	const struct pw_crypto_key *key = op->key;

	op->status = PW_CRYPTO_FAILED; /* until it is done */
	slot->op = op;
	slot->operation->status = RTE_CRYPTO_OP_STATUS_NOT_PROCESSED;
	slot->operation->sym->session = key->sessions.session[open][op->esn];
	slot->operation->sym->m_src = &slot->mbuf;
	slot->operation->sym->m_dst = NULL;
	if (key->method == PW_CRYPTO_GCM || key->method == PW_CRYPTO_CHACHA)
		aead_fill(slot);
	else if (key->method == PW_CRYPTO_GMAC)
		gmac_fill(slot);
	else
		chain_fill(slot, open);
}

/* Puts back what ESN displaced. */
static void esn_restore(const struct slot *slot)
{
	const struct pw_crypto_op *op = slot->op;
	const struct pw_crypto_key *key = op->key;

	if (key->method == PW_CRYPTO_GMAC)
		memcpy(op->esp - 4, slot->saved, 8);
	else if (key->method != PW_CRYPTO_GCM && key->method != PW_CRYPTO_CHACHA)
		memcpy(op->esp + 8 + key->iv_bytes + op->text_bytes, area_of(slot)->digest,
		       key->icv_bytes);
}

static unsigned int slot_finish(struct slot *slot, bool open)
{
	struct pw_crypto_op *op = slot->op;

	if (op->esn)
		esn_restore(slot);
	if (slot->operation->status == RTE_CRYPTO_OP_STATUS_SUCCESS)
		op->status = PW_CRYPTO_OK;
	else if (open && slot->operation->status == RTE_CRYPTO_OP_STATUS_AUTH_FAILED)
		op->status = PW_CRYPTO_BAD_ICV;
	slot->op = NULL;
	return op->status != PW_CRYPTO_OK;
}

/* ---- answers that do not come ------------------------------------------------------------- */

static struct slot *slot_of(const struct rte_crypto_op *operation)
{
	struct slot *slot;

	memcpy(&slot,
	       (const uint8_t *)operation + PW_LOOKASIDE_AREA + sizeof(struct pw_lookaside_area),
	       sizeof(slot));
	return slot;
}

/* Of @p count slots the device keeps those that it was given. Their callers' part is over. */
static void fall_silent(struct pw_lookaside *l, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct slot *slot = &l->slots[i];

		if (slot->given) {
			slot->key = (struct pw_crypto_key *)slot->op->key;
			slot->held = slot->op->mbuf;
			if (slot->held != NULL)
				rte_mbuf_refcnt_update(slot->held, 1);
			__atomic_fetch_add(&slot->key->sessions.unanswered, 1, __ATOMIC_RELAXED);
			l->unanswered++;
		}
		slot->op = NULL;
	}
	if (l->silent)
		return;
	l->silent = true;
	/* The worker has stood still for longer than a line takes. */
	if (l->unanswered > 0)
		pw_error("cryptodev %s: no answer from queue pair %u, %u packets are overdue; no "
			 "packet is sealed or opened there until it answers",
			 pw_cryptodev.name, l->pair, l->unanswered);
	else
		pw_error("cryptodev %s: queue pair %u takes no packets", pw_cryptodev.name,
			 l->pair);
}

static void answer(struct pw_lookaside *l)
{
	l->silent = false;
	pw_info("cryptodev %s: queue pair %u answers again", pw_cryptodev.name, l->pair);
}

/* Takes overdue answers; true when all are here. */
static bool overdue_take(struct pw_lookaside *l)
{
	struct rte_crypto_op *back[BACK];
	uint16_t got;

	while ((got = rte_cryptodev_dequeue_burst(pw_cryptodev.id, l->pair, back, BACK)) > 0)
		for (uint16_t i = 0; i < got; i++) {
			struct slot *slot = slot_of(back[i]);

			slot->given = false;
			rte_pktmbuf_free(slot->held);
			slot->held = NULL;
			__atomic_fetch_sub(&slot->key->sessions.unanswered, 1, __ATOMIC_RELEASE);
			l->unanswered--;
		}
	if (l->unanswered > 0)
		return false;
	if (l->silent)
		answer(l);
	return true;
}

/* ---- bursts ------------------------------------------------------------------------------- */

/* Has slots 0 .. count - 1 done. Returns how many packets failed. */
static unsigned int slots_run(struct pw_lookaside *l, unsigned int count, bool open)
{
	unsigned int given = 0, done = 0, failed = 0;
	struct rte_crypto_op *back[BACK];
	uint64_t since = 0; /* we first waited: one by one does not go on for ever either */

	while (done < count) {
		uint16_t put = 0, got;

		if (given < count)
			put = rte_cryptodev_enqueue_burst(pw_cryptodev.id, l->pair,
							  l->operations + given,
							  (uint16_t)(count - given));
		for (unsigned int i = 0; i < put; i++)
			l->slots[given++].given = true;
		/* One that the driver will not take at all. */
		if (given < count && put == 0 &&
		    l->operations[given]->status != RTE_CRYPTO_OP_STATUS_NOT_PROCESSED) {
			failed += slot_finish(&l->slots[given++], open);
			done++;
			put = 1;
		}
		got = rte_cryptodev_dequeue_burst(pw_cryptodev.id, l->pair, back, BACK);
		for (uint16_t i = 0; i < got; i++) {
			struct slot *slot = slot_of(back[i]);

			slot->given = false;
			failed += slot_finish(slot, open);
		}
		done += got;
		if (put > 0 || got > 0)
			continue;
		if (since == 0) {
			since = rte_rdtsc();
		} else if (l->silent || rte_rdtsc() - since > pw_cryptodev.wait) {
			fall_silent(l, count);
			return failed + count - done;
		}
		rte_pause();
	}
	if (unlikely(l->silent))
		answer(l);
	return failed;
}

static unsigned int burst(struct pw_crypto_worker *worker, struct pw_crypto_op *ops,
			  unsigned int count, bool open)
{
	struct pw_lookaside *l = worker->lookaside;
	unsigned int failed = 0, filled = 0;

	for (unsigned int i = 0; i < count; i++) {
		if (!pw_crypto_length_good(&ops[i])) {
			ops[i].status = PW_CRYPTO_BAD_LENGTH;
			failed++;
			continue;
		}
		if (l->unanswered > 0 && !overdue_take(l)) {
			ops[i].status = PW_CRYPTO_FAILED;
			failed++;
			continue;
		}
		slot_fill(&l->slots[filled++], &ops[i], open);
		if (filled == SLOTS) {
			failed += slots_run(l, filled, open);
			filled = 0;
		}
	}
	if (filled > 0)
		failed += slots_run(l, filled, open);
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

/* ---- a worker's part ---------------------------------------------------------------------- */

static int slots_make(struct pw_lookaside *l)
{
	char name[RTE_MEMPOOL_NAMESIZE];

	snprintf(name, sizeof(name), "pw_lookaside_%u", l->pair);
	l->pool = rte_crypto_op_pool_create(
		name, RTE_CRYPTO_OP_TYPE_SYMMETRIC, SLOTS, 0,
		sizeof(struct pw_lookaside_area) + sizeof(struct slot *), pw_cryptodev.node);
	if (l->pool == NULL || rte_crypto_op_bulk_alloc(l->pool, RTE_CRYPTO_OP_TYPE_SYMMETRIC,
							l->operations, SLOTS) != SLOTS)
		return -ENOMEM;
	for (unsigned int i = 0; i < SLOTS; i++) {
		struct slot *slot = &l->slots[i];

		slot->operation = l->operations[i];
		memset(area_of(slot), 0, sizeof(struct pw_lookaside_area));
		memcpy(area_of(slot) + 1, &slot, sizeof(slot));
		slot->operation->sess_type = RTE_CRYPTO_OP_WITH_SESSION;
		rte_mbuf_refcnt_set(&slot->mbuf, 1);
		slot->mbuf.nb_segs = 1;
		slot->mbuf.port = RTE_MBUF_PORT_INVALID;
	}
	return 0;
}

static int worker_start(struct pw_crypto_worker *worker)
{
	int pair = pw_cryptodev_pair_take(), ret;
	struct pw_lookaside *l;

	if (pair < 0)
		return pair;
	l = rte_zmalloc_socket("pw_lookaside", sizeof(*l), RTE_CACHE_LINE_SIZE, pw_cryptodev.node);
	ret = -ENOMEM;
	if (l != NULL) {
		l->pair = (uint16_t)pair;
		ret = slots_make(l);
	}
	if (ret == 0) {
		worker->lookaside = l;
		return 0;
	}
	if (l != NULL)
		rte_mempool_free(l->pool);
	rte_free(l);
	pw_cryptodev_pair_give((uint16_t)pair);
	return ret;
}

static void worker_stop(struct pw_crypto_worker *worker)
{
	struct pw_lookaside *l = worker->lookaside;
	uint64_t since = rte_rdtsc();

	while (l->unanswered > 0 && !overdue_take(l)) {
		if (rte_rdtsc() - since > pw_cryptodev.wait) {
			/* Its memory, the packets' and the queue pair are left alone for good. */
			pw_error("cryptodev %s: %u packets on queue pair %u are never answered",
				 pw_cryptodev.name, l->unanswered, l->pair);
			return;
		}
		rte_pause();
	}
	pw_cryptodev_pair_give(l->pair);
	rte_mempool_free(l->pool);
	rte_free(l);
}

const struct pw_crypto_engine pw_crypto_cryptodev = {
	.lacks = pw_cryptodev_lacks,
	.key_start = pw_cryptodev_key_start,
	.key_stop = pw_cryptodev_key_stop,
	.worker_start = worker_start,
	.worker_stop = worker_stop,
	.seal = burst_seal,
	.open = burst_open,
};
