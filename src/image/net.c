/* SPDX-License-Identifier: Apache-2.0 */
/* net - see net.h. The job's side; runs in isola-image's jail. */
#include "net.h"

#include "isola/fd.h"
#include "isola/fd_pass.h"
#include "isola/json.h"
#include "cancel.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_BYTES        (1024 * 1024)
#define DATA_FD           3
#define ANSWER_VALUES_MAX 100
#define CTL_FD            4

int net_start(struct net *n, const struct registry *r, const char *actions, struct err *err)
{
	int data[2], ctl[2];
	if (pipe2(data, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int in = data[0], out = data[1];
	if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ctl) < 0)
		return err_sys(err, "cannot make a socket pair");
	cleanup_fd int mine = ctl[0], theirs = ctl[1];
	(void)fcntl(out, F_SETPIPE_SZ, PIPE_BYTES);
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(err, "cannot start a process");
	if (pid == 0) {
		fd_close(&in);
		fd_close(&mine);
		net_main(r, actions, out, theirs);
	}
	fd_close(&out);
	fd_close(&theirs);
	/* Out of the way of each other, then in place. */
	cleanup_fd int high_in = fcntl(in, F_DUPFD_CLOEXEC, 16),
		       high_ctl = fcntl(mine, F_DUPFD_CLOEXEC, 16);
	fd_close(&in);
	fd_close(&mine);
	if (high_in < 0 || high_ctl < 0 || dup3(high_in, DATA_FD, O_CLOEXEC) < 0 ||
	    dup3(high_ctl, CTL_FD, O_CLOEXEC) < 0)
		return err_sys(err, "cannot keep the network process's pipe");
	n->data_fd = DATA_FD;
	n->ctl_fd = CTL_FD;
	return 0;
}

void net_stop(struct net *n)
{
	if (n->data_fd > 0)
		fd_close(&n->data_fd);
	if (n->ctl_fd > 0)
		fd_close(&n->ctl_fd);
}

static void add_text(json_object *o, const char *key, const char *value)
{
	if (value)
		json_add_str(o, key, value);
}

int net_send(struct net *n, struct net_get *g, struct err *err)
{
	cleanup_json json_object *o = json_object_new_object();
	uint32_t id = 0;
	while (id < n->n && n->gets[id])
		id++;
	if (id == NET_GETS_MAX)
		return err_set(err, E2BIG, "more than %d requests at one time", NET_GETS_MAX);
	n->n = id == n->n ? id + 1 : n->n;
	n->gets[id] = g;
	g->id = id;
	g->ended = false;
	g->code = g->status = 0;
	g->length = -1;
	*g->digest = *g->type = *g->written = *g->text = '\0';
	if (g->location)
		*g->location = '\0';
	json_add_i64(o, "id", g->id);
	json_add_str(o, "method", g->method);
	add_text(o, "path", g->path);
	add_text(o, "url", g->url);
	add_text(o, "accept", g->accept);
	add_text(o, "source", g->source);
	add_text(o, "range", g->range);
	add_text(o, "type", g->content_type);
	json_add_bool(o, "once", g->once);
	json_add_i64(o, "delay_ms", g->delay_ms);
	if (g->has_body) {
		json_add_i64(o, "body_from", (int64_t)g->body_from);
		json_add_i64(o, "body_size", (int64_t)g->body_size);
	}
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	int rc = fd_send_one(n->ctl_fd, text, strlen(text), g->has_body ? g->body_fd : -1, 0);
	return rc < 0 ? err_rc(err, rc, "cannot speak with the network process") : 0;
}

