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

/* Is it too early for another line about @id? Of the ids beyond those of transfers that
 * go on at once, the one that was silent longest is forgotten. */
static bool is_too_early(const char *id)
{
	static struct {
		char id[16];
		int64_t ns;
	} last[16];
	int64_t now = monotonic_ns();
	size_t oldest = 0;
	for (size_t i = 0; i < sizeof(last) / sizeof(last[0]); i++) {
		if (!strcmp(last[i].id, id)) {
			if (now - last[i].ns < INTERVAL_NS)
				return true;
			last[i].ns = now;
			return false;
		}
		if (last[i].ns < last[oldest].ns)
			oldest = i;
	}
	(void)snprintf(last[oldest].id, sizeof(last[oldest].id), "%s", id);
	last[oldest].ns = now;
	return false;
}

void progress_status(const char *status, const char *id, uint64_t current, uint64_t total)
{
	json_object *line = json_object_new_object(), *detail = NULL;
	char short_id[160];
	if (id) {
		bool is_digest = !strncmp(id, "sha256:", 7);
		(void)snprintf(short_id, sizeof(short_id), is_digest ? "%.12s" : "%s",
			       is_digest ? id + 7 : id);
		if (current != total && is_too_early(short_id)) {
			json_object_put(line);
			return;
		}
		detail = json_object_new_object();
	}
	json_add_text(line, "status", status);
	if (detail) {
		json_add_text(line, "id", short_id);
		if (current > 0 || total > 0)
			json_add_i64(detail, "current", (int64_t)current);
		if (total > 0)
			json_add_i64(detail, "total", (int64_t)total);
		json_add(line, "progressDetail", detail);
	}
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

void progress_detail(json_object *aux)
{
	json_object *line = json_object_new_object();
	json_add(line, "progressDetail", json_object_new_object());
	json_add(line, "aux", aux);
	print(line);
}

void progress_aux(json_object *aux)
{
	json_object *line = json_object_new_object();
	json_add(line, "aux", aux);
	print(line);
}
