/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sessions of the lookaside engine. The device's driver keeps expanded keys in them, in DPDK's
 * memory: so it is locked and left out of core files, and wiped here when a session is freed,
 * of which DPDK 22.11's software drivers do a part only.
 */
#include "drivers/crypto_cryptodev.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>

#include <rte_errno.h>
#include <rte_malloc.h>
#include <rte_mempool.h>

#include "lib/log.h"
#include "lib/secret.h"

#define POOL_SESSIONS 512
#define POOLS         256

static struct rte_mempool *pools[POOLS];
static unsigned int pool_count;
/* Freed, but a device may still use them. */
static struct pw_crypto_key *waiting;

/* ---- memory ------------------------------------------------------------------------------- */

static void chunk_guard(struct rte_mempool *pool, void *context, struct rte_mempool_memhdr *chunk,
			unsigned int index)
{
	const struct rte_memseg_list *list = rte_mem_virt2memseg_list(chunk->addr);
	uintptr_t page = list != NULL ? list->page_sz : 4096;
	uintptr_t from = (uintptr_t)chunk->addr & ~(page - 1);
	uintptr_t to = ((uintptr_t)chunk->addr + chunk->len + page - 1) & ~(page - 1);
	int *error = context;

	if (madvise((void *)from, to - from, MADV_DONTDUMP))
		*error = -errno;
	/* Hugepages are never swapped. */
	if (page == 4096 && mlock((void *)from, to - from))
		*error = errno == ENOMEM || errno == EPERM ? -EAGAIN : -errno;
}

int pw_cryptodev_pool_guard(struct rte_mempool *pool)
{
	int ret = 0;

	rte_mempool_mem_iter(pool, chunk_guard, &ret);
	return ret;
}

static int pool_add(void)
{
	char name[RTE_MEMPOOL_NAMESIZE];
	struct rte_mempool *pool;
	int ret;

	if (pool_count == POOLS)
		return -ENOSPC;
	snprintf(name, sizeof(name), "pw_session_%u", pool_count);
	pool = rte_cryptodev_sym_session_pool_create(
		name, POOL_SESSIONS, rte_cryptodev_sym_get_private_session_size(pw_cryptodev.id), 0,
		0, pw_cryptodev.node);
	if (pool == NULL)
		return -rte_errno;
	ret = pw_cryptodev_pool_guard(pool);
	if (ret) {
		pw_error("cryptodev %s: the memory of keys may not be locked: %s",
			 pw_cryptodev.name, strerror(-ret));
		rte_mempool_free(pool);
		return ret;
	}
	pools[pool_count++] = pool;
	return 0;
}

static void object_wipe(struct rte_mempool *pool, void *context, void *object, unsigned int index)
{
	explicit_bzero(object, pool->elt_size);
}

void pw_cryptodev_pools_free(void)
{
	while (pool_count > 0) {
		struct rte_mempool *pool = pools[--pool_count];

		/* Those of keys that nobody has freed, too. */
		rte_mempool_obj_iter(pool, object_wipe, NULL);
		rte_mempool_free(pool);
	}
}

static int pool_get(struct rte_mempool **pool)
{
	int ret;

	for (unsigned int i = pool_count; i-- > 0;)
		if (rte_mempool_avail_count(pools[i]) > 0) {
			*pool = pools[i];
			return 0;
		}
	ret = pool_add();
	*pool = ret ? NULL : pools[pool_count - 1];
	return ret;
}

/* ---- sessions ----------------------------------------------------------------------------- */

static int session_new(struct rte_crypto_sym_xform *xforms, void **session)
{
	struct rte_mempool *pool;
	int ret = pool_get(&pool);

	if (ret)
		return ret;
	rte_errno = 0;
	*session = rte_cryptodev_sym_session_create(pw_cryptodev.id, xforms, pool);
	if (*session != NULL)
		return 0;
	return rte_errno ? -rte_errno : -EIO;
}

static void session_free(void *session)
{
	struct rte_mempool *pool;

	if (session == NULL)
		return;
	pool = rte_mempool_from_obj(session);
	rte_cryptodev_sym_session_free(pw_cryptodev.id, session);
	/* In the pool now, which nobody takes from but this thread. */
	explicit_bzero(session, pool->elt_size);
}

static void sessions_free(struct pw_crypto_sessions *sessions)
{
	for (int open = 0; open < 2; open++) {
		if (sessions->session[open][1] != sessions->session[open][0])
			session_free(sessions->session[open][1]);
		session_free(sessions->session[open][0]);
	}
	memset(sessions->session, 0, sizeof(sessions->session));
}

int pw_cryptodev_key_start(struct pw_crypto_key *key, const uint8_t *raw, const uint8_t *auth_raw)
{
	struct pw_crypto_sessions *sessions = &key->sessions;
	bool aead = key->method == PW_CRYPTO_GCM || key->method == PW_CRYPTO_CHACHA;
	struct pw_cryptodev_xforms xforms;
	char why[PW_CRYPTO_WHY_BYTES];
	int ret;

	pw_cryptodev_keys_sweep(false);
	ret = pw_cryptodev_lacks(key->suite, why);
	for (int open = 0; open < 2 && ret == 0; open++) {
		for (int esn = 0; esn <= aead && ret == 0; esn++) {
			pw_cryptodev_xforms(key->suite, open, esn, raw, auth_raw, &xforms);
			ret = session_new(xforms.first, &sessions->session[open][esn]);
		}
		if (!aead)
			sessions->session[open][1] = sessions->session[open][0];
	}
	if (ret)
		sessions_free(sessions);
	return ret;
}

bool pw_cryptodev_key_stop(struct pw_crypto_key *key)
{
	pw_cryptodev_keys_sweep(false);
	if (__atomic_load_n(&key->sessions.unanswered, __ATOMIC_ACQUIRE) > 0) {
		key->sessions.next = waiting;
		waiting = key;
		return false;
	}
	sessions_free(&key->sessions);
	return true;
}

void pw_cryptodev_keys_sweep(bool all)
{
	struct pw_crypto_key **at = &waiting, *key;

	while ((key = *at) != NULL) {
		if (!all && __atomic_load_n(&key->sessions.unanswered, __ATOMIC_ACQUIRE) > 0) {
			at = &key->sessions.next;
			continue;
		}
		*at = key->sessions.next;
		sessions_free(&key->sessions);
		pw_secret_free(key);
	}
}
