/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/bgp/config_words.h"

#include <ctype.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int __attribute__((format(printf, 2, 3)))
bgp_config_refuse(struct bgp_parser *parser, const char *format, ...)
{
	va_list args;
	int used = snprintf(parser->error, parser->size, "%s:%u: ", parser->path, parser->line);

	va_start(args, format);
	if (used > 0 && (size_t)used < parser->size)
		vsnprintf(parser->error + used, parser->size - (size_t)used, format, args);
	va_end(args);
	return -EINVAL;
}

const char *bgp_config_take(struct bgp_parser *parser)
{
	if (!parser->count)
		return NULL;
	parser->count--;
	return *parser->words++;
}

/** The word behind @p what, which must be there. */
int bgp_config_take_value(struct bgp_parser *parser, const char *what, const char **word)
{
	*word = bgp_config_take(parser);
	return *word ? 0 : bgp_config_refuse(parser, "\"%s\" needs a value", what);
}

int bgp_config_take_number(struct bgp_parser *parser, const char *what, uint32_t min, uint32_t max,
			   uint32_t *value)
{
	const char *word;
	unsigned long long number;
	char *end;

	if (bgp_config_take_value(parser, what, &word))
		return -EINVAL;
	errno = 0;
	number = strtoull(word, &end, 10);
	if (!isdigit((unsigned char)*word) || *end || errno || number < min || number > max)
		return bgp_config_refuse(parser, "\"%s\" takes a number from %u to %u, not \"%s\"",
					 what, min, max, word);
	*value = (uint32_t)number;
	return 0;
}

int bgp_config_take_number16(struct bgp_parser *parser, const char *what, uint32_t min,
			     uint32_t max, uint16_t *value)
{
	uint32_t number = 0;

	if (bgp_config_take_number(parser, what, min, max, &number))
		return -EINVAL;
	*value = (uint16_t)number;
	return 0;
}

int bgp_config_take_address(struct bgp_parser *parser, const char *what,
			    struct bgp_address *address)
{
	const char *word;

	if (bgp_config_take_value(parser, what, &word))
		return -EINVAL;
	return bgp_address_parse(word, address)
		       ? 0
		       : bgp_config_refuse(parser, "\"%s\" takes an address, not \"%s\"", what,
					   word);
}

int bgp_config_take_text(struct bgp_parser *parser, const char *what, char *text, size_t size)
{
	const char *word;

	if (bgp_config_take_value(parser, what, &word))
		return -EINVAL;
	if (strlen(word) >= size)
		return bgp_config_refuse(parser, "\"%s\": \"%s\" is longer than %zu characters",
					 what, word, size - 1);
	strcpy(text, word);
	return 0;
}

int bgp_config_take_rd(struct bgp_parser *parser, const char *what, bool target, uint64_t *rd)
{
	const char *word;

	if (bgp_config_take_value(parser, what, &word))
		return -EINVAL;
	return bgp_rd_parse(word, target, rd)
		       ? 0
		       : bgp_config_refuse(parser,
					   "\"%s\" takes AS:NUMBER or ADDRESS:NUMBER, not \"%s\"",
					   what, word);
}
