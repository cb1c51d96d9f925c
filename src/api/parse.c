/* SPDX-License-Identifier: Apache-2.0 */
/* parse - see parse.h. The parser's callbacks only record and pause it; what a
 * head or a whole request means is done after it returned, so that an answer
 * may close the connection without pulling the parser's feet away. */
#include "parse.h"

#include "conn.h"
#include "exchange.h"
#include "router.h"
#include "server.h"

#include "isola/fd.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

bool parse_is_open_ended(const struct conn *conn)
{
	const struct exchange *x = conn->exchange;
	return x && x->route && (x->route->open_ended || x->route->body == BODY_STREAM);
}

/* Notes why the request is refused; the first reason stays. */
static void refuse(struct exchange *x, int status, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

static void refuse(struct exchange *x, int status, const char *fmt, ...)
{
	va_list ap;
	if (x->refuse_status)
		return;
	x->refuse_status = status;
	va_start(ap, fmt);
	if (vasprintf(&x->refuse_text, fmt, ap) < 0)
		x->refuse_text = NULL;
	va_end(ap);
}

static void reply_refusal(struct exchange *x)
{
	reply_error(x, x->refuse_status, "%s", x->refuse_text ? x->refuse_text : "out of memory");
}

/* ---- callbacks ---- */

/* Debian builds the parser without its strict checks, so these are ours: no
 * control characters, and no blanks where none belong (RFC 9112, 3.2 and 5.1:
 * "Content-Length : 5" must not pass as some other field). */
static bool is_clean(const char *at, size_t size, bool blanks)
{
	for (size_t i = 0; i < size; i++) {
		unsigned char c = (unsigned char)at[i];
		if (c == 0x7f || (c <= ' ' && !(blanks && (c == ' ' || c == '\t'))))
			return false;
	}
	return true;
}

static int on_message_begin(http_parser *parser)
{
	struct conn *conn = parser->data;
	conn->exchange = exchange_new(conn);
	conn->state = CONN_HEAD;
	return conn->exchange ? 0 : -1;
}

static int on_url(http_parser *parser, const char *at, size_t size)
{
	struct exchange *x = ((struct conn *)parser->data)->exchange;
	if (x->url.len + size > API_URL_BYTES) {
		refuse(x, 414, "the request's URL is longer than %d bytes", API_URL_BYTES);
		return -1;
	}
	if (!is_clean(at, size, false))
		return -1;
	strbuf_add(&x->url, at, size);
	return strbuf_ok(&x->url) ? 0 : -1;
}

static const struct {
	const char *name;
	enum exchange_header header;
} known_headers[] = {
	{ "host", HEADER_HOST },
	{ "content-type", HEADER_CONTENT_TYPE },
	{ "expect", HEADER_EXPECT },
	{ "x-registry-auth", HEADER_REGISTRY_AUTH },
	{ "x-registry-config", HEADER_REGISTRY_AUTH },
};

static enum exchange_header header_of(const struct exchange *x)
{
	for (size_t i = 0; i < sizeof(known_headers) / sizeof(known_headers[0]); i++)
		if (strlen(known_headers[i].name) == x->field_len &&
		    !strncasecmp(known_headers[i].name, x->field, x->field_len))
			return known_headers[i].header;
	return HEADER_NONE;
}

static int on_header_field(http_parser *parser, const char *at, size_t size)
{
	struct exchange *x = ((struct conn *)parser->data)->exchange;
	if (!is_clean(at, size, false))
		return -1;
	if (x->in_value)
		x->field_len = 0;
	x->in_value = false;
	/* A name longer than the field is none of ours; its length says so. */
	for (size_t i = 0; i < size && x->field_len < sizeof(x->field); i++)
		x->field[x->field_len++] = at[i];
	return 0;
}

static int on_header_value(http_parser *parser, const char *at, size_t size)
{
	struct exchange *x = ((struct conn *)parser->data)->exchange;
	bool begins = !x->in_value;
	if (!is_clean(at, size, true))
		return -1;
	if (begins) {
		x->header = header_of(x);
		x->n_hosts += x->header == HEADER_HOST;
		if (x->header == HEADER_CONTENT_TYPE)
			x->content_type[0] = '\0';
	}
	x->in_value = true;
	if (x->header == HEADER_CONTENT_TYPE) {
		size_t n = strlen(x->content_type);
		for (size_t i = 0; i < size && n + 1 < sizeof(x->content_type); i++)
			x->content_type[n++] = at[i];
		x->content_type[n] = '\0';
	} else if (x->header == HEADER_REGISTRY_AUTH) {
		strbuf_add(&x->registry_auth, at, size);
	} else if (x->header == HEADER_EXPECT) {
		/* The only expectation there is (RFC 9110, 10.1.1). */
		x->expects_continue = true;
	}
	return 0;
}

static int on_headers_complete(http_parser *parser)
{
	/* The parser's own idea of an upgrade is not ours: it would end the
	 * message for any Upgrade field, and for CONNECT. */
	struct exchange *x = ((struct conn *)parser->data)->exchange;
	x->wants_upgrade = parser->upgrade && parser->method != HTTP_CONNECT;
	parser->upgrade = 0;
	http_parser_pause(parser, 1);
	return 0;
}

static int on_body(http_parser *parser, const char *at, size_t size)
{
	struct exchange *x = ((struct conn *)parser->data)->exchange;
	if (!x)
		return 0;
	if (x->on_body) {
		exchange_ref(x);
		x->on_body(x, at, size);
		exchange_unref(x);
		return 0;
	}
	bool wanted = x->route && x->route->body == BODY_JSON && !x->refuse_status;
	size_t sum = wanted ? x->body.len : x->n_dropped;
	if (sum + size > API_JSON_BYTES) {
		refuse(x, 413, "the request's body is longer than %d bytes", API_JSON_BYTES);
		return -1;
	}
	if (wanted)
		strbuf_add(&x->body, at, size);
	else
		x->n_dropped += size;
	return strbuf_ok(&x->body) ? 0 : -1;
}

static int on_message_complete(http_parser *parser)
{
	struct conn *conn = parser->data;
	conn->state = CONN_BUSY;
	http_parser_pause(parser, 1);
	return 0;
}

static const http_parser_settings settings = {
	.on_message_begin = on_message_begin,
	.on_url = on_url,
	.on_header_field = on_header_field,
	.on_header_value = on_header_value,
	.on_headers_complete = on_headers_complete,
	.on_body = on_body,
	.on_message_complete = on_message_complete,
};

/* ---- the route ---- */

/* Where the path of an absolute-form target begins (RFC 9112, 3.2.2). */
static const char *skip_authority(const char *url)
{
	if (strncasecmp(url, "http://", 7) != 0)
		return url;
	const char *slash = strchr(url + 7, '/');
	return slash ? slash : "/";
}

/* What skopeo and podman speak to any daemon ("docker-daemon:"), whatever it says it
 * answers; what they ask for has not changed since. */
static bool is_image_tool(const struct path *path)
{
	return path->major == 1 && path->minor == API_VERSION_MINOR_TOOLS && path->n > 0 &&
	       path->segment[0].size == 6 && !memcmp(path->segment[0].text, "images", 6);
}

static void check_version(struct exchange *x, const struct path *path)
{
	unsigned int version = path->major * 1000000 + path->minor;
	if (!path->has_version)
		return;
	if (is_image_tool(path))
		x->api_minor = API_VERSION_MINOR_MIN;
	else if (version < API_VERSION_MAJOR * 1000000 + API_VERSION_MINOR_MIN)
		refuse(x, 400,
		       "client version %u.%u is too old. Minimum supported API version is %s, "
		       "please upgrade your client to a newer version",
		       path->major, path->minor, API_VERSION_MIN);
	else if (version > API_VERSION_MAJOR * 1000000 + API_VERSION_MINOR)
		refuse(x, 400,
		       "client version %u.%u is too new. Maximum supported API version is %s",
		       path->major, path->minor, API_VERSION);
	else
		x->api_minor = path->minor;
}

static void refuse_path(struct exchange *x, const struct path *path, const char *text, size_t size)
{
	const char *method = http_method_str((enum http_method)x->method);
	char allow[96];
	const char *what = route_unsupported(path);
	if (what) {
		refuse(x, 501, "not supported yet: %s (%s %.*s)", what, method,
		       size < 200 ? (int)size : 200, text);
	} else if (route_allow(path, allow, sizeof(allow))) {
		(void)snprintf(x->fields, sizeof(x->fields), "Allow: %s\r\n", allow);
		refuse(x, 405, "%s is not allowed for %.*s (allowed: %s)", method,
		       size < 200 ? (int)size : 200, text, allow);
	} else {
		refuse(x, 404, "page not found");
	}
}

static void check_refused_query(struct exchange *x)
{
	for (size_t i = 0; i < x->query.n; i++) {
		const char *key = x->query.pair[i].key;
		if (name_in(x->route->refuses, key) && request_bool(x, key, false))
			refuse(x, 400, "the parameter %s is not supported yet by %s %s", key,
			       http_method_str((enum http_method)x->method), x->route->pattern);
	}
}

static int decode_param(struct exchange *x, const struct path *path, size_t first, size_t n,
			struct err *err)
{
	size_t size = n + 1, at = 0;
	for (size_t i = first; i < first + n; i++)
		size += path->segment[i].size;
	char *param = malloc(size);
	if (!param)
		return err_set(err, ENOMEM, "out of memory");
	x->param[0] = param;
	for (size_t i = first; i < first + n; i++) {
		if (i > first)
			param[at++] = '/';
		int rc = query_unescape(path->segment[i].text, path->segment[i].size, false,
					param + at, err);
		if (rc < 0)
			return rc;
		at += strlen(param + at);
	}
	return 0;
}

static void choose_route(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct path path;
	size_t first = 0, n = 0;
	const char *text = skip_authority(x->url.text ? x->url.text : "");
	size_t size = strcspn(text, "?#");
	if (path_split(text, size, &path, &err) < 0) {
		refuse(x, 400, "%s", err.text);
		return;
	}
	check_version(x, &path);
	x->route = route_find(x->method, &path, &first, &n);
	if (!x->route) {
		refuse_path(x, &path, text, size);
		return;
	}
	int rc = n > 0 ? decode_param(x, &path, first, n, &err) : 0;
	if (rc == 0 && text[size] == '?')
		rc = query_parse(text + size + 1, strcspn(text + size + 1, "#"), &x->query, &err);
	if (rc < 0)
		refuse(x, rc == -ENOMEM ? 500 : 400, "%s", err.text);
	else
		check_refused_query(x);
}

/* ---- heads and whole requests ---- */

static bool has_body(const http_parser *parser)
{
	return (parser->flags & F_CHUNKED) ||
	       (parser->content_length > 0 && parser->content_length != UINT64_MAX);
}

/* "application/json; charset=utf-8" -> "application/json" */
static void trim_content_type(struct exchange *x)
{
	size_t n = strcspn(x->content_type, "; \t");
	x->content_type[n] = '\0';
	for (size_t i = 0; i < n; i++)
		if (x->content_type[i] >= 'A' && x->content_type[i] <= 'Z')
			x->content_type[i] = (char)(x->content_type[i] + 32);
}

static void send_continue(struct conn *conn)
{
	uv_buf_t part = { .base = (char *)"HTTP/1.1 100 Continue\r\n\r\n", .len = 25 };
	(void)conn_write(conn, &part, 1);
}

/* The head is there: routes it, and begins to take the body. */
static void take_head(struct conn *conn)
{
	struct exchange *x = conn->exchange;
	const http_parser *parser = &conn->parser;
	x->method = parser->method;
	x->http_minor = parser->http_minor ? 1 : 0;
	conn->close_after = !http_should_keep_alive(parser) || x->http_minor == 0;
	conn->state = CONN_BODY;
	trim_content_type(x);
	if (parser->http_major != 1)
		refuse(x, 505, "HTTP/%u.%u is not supported, only HTTP/1.1", parser->http_major,
		       parser->http_minor);
	else if (parser->uses_transfer_encoding && !(parser->flags & F_CHUNKED))
		refuse(x, 501, "the only transfer coding is chunked");
	else if (x->http_minor == 1 ? x->n_hosts != 1 : x->n_hosts > 1)
		refuse(x, 400, "the request must have one Host header field");
	if (x->refuse_status)
		conn->close_after = true;
	else
		choose_route(x);
	bool streamed = x->route && x->route->body == BODY_STREAM && !x->refuse_status;
	bool counted = !(parser->flags & F_CHUNKED) && has_body(parser);
	if (counted && !streamed && parser->content_length > API_JSON_BYTES)
		refuse(x, 413, "the request's body is longer than %d bytes", API_JSON_BYTES);
	/* A client that waits for a go-ahead gets the refusal in its place. */
	if (x->refuse_status && has_body(parser) &&
	    (x->expects_continue || parser->content_length > API_JSON_BYTES)) {
		conn->close_after = true;
		reply_refusal(x);
		return;
	}
	if (x->expects_continue && has_body(parser))
		send_continue(conn);
	x->has_body = has_body(parser);
	/* Without a body it is a request like any other. */
	if (!streamed || !x->has_body || conn->closing)
		return;
	exchange_ref(x);
	x->route->handler(x);
	exchange_unref(x);
}

static void take_request(struct conn *conn)
{
	/* It may be answered, and let go of, before the handler returns. */
	struct exchange *x = exchange_ref(conn->exchange);
	if (x->refuse_status)
		reply_refusal(x);
	else if (x->on_body_end)
		x->on_body_end(x);
	else
		x->route->handler(x);
	exchange_unref(x);
}

/* What cannot be parsed cannot be followed by anything else. */
static void take_error(struct conn *conn, enum http_errno code)
{
	/* Rubbish from the first byte on has not even begun a message. */
	if (!conn->exchange)
		conn->exchange = exchange_new(conn);
	struct exchange *x = conn->exchange;
	conn->close_after = true;
	if (!x || x->replied) {
		conn_close(conn);
		return;
	}
	if (x->method == HTTP_HEAD)
		x->method = HTTP_GET;
	if (code == HPE_HEADER_OVERFLOW)
		refuse(x, 431, "the request's head is longer than %d bytes", API_HEAD_BYTES);
	else
		refuse(x, 400, "malformed HTTP request: %s",
		       code >= HPE_CB_url && code <= HPE_CB_header_value
			       ? "invalid character in head"
			       : http_errno_description(code));
	reply_refusal(x);
}

size_t parse_some(struct conn *conn, const char *data, size_t size)
{
	size_t used = http_parser_execute(&conn->parser, &settings, data, size);
	enum http_errno code = HTTP_PARSER_ERRNO(&conn->parser);
	if (code == HPE_PAUSED)
		http_parser_pause(&conn->parser, 0);
	/* A handler of a streamed body may have ended it all in on_body(). */
	if (conn_is_over(conn))
		return size;
	conn->rest = data + used;
	conn->rest_size = size - used;
	if (code == HPE_PAUSED && conn->state == CONN_HEAD)
		take_head(conn);
	else if (code == HPE_PAUSED)
		take_request(conn);
	else if (code != HPE_OK)
		take_error(conn, code);
	conn->rest_size = 0;
	return conn_is_over(conn) || conn->body_taken ? size : used;
}
