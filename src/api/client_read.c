/* SPDX-License-Identifier: Apache-2.0 */
/* client_read - answers: head, body framing, JSON. Runs in the command line
 * programs. What comes from the daemon is checked as foreign: RFC 9112, 6.3 and
 * 7.1, without line folding, bare LF, or two framings at once. */
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include "client_priv.h"

#include <ctype.h>
#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>

static const struct {
	int status, code;
} status_codes[] = {
	{ 400, EINVAL },   { 404, ENOENT },     { 409, EBUSY },
	{ 413, EMSGSIZE }, { 501, EOPNOTSUPP }, { 503, EAGAIN },
};

int client_status(const struct client *c)
{
	return c->status;
}

const char *client_path_stat(const struct client *c)
{
	return c->path_stat ? c->path_stat : "";
}

const char *client_content_type(const struct client *c)
{
	return c->content_type;
}

int client_fd(const struct client *c)
{
	return c->fd;
}

bool client_is_buffered(const struct client *c)
{
	return c->begin < c->end;
}

bool client_has_next(const struct client *c)
{
	return c->begin < c->end && memchr(c->buf + c->begin, '{', c->end - c->begin);
}

/* ---- bytes ---- */

/* Takes more bytes into c->buf. 1, 0 at end of stream, -errno. */
static int fill(struct client *c, struct err *err)
{
	if (c->begin == c->end)
		c->begin = c->end = 0;
	if (c->end == sizeof(c->buf) && c->begin > 0) {
		memmove(c->buf, c->buf + c->begin, c->end - c->begin);
		c->end -= c->begin;
		c->begin = 0;
	}
	if (c->end == sizeof(c->buf))
		return err_set(err, EPROTO, "isolad's answer has too long a line");
	if (c->fd < 0)
		return 0;
	int rc = client_pump(c, err);
	if (rc < 0)
		return rc;
	for (;;) {
		ssize_t n = recv(c->fd, c->buf + c->end, sizeof(c->buf) - c->end, 0);
		if (n >= 0) {
			c->end += (size_t)n;
			return n > 0;
		}
		if (errno != EINTR)
			return err_sys(err, "cannot read isolad's answer");
	}
}

static int cut_off(struct client *c, struct err *err)
{
	c->body = BODY_NONE;
	c->keep_open = false;
	return err_set(err, ECONNRESET, "isolad's answer was cut off (did it stop?)");
}

static int malformed(struct client *c, const char *what, struct err *err)
{
	c->body = BODY_NONE;
	c->keep_open = false;
	return err_set(err, EPROTO, "isolad's answer is malformed: %s", what);
}

/* One line without its CRLF; borrows from c->buf until the next fill. */
static int read_line(struct client *c, const char **ret, size_t *ret_size, struct err *err)
{
	size_t seen = 0;
	for (;;) {
		char *from = c->buf + c->begin + seen;
		char *lf = memchr(from, '\n', c->end - c->begin - seen);
		if (lf) {
			char *line = c->buf + c->begin;
			c->begin = (size_t)(lf + 1 - c->buf);
			if (lf == line || lf[-1] != '\r')
				return malformed(c, "a line without CR", err);
			*ret = line;
			*ret_size = (size_t)(lf - 1 - line);
			return 0;
		}
		seen = c->end - c->begin;
		int rc = fill(c, err);
		if (rc <= 0)
			return rc < 0 ? rc : cut_off(c, err);
	}
}

/* ---- head ---- */

struct head {
	bool has_length, chunked, close;
	uint64_t length;
};

static bool value_is(const char *value, size_t size, const char *token)
{
	return strlen(token) == size && !strncasecmp(value, token, size);
}

static void keep_content_type(struct client *c, const char *value, size_t size)
{
	size_t n = 0;
	for (; n < size && n + 1 < sizeof(c->content_type); n++) {
		if (value[n] == ';' || value[n] == ' ')
			break;
		c->content_type[n] = (char)tolower((unsigned char)value[n]);
	}
	c->content_type[n] = '\0';
}

