/* SPDX-License-Identifier: BSD-3-Clause */
/* --xfrm-mirror=WORD,... */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/feed/xfrm.h"

#define INTERVAL_MAX 3600

static bool number(const char *text, unsigned long *value, char **end)
{
	errno = 0;
	*value = strtoul(text, end, 0);
	return *text >= '0' && *text <= '9' && !errno && *value <= UINT32_MAX;
}

static bool pair(const char *text, char between, unsigned long *first, unsigned long *second)
{
	char *end;

	if (!number(text, first, &end))
		return false;
	if (*end == between)
		return number(end + 1, second, &end) && !*end;
	return !*end;
}

static bool word_parse(const char *name, const char *value, struct pw_xfrm_options *options)
{
	unsigned long first = 0, second;
	char *end;

	if (strcmp(name, "interval") == 0) {
		options->interval = number(value, &first, &end) && !*end ? (uint32_t)first : 0;
		return options->interval >= 1 && options->interval <= INTERVAL_MAX;
	}
	if (strcmp(name, "if_id") == 0) {
		if (!number(value, &first, &end) || *end)
			return false;
		options->if_id = (uint32_t)first;
		return true;
	}
	if (strcmp(name, "mark") == 0) {
		second = UINT32_MAX;
		options->by_mark = pair(value, '/', &first, &second);
		options->mark = (uint32_t)first;
		options->mask = (uint32_t)second;
		return options->by_mark;
	}
	if (strcmp(name, "reqid") != 0)
		return false;
	second = 0;
	options->by_reqid = pair(value, '-', &first, &second);
	options->reqid_first = (uint32_t)first;
	options->reqid_last = (uint32_t)(second ? second : first);
	return options->by_reqid && options->reqid_first <= options->reqid_last;
}

int pw_xfrm_mirror_parse(const char *text, struct pw_xfrm_options *options, char *why, size_t size)
{
	char *copy = strdup(text ? text : ""), *rest = copy, *word;
	int ret = copy ? 0 : -ENOMEM;

	options->enabled = true;
	while (!ret && text && (word = strsep(&rest, ","))) {
		char *value = strchr(word, '=');

		if (value)
			*value++ = '\0';
		if (value && word_parse(word, value, options))
			continue;
		ret = -EINVAL;
		snprintf(why, size,
			 "interval=SECONDS (1 to %u), reqid=N[-N], mark=VALUE[/MASK] or if_id=N, "
			 "not \"%s%s%s\"",
			 INTERVAL_MAX, word, value ? "=" : "", value ? value : "");
	}
	free(copy);
	return ret;
}
