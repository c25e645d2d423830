/* SPDX-License-Identifier: BSD-3-Clause */
/* The lookaside engine's device: found or made, asked what it can do, given queue pairs. */
#include "drivers/crypto_cryptodev.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <rte_cycles.h>
#include <rte_dev.h>
#include <rte_errno.h>
#include <rte_memory.h>

#include "lib/log.h"

#define DESCRIPTORS 512
#define PAIRS_MAX   64
/* Virtual devices have so many queue pairs unless told otherwise. */
#define PAIRS_VIRTUAL 8

struct pw_cryptodev pw_cryptodev;

static int __attribute__((format(printf, 3, 4)))
refuse(int code, char *why, const char *format, ...)
{
	va_list arguments;

	va_start(arguments, format);
	vsnprintf(why, PW_CRYPTO_WHY_BYTES, format, arguments);
	va_end(arguments);
	return code;
}

/* ---- what it can do ----------------------------------------------------------------------- */

static void xform_aead(const struct pw_crypto_suite *suite, bool open, bool esn, const uint8_t *raw,
		       struct rte_crypto_sym_xform *xform)
{
	xform->type = RTE_CRYPTO_SYM_XFORM_AEAD;
	xform->aead.op = open ? RTE_CRYPTO_AEAD_OP_DECRYPT : RTE_CRYPTO_AEAD_OP_ENCRYPT;
	xform->aead.algo = suite->method == PW_CRYPTO_GCM ? RTE_CRYPTO_AEAD_AES_GCM
							  : RTE_CRYPTO_AEAD_CHACHA20_POLY1305;
	xform->aead.key.data = raw;
	xform->aead.key.length = suite->key_bytes - suite->salt_bytes;
	xform->aead.iv.offset = PW_LOOKASIDE_IV;
	xform->aead.iv.length = 12;
	xform->aead.digest_length = suite->icv_bytes;
	xform->aead.aad_length = esn ? 12 : 8;
}

static void xform_cipher(const struct pw_crypto_suite *suite, bool open, const uint8_t *raw,
			 struct rte_crypto_sym_xform *xform)
{
	xform->type = RTE_CRYPTO_SYM_XFORM_CIPHER;
	xform->cipher.op = open ? RTE_CRYPTO_CIPHER_OP_DECRYPT : RTE_CRYPTO_CIPHER_OP_ENCRYPT;
	xform->cipher.algo = suite->method == PW_CRYPTO_CBC ? RTE_CRYPTO_CIPHER_AES_CBC
							    : RTE_CRYPTO_CIPHER_AES_CTR;
	xform->cipher.key.data = raw;
	xform->cipher.key.length = suite->key_bytes - suite->salt_bytes;
	xform->cipher.iv.offset = PW_LOOKASIDE_IV;
	xform->cipher.iv.length = 16;
}

static enum rte_crypto_auth_algorithm hash_of(const struct pw_crypto_suite *suite)
{
	switch (suite->auth_key_bytes) {
	case 20:
		return RTE_CRYPTO_AUTH_SHA1_HMAC;
	case 32:
		return RTE_CRYPTO_AUTH_SHA256_HMAC;
	case 48:
		return RTE_CRYPTO_AUTH_SHA384_HMAC;
	default:
		return RTE_CRYPTO_AUTH_SHA512_HMAC;
	}
}

static void xform_auth(const struct pw_crypto_suite *suite, bool open, const uint8_t *raw,
		       const uint8_t *auth_raw, struct rte_crypto_sym_xform *xform)
{
	xform->type = RTE_CRYPTO_SYM_XFORM_AUTH;
	xform->auth.op = open ? RTE_CRYPTO_AUTH_OP_VERIFY : RTE_CRYPTO_AUTH_OP_GENERATE;
	xform->auth.digest_length = suite->icv_bytes;
	if (suite->method == PW_CRYPTO_GMAC) {
		xform->auth.algo = RTE_CRYPTO_AUTH_AES_GMAC;
		xform->auth.key.data = raw;
		xform->auth.key.length = suite->key_bytes - suite->salt_bytes;
		xform->auth.iv.offset = PW_LOOKASIDE_IV;
		xform->auth.iv.length = 12;
	} else {
		xform->auth.algo = hash_of(suite);
		xform->auth.key.data = auth_raw;
		xform->auth.key.length = suite->auth_key_bytes;
	}
}

void pw_cryptodev_xforms(const struct pw_crypto_suite *suite, bool open, bool esn,
			 const uint8_t *raw, const uint8_t *auth_raw,
			 struct pw_cryptodev_xforms *xforms)
{
	struct rte_crypto_sym_xform *cipher = &xforms->part[open], *auth = &xforms->part[!open];

