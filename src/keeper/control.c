/* SPDX-License-Identifier: Apache-2.0 */
/* control - see control.h. A connection is freed only by its own event or by
 * control_close(); everybody else may at most shut it down, which becomes an
 * event. So nobody on the stack loses one under his feet. */
#include "control.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/keeper.h"
#include "isola/wire.h"

#include "exec.h"
#include "guest.h"
#include "ops.h"
#include "request.h"
#include "vm.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define CONNS_MAX       16
#define UNREAD_MAX      256 /* messages for a peer that does not read */
#define MESSAGES_A_TURN 16
#define LISTEN_AGAIN_MS 1000

struct conn {
	struct list node; /* keeper.conns */
	struct source src;
	struct keeper *k;
	uint64_t number;
	json_object *unsent; /* array, or NULL */
	bool broken;
};

json_object *control_event_new(const char *name)
{
	json_object *o = json_object_new_object();
	if (o)
		json_add_str(o, "event", name);
	return o;
}

/* ---- sending ---- */

static void break_off(struct conn *c)
{
	c->broken = true;
	(void)shutdown(c->src.fd, SHUT_RDWR);
}

static void send_unsent(struct conn *c)
{
	size_t n = json_len(c->unsent), sent = 0;
	int rc = 0;
	for (; sent < n; sent++) {
		struct err err = ERR_INIT;
		rc = wire_send(c->src.fd, json_object_array_get_idx(c->unsent, sent), NULL, 0,
			       &err);
		if (rc < 0)
			break;
	}
	if (rc < 0 && rc != -EAGAIN)
		break_off(c);
	if (sent > 0)
		(void)json_object_array_del_idx(c->unsent, 0, sent);
	if (sent < n)
		return;
	json_object_put(take_ptr(c->unsent));
	(void)loop_watch(&c->k->loop, &c->src, EPOLLIN);
}

static void keep_unsent(struct conn *c, json_object *msg)
{
	if (!c->unsent)
		c->unsent = json_object_new_array();
	if (!c->unsent || json_len(c->unsent) >= UNREAD_MAX ||
	    json_object_array_add(c->unsent, json_object_get(msg)) < 0 ||
	    loop_watch(&c->k->loop, &c->src, EPOLLIN | EPOLLOUT) < 0)
		break_off(c);
}

/* @msg: borrowed. */
static void conn_send(struct conn *c, json_object *msg)
{
	struct err err = ERR_INIT;
	if (c->broken)
		return;
	int rc = c->unsent ? -EAGAIN : wire_send(c->src.fd, msg, NULL, 0, &err);
	if (rc == -EAGAIN)
		keep_unsent(c, msg);
	else if (rc < 0)
		break_off(c);
}

void control_event(struct keeper *k, json_object *event)
{
	if (!event)
		return;
	list_for_each (n, &k->conns)
		conn_send(container_of(n, struct conn, node), event);
	json_object_put(event);
}

void control_warn(struct keeper *k, const char *text)
{
	json_object *o = control_event_new("warn");
	if (o)
		json_add_str(o, "text", text);
	control_event(k, o);
}

static json_object *hello(const struct keeper *k)
{
	json_object *o = control_event_new("hello");
	bool held = k->holder && k->state == STATE_PAUSED;
	if (!o)
		return NULL;
	json_add_i64(o, "version", KEEPER_VERSION);
	/* Whose hold it is has gone, or will: for a newcomer it runs. */
	json_add_str(o, "state", state_name(held ? STATE_RUNNING : k->state));
	json_add_i64(o, "pid", k->rec.pid);
	json_add_i64(o, "started_ns", k->rec.started_ns);
	if (k->guest)
		json_add_i64(o, "root_pid", guest_root_pid(k->guest));
	else if (k->vm)
		json_add_i64(o, "resets", vm_resets(k->vm));
	json_add(o, "execs", execs_json(k));
	json_add(o, "ended_execs", exitrec_execs(&k->rec));
	return o;
}

/* ---- receiving ---- */

static void answer(struct conn *c, int64_t seq, json_object *reply, int rc, const struct err *err)
{
	json_add_i64(reply, "seq", seq);
	if (rc == 0) {
		json_add_bool(reply, "ok", true);
	} else {
		json_add_i64(reply, "code", err->code);
		json_add_str(reply, "error", err->text);
	}
	conn_send(c, reply);
}

void control_answer(struct keeper *k, const struct asker *asker, json_object *reply,
		    const struct err *err)
{
	cleanup_json json_object *o = reply ? reply : json_object_new_object();
	list_for_each (n, &k->conns) {
		struct conn *c = container_of(n, struct conn, node);
		if (o && c->number == asker->conn)
			answer(c, asker->seq, o, err ? -1 : 0, err);
	}
}

/* Returns false when the peer does not speak our language. */
static bool handle(struct conn *c, json_object *msg, int *fds, size_t n_fds)
{
	struct keeper *k = c->k;
	struct request r = { .seq = -1 };
	struct err err = ERR_INIT;
	int rc = request_parse(msg, n_fds, &r, &err);
	json_object *reply = rc == -EBADMSG ? NULL : json_object_new_object();
	k->asker = (struct asker){ c->number, r.seq };
	if (rc == 0 && reply)
		rc = ops_run(k, &r, n_fds ? take_fd(&fds[0]) : -1, reply, &err);
	if (reply && rc != -EINPROGRESS)
		answer(c, r.seq, reply, rc, &err);
	if (reply && rc < 0 && rc != -EINPROGRESS && r.op == OP_START && k->failure.code)
		keeper_fail_answered(k);
	json_object_put(reply);
	request_fini(&r);
	return reply != NULL;
}

