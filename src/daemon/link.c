/* SPDX-License-Identifier: Apache-2.0 */
/* link - see link.h and include/isola/keeper.h. isolad, loop thread. */
#include "link.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/wire.h"
#include "isolad.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* A keeper that reads nothing must not eat our memory. */
#define CALLS_MAX 1024

struct call {
	struct list node; /* in waiting, by seq */
	struct link *link;
	int64_t seq;
	link_reply_fn *reply;
	void *arg;
	json_object *msg; /* until it is sent */
	int fd;
};

struct link {
	uv_poll_t poll;
	struct isolad *isolad;
	int sock;
	const struct link_handler *handler;
	void *arg;
	int64_t next_seq;
	unsigned int n_calls;
	struct list waiting;
	bool writable_wanted, closed, freed;
};

static void call_end(struct call *call, const struct err *err, json_object *reply)
{
	list_del(&call->node);
	call->link->n_calls--;
	json_object_put(call->msg);
	fd_close(&call->fd);
	if (call->reply)
		call->reply(call->arg, err, reply);
	free(call);
}

static void fail_calls(struct link *link)
{
	struct err e = ERR_INIT;
	(void)err_set(&e, ECONNRESET, "its keeper has gone away");
	while (!list_is_empty(&link->waiting))
		call_end(container_of(link->waiting.next, struct call, node), &e, NULL);
}

static void close_link(struct link *link)
{
	if (link->closed)
		return;
	link->closed = true;
	(void)uv_poll_stop(&link->poll);
	fail_calls(link);
	if (!link->freed)
		link->handler->on_closed(link->arg);
}

static void on_reply(struct link *link, json_object *msg)
{
	int64_t seq = json_i64_or(msg, "seq", 0);
	list_for_each (node, &link->waiting) {
		struct call *call = container_of(node, struct call, node);
		if (call->seq != seq)
			continue;
		if (json_bool_or(msg, "ok", false)) {
			call_end(call, NULL, msg);
			return;
		}
		struct err e = ERR_INIT;
		int64_t code = json_i64_or(msg, "code", EIO);
		(void)err_set(&e, code > 0 && code < 4096 ? (int)code : EIO, "%s",
			      json_str_or(msg, "error", "the keeper failed without a reason"));
		call_end(call, &e, msg);
		return;
	}
	log_warn(NULL, "a keeper answered a request that was not made");
}

/* One message; false when there is none, or the link ended. */
static bool receive(struct link *link)
{
	cleanup_json json_object *msg = NULL;
	int fds[WIRE_FDS_MAX];
	size_t n_fds = 0;
	struct err e = ERR_INIT;
	int rc = wire_recv(link->sock, &msg, fds, &n_fds, &e);
	if (rc == -EAGAIN)
		return false;
	if (rc <= 0) {
		if (rc < 0 && rc != -ECONNRESET)
			log_warn(NULL, "link to a keeper: %s", e.text);
		close_link(link);
		return false;
	}
	while (n_fds > 0)
		fd_close(&fds[--n_fds]);
	const char *event = json_str_or(msg, "event", NULL);
	if (event)
		link->handler->on_event(link->arg, event, msg);
	else
		on_reply(link, msg);
	return !link->closed && !link->freed;
}

static void on_poll(uv_poll_t *handle, int status, int events);

static void want_writable(struct link *link, bool on)
{
	if (link->writable_wanted == on || link->closed)
		return;
	link->writable_wanted = on;
	(void)uv_poll_start(&link->poll, UV_READABLE | (on ? UV_WRITABLE : 0), on_poll);
}

struct refusal {
	link_reply_fn *reply;
	void *arg;
	struct err err;
};

static void refuse_now(void *arg)
{
	struct refusal *r = arg;
	r->reply(r->arg, &r->err, NULL);
	free(r);
}

/* Fails a call that cannot be sent, from a later turn. */
static void refuse(struct isolad *d, link_reply_fn *reply, void *arg, const struct err *err)
{
	if (!reply)
		return;
	struct refusal *r = malloc(sizeof(*r));
	if (!r)
		abort(); /* see later.h */
	*r = (struct refusal){ .reply = reply, .arg = arg, .err = *err };
	later_call(d, refuse_now, r);
}

static int send_call(struct link *link, struct call *call)
{
	struct err e = ERR_INIT;
	int rc = wire_send(link->sock, call->msg, &call->fd, call->fd >= 0, &e);
	if (rc == -EAGAIN)
		return rc;
	json_object_put(call->msg);
	call->msg = NULL;
	fd_close(&call->fd);
	/* A peer that is gone shows as the end of the stream, which fails all. */
	if (rc < 0 && rc != -EPIPE && rc != -ECONNRESET) {
		refuse(link->isolad, call->reply, call->arg, &e);
		call->reply = NULL;
		call_end(call, NULL, NULL);
	}
	return 0;
}

