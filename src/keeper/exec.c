/* SPDX-License-Identifier: Apache-2.0 */
/* exec - see exec.h. An exec lives until its process has ended, that was told,
 * and its client has read everything. */
#include "exec.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "control.h"
#include "stream.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define EXECS_MAX 1024

struct exec *exec_find(struct keeper *k, const char *id)
{
	list_for_each (n, &k->execs) {
		struct exec *e = container_of(n, struct exec, node);
		if (!strcmp(e->id, id))
			return e;
	}
	return NULL;
}

int exec_signal(struct exec *exec, int signo)
{
	return exec->ended ? -ESRCH : exec->type->signal(exec, signo);
}

int exec_resize(struct exec *exec, unsigned int rows, unsigned int columns)
{
	return exec->ended ? -ESRCH : exec->type->resize(exec, rows, columns);
}

static void exec_free(struct exec *e)
{
	e->io.on_stream_end = NULL;
	loop_timer_stop(&e->free_timer);
	payio_fini(&e->io);
	list_del(&e->node);
	e->type->free(e);
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

void exec_init(struct exec *e, struct keeper *k, const struct exec_type *type,
	       const struct request *r)
{
	e->k = k;
	e->type = type;
	e->free_timer.on_time = on_free;
	e->holder = r->held ? k->asker.conn : 0;
	(void)snprintf(e->id, sizeof(e->id), "%s", r->exec);
	list_add_tail(&k->execs, &e->node);
}

int exec_attach(struct exec *e, const struct request *r, int *fd, struct err *err)
{
	e->io.stdin_once = true;
	e->io.on_stream_end = on_stream_end;
	int rc = *fd >= 0 ? stream_new(&e->io, &r->stream, *fd, err) : 0;
	if (rc == 0)
		(void)take_fd(fd);
	return rc;
}

void exec_drop(struct exec *e)
{
	exec_free(e);
}

/* The client asks for the exit code when its stream has ended. */
void exec_ended(struct exec *e, int exit_code, const char *error)
{
	e->ended = true;
	payio_end(&e->io);
	tell_end(e->k, e->id, exit_code, error);
	if (e->io.n_streams == 0)
		loop_timer(&e->k->loop, &e->free_timer, 0);
	else
		streams_finish(&e->io);
}

#define FAILURE_BYTES (FRAME_BYTES + ERR_TEXT_BYTES + 64)

/* Docker's words, where it has them, and a new line as a terminal wants it; behind the
 * room for a frame. */
static int put_failure(char ret[FAILURE_BYTES], const struct err *err)
{
	return snprintf(ret + FRAME_BYTES, FAILURE_BYTES - FRAME_BYTES,
			"OCI runtime exec failed: exec failed: %s\r\n", err->text);
}

void exec_failed(struct exec *e, int exit_code, const struct err *err)
{
	char text[FAILURE_BYTES];
	int n = put_failure(text, err);
	streams_output(&e->io, 0, text + FRAME_BYTES, (size_t)n);
	exec_ended(e, exit_code, err->text);
}

static void tell_client(const struct request *r, bool tty, int fd, const struct err *err)
{
	char text[FAILURE_BYTES];
	int n = put_failure(text, err);
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

/* The process has its size before it can ask for it. */
static void put_size(const struct request *r)
{
	if (!r->has_size || !r->process || json_get(r->process, "consoleSize"))
		return;
	json_object *size = json_object_new_object();
	json_add_i64(size, "height", r->rows);
	json_add_i64(size, "width", r->columns);
	json_add(r->process, "consoleSize", size);
}

static int start(struct keeper *k, const struct request *r, int *fd, bool *ret_tty, pid_t *ret_pid,
		 struct err *err)
{
	struct ctr_process *process = NULL;
	struct exec *e = NULL;
	int rc = check(k, r, err);
	if (rc == 0)
		rc = keeper_need_spec(k, err);
	put_size(r);
	if (rc == 0)
		rc = ctr_process_parse(r->process, &process, err);
	if (rc < 0)
		return rc;
	*ret_tty = ctr_process_terminal(process);
	rc = k->payload->exec(k, r, process, fd, &e, err);
	ctr_process_free(process);
	if (rc == 0)
		*ret_pid = e->pid;
	return rc;
}

int exec_start(struct keeper *k, const struct request *request, int fd, pid_t *ret_pid,
	       int *ret_exit_code, struct err *err)
{
	cleanup_fd int client = fd;
	bool tty = false;
	int rc = start(k, request, &client, &tty, ret_pid, err);
	if (rc == 0 || rc == -EINPROGRESS)
		return rc;
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
		json_add_i64(o, "pid", e->pid);
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
		if (!e->ended)
			exec_ended(e, e->type->end(e), NULL);
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
