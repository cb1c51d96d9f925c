/* SPDX-License-Identifier: Apache-2.0 */
/* log - lines for the operator, written by program tops only (libraries
 * return errors). To stderr as text, with a <N> level prefix and fields for
 * journald when stderr is the journal (sd-daemon(3), native protocol not
 * needed for that). Thread-safe: one write(2) a line. */
#pragma once

enum log_level {
	LOG_LEVEL_ERR = 3,
	LOG_LEVEL_WARN = 4,
	LOG_LEVEL_INFO = 6,
	LOG_LEVEL_DEBUG = 7,
};

/* Names the program in each line; @program must stay valid. Lines above
 * @level are dropped. Call once, before threads. */
void log_init(const char *program, enum log_level level);

/* "error", "warn", "info", "debug" -> @ret_level; -EINVAL otherwise. */
int log_level_parse(const char *text, enum log_level *ret_level);

/* @id: instance id the line is about, or NULL. */
void log_line(enum log_level level, const char *id, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

#define log_error(id, ...) log_line(LOG_LEVEL_ERR, id, __VA_ARGS__)
#define log_warn(id, ...)  log_line(LOG_LEVEL_WARN, id, __VA_ARGS__)
#define log_info(id, ...)  log_line(LOG_LEVEL_INFO, id, __VA_ARGS__)
#define log_debug(id, ...) log_line(LOG_LEVEL_DEBUG, id, __VA_ARGS__)