/* Sends what can be sent now, in order. */
static void flush(struct link *link)
{
	list_for_each_safe (node, &link->waiting) {
		struct call *call = container_of(node, struct call, node);
		if (call->msg && send_call(link, call) == -EAGAIN) {
			want_writable(link, true);
			return;
		}
	}
	want_writable(link, false);
}

void link_drain(struct link *link)
{
	while (!link->closed && !link->freed && receive(link))
		;
}

static void on_poll(uv_poll_t *handle, int status, int events)
{
	struct link *link = container_of(handle, struct link, poll);
	/* What libuv makes of POLLERR: the peer left messages of ours unread. */
	if (status < 0) {
		link_drain(link);
		close_link(link);
		return;
	}
	/* One message a turn: the poll is level-triggered, and asking for another
	 * one in vain costs a system call. */
	if ((events & UV_READABLE) && !receive(link))
		return;
	if (events & UV_WRITABLE)
		flush(link);
}

int link_new(struct isolad *d, int sock, const struct link_handler *handler, void *arg,
	     struct link **ret, struct err *err)
{
	struct link *link = calloc(1, sizeof(*link));
	int rc = link ? fd_set_nonblock(sock, true) : -ENOMEM;
	if (rc == 0)
		rc = uv_poll_init(&d->loop, &link->poll, sock);
	if (rc < 0) {
		(void)close(sock);
		free(link);
		return err_rc(err, rc, "cannot watch the keeper's socket");
	}
	link->isolad = d;
	link->sock = sock;
	link->handler = handler;
	link->arg = arg;
	list_init(&link->waiting);
	(void)uv_poll_start(&link->poll, UV_READABLE, on_poll);
	*ret = link;
	return 0;
}

void link_call(struct link *link, const char *op, json_object *msg, int fd, link_reply_fn *reply,
	       void *arg)
{
	struct call *call =
		link->closed || link->n_calls >= CALLS_MAX ? NULL : calloc(1, sizeof(*call));
	if (!call) {
		struct err e = ERR_INIT;
		(void)err_set(&e, link->closed ? ECONNRESET : ENOBUFS,
			      "its keeper does not answer");
		refuse(link->isolad, reply, arg, &e);
		json_object_put(msg);
		fd_close(&fd);
		return;
	}
	if (!msg)
		msg = json_object_new_object();
	*call = (struct call){ .link = link,
			       .seq = ++link->next_seq,
			       .reply = reply,
			       .arg = arg,
			       .msg = msg,
			       .fd = fd };
	json_add_str(msg, "op", op);
	json_add_i64(msg, "seq", call->seq);
	list_add_tail(&link->waiting, &call->node);
	link->n_calls++;
	if (!link->writable_wanted)
		flush(link);
}

struct relay {
	struct isolad *isolad;
	op_done_fn *done;
	void *arg;
};

static void relay(void *arg, const struct err *err, json_object *reply)
{
	struct relay *r = arg;
	(void)reply;
	later_done(r->isolad, r->done, r->arg, err, NULL);
	free(r);
}

void link_call_done(struct link *link, const char *op, json_object *msg, op_done_fn *done,
		    void *arg)
{
	struct relay *r = malloc(sizeof(*r));
	if (!r)
		abort(); /* see later.h */
	*r = (struct relay){ link->isolad, done, arg };
	link_call(link, op, msg, -1, relay, r);
}

void link_hand_over(struct link *link, const struct link_handler *handler, void *arg)
{
	struct err e = ERR_INIT;
	(void)err_set(&e, ECONNRESET, "it is being removed");
	link->handler = handler;
	link->arg = arg;
	/* Who asked may be gone when the keeper answers. */
	list_for_each_safe (node, &link->waiting) {
		struct call *call = container_of(node, struct call, node);
		link_reply_fn *reply = call->reply;
		call->reply = NULL;
		if (reply)
			reply(call->arg, &e, NULL);
	}
}

static void on_freed(uv_handle_t *handle)
{
	struct link *link = container_of(handle, struct link, poll);
	fd_close(&link->sock);
	free(link);
}

void link_free(struct link **link)
{
	struct link *l = *link;
	*link = NULL;
	if (!l || l->freed)
		return;
	l->freed = true;
	close_link(l);
	uv_close((uv_handle_t *)&l->poll, on_freed);
}
