/* SPDX-License-Identifier: BSD-3-Clause */
/* Which algorithms there are, and in which words the others are refused (RFC 8221). */
#include "drivers/crypto_internal.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define XFRM_GCM    "rfc4106(gcm(aes))"
#define XFRM_GMAC   "rfc4543(gcm(aes))"
#define XFRM_CHACHA "rfc7539esp(chacha20,poly1305)"
#define XFRM_CBC    "cbc(aes)"
#define XFRM_CTR    "rfc3686(ctr(aes))"
#define XFRM_NULL   "ecb(cipher_null)"
#define XFRM_SHA1   "hmac(sha1)"
#define XFRM_SHA256 "hmac(sha256)"
#define XFRM_SHA384 "hmac(sha384)"
#define XFRM_SHA512 "hmac(sha512)"

/* clang-format off */
/* name, XFRM's name, method, key with salt, salt, IV, alignment */
#define AEAD(n, x, m, key, iv) {n, x, NULL, m, (key) + 4, 4, 0, iv, 16, 4}
#define WITH(n, x, m, key, salt, iv, align, hash, hash_name, hash_key, icv) \
	{n hash, x, hash_name, m, (key) + (salt), salt, hash_key, iv, icv, align}
#define WITH_EACH_HMAC(n, x, m, key, salt, iv, align) \
	WITH(n, x, m, key, salt, iv, align, "sha1", XFRM_SHA1, 20, 12), \
	WITH(n, x, m, key, salt, iv, align, "sha256", XFRM_SHA256, 32, 16), \
	WITH(n, x, m, key, salt, iv, align, "sha384", XFRM_SHA384, 48, 24), \
	WITH(n, x, m, key, salt, iv, align, "sha512", XFRM_SHA512, 64, 32)

static const struct pw_crypto_suite suites[] = {
	AEAD("aes128gcm16", XFRM_GCM, PW_CRYPTO_GCM, 16, 8),
	AEAD("aes192gcm16", XFRM_GCM, PW_CRYPTO_GCM, 24, 8),
	AEAD("aes256gcm16", XFRM_GCM, PW_CRYPTO_GCM, 32, 8),
	AEAD("chacha20poly1305", XFRM_CHACHA, PW_CRYPTO_CHACHA, 32, 8),
	AEAD("aes128gmac", XFRM_GMAC, PW_CRYPTO_GMAC, 16, 8),
	AEAD("aes192gmac", XFRM_GMAC, PW_CRYPTO_GMAC, 24, 8),
	AEAD("aes256gmac", XFRM_GMAC, PW_CRYPTO_GMAC, 32, 8),
	WITH_EACH_HMAC("aes128-", XFRM_CBC, PW_CRYPTO_CBC, 16, 0, 16, 16),
	WITH_EACH_HMAC("aes192-", XFRM_CBC, PW_CRYPTO_CBC, 24, 0, 16, 16),
	WITH_EACH_HMAC("aes256-", XFRM_CBC, PW_CRYPTO_CBC, 32, 0, 16, 16),
	WITH_EACH_HMAC("aes128ctr-", XFRM_CTR, PW_CRYPTO_CTR, 16, 4, 8, 4),
	WITH_EACH_HMAC("aes192ctr-", XFRM_CTR, PW_CRYPTO_CTR, 24, 4, 8, 4),
	WITH_EACH_HMAC("aes256ctr-", XFRM_CTR, PW_CRYPTO_CTR, 32, 4, 8, 4),
	WITH_EACH_HMAC("null-", XFRM_NULL, PW_CRYPTO_NULL, 0, 0, 0, 4),
};

/* Other names of the kernel's for the same things. */
static const struct {
	const char *name;
	const char *means;
} aliases[] = {
	{"aes", XFRM_CBC},
	{"cipher_null", XFRM_NULL},
	{"sha1", XFRM_SHA1},
	{"sha256", XFRM_SHA256},
	{"sha384", XFRM_SHA384},
	{"sha512", XFRM_SHA512},
};

