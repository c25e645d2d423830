/* SPDX-License-Identifier: BSD-3-Clause */
/* Keys: their head for every engine, and for intel-ipsec-mb expanded once, so that a packet only
 * reads them. */
#include "drivers/crypto_internal.h"

#include <errno.h>
#include <string.h>

#include "lib/secret.h"

/* The manager whose functions expand keys. It never sees a packet, and stays. */
static IMB_MGR *expander;
static IMB_ARCH expander_arch;

static int expander_get(IMB_MGR **manager)
{
	void *memory;
	int ret;

	if (expander != NULL && expander_arch == pw_crypto_arch_max) {
		*manager = expander;
		return 0;
	}
	ret = pw_secret_alloc(pw_crypto_manager_bytes(), &memory);
	if (ret)
		return ret;
	ret = pw_crypto_manager_init(memory, manager);
	if (ret) {
		pw_secret_free(memory);
		return ret;
	}
	pw_secret_free(expander);
	expander = memory;
	expander_arch = pw_crypto_arch_max;
	return 0;
}

static void gcm_expand(IMB_MGR *manager, struct pw_crypto_key *key, const uint8_t *raw)
{
	switch (key->cipher_key_bytes) {
	case 16:
		IMB_AES128_GCM_PRE(manager, raw, &key->gcm);
		key->gcm_seal = manager->gcm128_enc;
		key->gcm_open = manager->gcm128_dec;
		break;
	case 24:
		IMB_AES192_GCM_PRE(manager, raw, &key->gcm);
		key->gcm_seal = manager->gcm192_enc;
		key->gcm_open = manager->gcm192_dec;
		break;
	default:
		IMB_AES256_GCM_PRE(manager, raw, &key->gcm);
		key->gcm_seal = manager->gcm256_enc;
		key->gcm_open = manager->gcm256_dec;
		break;
	}
}

static void aes_expand(IMB_MGR *manager, struct pw_crypto_key *key, const uint8_t *raw)
{
	struct pw_crypto_chain *chain = &key->chain;

	switch (key->cipher_key_bytes) {
	case 16:
		IMB_AES_KEYEXP_128(manager, raw, chain->encrypt, chain->decrypt);
		break;
	case 24:
		IMB_AES_KEYEXP_192(manager, raw, chain->encrypt, chain->decrypt);
		break;
	case 32:
		IMB_AES_KEYEXP_256(manager, raw, chain->encrypt, chain->decrypt);
		break;
	}
}

/* RFC 2104: the key, filled up with zeros to the hash's block, xor ipad or opad; hashed. */
static void hmac_half(const uint8_t *raw, size_t bytes, uint8_t pad, hash_one_block_t hash,
		      size_t block, uint8_t *scratch, uint8_t *state)
{
	memset(scratch, pad, block);
	for (size_t i = 0; i < bytes; i++)
		scratch[i] ^= raw[i];
	hash(scratch, state);
	explicit_bzero(scratch, block);
}

static int hmac_expand(IMB_MGR *manager, struct pw_crypto_key *key, const uint8_t *raw,
		       size_t bytes)
{
	struct pw_crypto_chain *chain = &key->chain;
	hash_one_block_t hash;
	size_t block = bytes > 32 ? 128 : 64;
	void *scratch;
	int ret;

	switch (bytes) {
	case 20:
		hash = manager->sha1_one_block;
		key->hash = IMB_AUTH_HMAC_SHA_1;
		break;
	case 32:
		hash = manager->sha256_one_block;
		key->hash = IMB_AUTH_HMAC_SHA_256;
		break;
	case 48:
		hash = manager->sha384_one_block;
		key->hash = IMB_AUTH_HMAC_SHA_384;
		break;
	default:
		hash = manager->sha512_one_block;
		key->hash = IMB_AUTH_HMAC_SHA_512;
		break;
	}
	ret = pw_secret_alloc(block, &scratch);
	if (ret)
		return ret;
	hmac_half(raw, bytes, 0x36, hash, block, scratch, chain->inner);
	hmac_half(raw, bytes, 0x5c, hash, block, scratch, chain->outer);
	pw_secret_free(scratch);
	return 0;
}

int pw_crypto_key_expand(struct pw_crypto_key *key, const uint8_t *raw, const uint8_t *auth_raw)
{
	IMB_MGR *manager;
	int ret = expander_get(&manager);

	if (ret)
		return ret;
	switch (key->method) {
	case PW_CRYPTO_GCM:
	case PW_CRYPTO_GMAC:
		gcm_expand(manager, key, raw);
		return 0;
	case PW_CRYPTO_CHACHA:
		memcpy(key->chacha, raw, sizeof(key->chacha));
		key->cipher_mode = IMB_CIPHER_CHACHA20_POLY1305;
		key->hash = IMB_AUTH_CHACHA20_POLY1305;
		return 0;
	case PW_CRYPTO_CBC:
		key->cipher_mode = IMB_CIPHER_CBC;
		break;
	case PW_CRYPTO_CTR:
		key->cipher_mode = IMB_CIPHER_CNTR;
		break;
	default:
		key->cipher_mode = IMB_CIPHER_NULL;
		break;
	}
	aes_expand(manager, key, raw);
	return hmac_expand(manager, key, auth_raw, key->suite->auth_key_bytes);
}

int pw_crypto_key_new(const struct pw_crypto_suite *suite, const void *cipher_key,
		      size_t cipher_key_bytes, const void *auth_key, size_t auth_key_bytes,
		      struct pw_crypto_key **result)
{
	struct pw_crypto_key *key;
	void *memory;
	int ret;

	*result = NULL;
	if (cipher_key_bytes != suite->key_bytes || auth_key_bytes != suite->auth_key_bytes)
		return -EINVAL;
	ret = pw_secret_alloc(sizeof(*key), &memory);
	if (ret)
		return ret;
	key = memory;
	key->suite = suite;
	key->method = (uint8_t)suite->method;
	key->iv_bytes = suite->iv_bytes;
	key->icv_bytes = suite->icv_bytes;
	key->block_mask = suite->method == PW_CRYPTO_CBC ? 15 : 0;
	key->text_min = suite->method == PW_CRYPTO_CBC || suite->method == PW_CRYPTO_CTR;
	key->cipher_key_bytes = suite->key_bytes - suite->salt_bytes;
	if (suite->salt_bytes > 0)
		memcpy(&key->salt, (const uint8_t *)cipher_key + key->cipher_key_bytes,
		       sizeof(key->salt));
	ret = pw_crypto_engine->key_start(key, cipher_key, auth_key);
	if (ret) {
		pw_secret_free(memory);
		return ret;
	}
	*result = key;
	return 0;
}

void pw_crypto_key_free(struct pw_crypto_key *key)
{
	if (key != NULL && pw_crypto_engine->key_stop(key))
		pw_secret_free(key);
}

const struct pw_crypto_suite *pw_crypto_key_suite(const struct pw_crypto_key *key)
{
	return key->suite;
}
