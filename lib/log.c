/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

static enum pw_log_level log_level = PW_LOG_INFO;
static const char *log_name = "pewterd";

static const char *const level_names[] = {
	[PW_LOG_ERROR] = "error",
	[PW_LOG_WARNING] = "warning",
	[PW_LOG_INFO] = "info",
	[PW_LOG_DEBUG] = "debug",
};

void pw_log_set_name(const char *name)
{
	log_name = name;
}

void pw_log_set_level(enum pw_log_level level)
{
	log_level = level;
}

int pw_log_parse_level(const char *name)
{
	for (int i = PW_LOG_ERROR; i <= PW_LOG_DEBUG; i++)
		if (strcmp(name, level_names[i]) == 0)
			return i;
	return -EINVAL;
}

void pw_log(enum pw_log_level level, const char *format, ...)
{
	char line[1024];
	va_list args;

	if (level > log_level)
		return;
	va_start(args, format);
	vsnprintf(line, sizeof(line), format, args);
	va_end(args);
	/* One write a line: several daemons may share a terminal. */
	fprintf(stderr, "%s: %s%s%s\n", log_name, level == PW_LOG_INFO ? "" : level_names[level],
		level == PW_LOG_INFO ? "" : ": ", line);
}
