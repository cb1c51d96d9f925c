/* SPDX-License-Identifier: Apache-2.0 */
/* relay - one way of a stream. A slow reader holds up its writer, and nobody else. */
#include "init.h"

#include "isola/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>

#define TURNS 16

void relay_end(struct guest *g, struct relay *r)
{
	if (!relay_lives(r))
		return;
	(void)source_watch(g, &r->from, 0);
	(void)source_watch(g, &r->to, 0);
	if (r->to_socket)
		(void)shutdown(r->to.fd, SHUT_WR);
	fd_close(&r->from.fd);
	fd_close(&r->to.fd);
	free(r->buf);
	r->buf = NULL;
}

/* 1 go on, 0 nothing to do now, -1 it has ended. */
static int step(struct relay *r)
{
	ssize_t n;
	if (r->len == 0 && !r->eof) {
		do
			n = read(r->from.fd, r->buf, RELAY_BYTES);
		while (n < 0 && errno == EINTR);
		/* What a process left behind may hold its pipe for ever. */
		if (n < 0 && errno == EAGAIN && !r->process->ended)
			return 0;
		r->eof = n <= 0; /* EIO: nobody has the terminal any more */
		r->len = n > 0 ? (size_t)n : 0;
		r->at = 0;
	}
	if (r->len == 0)
		return -1;
	if (r->to_socket)
		n = send(r->to.fd, r->buf + r->at, r->len, MSG_NOSIGNAL);
	else
		n = write(r->to.fd, r->buf + r->at, r->len);
	if (n < 0)
		return errno == EAGAIN ? 0 : errno == EINTR ? 1 : -1;
	r->at += (size_t)n;
	r->len -= (size_t)n;
	return 1;
}

void relay_run(struct guest *g, struct relay *r)
{
	int rc = 1;
	if (!relay_lives(r))
		return;
	for (int i = 0; i < TURNS && rc > 0; i++)
		rc = step(r);
	if (rc < 0) {
		relay_end(g, r);
		return;
	}
	/* One side at a time: the other's hang-up would wake us without end. */
	(void)source_watch(g, &r->from, r->len == 0 ? EPOLLIN : 0);
	(void)source_watch(g, &r->to, r->len > 0 ? EPOLLOUT : 0);
}

static void on_from(struct guest *g, struct source *src, uint32_t events)
{
	(void)events;
	relay_run(g, container_of(src, struct relay, from));
}

static void on_to(struct guest *g, struct source *src, uint32_t events)
{
	(void)events;
	relay_run(g, container_of(src, struct relay, to));
}

int relay_begin(struct guest *g, struct relay *r, struct process *p, int from, int to,
		bool to_socket)
{
	*r = (struct relay){ .from = { .fd = from, .on_event = on_from },
			     .to = { .fd = to, .on_event = on_to },
			     .process = p,
			     .buf = malloc(RELAY_BYTES),
			     .to_socket = to_socket };
	int rc = r->buf ? 0 : -ENOMEM;
	if (rc == 0)
		rc = fd_set_nonblock(from, true);
	if (rc == 0)
		rc = fd_set_nonblock(to, true);
	if (rc == 0)
		rc = source_watch(g, &r->from, EPOLLIN);
	if (rc < 0)
		relay_end(g, r);
	return rc;
}