static int parse_field(struct client *c, struct head *h, const char *line, size_t size,
		       struct err *err)
{
	const char *colon = memchr(line, ':', size);
	if (!colon || colon == line || isspace((unsigned char)colon[-1]) ||
	    isspace((unsigned char)line[0]))
		return malformed(c, "a header field", err);
	const char *value = colon + 1, *end = line + size;
	while (value < end && (*value == ' ' || *value == '\t'))
		value++;
	while (end > value && (end[-1] == ' ' || end[-1] == '\t'))
		end--;
	size_t name_size = (size_t)(colon - line), value_size = (size_t)(end - value);
	if (value_is(line, name_size, "content-length")) {
		char text[24];
		if (h->has_length || value_size >= sizeof(text))
			return malformed(c, "Content-Length", err);
		memcpy(text, value, value_size);
		text[value_size] = '\0';
		if (num_parse_u64(text, &h->length) < 0)
			return malformed(c, "Content-Length", err);
		h->has_length = true;
	} else if (value_is(line, name_size, "transfer-encoding")) {
		if (h->chunked || !value_is(value, value_size, "chunked"))
			return malformed(c, "Transfer-Encoding", err);
		h->chunked = true;
	} else if (value_is(line, name_size, "connection")) {
		h->close = h->close || value_is(value, value_size, "close");
	} else if (value_is(line, name_size, "content-type")) {
		keep_content_type(c, value, value_size);
	} else if (value_is(line, name_size, "x-docker-container-path-stat")) {
		free(c->path_stat);
		c->path_stat = strndup(value, value_size);
	}
	return 0;
}

static int parse_status(struct client *c, const char *line, size_t size, struct err *err)
{
	if (size < 12 || memcmp(line, "HTTP/1.", 7) || (line[7] != '0' && line[7] != '1') ||
	    line[8] != ' ' || (size > 12 && line[12] != ' '))
		return malformed(c, "its first line is not HTTP/1.1", err);
	int status = 0;
	for (size_t i = 9; i < 12; i++) {
		if (!isdigit((unsigned char)line[i]))
			return malformed(c, "its status", err);
		status = status * 10 + (line[i] - '0');
	}
	if (status < 100)
		return malformed(c, "its status", err);
	c->status = status;
	c->keep_open = c->keep_open && line[7] == '1';
	return 0;
}

/* RFC 9112, 6.3. Our requests are never CONNECT. */
static int choose_body(struct client *c, const struct head *h, struct err *err)
{
	if (h->has_length && h->chunked)
		return malformed(c, "both Content-Length and Transfer-Encoding", err);
	c->in_chunk = false;
	c->left = h->length;
	c->keep_open = c->keep_open && !h->close;
	if (c->status < 200 || c->status == 204 || c->status == 304 || c->is_head)
		c->body = BODY_NONE;
	else if (h->chunked)
		c->body = BODY_CHUNKED;
	else if (h->has_length)
		c->body = h->length ? BODY_LENGTH : BODY_NONE;
	else
		c->body = BODY_CLOSE;
	if (c->body == BODY_CLOSE)
		c->keep_open = false;
	return 0;
}

int client_parse_head(struct client *c, const char *head, size_t size, struct err *err)
{
	struct head h = { 0 };
	bool first = true;
	c->content_type[0] = '\0';
	free(take_ptr(c->path_stat));
	for (const char *end = head + size; head < end;) {
		const char *lf = memchr(head, '\n', (size_t)(end - head));
		if (!lf || lf == head || lf[-1] != '\r')
			return malformed(c, "a line without CR", err);
		size_t n = (size_t)(lf - 1 - head);
		int rc = 0;
		if (first)
			rc = parse_status(c, head, n, err);
		else if (n > 0)
			rc = parse_field(c, &h, head, n, err);
		if (rc < 0)
			return rc;
		first = false;
		head = lf + 1;
	}
	return choose_body(c, &h, err);
}

