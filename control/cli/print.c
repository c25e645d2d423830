/* SPDX-License-Identifier: BSD-3-Clause */
#include "control/cli/print.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#pragma GCC diagnostic ignored "-Wformat-nonliteral"

static bool json_output;
static bool comma; /* before the next value */
static unsigned int depth;

void print_json(bool json)
{
	json_output = json;
}

bool printing_json(void)
{
	return json_output;
}

static void quoted(const char *text)
{
	putchar('"');
	for (; *text != '\0'; text++) {
		unsigned char c = (unsigned char)*text;

		if (c == '"' || c == '\\')
			printf("\\%c", c);
		else if (c < 0x20 || c >= 0x7f)
			printf("\\u%04x", c);
		else
			putchar(c);
	}
	putchar('"');
}

static void begin_value(const char *key)
{
	if (comma)
		putchar(',');
	comma = true;
	if (key != NULL) {
		quoted(key);
		putchar(':');
	}
}

static void open_level(const char *key, char bracket)
{
	if (!json_output)
		return;
	begin_value(key);
	putchar(bracket);
	comma = false;
	depth++;
}

static void close_level(char bracket)
{
	if (!json_output)
		return;
	putchar(bracket);
	depth--;
	comma = depth > 0;
}

void print_object_begin(const char *key)
{
	open_level(key, '{');
}

void print_object_end(void)
{
	close_level('}');
}

void print_array_begin(const char *key)
{
	open_level(key, '[');
}

void print_array_end(void)
{
	close_level(']');
}

void print_string(const char *key, const char *format, const char *value)
{
	if (value == NULL)
		return;
	if (json_output) {
		begin_value(key);
		quoted(value);
	} else if (format != NULL) {
		printf(format, value);
	}
}

void print_number(const char *key, const char *format, uint64_t value)
{
	if (json_output) {
		begin_value(key);
		printf("%" PRIu64, value);
	} else if (format != NULL) {
		printf(format, value);
	}
}

void print_real(const char *key, const char *format, double value)
{
	if (json_output) {
		begin_value(key);
		printf("%.3f", value);
	} else if (format != NULL) {
		printf(format, value);
	}
}

void print_bool(const char *key, const char *text, bool value)
{
	if (json_output) {
		begin_value(key);
		fputs(value ? "true" : "false", stdout);
	} else if (text != NULL && value) {
		fputs(text, stdout);
	}
}

void print_hex(const char *key, const uint8_t *data, uint32_t size)
{
	uint32_t i;

	if (!json_output)
		return;
	begin_value(key);
	putchar('"');
	for (i = 0; i < size; i++)
		printf("%02x", data[i]);
	putchar('"');
}

void print_text(const char *format, ...)
{
	va_list args;

	if (json_output)
		return;
	va_start(args, format);
	vprintf(format, args);
	va_end(args);
}

void print_line(void)
{
	if (json_output && depth > 0)
		return;
	putchar('\n');
	comma = false;
	fflush(stdout);
}
