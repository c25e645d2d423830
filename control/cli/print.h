/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PEWTERCTL_PRINT_H
#define PEWTERCTL_PRINT_H

#include <stdbool.h>
#include <stdint.h>

/**
 * One set of calls, two outputs: text for people, or JSON. In JSON, @p format is not used; in
 * text, @p key is not, and objects and arrays print nothing. A NULL @p key is for elements of
 * arrays and for what stands alone; a NULL @p format leaves a value to JSON.
 */
void print_json(bool json);
bool printing_json(void);

void print_object_begin(const char *key);
void print_object_end(void);
void print_array_begin(const char *key);
void print_array_end(void);

void print_string(const char *key, const char *format, const char *value);
/** @p format has one conversion for a uint64_t (PRIu64). */
void print_number(const char *key, const char *format, uint64_t value);
void print_real(const char *key, const char *format, double value);
void print_bool(const char *key, const char *text, bool value);      /* text only when true */
void print_hex(const char *key, const uint8_t *data, uint32_t size); /* JSON only */

/** Text only. */
void print_text(const char *format, ...) __attribute__((format(printf, 1, 2)));

/** The end of a line of text; in JSON too, where nothing is open any more. Flushes. */
void print_line(void);

#endif