int client_receive(struct client *c, struct err *err)
{
	for (;;) {
		char *stop = memmem(c->buf + c->begin, c->end - c->begin, "\r\n\r\n", 4);
		if (stop) {
			const char *head = c->buf + c->begin;
			c->begin = (size_t)(stop + 4 - c->buf);
			int rc = client_parse_head(c, head, (size_t)(stop + 4 - head), err);
			if (rc < 0)
				return rc;
			/* 100 Continue and its like: the real one follows. */
			if (c->status >= 200 || c->status == 101)
				return c->status;
			continue;
		}
		int rc = fill(c, err);
		if (rc < 0)
			return rc;
		if (rc == 0) {
			c->keep_open = false;
			return err_set(err, ECONNRESET,
				       "isolad closed the connection without an answer");
		}
	}
}

/* ---- body ---- */

static int parse_chunk_size(const char *line, size_t size, uint64_t *ret)
{
	uint64_t v = 0;
	size_t i = 0;
	for (; i < size && isxdigit((unsigned char)line[i]); i++) {
		if (i >= 15)
			return -EPROTO;
		int ch = tolower((unsigned char)line[i]);
		v = v * 16 + (uint64_t)(ch <= '9' ? ch - '0' : ch - 'a' + 10);
	}
	if (i == 0 || (i < size && line[i] != ';' && line[i] != ' '))
		return -EPROTO;
	*ret = v;
	return 0;
}

/* Makes c->left the size of a chunk that has bytes, or ends the body. */
static int next_chunk(struct client *c, struct err *err)
{
	const char *line = NULL;
	size_t size = 0;
	int rc = 0;
	if (c->in_chunk) {
		rc = read_line(c, &line, &size, err);
		if (rc == 0 && size != 0)
			return malformed(c, "a chunk is longer than it says", err);
	}
	if (rc == 0)
		rc = read_line(c, &line, &size, err);
	if (rc < 0)
		return rc;
	if (parse_chunk_size(line, size, &c->left) < 0)
		return malformed(c, "a chunk's size", err);
	c->in_chunk = true;
	if (c->left > 0)
		return 0;
	do { /* trailer fields mean nothing to us */
		rc = read_line(c, &line, &size, err);
	} while (rc == 0 && size > 0);
	if (rc == 0)
		c->body = BODY_NONE;
	return rc;
}

/* Body bytes that are there, at least one: 1, borrowed until take_body(); 0 at
 * the end of the body, -errno. */
static int peek_body(struct client *c, const char **ret, size_t *ret_size, struct err *err)
{
	if (c->body == BODY_CHUNKED && c->left == 0) {
		int rc = next_chunk(c, err);
		if (rc < 0)
			return rc;
	}
	if (c->body == BODY_NONE)
		return 0;
	if (c->begin == c->end) {
		int rc = fill(c, err);
		if (rc < 0)
			return rc;
		if (rc == 0 && c->body == BODY_CLOSE) {
			c->body = BODY_NONE;
			return 0;
		}
		if (rc == 0)
			return cut_off(c, err);
	}
	size_t n = c->end - c->begin;
	if (c->body != BODY_CLOSE && n > c->left)
		n = (size_t)c->left;
	*ret = c->buf + c->begin;
	*ret_size = n;
	return 1;
}

static void take_body(struct client *c, size_t size)
{
	c->begin += size;
	if (c->body == BODY_CLOSE)
		return;
	c->left -= size;
	if (c->body == BODY_LENGTH && c->left == 0)
		c->body = BODY_NONE;
}

ssize_t client_read(struct client *c, void *buf, size_t size, struct err *err)
{
	const char *data = NULL;
	size_t n = 0;
	if (size == 0)
		return 0;
	/* A large piece goes straight to its place. */
	bool direct = c->body == BODY_CHUNKED || c->body == BODY_LENGTH;
	if (direct && c->left >= sizeof(c->buf) && size >= sizeof(c->buf) && c->begin == c->end &&
	    !c->upload && c->fd >= 0) {
		ssize_t got;
		do
			got = recv(c->fd, buf, size < c->left ? size : (size_t)c->left, 0);
		while (got < 0 && errno == EINTR);
		if (got <= 0)
			return got < 0 ? err_sys(err, "cannot read isolad's answer")
				       : cut_off(c, err);
		c->left -= (uint64_t)got;
		if (c->left == 0 && c->body == BODY_LENGTH)
			c->body = BODY_NONE;
		return got;
	}
	int rc = peek_body(c, &data, &n, err);
	if (rc <= 0)
		return rc;
	if (n > size)
		n = size;
	memcpy(buf, data, n);
	take_body(c, n);
	return (ssize_t)n;
}

