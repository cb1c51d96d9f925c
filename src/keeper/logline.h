/* SPDX-License-Identifier: Apache-2.0 */
/* logline - one record of a json-file log, taken apart. The file may have been
 * damaged by a crash, or be another program's: nothing is taken for granted. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct logline {
	const char *text; /* the payload's bytes; may hold NUL */
	size_t size;
	bool is_stderr;
	const char *time; /* RFC 3339 text, not terminated */
	size_t time_size;
	char *attrs; /* inside of the "attrs" object, raw; NULL when there is none */
	size_t attrs_size;
};

/* Parses the @size bytes of one line, without its "\n". Strings are decoded in
 * place, so @line is changed, and @ret points into it. 0, or -EINVAL when it is
 * no record: a JSON object with "log", "stream" and "time" strings. */
int logline_parse(char *line, size_t size, struct logline *ret);

/* The record's time; -EINVAL when it is none. */
int logline_time(const struct logline *line, int64_t *ret_ns);

/* Writes the attributes as `docker logs --details` shows them, "k=v,k2=v2", each
 * part URL-escaped, to @out, at most @size bytes (what does not fit is left
 * away whole). Decodes @line->attrs in place: call it once. Returns the length. */
size_t logline_details(struct logline *line, char *out, size_t size);
