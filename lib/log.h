/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef PW_LOG_H
#define PW_LOG_H

/**
 * Logging to stderr, one line a call, with the level the operator asked for.
 * Control thread only: the packet's way never logs, it counts.
 */
enum pw_log_level {
	PW_LOG_ERROR,
	PW_LOG_WARNING,
	PW_LOG_INFO,
	PW_LOG_DEBUG,
};

/** The program's name, which begins each line (default "pewterd"). @p name must stay. */
void pw_log_set_name(const char *name);

/** Sets the most talkative level that is printed (default PW_LOG_INFO). */
void pw_log_set_level(enum pw_log_level level);

/** Parses "error", "warning", "info" or "debug". Returns the level, or -EINVAL. */
int pw_log_parse_level(const char *name);

/** Writes one line; no newline in @p format. */
void pw_log(enum pw_log_level level, const char *format, ...) __attribute__((format(printf, 2, 3)));

#define pw_error(...)   pw_log(PW_LOG_ERROR, __VA_ARGS__)
#define pw_warning(...) pw_log(PW_LOG_WARNING, __VA_ARGS__)
#define pw_info(...)    pw_log(PW_LOG_INFO, __VA_ARGS__)
#define pw_debug(...)   pw_log(PW_LOG_DEBUG, __VA_ARGS__)

#endif