/* Known, and refused. */
static const struct {
	const char *name;
	const char *because;
} refused[] = {
	{"cbc(des)", "56-bit keys can be searched (RFC 8221 section 5: MUST NOT)"},
	{"des", "56-bit keys can be searched (RFC 8221 section 5: MUST NOT)"},
	{"cbc(des3_ede)", "64-bit blocks repeat within one SA's traffic (RFC 8221 section 5)"},
	{"des3_ede", "64-bit blocks repeat within one SA's traffic (RFC 8221 section 5)"},
	{"cbc(blowfish)", "64-bit blocks (RFC 8221 section 5: MUST NOT)"},
	{"blowfish", "64-bit blocks (RFC 8221 section 5: MUST NOT)"},
	{"cbc(cast5)", "64-bit blocks repeat within one SA's traffic"},
	{"hmac(md5)", "MD5 is broken (RFC 8221 section 6: MUST NOT)"},
	{"md5", "MD5 is broken (RFC 8221 section 6: MUST NOT)"},
	{"digest_null", "a cipher without integrity protects nothing (RFC 8221 section 4)"},
};
/* clang-format on */

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

const struct pw_crypto_suite *pw_crypto_suite_at(unsigned int index)
{
	return index < COUNT(suites) ? &suites[index] : NULL;
}

static const char *canonical(const char *name)
{
	for (size_t i = 0; i < COUNT(aliases); i++)
		if (strcmp(aliases[i].name, name) == 0)
			return aliases[i].means;
	return name;
}

static bool same(const char *a, const char *b)
{
	return a == NULL || b == NULL ? a == b : strcmp(a, b) == 0;
}

/* 0 when some suite uses this name as its cipher or AEAD (or as its HMAC). */
static int name_check(const char *name, bool as_auth, char *why)
{
	for (size_t i = 0; i < COUNT(refused); i++)
		if (strcmp(refused[i].name, name) == 0) {
			snprintf(why, PW_CRYPTO_WHY_BYTES, "%s is refused: %s", name,
				 refused[i].because);
			return -ENOSYS;
		}
	for (size_t i = 0; i < COUNT(suites); i++)
		if (same(as_auth ? suites[i].auth : suites[i].cipher, name))
			return 0;
	snprintf(why, PW_CRYPTO_WHY_BYTES, "unknown %s algorithm %.64s",
		 as_auth ? "integrity" : "encryption", name);
	return -ENOSYS;
}

/* Says which of a proposal's numbers no suite has. */
static int length_refuse(const struct pw_crypto_proposal *proposal, const char *cipher,
			 const char *auth, char *why)
{
	const struct pw_crypto_suite *suite = NULL;
	bool key_known = false;

	for (size_t i = 0; i < COUNT(suites); i++)
		if (same(suites[i].cipher, cipher) && same(suites[i].auth, auth)) {
			suite = &suites[i];
			key_known |= proposal->key_bits == suite->key_bytes * 8u;
		}
	if (suite == NULL)
		snprintf(why, PW_CRYPTO_WHY_BYTES,
			 auth ? "%s has its own integrity check and takes no %s"
			      : "%s needs an integrity algorithm (RFC 8221 section 4)",
			 cipher, auth);
	else if (!key_known)
		snprintf(why, PW_CRYPTO_WHY_BYTES, "%s takes no key of %u bits%s", cipher,
			 proposal->key_bits,
			 suite->salt_bytes ? " (32 bits of salt or nonce included)" : "");
	else if (proposal->auth_key_bits != suite->auth_key_bytes * 8u)
		snprintf(why, PW_CRYPTO_WHY_BYTES, "%s takes a key of %u bits, not of %u", auth,
			 suite->auth_key_bytes * 8u, proposal->auth_key_bits);
	else
		snprintf(why, PW_CRYPTO_WHY_BYTES, "%s has an ICV of %u bits, not of %u",
			 auth ? auth : cipher, suite->icv_bytes * 8u, proposal->icv_bits);
	return -EINVAL;
}

int pw_crypto_suite_find(const struct pw_crypto_proposal *proposal,
			 const struct pw_crypto_suite **suite, char *why)
{
	const char *cipher = canonical(proposal->cipher);
	const char *auth = proposal->auth ? canonical(proposal->auth) : NULL;
	int ret = name_check(cipher, false, why);

	*suite = NULL;
	if (ret == 0 && auth != NULL)
		ret = name_check(auth, true, why);
	if (ret)
		return ret;
	for (size_t i = 0; i < COUNT(suites); i++) {
		const struct pw_crypto_suite *s = &suites[i];

		if (same(s->cipher, cipher) && same(s->auth, auth) &&
		    proposal->key_bits == s->key_bytes * 8u &&
		    proposal->auth_key_bits == s->auth_key_bytes * 8u &&
		    proposal->icv_bits == s->icv_bytes * 8u) {
			ret = pw_crypto_engine->lacks(s, why);
			*suite = ret ? NULL : s;
			return ret;
		}
	}
	return length_refuse(proposal, cipher, auth, why);
}
