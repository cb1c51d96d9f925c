/* SPDX-License-Identifier: Apache-2.0 */
/* exec - see exec.h. An exec lives until its process has ended, that was told,
 * and its client has read everything. */
#include "exec.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/pid.h"

#include "control.h"
#include "stdio_set.h"
#include "stream.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>

#define EXECS_MAX 1024
/* After SIGKILL; longer only when it hangs in the kernel. */
#define KILL_WAIT_MS 1000

struct exec {
	struct list node; /* keeper.execs */
	struct keeper *k;
	char id[ID_SIZE];
	struct ctr_child child;
	struct source src; /* its pidfd */
	struct payio io;
	bool ended;
	uint64_t holder;         /* the connection with which it ends; 0 = none */
	struct timer free_timer; /* to be freed from the loop, with no caller on the stack */
};

struct exec *exec_find(struct keeper *k, const char *id)
{
	list_for_each (n, &k->execs) {
		struct exec *e = container_of(n, struct exec, node);
		if (!strcmp(e->id, id))
			return e;
	}
	return NULL;
}

struct payio *exec_io(struct exec *exec)
{
	return &exec->io;
}

int exec_signal(struct exec *exec, int signo)
{
	return exec->ended ? -ESRCH : pid_signal(exec->child.pidfd, signo);
}

static void exec_free(struct exec *e)
{
	e->io.on_stream_end = NULL;
	loop_timer_stop(&e->free_timer);
	loop_unwatch(&e->k->loop, &e->src);
	payio_fini(&e->io);
	fd_close(&e->child.pidfd);
	fd_close(&e->child.console_fd);
	list_del(&e->node);
	free(e);
}

static void on_free(struct timer *timer)
{
	exec_free(container_of(timer, struct exec, free_timer));
}

static void on_stream_end(struct payio *io, const char *stream_id, const char *why)
{
	struct exec *e = container_of(io, struct exec, io);
	keeper_stream_ended(e->k, stream_id, why);
	if (e->ended && io->n_streams == 0)
		loop_timer(&e->k->loop, &e->free_timer, 0);
}

static void tell_end(struct keeper *k, const char *id, int exit_code, const char *error)
{
	exitrec_add_exec(&k->rec, id, exit_code);
	json_object *o = control_event_new("exec_exit");
	if (!o)
		return;
	json_add_str(o, "exec", id);
	json_add_i64(o, "exit_code", exit_code);
	if (error)
		json_add_str(o, "error", error);
	control_event(k, o);
}

/* The end is told before the client sees the end of its stream: what it asks
 * next is the exit code. */
static void exec_ended(struct exec *e, int exit_code)
{
	e->ended = true;
	loop_unwatch(&e->k->loop, &e->src);
	fd_close(&e->child.pidfd);
	payio_end(&e->io);
	tell_end(e->k, e->id, exit_code, NULL);
	if (e->io.n_streams == 0)
		loop_timer(&e->k->loop, &e->free_timer, 0);
	else
		streams_finish(&e->io);
}

static void on_pidfd(struct source *src, uint32_t events)
{
	struct exec *e = container_of(src, struct exec, src);
	(void)events;
	int status = 0;
	pid_t pid = waitpid(e->child.pid, &status, WNOHANG | __WALL);
	if (pid == e->child.pid)
		exec_ended(e, exitrec_code(status));
	else if (pid < 0 && errno == ECHILD)
		exec_ended(e, 255); /* reaped by somebody else: must not happen */
}

/* Docker's words, where it has them: to the client, and a new line as a terminal
 * wants it. */
static void tell_client(const struct request *r, bool tty, int fd, const struct err *err)
{
	char text[FRAME_BYTES + ERR_TEXT_BYTES + 64];
	int n = snprintf(text + FRAME_BYTES, sizeof(text) - FRAME_BYTES,
			 "OCI runtime exec failed: exec failed: %s\r\n", err->text);
	bool mux = r->stream.mux && !tty;
	frame_put(text, 1, (uint32_t)n);
	(void)send(fd, text + (mux ? 0 : FRAME_BYTES), (size_t)n + (mux ? FRAME_BYTES : 0),
		   MSG_DONTWAIT | MSG_NOSIGNAL);
	(void)shutdown(fd, SHUT_WR);
}

static int check(struct keeper *k, const struct request *r, struct err *err)
{
	size_t n = 0;
	list_for_each (node, &k->execs)
		n++;
	if (k->state == STATE_PAUSED)
		return err_set(err, EBUSY, "the container is paused");
	if (k->state != STATE_RUNNING)
		return err_set(err, ESRCH, "the container is not running");
	if (exec_find(k, r->exec))
		return err_set(err, EEXIST, "exec %s exists already", r->exec);
	if (n >= EXECS_MAX)
		return err_set(err, EBUSY, "%d execs are running already", EXECS_MAX);
	return 0;
}

