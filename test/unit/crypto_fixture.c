/* SPDX-License-Identifier: BSD-3-Clause */
#include "crypto_fixture.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include <rte_eal.h>

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

int engine_from_environment(unsigned int workers)
{
	/* As the daemon starts it without hugepages. */
	char *arguments[] = {"test", "--no-huge", "--no-shconf",        "-m",
			     "128",  "--no-pci",  "--no-telemetry",     "--iova-mode=va",
			     "-l",   "0",         "--log-level=*:error"};
	const char *wanted = getenv("PW_CRYPTO");
	struct pw_crypto_engine_spec spec;
	char why[PW_CRYPTO_WHY_BYTES];
	int ret;

	if (wanted == NULL)
		return 0;
	if (pw_crypto_engine_parse(wanted, &spec, why)) {
		print_error("PW_CRYPTO: %s\n", why);
		return 1;
	}
	if (spec.device[0] == '\0')
		return 0;
	if (rte_eal_init(sizeof(arguments) / sizeof(arguments[0]), arguments) < 0) {
		print_error("DPDK does not start\n");
		return 1;
	}
	ret = pw_crypto_engine_start(&spec, workers, why);
	if (ret == 0)
		return 0;
	print_message("%s%s\n", why, ret == -ENODEV ? ": skipped" : "");
	return ret == -ENODEV ? 77 : 1;
}

bool suite_usable(const struct pw_crypto_suite *suite)
{
	char why[PW_CRYPTO_WHY_BYTES];

	return pw_crypto_engine->lacks(suite, why) == 0;
}

bool engine_is_direct(void)
{
	return pw_crypto_engine == &pw_crypto_ipsec_mb;
}
