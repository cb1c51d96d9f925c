/* SPDX-License-Identifier: Apache-2.0 */
/* net - see net.h. The job's side; runs in isola-image's jail. */
#include "net.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "cancel.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIPE_BYTES (1024 * 1024)
#define DATA_FD    3
#define CTL_FD     4

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

int net_send(struct net *n, struct net_get *g, struct err *err)
{
	cleanup_json json_object *o = json_object_new_object();
	if (n->n == NET_GETS_MAX)
		return err_set(err, E2BIG, "more than %d requests in one job", NET_GETS_MAX);
	g->id = n->n;
	n->gets[n->n++] = g;
	json_add_i64(o, "id", g->id);
	json_add_str(o, "method", g->method);
	json_add_str(o, "path", g->path);
	if (g->accept)
		json_add_str(o, "accept", g->accept);
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	if (write(n->ctl_fd, text, strlen(text)) < 0)
		return err_sys(err, "cannot speak with the network process");
	return 0;
}

static void on_head(struct net_get *g, const char *text, size_t size)
{
	cleanup_json json_object *o = NULL;
	if (json_parse(text, size, "answer", &o, NULL) < 0)
		return;
	(void)snprintf(g->digest, sizeof(g->digest), "%s", json_str_or(o, "digest", ""));
	(void)snprintf(g->type, sizeof(g->type), "%s", json_str_or(o, "type", ""));
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

static int take_frame(struct net *n, const struct net_header *h, struct err *err)
{
	const unsigned char *data = n->buf + sizeof(*h);
	struct net_get *g = h->id < n->n ? n->gets[h->id] : NULL;
	int rc = 0;
	if (!g || g->ended)
		return err_set(err, EPROTO, "the network process answers what nobody asked");
	if (h->type == NET_HEAD)
		on_head(g, (const char *)data, h->size);
	else if (h->type == NET_DATA)
		rc = g->data ? g->data(g, data, h->size, err) : 0;
	else if (h->type == NET_ERROR)
		on_error(g, data, h->size);
	if (h->type == NET_END || h->type == NET_ERROR) {
		g->ended = true;
		if (g->end)
			g->end(g);
	}
	return rc;
}

int net_pump(struct net *n, struct err *err)
{
	struct net_header h;
	ssize_t got = read(n->data_fd, n->buf + n->have, sizeof(h) - n->have);
	if (got < 0 && errno == EINTR && !cancel_requested())
		return 0;
	if (got < 0)
		return err_sys(err, "cannot hear the network process");
	if (got == 0)
		return err_set(err, EIO, "the network process of the job has ended");
	n->have += (size_t)got;
	if (n->have < sizeof(h))
		return 0;
	memcpy(&h, n->buf, sizeof(h));
	if (h.size > NET_PAYLOAD_MAX || h.type > NET_ERROR)
		return err_set(err, EPROTO, "the network process says nonsense");
	/* Exactly the frame: what follows stays in the pipe. */
	while (n->have < sizeof(h) + h.size) {
		got = read(n->data_fd, n->buf + n->have, sizeof(h) + h.size - n->have);
		if (got < 0 && errno == EINTR && !cancel_requested())
			continue;
		if (got <= 0)
			return err_set(err, EIO, "the network process of the job has ended");
		n->have += (size_t)got;
	}
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