	memset(xforms, 0, sizeof(*xforms));
	xforms->first = &xforms->part[0];
	switch (suite->method) {
	case PW_CRYPTO_GCM:
	case PW_CRYPTO_CHACHA:
		xform_aead(suite, open, esn, raw, xforms->first);
		break;
	case PW_CRYPTO_GMAC:
	case PW_CRYPTO_NULL:
		xform_auth(suite, open, raw, auth_raw, xforms->first);
		break;
	default:
		xform_cipher(suite, open, raw, cipher);
		xform_auth(suite, open, raw, auth_raw, auth);
		xforms->part[0].next = &xforms->part[1];
		break;
	}
}

static int part_check(const struct pw_crypto_suite *suite, const struct rte_crypto_sym_xform *x,
		      char *why)
{
	struct rte_cryptodev_sym_capability_idx index = {.type = x->type};
	const struct rte_cryptodev_symmetric_capability *capability;
	bool integrity = x->type == RTE_CRYPTO_SYM_XFORM_AUTH && suite->auth != NULL;
	const char *name = integrity ? suite->auth : suite->cipher;
	int ret;

	if (x->type == RTE_CRYPTO_SYM_XFORM_AEAD)
		index.algo.aead = x->aead.algo;
	else if (x->type == RTE_CRYPTO_SYM_XFORM_AUTH)
		index.algo.auth = x->auth.algo;
	else
		index.algo.cipher = x->cipher.algo;
	capability = rte_cryptodev_sym_capability_get(pw_cryptodev.id, &index);
	if (capability == NULL)
		return refuse(-ENOTSUP, why, "the cryptodev %s does no %s", pw_cryptodev.name,
			      name);
	if (x->type == RTE_CRYPTO_SYM_XFORM_AEAD)
		ret = rte_cryptodev_sym_capability_check_aead(
			capability, x->aead.key.length, x->aead.digest_length, x->aead.aad_length,
			x->aead.iv.length);
	else if (x->type == RTE_CRYPTO_SYM_XFORM_AUTH)
		ret = rte_cryptodev_sym_capability_check_auth(
			capability, x->auth.key.length, x->auth.digest_length, x->auth.iv.length);
	else
		ret = rte_cryptodev_sym_capability_check_cipher(capability, x->cipher.key.length,
								x->cipher.iv.length);
	if (ret == 0)
		return 0;
	return refuse(
		-ENOTSUP, why,
		"the cryptodev %s does %s, but not with a key of %u bits as ESP uses it",
		pw_cryptodev.name, name,
		8u * (integrity ? suite->auth_key_bytes : suite->key_bytes - suite->salt_bytes));
}

int pw_cryptodev_lacks(const struct pw_crypto_suite *suite, char *why)
{
	struct pw_cryptodev_xforms xforms;
	int ret = 0;

	for (int esn = 0; esn < 2 && ret == 0; esn++) {
		pw_cryptodev_xforms(suite, false, esn, NULL, NULL, &xforms);
		for (const struct rte_crypto_sym_xform *x = xforms.first; x != NULL && ret == 0;
		     x = x->next)
			ret = part_check(suite, x, why);
	}
	return ret;
}

/* ---- found or made ------------------------------------------------------------------------ */

/* By the cryptodev's own name, or by its bus's: the QAT at 0000:3d:01.0 is 0000:3d:01.0_qat_sym. */
static int device_find(const char *name)
{
	struct rte_cryptodev_info info;
	int id = rte_cryptodev_get_dev_id(name);

	for (int i = 0; id < 0 && i < RTE_CRYPTO_MAX_DEVS; i++) {
		if (!rte_cryptodev_is_valid_dev((uint8_t)i))
			continue;
		rte_cryptodev_info_get((uint8_t)i, &info);
		if ((info.feature_flags & RTE_CRYPTODEV_FF_SYMMETRIC_CRYPTO) &&
		    info.device != NULL && strcmp(rte_dev_name(info.device), name) == 0)
			id = i;
	}
	return id;
}

static int device_make(const char *name, unsigned int workers, char *why)
{
	char arguments[48] = "";
	int ret;

	if (strchr(name, ':') != NULL)
		return refuse(-ENODEV, why,
			      "there is no cryptodev %s: is it bound to vfio-pci, and is there a "
			      "DPDK driver for it?",
			      name);
	if (workers > PAIRS_VIRTUAL)
		snprintf(arguments, sizeof(arguments), "max_nb_queue_pairs=%u", workers);
	ret = rte_eal_hotplug_add("vdev", name, arguments);
	if (ret == -EFAULT || ret == -ENOENT || ret == -ENODEV)
		return refuse(-ENODEV, why,
			      "there is no cryptodev %.40s, and no virtual one that begins so",
			      name);
	if (ret < 0)
		return refuse(ret == -1 ? -EIO : ret, why, "the cryptodev %.40s cannot be made: %s",
			      name, ret == -1 ? "the driver does not say why" : rte_strerror(-ret));
	snprintf(pw_cryptodev.created, sizeof(pw_cryptodev.created), "%s", name);
	ret = device_find(name);
	if (ret < 0)
		return refuse(-ENODEV, why, "the device %.40s is no cryptodev", name);
	return ret;
}

