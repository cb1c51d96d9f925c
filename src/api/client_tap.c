/* SPDX-License-Identifier: Apache-2.0 */
/* client_tap - an answer that comes with descriptors: they are with its first byte, so from
 * there on it is read by fd_receive(). */
#include "client_priv.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

struct lent {
	int *fds;
	size_t n, max;
};

/* Reads until @end is there, behind which it returns an offset. */
static ssize_t read_past(struct client *c, const char *end, size_t from, struct lent *l,
			 struct err *err)
{
	size_t n = strlen(end);
	for (;;) {
		char *stop = memmem(c->buf + from, c->end - from, end, n);
		if (stop)
			return stop + n - c->buf;
		size_t more = 0;
		ssize_t got = fd_receive(c->fd, c->buf + c->end, sizeof(c->buf) - c->end,
					 l->fds + l->n, l->max - l->n, &more, 0);
		if (got == -EINTR)
			continue;
		if (got < 0)
			return err_rc(err, (int)got, "cannot read isolad's answer");
		l->n += more;
		if (got == 0)
			return err_set(err, c->end == sizeof(c->buf) ? EPROTO : ECONNRESET,
				       "isolad's answer is cut off or too long");
		c->end += (size_t)got;
	}
}

static int read_line(struct client *c, struct lent *l, json_object **ret, struct err *err)
{
	ssize_t end = read_past(c, "\n", c->begin, l, err);
	int rc = end < 0 ? (int)end
			 : json_parse(c->buf + c->begin, (size_t)end - c->begin, "isolad's answer",
				      ret, err);
	c->begin = c->end = 0;
	return rc < 0 ? rc : 0;
}

static int receive(struct client *c, struct lent *l, json_object **ret, struct err *err)
{
	c->begin = c->end = 0;
	ssize_t head = read_past(c, "\r\n\r\n", 0, l, err);
	if (head < 0)
		return (int)head;
	int rc = client_parse_head(c, c->buf, (size_t)head, err);
	c->begin = (size_t)head;
	if (rc < 0)
		return rc;
	if (c->status >= 400)
		return client_fail(c, err);
	if (c->status != 101)
		return err_set(err, EPROTO, "isolad answered %d where descriptors were asked for",
			       c->status);
	return read_line(c, l, ret, err);
}

int client_take_fds(struct client *c, const char *target, json_object **ret, int *ret_fds,
		    size_t *n_fds, int *ret_fd, struct err *err)
{
	struct lent l = { .fds = ret_fds, .max = *n_fds };
	json_object *o = NULL;
	int rc = client_send_upgrade(c, "GET", target, "tap", NULL, err);
	if (rc == 0)
		rc = receive(c, &l, &o, err);
	if (rc == 0 && l.n == 0)
		rc = err_set(err, EPROTO, "isolad's answer came without descriptors");
	if (rc == 0) {
		*ret_fd = take_fd(&c->fd);
		*ret = take_ptr(o);
		*n_fds = l.n;
	}
	for (size_t i = 0; rc < 0 && i < l.n; i++)
		fd_close(&ret_fds[i]);
	json_object_put(o);
	client_disconnect(c);
	return rc;
}
