/* SPDX-License-Identifier: BSD-3-Clause */
#include "crypto_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "drivers/crypto_internal.h"

const struct pw_crypto_suite *suite_named(const char *name)
{
	const struct pw_crypto_suite *suite;

	for (unsigned int s = 0; (suite = pw_crypto_suite_at(s)) != NULL; s++)
		if (strcmp(suite->name, name) == 0)
			return suite;
	fail_msg("no suite is called %s", name);
	return NULL;
}

int compare_iv(const void *a, const void *b)
{
	return memcmp(a, b, 16);
}

int arch_from_environment(void)
{
	static const struct {
		const char *name;
		IMB_ARCH arch;
	} archs[] = {{"sse", IMB_ARCH_SSE}, {"avx", IMB_ARCH_AVX}, {"avx2", IMB_ARCH_AVX2}};
	const char *wanted = getenv("PW_CRYPTO_ARCH");

	if (wanted == NULL)
		return 0;
	for (size_t i = 0; i < sizeof(archs) / sizeof(archs[0]); i++)
		if (strcmp(archs[i].name, wanted) == 0) {
			pw_crypto_arch_max = archs[i].arch;
			return 0;
		}
	return -EINVAL;
}