/* 1 go on, 0 nothing there now, -errno: the connection is of no more use. */
static int receive(struct conn *c)
{
	cleanup_json json_object *msg = NULL;
	int fds[WIRE_FDS_MAX];
	size_t n_fds = 0;
	struct err err = ERR_INIT;
	int rc = wire_recv(c->src.fd, &msg, fds, &n_fds, &err);
	/* A peer that died with events unread: the kernel tells that first, but
	 * the requests it sent before are still here. */
	if (rc == -ECONNRESET)
		rc = wire_recv(c->src.fd, &msg, fds, &n_fds, &err);
	if (rc == -EAGAIN)
		return 0;
	if (rc <= 0)
		return rc < 0 ? rc : -EPIPE;
	bool understood = handle(c, msg, fds, n_fds);
	for (size_t i = 0; i < n_fds; i++)
		fd_close(&fds[i]);
	return understood ? 1 : -EPROTO;
}

static void conn_free(struct conn *c)
{
	loop_unwatch(&c->k->loop, &c->src);
	(void)close(c->src.fd);
	list_del(&c->node);
	json_object_put(c->unsent);
	free(c);
}

static void on_event(struct source *src, uint32_t events)
{
	struct conn *c = container_of(src, struct conn, src);
	struct keeper *k = c->k;
	int rc = 1;
	if ((events & EPOLLOUT) && c->unsent)
		send_unsent(c);
	for (int i = 0; i < MESSAGES_A_TURN && rc > 0; i++)
		rc = receive(c);
	if (rc >= 0)
		return;
	uint64_t number = c->number;
	conn_free(c);
	ops_conn_gone(k, number);
	keeper_conns_changed(k);
}

void control_add(struct keeper *k, int fd)
{
	struct conn *c = calloc(1, sizeof(*c));
	size_t n = 0;
	list_for_each (node, &k->conns)
		n++;
	if (!c || n >= CONNS_MAX || fd_set_nonblock(fd, true) < 0 || fd_set_cloexec(fd, true) < 0)
		goto fail;
	c->k = k;
	c->number = ++k->next_conn;
	c->src = (struct source){ .fd = fd, .on_event = on_event };
	if (loop_watch(&k->loop, &c->src, EPOLLIN) < 0)
		goto fail;
	list_add_tail(&k->conns, &c->node);
	json_object *o = hello(k);
	if (o)
		conn_send(c, o);
	json_object_put(o);
	keeper_conns_changed(k);
	return;
fail:
	free(c);
	(void)close(fd);
}

/* ---- keeper.sock ---- */

static void on_listen_again(struct timer *timer)
{
	struct keeper *k = container_of(timer, struct keeper, listen_timer);
	(void)loop_watch(&k->loop, &k->listener, EPOLLIN);
}

static void on_connect(struct source *src, uint32_t events)
{
	struct keeper *k = container_of(src, struct keeper, listener);
	(void)events;
	int fd = accept4(src->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
	if (fd < 0 && (errno == EAGAIN || errno == EINTR || errno == ECONNABORTED))
		return;
	if (fd < 0) {
		/* No descriptor left: the peer waits, and we do not spin. */
		loop_unwatch(&k->loop, src);
		loop_timer(&k->loop, &k->listen_timer, LISTEN_AGAIN_MS);
		return;
	}
	struct ucred peer = { .uid = (uid_t)-1 };
	socklen_t size = sizeof(peer);
	if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &size) < 0 || peer.uid != 0)
		(void)close(fd);
	else
		control_add(k, fd);
}

int control_listen(struct keeper *k, struct err *err)
{
	/* By descriptor: a run folder's name may be longer than sun_path. */
	struct sockaddr_un addr = { .sun_family = AF_UNIX };
	(void)snprintf(addr.sun_path, sizeof(addr.sun_path), "/proc/self/fd/%d/keeper.sock",
		       k->run_dir_fd);
	(void)unlinkat(k->run_dir_fd, "keeper.sock", 0);
	cleanup_fd int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0 || bind(fd, (struct sockaddr *)&addr, sizeof(addr)) < 0 ||
	    fchmodat(k->run_dir_fd, "keeper.sock", 0600, 0) < 0 || listen(fd, CONNS_MAX) < 0)
		return err_sys(err, "cannot make keeper.sock");
	k->listener = (struct source){ .fd = fd, .on_event = on_connect };
	k->listen_timer.on_time = on_listen_again;
	int rc = loop_watch(&k->loop, &k->listener, EPOLLIN);
	if (rc < 0)
		return err_rc(err, rc, "cannot watch keeper.sock");
	(void)take_fd(&fd);
	return 0;
}

void control_close(struct keeper *k)
{
	loop_timer_stop(&k->listen_timer);
	if (k->listener.on_event && k->listener.fd >= 0) {
		loop_unwatch(&k->loop, &k->listener);
		(void)unlinkat(k->run_dir_fd, "keeper.sock", 0);
		fd_close(&k->listener.fd);
	}
	list_for_each_safe (n, &k->conns)
		conn_free(container_of(n, struct conn, node));
}
