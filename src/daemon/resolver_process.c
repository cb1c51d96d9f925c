/* SPDX-License-Identifier: Apache-2.0 */
/* resolver_process - isola-resolver as a process, and the connection to it. isolad, loop
 * thread. */
#include "resolver.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/pid.h"
#include "isola/strbuf.h"
#include "isola/wire.h"

#include "isolad.h"
#include "name_servers.h"
#include "resolver_priv.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define PID_FILE      "resolver.pid"
#define PID_BYTES_MAX 256
#define HOST_FILE     "/etc/resolv.conf"
#define HOST_LOOK_MS  2000
#define SERVERS_MAX   8
/* One that dies sooner than this is not started again at once. */
#define SOON_MS    5000
#define AGAIN_MS   1000
#define SEND_BYTES (1024 * 1024)

struct connection {
	uv_poll_t poll;
	struct isolad *isolad;
	int sock;
	bool writable;
};

/* ---- the connection ---- */

static void on_conn_closed(uv_handle_t *handle)
{
	struct connection *c = container_of(handle, struct connection, poll);
	fd_close(&c->sock);
	free(c);
}

static void conn_close(struct resolver *r)
{
	struct connection *c = take_ptr(r->conn);
	if (c)
		uv_close((uv_handle_t *)&c->poll, on_conn_closed);
}

static void on_conn(uv_poll_t *handle, int status, int events)
{
	struct connection *c = container_of(handle, struct connection, poll);
	char byte;
	/* It has nothing to say: readable is the end. */
	bool ended = status < 0 || ((events & UV_READABLE) &&
				    recv(c->sock, &byte, 1, MSG_DONTWAIT) <= 0 && errno != EAGAIN);
	if (ended)
		conn_close(&c->isolad->resolver);
	else if (events & UV_WRITABLE)
		resolver_flush(c->isolad);
}

void resolver_want_writable(struct resolver *r, bool on)
{
	struct connection *c = r->conn;
	if (!c || c->writable == on)
		return;
	c->writable = on;
	(void)uv_poll_start(&c->poll, UV_READABLE | (on ? UV_WRITABLE : 0), on_conn);
}

int resolver_send(struct resolver *r, json_object *msg, const int *fds, size_t n_fds,
		  struct err *err)
{
	if (!r->conn)
		return err_set(err, ENOTCONN, "it does not run");
	return wire_send(r->conn->sock, msg, fds, n_fds, err);
}

static int conn_new(struct isolad *d, int sock, struct err *err)
{
	struct connection *c = calloc(1, sizeof(*c));
	int rc = c ? fd_set_nonblock(sock, true) : -ENOMEM, size = SEND_BYTES;
	if (rc == 0)
		rc = uv_poll_init(&d->loop, &c->poll, sock);
	if (rc < 0) {
		(void)close(sock);
		free(c);
		return err_rc(err, rc, "cannot watch the connection to isola-resolver");
	}
	(void)setsockopt(sock, SOL_SOCKET, SO_SNDBUF, &size, sizeof(size));
	c->isolad = d;
	c->sock = sock;
	(void)uv_poll_start(&c->poll, UV_READABLE, on_conn);
	d->resolver.conn = c;
	return 0;
}

/* ---- the host's name servers ---- */

char *resolver_host_servers(void)
{
	struct net_addr addrs[SERVERS_MAX];
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	size_t n = name_servers(HOST_FILE, addrs, SERVERS_MAX);
	for (size_t i = 0; i < n; i++) {
		char text[NET_ADDR_TEXT];
		strbuf_printf(&b, "%s%s", i ? "," : "",
			      net_addr_format(&addrs[i], text, sizeof(text)));
	}
	return strbuf_take(&b);
}

static void on_host_file(uv_fs_poll_t *handle, int status, const uv_stat_t *before,
			 const uv_stat_t *now)
{
	struct isolad *d = handle->data;
	(void)status;
	(void)before;
	(void)now;
	d->resolver.host_told = false;
	resolver_flush(d);
}

static void on_watch_closed(uv_handle_t *handle)
{
	free(handle);
}

static void watch_host_file(struct isolad *d, bool on)
{
	struct resolver *r = &d->resolver;
	if (on && !r->host_file && (r->host_file = calloc(1, sizeof(*r->host_file)))) {
		(void)uv_fs_poll_init(&d->loop, r->host_file);
		r->host_file->data = d;
		(void)uv_fs_poll_start(r->host_file, on_host_file, HOST_FILE, HOST_LOOK_MS);
	} else if (!on && r->host_file) {
		uv_close((uv_handle_t *)take_ptr(r->host_file), on_watch_closed);
	}
}

