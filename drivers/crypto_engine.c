/* SPDX-License-Identifier: BSD-3-Clause */
/* Which engine computes, and the way of a burst to it. */
#include "drivers/crypto_internal.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "drivers/crypto_cryptodev.h"

#define WAIT_DEFAULT_MS 100
#define WAIT_MAX_MS     10000

const struct pw_crypto_engine *pw_crypto_engine = &pw_crypto_ipsec_mb;

static int wait_parse(const char *text, struct pw_crypto_engine_spec *spec, char *why)
{
	unsigned int wait = 0;
	int used = 0;

	if (sscanf(text, "wait=%5u%n", &wait, &used) != 1 || text[used] != '\0' || wait == 0 ||
	    wait > WAIT_MAX_MS) {
		snprintf(why, PW_CRYPTO_WHY_BYTES,
			 "a cryptodev takes wait=1 to wait=%u (milliseconds), not \"%.40s\"",
			 WAIT_MAX_MS, text);
		return -EINVAL;
	}
	spec->wait_ms = wait;
	return 0;
}

int pw_crypto_engine_parse(const char *text, struct pw_crypto_engine_spec *spec, char *why)
{
	static const char cryptodev[] = "cryptodev=";
	size_t length;

	*spec = (struct pw_crypto_engine_spec){.wait_ms = WAIT_DEFAULT_MS};
	if (strcmp(text, "ipsec_mb") == 0)
		return 0;
	if (strncmp(text, cryptodev, strlen(cryptodev)) != 0) {
		snprintf(why, PW_CRYPTO_WHY_BYTES,
			 "there is no engine \"%.40s\" (ipsec_mb, or cryptodev=NAME)", text);
		return -EINVAL;
	}
	text += strlen(cryptodev);
	length = strcspn(text, ",");
	if (length == 0 || length >= sizeof(spec->device)) {
		snprintf(why, PW_CRYPTO_WHY_BYTES,
			 "cryptodev= takes a device's name of 1 to %zu characters",
			 sizeof(spec->device) - 1);
		return -EINVAL;
	}
	memcpy(spec->device, text, length);
	return text[length] == ',' ? wait_parse(text + length + 1, spec, why) : 0;
}

int pw_crypto_engine_start(const struct pw_crypto_engine_spec *spec, unsigned int workers,
			   char *why)
{
	int ret;

	if (spec->device[0] == '\0')
		return 0;
	ret = pw_cryptodev_start(spec, workers, why);
	if (ret == 0)
		pw_crypto_engine = &pw_crypto_cryptodev;
	return ret;
}

void pw_crypto_engine_stop(void)
{
	if (pw_crypto_engine == &pw_crypto_cryptodev)
		pw_cryptodev_stop();
	pw_crypto_engine = &pw_crypto_ipsec_mb;
}

unsigned int pw_crypto_seal(struct pw_crypto_worker *worker, struct pw_crypto_op *ops,
			    unsigned int count)
{
	return worker->engine->seal(worker, ops, count);
}

unsigned int pw_crypto_open(struct pw_crypto_worker *worker, struct pw_crypto_op *ops,
			    unsigned int count)
{
	return worker->engine->open(worker, ops, count);
}

void pw_crypto_key_prefetch(const struct pw_crypto_key *key)
{
	const uint8_t *line = (const uint8_t *)key;

	/* Its head and the round keys; of GHASH's powers, the low ones, which are the last. */
	for (unsigned int i = 0; i < 5; i++)
		__builtin_prefetch(line + i * 64, 0, 2);
	line += offsetof(struct pw_crypto_key, gcm) + sizeof(struct gcm_key_data);
	__builtin_prefetch(line - 64, 0, 2);
	__builtin_prefetch(line - 128, 0, 2);
}
