/* SPDX-License-Identifier: Apache-2.0 */
/* log - see include/isola/log.h. One line, one write. */
#include "isola/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

static const char *log_program = "isola";
static enum log_level log_max = LOG_LEVEL_INFO;
static int log_journal; /* stderr is the journal: level prefix, no time stamp */

static const struct {
	const char *name;
	enum log_level level;
} level_names[] = {
	{ "error", LOG_LEVEL_ERR },
	{ "warn", LOG_LEVEL_WARN },
	{ "info", LOG_LEVEL_INFO },
	{ "debug", LOG_LEVEL_DEBUG },
};

void log_init(const char *program, enum log_level level)
{
	log_program = program;
	log_max = level;
	log_journal = getenv("JOURNAL_STREAM") != NULL;
}

int log_level_parse(const char *text, enum log_level *ret_level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++) {
		if (!strcmp(text, level_names[i].name)) {
			*ret_level = level_names[i].level;
			return 0;
		}
	}
	return -EINVAL;
}

static const char *level_name(enum log_level level)
{
	for (size_t i = 0; i < sizeof(level_names) / sizeof(level_names[0]); i++)
		if (level_names[i].level == level)
			return level_names[i].name;
	return "?";
}

static int put_head(char *buf, size_t size, enum log_level level)
{
	if (log_journal)
		return snprintf(buf, size, "<%d>", (int)level);
	struct timespec ts;
	struct tm tm;
	(void)clock_gettime(CLOCK_REALTIME, &ts);
	(void)gmtime_r(&ts.tv_sec, &tm);
	char stamp[32];
	(void)strftime(stamp, sizeof(stamp), "%Y-%m-%dT%H:%M:%S", &tm);
	return snprintf(buf, size, "%s.%03ldZ %s %s: ", stamp, ts.tv_nsec / 1000000, log_program,
			level_name(level));
}

void log_line(enum log_level level, const char *id, const char *fmt, ...)
{
	if (level > log_max)
		return;
	int saved = errno;
	char buf[2048];
	size_t n = (size_t)put_head(buf, sizeof(buf), level);
	if (id)
		n += (size_t)snprintf(buf + n, sizeof(buf) - n, "[%.12s] ", id);
	va_list ap;
	va_start(ap, fmt);
	int m = vsnprintf(buf + n, sizeof(buf) - n - 1, fmt, ap);
	va_end(ap);
	if (m > 0)
		n += (size_t)m;
	if (n > sizeof(buf) - 2)
		n = sizeof(buf) - 2;
	/* Foreign text may hold newlines: one record stays one line. */
	for (size_t i = 0; i < n; i++)
		if (buf[i] == '\n' || buf[i] == '\r')
			buf[i] = ' ';
	buf[n++] = '\n';
	ssize_t w = write(STDERR_FILENO, buf, n);
	(void)w;
	errno = saved;
}