static int features_check(const struct rte_cryptodev_info *info, unsigned int workers, char *why)
{
	const char *name = pw_cryptodev.name;
	const struct pw_crypto_suite *suite;
	unsigned int usable = 0;
	char without[PW_CRYPTO_WHY_BYTES];

	if (!(info->feature_flags & RTE_CRYPTODEV_FF_SYMMETRIC_CRYPTO))
		return refuse(-ENOTSUP, why, "the cryptodev %s does no symmetric cryptography",
			      name);
	if (workers > PAIRS_MAX || workers > info->max_nb_queue_pairs)
		return refuse(-ENOSPC, why,
			      "the cryptodev %s has %u queue pairs, and each of %u workers wants "
			      "one",
			      name, info->max_nb_queue_pairs, workers);
	for (unsigned int s = 0; (suite = pw_crypto_suite_at(s)) != NULL; s++)
		usable += pw_cryptodev_lacks(suite, without) == 0;
	if (usable == 0)
		return refuse(-ENOTSUP, why, "the cryptodev %s does none of ESP's algorithms",
			      name);
	pw_info("cryptodev %s (%s): %u of ESP's suites", name, info->driver_name, usable);
	return 0;
}

static int pairs_setup(unsigned int pairs)
{
	struct rte_cryptodev_config config = {
		.socket_id = pw_cryptodev.node,
		.nb_queue_pairs = (uint16_t)pairs,
		.ff_disable = RTE_CRYPTODEV_FF_ASYMMETRIC_CRYPTO | RTE_CRYPTODEV_FF_SECURITY,
	};
	struct rte_cryptodev_qp_conf pair = {.nb_descriptors = DESCRIPTORS};
	int ret = rte_cryptodev_configure(pw_cryptodev.id, &config);

	for (uint16_t i = 0; i < pairs && ret == 0; i++)
		ret = rte_cryptodev_queue_pair_setup(pw_cryptodev.id, i, &pair, pw_cryptodev.node);
	if (ret == 0)
		ret = rte_cryptodev_start(pw_cryptodev.id);
	if (ret == 0)
		pw_cryptodev.pairs_free = pairs == PAIRS_MAX ? ~0ull : (1ull << pairs) - 1;
	return ret;
}

static void device_drop(void)
{
	rte_cryptodev_close(pw_cryptodev.id);
	if (pw_cryptodev.created[0] != '\0')
		rte_eal_hotplug_remove("vdev", pw_cryptodev.created);
}

int pw_cryptodev_start(const struct pw_crypto_engine_spec *spec, unsigned int workers, char *why)
{
	struct rte_cryptodev_info info;
	int ret = device_find(spec->device);

	memset(&pw_cryptodev, 0, sizeof(pw_cryptodev));
	if (ret < 0)
		ret = device_make(spec->device, workers, why);
	if (ret < 0) {
		if (pw_cryptodev.created[0] != '\0')
			rte_eal_hotplug_remove("vdev", pw_cryptodev.created);
		return ret;
	}
	pw_cryptodev.id = (uint8_t)ret;
	pw_cryptodev.node = rte_cryptodev_socket_id(pw_cryptodev.id);
	pw_cryptodev.wait = rte_get_tsc_hz() * spec->wait_ms / 1000;
	snprintf(pw_cryptodev.name, sizeof(pw_cryptodev.name), "%s",
		 rte_cryptodev_name_get(pw_cryptodev.id));
	rte_cryptodev_info_get(pw_cryptodev.id, &info);
	ret = features_check(&info, workers, why);
	if (ret == 0) {
		ret = pairs_setup(workers);
		if (ret)
			refuse(ret, why, "the cryptodev %s does not start: %s", pw_cryptodev.name,
			       ret == -1 ? "the driver does not say why" : rte_strerror(-ret));
	}
	if (ret)
		device_drop();
	return ret;
}

void pw_cryptodev_stop(void)
{
	rte_cryptodev_stop(pw_cryptodev.id);
	pw_cryptodev_keys_sweep(true);
	device_drop();
	pw_cryptodev_pools_free();
}

/* ---- queue pairs -------------------------------------------------------------------------- */

int pw_cryptodev_pair_take(void)
{
	int pair = __builtin_ffsll((long long)pw_cryptodev.pairs_free) - 1;

	if (pair < 0)
		return -ENOSPC;
	pw_cryptodev.pairs_free &= ~(1ull << pair);
	return pair;
}

void pw_cryptodev_pair_give(uint16_t pair)
{
	pw_cryptodev.pairs_free |= 1ull << pair;
}