static int run(struct keeper *k, const struct request *r, const struct ctr_process *process,
	       struct exec *e, struct err *err)
{
	bool streams = r->stream.id != NULL, tty = ctr_process_terminal(process);
	bool wants[3] = { streams && r->stream.want_stdin, streams && r->stream.want_stdout,
			  streams && r->stream.want_stderr };
	cleanup_stdio struct stdio_set set = STDIO_SET_INIT;
	int rc = tty ? 0 : stdio_set_pipes(&set, wants, err);
	if (rc < 0)
		return rc;
	struct ctr_exec_args args = {
		.id = k->ctr->id,
		.pid = k->ctr->pid,
		.pidfd = k->ctr->pidfd,
		.cgroup = k->ctr->cgroup,
		.spec = k->ctr_spec,
		.process = process,
		.stdio = { set.theirs[0], set.theirs[1], set.theirs[2] },
		.cache_fd = k->cache_fd,
		.privileged = r->privileged,
	};
	rc = ctr_exec(&args, &e->child, err);
	if (rc < 0)
		return rc;
	if (tty)
		set.ours.fd[0] = take_fd(&e->child.console_fd);
	rc = payio_init(&e->io, &k->loop, &set.ours, tty);
	if (rc == 0) {
		e->io.stdin_once = true;
		e->io.on_stream_end = on_stream_end;
		if (tty && r->has_size)
			(void)payio_resize(&e->io, r->rows, r->columns);
		e->src = (struct source){ .fd = e->child.pidfd, .on_event = on_pidfd };
		rc = loop_watch(&k->loop, &e->src, EPOLLIN);
	}
	return rc < 0 ? err_rc(err, rc, "cannot watch the process") : 0;
}

static int start(struct keeper *k, const struct request *r, int *fd, bool *ret_tty, pid_t *ret_pid,
		 struct err *err)
{
	struct ctr_process *process = NULL;
	int rc = check(k, r, err);
	if (rc == 0)
		rc = keeper_need_spec(k, err);
	if (rc == 0)
		rc = ctr_process_parse(r->process, &process, err);
	if (rc < 0)
		return rc;
	*ret_tty = ctr_process_terminal(process);
	struct exec *e = calloc(1, sizeof(*e));
	if (!e) {
		ctr_process_free(process);
		return err_set(err, ENOMEM, "out of memory");
	}
	*e = (struct exec){ .k = k, .child = { .pidfd = -1, .console_fd = -1 } };
	e->free_timer.on_time = on_free;
	(void)snprintf(e->id, sizeof(e->id), "%s", r->exec);
	e->holder = r->held ? k->asker.conn : 0;
	list_add_tail(&k->execs, &e->node);
	rc = run(k, r, process, e, err);
	pid_t pid = e->child.pid;
	ctr_process_free(process);
	if (rc == 0 && *fd >= 0) {
		rc = stream_new(&e->io, &r->stream, *fd, err);
		if (rc == 0)
			(void)take_fd(fd);
	}
	if (rc < 0) {
		if (e->child.pidfd >= 0) {
			(void)pid_signal(e->child.pidfd, SIGKILL);
			(void)waitpid(e->child.pid, NULL, __WALL);
		}
		exec_free(e);
		return rc;
	}
	*ret_pid = pid;
	return 0;
}

int exec_start(struct keeper *k, const struct request *request, int fd, pid_t *ret_pid,
	       int *ret_exit_code, struct err *err)
{
	cleanup_fd int client = fd;
	bool tty = false;
	int rc = start(k, request, &client, &tty, ret_pid, err);
	if (rc == 0)
		return 0;
	*ret_exit_code = exitrec_code_of_errno(-rc, 128);
	if (rc != -EEXIST) /* the id is another's */
		tell_end(k, request->exec, *ret_exit_code, err->text);
	if (client >= 0)
		tell_client(request, tty, client, err);
	return rc;
}

json_object *execs_json(const struct keeper *k)
{
	json_object *list = json_object_new_array();
	list_for_each (n, &k->execs) {
		const struct exec *e = container_of(n, struct exec, node);
		json_object *o = e->ended || !list ? NULL : json_object_new_object();
		if (!o)
			continue;
		json_add_str(o, "exec", e->id);
		json_add_i64(o, "pid", e->child.pid);
		(void)json_object_array_add(list, o);
	}
	return list;
}

void execs_conn_gone(struct keeper *k, uint64_t conn)
{
	list_for_each (n, &k->execs) {
		struct exec *e = container_of(n, struct exec, node);
		if (e->holder == conn)
			(void)exec_signal(e, SIGKILL);
	}
}

void execs_end(struct keeper *k)
{
	/* In a pid namespace of its own they are dead; else they die now. */
	list_for_each (n, &k->execs)
		(void)exec_signal(container_of(n, struct exec, node), SIGKILL);
	list_for_each (n, &k->execs) {
		struct exec *e = container_of(n, struct exec, node);
		if (e->ended)
			continue;
		int status = SIGKILL;
		(void)pid_wait_end(e->child.pidfd, KILL_WAIT_MS);
		(void)waitpid(e->child.pid, &status, WNOHANG | __WALL);
		exec_ended(e, exitrec_code(status));
	}
}

struct stream *execs_find_stream(struct keeper *k, const char *stream_id)
{
	struct stream *s = k->io.loop ? stream_find(&k->io, stream_id) : NULL;
	list_for_each (n, &k->execs) {
		if (s)
			break;
		s = stream_find(&container_of(n, struct exec, node)->io, stream_id);
	}
	return s;
}

bool execs_have_streams(const struct keeper *k)
{
	list_for_each (n, &k->execs)
		if (container_of(n, struct exec, node)->io.n_streams > 0)
			return true;
	return false;
}

size_t execs_waiting(const struct keeper *k)
{
	size_t sum = 0;
	list_for_each (n, &k->execs)
		sum += streams_waiting(&container_of(n, struct exec, node)->io);
	return sum;
}

void execs_free(struct keeper *k)
{
	list_for_each_safe (n, &k->execs)
		exec_free(container_of(n, struct exec, node));
}