static int read_all(struct client *c, size_t max, struct strbuf *text, struct err *err)
{
	char buf[4096];
	ssize_t n;
	while ((n = client_read(c, buf, sizeof(buf), err)) > 0) {
		if (text->len + (size_t)n > max)
			return err_set(err, EMSGSIZE, "isolad's answer is longer than %zu bytes",
				       max);
		strbuf_add(text, buf, (size_t)n);
	}
	if (n == 0 && !strbuf_ok(text))
		return err_set(err, ENOMEM, "out of memory");
	return (int)n;
}

int client_read_json(struct client *c, json_object **ret, struct err *err)
{
	cleanup_strbuf struct strbuf text = STRBUF_INIT;
	int rc = read_all(c, CLIENT_JSON_BYTES_MAX, &text, err);
	if (rc < 0)
		return rc;
	return json_parse(text.text ? text.text : "", text.len, "isolad's answer", ret, err);
}

int client_fail(struct client *c, struct err *err)
{
	int code = EIO, status = c->status;
	for (size_t i = 0; i < sizeof(status_codes) / sizeof(status_codes[0]); i++)
		if (status_codes[i].status == status)
			code = status_codes[i].code;
	cleanup_strbuf struct strbuf text = STRBUF_INIT;
	cleanup_json json_object *o = NULL;
	if (read_all(c, 64 * 1024, &text, NULL) == 0 && text.len > 0)
		(void)json_parse(text.text, text.len, "error", &o, NULL);
	const char *message = json_str_or(o, "message", NULL);
	if (message)
		return err_set(err, code, "%s", message);
	return err_set(err, code, "isolad answered with status %d", status);
}

/* Feeds one run of bytes to the tokener. 1 with a document, 0 wants more. */
static int feed(struct client *c, const char *data, size_t size, size_t *ret_used,
		json_object **ret, struct err *err)
{
	json_object *o = json_tokener_parse_ex(c->tok, data, (int)size);
	enum json_tokener_error state = json_tokener_get_error(c->tok);
	*ret_used = json_tokener_get_parse_end(c->tok);
	if (state == json_tokener_continue) {
		*ret_used = size;
		return 0;
	}
	json_tokener_reset(c->tok);
	if (state != json_tokener_success) {
		json_object_put(o);
		return malformed(c, json_tokener_error_desc(state), err);
	}
	*ret = o;
	return 1;
}

int client_next_json(struct client *c, json_object **ret, struct err *err)
{
	if (!c->tok) {
		c->tok = json_tokener_new_ex(JSON_DEPTH_MAX);
		if (!c->tok)
			return err_set(err, ENOMEM, "out of memory");
		json_tokener_set_flags(c->tok,
				       JSON_TOKENER_STRICT | JSON_TOKENER_ALLOW_TRAILING_CHARS);
	}
	for (size_t total = 0; total <= CLIENT_JSON_BYTES_MAX;) {
		const char *data = NULL;
		size_t n = 0, used = 0, blank = 0;
		int rc = peek_body(c, &data, &n, err);
		if (rc < 0)
			return rc;
		if (rc == 0)
			return total ? cut_off(c, err) : 0;
		while (total == 0 && blank < n && isspace((unsigned char)data[blank]))
			blank++;
		if (blank == n) {
			take_body(c, n);
			continue;
		}
		if (total == 0 && data[blank] != '{' && data[blank] != '[')
			return malformed(c, "no JSON document where one should begin", err);
		rc = feed(c, data + blank, n - blank, &used, ret, err);
		if (rc < 0)
			return rc;
		take_body(c, blank + used);
		if (rc > 0)
			return 1;
		total += used;
	}
	return err_set(err, EMSGSIZE, "isolad's answer is longer than %d bytes",
		       CLIENT_JSON_BYTES_MAX);
}
