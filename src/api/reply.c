/* SPDX-License-Identifier: Apache-2.0 */
/* reply - answers: heads, whole bodies, chunks, errors (RFC 9112). A short
 * answer leaves with one system call. isolad, loop thread. */
#include "conn.h"
#include "exchange.h"
#include "router.h"
#include "server.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/log.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define JSON_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

/* daemon.h: how errors of the core show in HTTP. */
static const struct {
	int code, status;
} error_status[] = {
	{ ENOENT, 404 }, { EINVAL, 400 }, { EEXIST, 409 },   { EBUSY, 409 },      { EALREADY, 304 },
	{ EROFS, 403 },  { EPERM, 403 },  { EMSGSIZE, 413 }, { EOPNOTSUPP, 501 },
};

static int status_of(int code)
{
	for (size_t i = 0; i < sizeof(error_status) / sizeof(error_status[0]); i++)
		if (error_status[i].code == code)
			return error_status[i].status;
	return 500;
}

static void count(struct exchange *x, int status)
{
	x->conn->server->requests[status == 101 ? 0 : status / 100 % 6]++;
}

/* The head, up to and with the empty line. @length -1: no Content-Length. */
static size_t make_head(struct exchange *x, char *head, size_t size, int status,
			const char *content_type, ssize_t length, const char *framing)
{
	char counted[40] = "";
	if (length >= 0)
		(void)snprintf(counted, sizeof(counted), "Content-Length: %zd\r\n", length);
	int n = snprintf(head, size,
			 "HTTP/1.1 %d %s\r\nServer: Isola/%s (linux)\r\nApi-Version: %s\r\n"
			 "Docker-Experimental: false\r\nOstype: linux\r\nDate: %s\r\n"
			 "%s%s%s%s%s%s%s%s\r\n",
			 status, http_status_str((enum http_status)status), ISOLA_VERSION,
			 API_VERSION, server_date(x->conn->server),
			 content_type ? "Content-Type: " : "", content_type ? content_type : "",
			 content_type ? "\r\n" : "", counted, framing, x->fields,
			 x->long_fields ? x->long_fields : "",
			 x->conn->close_after ? "Connection: close\r\n" : "");
	return (size_t)n < size ? (size_t)n : size - 1;
}

void reply_text(struct exchange *x, int status, const char *content_type, const char *text,
		size_t size)
{
	if (!x->conn || x->replied)
		return;
	bool bodiless = status == 204 || status == 304;
	char small[1024];
	size_t size_max = sizeof(small) + (x->long_fields ? strlen(x->long_fields) : 0);
	cleanup_free char *large = x->long_fields ? malloc(size_max) : NULL;
	char *head = large ? large : small;
	count(x, status);
	x->replied = true;
	size_t n = make_head(x, head, large ? size_max : sizeof(small), status, content_type,
			     bodiless ? -1 : (ssize_t)size, "");
	uv_buf_t part[2] = {
		{ .base = head, .len = n },
		{ .base = (char *)(uintptr_t)text, .len = size },
	};
	/* HEAD gets the head GET would have got (RFC 9110, 9.3.2). */
	bool with_body = size > 0 && !bodiless && x->method != HTTP_HEAD;
	if (conn_write(x->conn, part, with_body ? 2 : 1) == 0)
		conn_finish(x->conn);
}

void reply_empty(struct exchange *x, int status)
{
	reply_text(x, status, NULL, "", 0);
}

void reply_json(struct exchange *x, int status, json_object *taken)
{
	cleanup_json json_object *o = taken;
	size_t size = 0;
	if (!x->conn || x->replied)
		return;
	const char *text = o ? json_object_to_json_string_length(o, JSON_FLAGS, &size) : NULL;
	if (text)
		reply_text(x, status, "application/json", text, size);
	else
		reply_error(x, 500, "out of memory");
}

static void reply_message(struct exchange *x, int status, const char *text)
{
	static const char fallback[] = "{\"message\":\"out of memory\"}";
	cleanup_json json_object *o = json_object_new_object();
	if (o)
		json_add_str(o, "message", text);
	size_t size = 0;
	const char *body = o ? json_object_to_json_string_length(o, JSON_FLAGS, &size) : NULL;
	if (body)
		reply_text(x, status, "application/json", body, size);
	else
		reply_text(x, status, "application/json", fallback, sizeof(fallback) - 1);
}

