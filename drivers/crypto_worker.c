/* SPDX-License-Identifier: BSD-3-Clause */
/* A worker: its engine, the library's manager, and the source of random IVs. */
#include "drivers/crypto_internal.h"

#include <errno.h>
#include <string.h>
#include <sys/random.h>

#include "lib/secret.h"

#define IV_BYTES 16

IMB_ARCH pw_crypto_arch_max = IMB_ARCH_AVX512;

/* ---- managers ----------------------------------------------------------------------------- */

size_t pw_crypto_manager_bytes(void)
{
	return imb_get_mb_mgr_size();
}

int pw_crypto_manager_init(void *memory, IMB_MGR **manager)
{
	const uint64_t needed = IMB_FEATURE_AESNI | IMB_FEATURE_PCLMULQDQ | IMB_FEATURE_SSE4_2;
	IMB_MGR *mgr = imb_set_pointers_mb_mgr(memory, 0, 1);

	if (mgr == NULL || (imb_get_feature_flags() & needed) != needed)
		return -ENOTSUP;
	switch (pw_crypto_arch_max) {
	case IMB_ARCH_SSE:
		init_mb_mgr_sse(mgr);
		break;
	case IMB_ARCH_AVX:
		init_mb_mgr_avx(mgr);
		break;
	case IMB_ARCH_AVX2:
		init_mb_mgr_avx2(mgr);
		break;
	default:
		init_mb_mgr_auto(mgr, NULL);
		break;
	}
	if (imb_get_errno(mgr) == IMB_ERR_SELFTEST)
		return -EIO;
	if (imb_get_errno(mgr) != 0)
		return -ENOTSUP;
	*manager = mgr;
	return 0;
}

static int random_init(struct pw_crypto_worker *worker)
{
	/* The raw key lies in the pool until it is expanded. */
	if (getrandom(worker->pool, 32, 0) != 32)
		return -errno;
	IMB_AES_KEYEXP_256(worker->manager, worker->pool, worker->random_key, worker->unused);
	explicit_bzero(worker->pool, 32);
	explicit_bzero(worker->unused, sizeof(worker->unused));
	return 0;
}

int pw_crypto_worker_new(struct pw_crypto_worker **result)
{
	struct pw_crypto_worker *worker;
	void *memory;
	int ret;

	*result = NULL;
	ret = pw_secret_alloc(sizeof(*worker) + pw_crypto_manager_bytes(), &memory);
	if (ret)
		return ret;
	worker = memory;
	ret = pw_crypto_manager_init(worker->manager_memory, &worker->manager);
	if (ret == 0)
		ret = random_init(worker);
	worker->engine = pw_crypto_engine;
	if (ret == 0)
		ret = worker->engine->worker_start(worker);
	if (ret)
		pw_secret_free(memory);
	else
		*result = worker;
	return ret;
}

void pw_crypto_worker_free(struct pw_crypto_worker *worker)
{
	if (worker == NULL)
		return;
	worker->engine->worker_stop(worker);
	pw_secret_free(worker);
}

/* ---- random IVs --------------------------------------------------------------------------- */

static void pool_refill(struct pw_crypto_worker *worker)
{
	IMB_JOB *job = &worker->random_job;
	/* 32 bits of zero, the number of the refill, and the library's 32-bit block counter:
	 * no block is ever encrypted twice. */
	uint32_t counter[3] = {0};

	memcpy(&counter[1], &worker->refills, sizeof(worker->refills));
	worker->refills++;
	memset(worker->pool, 0, sizeof(worker->pool));
	job->enc_keys = worker->random_key;
	job->dec_keys = worker->random_key;
	job->key_len_in_bytes = 32;
	job->src = worker->pool;
	job->dst = worker->pool;
	job->msg_len_to_cipher_in_bytes = sizeof(worker->pool);
	job->iv = (const uint8_t *)counter;
	job->iv_len_in_bytes = sizeof(counter);
	worker->manager->submit_cipher_burst_nocheck(worker->manager, job, 1, IMB_CIPHER_CNTR,
						     IMB_DIR_ENCRYPT, IMB_KEY_256_BYTES);
	worker->pool_left = sizeof(worker->pool);
}

void pw_crypto_random_iv(struct pw_crypto_worker *worker, uint8_t iv[16])
{
	if (worker->pool_left == 0)
		pool_refill(worker);
	worker->pool_left -= IV_BYTES;
	memcpy(iv, worker->pool + worker->pool_left, IV_BYTES);
}
