/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/preload_path.h"

#include <libgen.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define NAME "libpewter-run.so"

static bool fits(int length, size_t size)
{
	return length > 0 && (size_t)length < size;
}

bool pw_preload_path(char *path, size_t size)
{
	static const char *const beside[] = {"", "control/cli/", "../lib/pewter/"};
	char self[4096];
	ssize_t length = readlink("/proc/self/exe", self, sizeof(self) - 1);

	if (length > 0) {
		const char *folder;

		self[length] = 0;
		folder = dirname(self);
		for (size_t i = 0; i < sizeof(beside) / sizeof(beside[0]); i++)
			if (fits(snprintf(path, size, "%s/%s" NAME, folder, beside[i]), size) &&
			    access(path, R_OK) == 0)
				return true;
	}
	return fits(snprintf(path, size, "%s/" NAME, PW_LIBDIR), size) && access(path, R_OK) == 0;
}

bool pw_preload_value(const char *library, char *value, size_t size)
{
	const char *others = getenv("LD_PRELOAD");

	if (!others || !*others)
		return fits(snprintf(value, size, "%s", library), size);
	return fits(snprintf(value, size, "%s:%s", library, others), size);
}
