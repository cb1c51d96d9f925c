/* SPDX-License-Identifier: Apache-2.0 */
/* progress - see progress.h. Runs in isola-image, one thread. */
#include "progress.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define INTERVAL_NS 100000000

static void print(json_object *line)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	strbuf_puts(&b, json_object_to_json_string_ext(
				line, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	strbuf_putc(&b, '\n');
	if (strbuf_ok(&b))
		(void)fd_write_all(STDOUT_FILENO, b.text, b.len);
	json_object_put(line);
}

/* Length of the UTF-8 sequence at @p (RFC 3629), 0 when it is none. */
static size_t utf8_len(const unsigned char *p)
{
	static const struct {
		unsigned char mask, lead, min2, max2;
		size_t len;
	} rows[] = {
		{ 0x80, 0x00, 0, 0, 1 },       { 0xff, 0xe0, 0xa0, 0xbf, 3 },
		{ 0xff, 0xed, 0x80, 0x9f, 3 }, { 0xf0, 0xe0, 0x80, 0xbf, 3 },
		{ 0xff, 0xf0, 0x90, 0xbf, 4 }, { 0xff, 0xf4, 0x80, 0x8f, 4 },
		{ 0xfc, 0xf0, 0x80, 0xbf, 4 }, { 0xe0, 0xc0, 0x80, 0xbf, 2 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if ((p[0] & rows[i].mask) != rows[i].lead)
			continue;
		if (rows[i].len == 2 && p[0] < 0xc2)
			return 0;
		for (size_t k = 1; k < rows[i].len; k++)
			if ((p[k] & 0xc0) != 0x80 ||
			    (k == 1 && (p[k] < rows[i].min2 || p[k] > rows[i].max2)))
				return 0;
		return rows[i].len;
	}
	return 0;
}

/* A copy of @text in which each byte that is no UTF-8 is a '?'. */
static json_object *new_text(const char *text)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	for (const unsigned char *p = (const unsigned char *)text; *p;) {
		size_t n = utf8_len(p);
		if (n > 0)
			strbuf_add(&b, p, n);
		else
			strbuf_putc(&b, '?');
		p += n ? n : 1;
	}
	return json_object_new_string(strbuf_ok(&b) && b.text ? b.text : "");
}

static int64_t monotonic_ns(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000000000LL + ts.tv_nsec;
}

void progress_status(const char *status, const char *id, uint64_t current, uint64_t total)
{
	static char last_id[16];
	static int64_t last_ns;
	char short_id[13] = "";
	int64_t now = monotonic_ns();
	if (id)
		(void)snprintf(short_id, sizeof(short_id), "%s",
			       strncmp(id, "sha256:", 7) ? id : id + 7);
	if (!strcmp(short_id, last_id) && current != total && now - last_ns < INTERVAL_NS)
		return;
	strcpy(last_id, short_id);
	last_ns = now;
	json_object *line = json_object_new_object();
	json_add_str(line, "status", status);
	if (!id) {
		print(line);
		return;
	}
	json_object *detail = json_object_new_object();
	json_add_str(line, "id", short_id);
	json_add_i64(detail, "current", (int64_t)current);
	if (total > 0)
		json_add_i64(detail, "total", (int64_t)total);
	json_add(line, "progressDetail", detail);
	print(line);
}

void progress_stream(const char *fmt, ...)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	va_list ap;
	va_start(ap, fmt);
	strbuf_vprintf(&b, fmt, ap);
	va_end(ap);
	json_object *line = json_object_new_object();
	json_add(line, "stream", new_text(strbuf_ok(&b) && b.text ? b.text : ""));
	print(line);
}

void progress_error(const struct err *err)
{
	json_object *line = json_object_new_object(), *detail = json_object_new_object();
	json_add(detail, "message", new_text(err->text));
	json_add(line, "errorDetail", detail);
	json_add(line, "error", new_text(err->text));
	json_add_i64(line, "errno", err->code);
	print(line);
}

void progress_aux(json_object *aux)
{
	json_object *line = json_object_new_object();
	json_add(line, "aux", aux);
	print(line);
}