static void on_head(struct net_get *g, const char *text, size_t size)
{
	cleanup_json json_object *o = NULL;
	if (json_parse_max(text, size, "answer", ANSWER_VALUES_MAX, &o, NULL) < 0)
		return;
	const char *identity = json_str_or(o, "identity", NULL);
	(void)snprintf(g->digest, sizeof(g->digest), "%s", json_str_or(o, "digest", ""));
	(void)snprintf(g->type, sizeof(g->type), "%s", json_str_or(o, "type", ""));
	(void)snprintf(g->written, sizeof(g->written), "%s", json_str_or(o, "range", ""));
	if (g->location)
		(void)snprintf(g->location, NET_URL_MAX, "%s", json_str_or(o, "location", ""));
	g->status = (int)json_i64_or(o, "status", 0);
	g->length = json_i64_or(o, "length", -1);
	if (identity && g->ret_identity)
		(void)snprintf(g->ret_identity, NET_URL_MAX, "%s", identity);
}

/* Its first four bytes are the errno. */
static void on_error(struct net_get *g, const unsigned char *data, size_t size)
{
	int32_t code = EIO;
	if (size >= sizeof(code))
		memcpy(&code, data, sizeof(code));
	g->code = code > 0 && code < 4096 ? code : EIO;
	if (size > sizeof(code))
		(void)snprintf(g->text, sizeof(g->text), "%.*s", (int)(size - sizeof(code)),
			       (const char *)data + sizeof(code));
}

static uint64_t read_u64(const unsigned char *data)
{
	uint64_t v;
	memcpy(&v, data, sizeof(v));
	return v;
}

static int take_frame(struct net *n, const struct net_header *h, struct err *err)
{
	const unsigned char *data = n->buf + sizeof(*h);
	struct net_get *g = h->id < n->n ? n->gets[h->id] : NULL;
	int rc = 0;
	if (!g)
		return err_set(err, EPROTO, "the network process answers what nobody asked");
	if (h->type == NET_HEAD)
		on_head(g, (const char *)data, h->size);
	else if (h->type == NET_DATA)
		rc = g->data ? g->data(g, data, h->size, err) : 0;
	else if (h->type == NET_SENT && h->size == sizeof(uint64_t) && g->sent)
		g->sent(g, read_u64(data));
	else if (h->type == NET_ERROR)
		on_error(g, data, h->size);
	if (h->type == NET_END || h->type == NET_ERROR) {
		n->gets[h->id] = NULL;
		g->ended = true;
		if (g->end)
			g->end(g);
	}
	return rc;
}

/* Up to @size bytes in all. A signal that comes just before the wait is seen after it. */
static int hear(struct net *n, size_t size, struct err *err)
{
	struct pollfd p = { .fd = n->data_fd, .events = POLLIN };
	while (!cancel_requested()) {
		int ready = poll(&p, 1, CANCEL_LOOK_MS);
		ssize_t got = ready > 0 ? read(n->data_fd, n->buf + n->have, size - n->have) : -1;
		if (ready == 0 || (got < 0 && errno == EINTR))
			continue;
		if (got < 0)
			return err_sys(err, "cannot hear the network process");
		if (got == 0)
			return err_set(err, EIO, "the network process of the job has ended");
		n->have += (size_t)got;
		return 0;
	}
	return err_set(err, EINTR, "cancelled");
}

int net_pump(struct net *n, struct err *err)
{
	struct net_header h;
	int rc = hear(n, sizeof(h), err);
	if (rc < 0 || n->have < sizeof(h))
		return rc;
	memcpy(&h, n->buf, sizeof(h));
	if (h.size > NET_PAYLOAD_MAX || h.type > NET_ERROR)
		return err_set(err, EPROTO, "the network process says nonsense");
	/* Exactly the frame: what follows stays in the pipe. */
	while (rc == 0 && n->have < sizeof(h) + h.size)
		rc = hear(n, sizeof(h) + h.size, err);
	if (rc < 0)
		return rc;
	n->have = 0;
	return take_frame(n, &h, err);
}

int net_do(struct net *n, struct net_get *g, struct err *err)
{
	int rc = net_send(n, g, err);
	while (rc >= 0 && !g->ended)
		rc = net_pump(n, err);
	if (rc >= 0 && g->code)
		rc = err_set(err, g->code, "%s", g->text);
	return rc;
}
