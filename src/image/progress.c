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
	json_add_text(line, "stream", strbuf_ok(&b) && b.text ? b.text : "");
	print(line);
}

static int error_code;

void progress_set_code(int code)
{
	error_code = code;
}

void progress_line(json_object *line)
{
	print(json_object_get(line));
}

void progress_error(const struct err *err)
{
	json_object *line = json_object_new_object(), *detail = json_object_new_object();
	json_add_text(detail, "message", err->text);
	if (error_code)
		json_add_i64(detail, "code", error_code);
	json_add(line, "errorDetail", detail);
	json_add_text(line, "error", err->text);
	json_add_i64(line, "errno", err->code);
	print(line);
}

void progress_aux(json_object *aux)
{
	json_object *line = json_object_new_object();
	json_add(line, "aux", aux);
	print(line);
}