/* ---- the process ---- */

/* For the next isolad. */
static void note_pid(struct isolad *d)
{
	pid_t pid = child_pid(d->resolver.child);
	uint64_t ticks = 0;
	struct err e = ERR_INIT;
	cleanup_json json_object *o = json_object_new_object();
	int rc = pid_start_ticks(pid, &ticks, NULL);
	if (rc < 0)
		rc = err_rc(&e, rc, "it is gone");
	json_add_i64(o, "pid", pid);
	json_add_i64(o, "start_ticks", (int64_t)ticks);
	if (rc == 0)
		rc = json_write_atomic(d->roots.run_fd, PID_FILE, o, FD_SYNC_NO, &e);
	if (rc < 0)
		log_warn(NULL, "cannot write " PID_FILE ": %s", e.text);
}

void resolver_find_old(struct isolad *d)
{
	cleanup_json json_object *doc = NULL;
	if (json_read_file(d->roots.run_fd, PID_FILE, PID_BYTES_MAX, &doc, NULL) < 0)
		return;
	int64_t pid = json_i64_or(doc, "pid", 0), ticks = json_i64_or(doc, "start_ticks", 0);
	if (pid > 1 && pid <= INT32_MAX && ticks > 0)
		d->resolver.old_pidfd = pid_open_same((pid_t)pid, (uint64_t)ticks);
	(void)unlinkat(d->roots.run_fd, PID_FILE, 0);
}

static void on_again(void *arg)
{
	struct isolad *d = arg;
	timer_stop(&d->resolver.again);
	resolver_flush(d);
}

static void begin_again(struct isolad *d)
{
	struct resolver *r = &d->resolver;
	uint64_t lived = uv_now(&d->loop) - r->born_ms;
	if (!r->again && !d->stopping)
		r->again = timer_start(d, lived < SOON_MS ? AGAIN_MS : 1, on_again, d);
}

static void on_exit_of(void *arg, int status)
{
	struct isolad *d = arg;
	struct resolver *r = &d->resolver;
	r->child = NULL;
	conn_close(r);
	resolver_forget_told(d);
	log_warn(NULL, "isola-resolver ended (%s %d)", WIFSIGNALED(status) ? "signal" : "status",
		 WIFSIGNALED(status) ? WTERMSIG(status) : WEXITSTATUS(status));
	begin_again(d);
}

bool resolver_begin(struct isolad *d)
{
	static const char *const argv[] = { "isola-resolver", NULL };
	struct resolver *r = &d->resolver;
	struct err e = ERR_INIT;
	int socks[2];
	timer_stop(&r->idle);
	if (r->conn)
		return true;
	if (r->again || r->child)
		return false;
	r->born_ms = uv_now(&d->loop);
	int rc = wire_pair(socks, &e);
	if (rc == 0) {
		const struct child_args args = { .program = PROGRAM_RESOLVER,
						 .argv = argv,
						 .stdin_fd = -1,
						 .stdout_fd = -1,
						 .fd3 = socks[1] };
		rc = child_spawn(d, &args, on_exit_of, d, &r->child, &e);
		fd_close(&socks[1]);
		if (rc < 0)
			fd_close(&socks[0]);
	}
	if (rc == 0) {
		note_pid(d);
		rc = conn_new(d, socks[0], &e);
	}
	if (rc < 0) {
		log_error(NULL, "containers have no names for each other: %s", e.text);
		begin_again(d);
		return false;
	}
	resolver_forget_told(d);
	watch_host_file(d, true);
	return true;
}

void resolver_end(struct isolad *d)
{
	struct resolver *r = &d->resolver;
	watch_host_file(d, false);
	conn_close(r);
	child_forget(r->child);
	r->child = NULL;
	(void)unlinkat(d->roots.run_fd, PID_FILE, 0);
}

void resolver_stop(struct isolad *d)
{
	struct resolver *r = &d->resolver;
	timer_stop(&r->idle);
	timer_stop(&r->again);
	watch_host_file(d, false);
	conn_close(r);
	child_forget(r->child);
	r->child = NULL;
	if (list_is_empty(&r->known) && r->old_pidfd < 0)
		(void)unlinkat(d->roots.run_fd, PID_FILE, 0);
}
