/* SPDX-License-Identifier: Apache-2.0 */
/* body - see body.h. Foreign bytes: runs in isola-image's jail. */
#include "body.h"

#include "isola/json.h"
#include "cancel.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LINE_MAX_BYTES   4096 /* of a chunk's size with extensions, or a trailer */
#define TRAILERS_MAX     64
#define CHUNK_DIGITS_MAX 15

struct body body_of(json_object *spec, const char *head, size_t head_size)
{
	json_object *framing = json_get(spec, "body");
	return (struct body){ .fd = STDIN_FILENO,
			      .chunked = json_bool_or(framing, "chunked", false),
			      .left = (uint64_t)json_i64_or(framing, "length", 0),
			      .head = head,
			      .head_size = head_size };
}

/* False: the other one is to be read first. */
static bool wait_for_client(struct body *b)
{
	struct pollfd p[2] = { { .fd = b->fd, .events = POLLIN },
			       { .fd = b->other_fd, .events = POLLIN } };
	while (!cancel_requested() && poll(p, 2, CANCEL_LOOK_MS) <= 0)
		continue;
	b->other_spoke = p[1].revents != 0;
	return !b->other_spoke;
}

static ssize_t receive(struct body *b, void *buf, size_t size, struct err *err)
{
	if (b->head_size > 0) {
		size_t n = size < b->head_size ? size : b->head_size;
		memcpy(buf, b->head, n);
		b->head += n;
		b->head_size -= n;
		return (ssize_t)n;
	}
	while (!cancel_requested()) {
		if (b->other_fd > 0 && !wait_for_client(b))
			return err_set(err, EPIPE, "nobody takes the request's body any more");
		ssize_t n = read(b->fd, buf, size);
		if (n > 0)
			return n;
		if (n == 0)
			return err_set(err, ECONNRESET, "the client went away");
		struct pollfd p = { .fd = b->fd, .events = POLLIN };
		if (errno == EAGAIN)
			(void)poll(&p, 1, CANCEL_LOOK_MS);
		else if (errno != EINTR)
			return err_sys(err, "cannot read from the client");
	}
	return err_set(err, EINTR, "cancelled");
}

/* A line without its end; -EPROTO for one that is too long. */
static int read_line(struct body *b, char *ret, size_t size, struct err *err)
{
	for (size_t n = 0; n < size;) {
		char c;
		ssize_t rc = receive(b, &c, 1, err);
		if (rc < 0)
			return (int)rc;
		if (c == '\n') {
			ret[n > 0 && ret[n - 1] == '\r' ? n - 1 : n] = '\0';
			return 0;
		}
		ret[n++] = c;
	}
	return err_set(err, EPROTO, "malformed chunk in the request's body");
}

static int digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	c = (char)(c | 0x20);
	return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

static int next_chunk(struct body *b, struct err *err)
{
	char line[LINE_MAX_BYTES];
	size_t i = 0;
	int rc = b->in_chunk ? read_line(b, line, sizeof(line), err) : 0;
	if (rc == 0 && b->in_chunk && *line)
		rc = err_set(err, EPROTO, "a chunk of the request's body has a wrong size");
	if (rc == 0)
		rc = read_line(b, line, sizeof(line), err);
	if (rc < 0)
		return rc;
	b->in_chunk = true;
	for (b->left = 0; digit(line[i]) >= 0; i++)
		b->left = b->left * 16 + (uint64_t)digit(line[i]);
	if (i == 0 || i > CHUNK_DIGITS_MAX || (line[i] && !strchr("; \t", line[i])))
		return err_set(err, EPROTO, "malformed chunk in the request's body");
	if (b->left > 0)
		return 0;
	b->ended = true;
	for (i = 0; rc == 0 && i < TRAILERS_MAX; i++) {
		rc = read_line(b, line, sizeof(line), err);
		if (rc == 0 && !*line)
			return 0;
	}
	return rc < 0 ? rc : err_set(err, EPROTO, "too many trailers behind the request's body");
}

ssize_t body_read(void *body, void *buf, size_t size, struct err *err)
{
	struct body *b = body;
	if (!b->ended && b->left == 0) {
		int rc = b->chunked ? next_chunk(b, err) : 0;
		if (rc < 0)
			return rc;
		b->ended |= b->left == 0;
	}
	if (b->ended)
		return 0;
	ssize_t n = receive(b, buf, b->left < size ? (size_t)b->left : size, err);
	if (n > 0)
		b->left -= (uint64_t)n;
	return n;
}