void reply_error(struct exchange *x, int status, const char *fmt, ...)
{
	char text[ERR_TEXT_BYTES];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	reply_message(x, status, text);
}

void reply_err(struct exchange *x, const struct err *err)
{
	int status = status_of(err->code);
	if (status == 500 && x->conn && !x->replied)
		log_error(NULL, "api: %s %s: %s", http_method_str((enum http_method)x->method),
			  x->url.text ? x->url.text : "", err->text);
	if (status == 304)
		reply_empty(x, status);
	else
		reply_message(x, status, err->text);
}

/* ---- answers in pieces ---- */

void reply_begin(struct exchange *x, int status, const char *content_type)
{
	if (!x->conn || x->replied)
		return;
	char head[1024];
	count(x, status);
	x->replied = true;
	x->chunked = x->http_minor > 0;
	/* Without chunks only the connection's end tells the answer's. */
	if (!x->chunked)
		x->conn->close_after = true;
	size_t n = make_head(x, head, sizeof(head), status, content_type, -1,
			     x->chunked ? "Transfer-Encoding: chunked\r\n" : "");
	uv_buf_t part = { .base = head, .len = n };
	(void)conn_write(x->conn, &part, 1);
}

/* One chunk of @data and @tail. */
static void write_chunk(struct exchange *x, const void *data, size_t size, const char *tail)
{
	if (!x->conn || size == 0)
		return;
	if (conn_queued(x->conn) + size > API_QUEUE_BYTES) {
		log_warn(NULL, "api: a client that does not read its stream is dropped");
		x->conn->server->dropped++;
		conn_close(x->conn);
		return;
	}
	char line[24];
	int n = snprintf(line, sizeof(line), "%zx\r\n", size + strlen(tail));
	uv_buf_t part[4] = {
		{ .base = line, .len = (size_t)n },
		{ .base = (char *)(uintptr_t)data, .len = size },
		{ .base = (char *)(uintptr_t)tail, .len = strlen(tail) },
		{ .base = (char *)"\r\n", .len = 2 },
	};
	(void)conn_write(x->conn, x->chunked ? part : part + 1, x->chunked ? 4 : 2);
}

void reply_chunk(struct exchange *x, const void *data, size_t size)
{
	write_chunk(x, data, size, "");
}

void reply_chunk_line(struct exchange *x, const char *text, size_t size)
{
	write_chunk(x, text, size, "\n");
}

void reply_chunk_json(struct exchange *x, json_object *borrowed)
{
	size_t size = 0;
	const char *text = json_object_to_json_string_length(borrowed, JSON_FLAGS, &size);
	if (text)
		write_chunk(x, text, size, "\n");
}

void reply_end(struct exchange *x)
{
	if (!x->conn)
		return;
	uv_buf_t part = { .base = (char *)"0\r\n\r\n", .len = 5 };
	if (!x->chunked || conn_write(x->conn, &part, 1) == 0)
		conn_finish(x->conn);
}

/* ---- ends of operations ---- */

static void done_with(void *arg, const struct err *err, int status, json_object *result)
{
	struct exchange *x = arg;
	if (err)
		reply_err(x, err);
	else if (result)
		reply_json(x, status, json_object_get(result));
	else
		reply_empty(x, status);
	exchange_unref(x);
}

void done_no_content(void *arg, const struct err *err, json_object *result)
{
	(void)result;
	done_with(arg, err, 204, NULL);
}

void done_ok_empty(void *arg, const struct err *err, json_object *result)
{
	(void)result;
	done_with(arg, err, 200, NULL);
}

void done_ok_json(void *arg, const struct err *err, json_object *result)
{
	done_with(arg, err, 200, result);
}

void done_created_json(void *arg, const struct err *err, json_object *result)
{
	done_with(arg, err, 201, result);
}

void done_created_empty(void *arg, const struct err *err, json_object *result)
{
	(void)result;
	done_with(arg, err, 201, NULL);
}
