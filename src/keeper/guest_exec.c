/* SPDX-License-Identifier: Apache-2.0 */
/* guest_exec - an exec in a guest: a process behind the protocol, told by its number. Its
 * client is attached at once; what it sends waits until the streams are there. */
#include "guest.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "control.h"
#include "exec.h"
#include "guest_process.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>

#define EXEC_MS 30000
/* From its end to that of its streams, which the guest ended before. */
#define DRAIN_MS 2000

struct guest_exec {
	struct exec exec;
	struct asker asker;
	uint64_t number;
	struct payio_fds fds; /* until it runs */
	bool answered;        /* ->asker was */
	bool running, exited;
	bool killed; /* before it ran: it is when it does */
	int status;
	struct timer drain_timer;
};

static struct guest_exec *of(struct exec *e)
{
	return container_of(e, struct guest_exec, exec);
}

static void close_fds(struct guest_exec *x)
{
	for (int i = 0; i < 3; i++)
		fd_close(&x->fds.fd[i]);
}

/* ---- the type ---- */

static int send_signal(struct exec *e, int signo)
{
	struct err ignored;
	cleanup_tlv struct tlv_writer w = { 0 };
	struct guest_exec *x = of(e);
	if (x->exited || (!x->running && signo != SIGKILL))
		return -ESRCH;
	x->killed = x->killed || signo == SIGKILL;
	if (!x->running)
		return 0;
	tlv_put_u64(&w, GF_PROCESS, x->number);
	tlv_put_u64(&w, GF_SIGNO, (uint64_t)signo);
	return guest_link_call(&e->k->guest->link, GUEST_SIGNAL, &w, GUEST_CALL_MS, NULL, NULL,
			       &ignored);
}

static int resize(struct exec *e, unsigned int rows, unsigned int columns)
{
	struct err ignored;
	cleanup_tlv struct tlv_writer w = { 0 };
	if (!e->io.tty)
		return -ENOTTY;
	tlv_put_u64(&w, GF_PROCESS, of(e)->number);
	tlv_put_u64(&w, GF_ROWS, rows);
	tlv_put_u64(&w, GF_COLUMNS, columns);
	return guest_link_call(&e->k->guest->link, GUEST_RESIZE, &w, GUEST_CALL_MS, NULL, NULL,
			       &ignored);
}

/* The guest goes, and maybe has not answered: whoever asked hears it now. */
static void give_up(struct guest_exec *x)
{
	struct err gone = ERR_INIT;
	guest_link_forget(&x->exec.k->guest->link, x);
	if (x->answered)
		return;
	x->answered = true;
	json_object *o = json_object_new_object();
	json_add_i64(o, "exit_code", exitrec_code(SIGKILL));
	(void)err_set(&gone, ESRCH, "the container has ended");
	control_answer(x->exec.k, &x->asker, o, &gone);
}

static int end(struct exec *e)
{
	struct guest_exec *x = of(e);
	loop_timer_stop(&x->drain_timer);
	give_up(x);
	return x->exited ? exitrec_code(x->status) : exitrec_code(SIGKILL);
}

static void free_it(struct exec *e)
{
	struct guest_exec *x = of(e);
	loop_timer_stop(&x->drain_timer);
	close_fds(x);
	free(x);
}

static const struct exec_type type = {
	.signal = send_signal,
	.resize = resize,
	.end = end,
	.free = free_it,
};

/* ---- its end ---- */

static void finish(struct guest_exec *x)
{
	loop_timer_stop(&x->drain_timer);
	exec_ended(&x->exec, exitrec_code(x->status), NULL);
}

static void on_drain_timer(struct timer *timer)
{
	finish(container_of(timer, struct guest_exec, drain_timer));
}

static bool has_output(const struct guest_exec *x)
{
	return x->exec.io.out[0].src.fd >= 0 || x->exec.io.out[1].src.fd >= 0;
}

static void on_output_end(struct payio *io)
{
	struct guest_exec *x = of(container_of(io, struct exec, io));
	/* From the loop: the output's own code is on the stack. */
	if (x->exited && !x->exec.ended)
		loop_timer(&x->exec.k->loop, &x->drain_timer, 0);
}

/* ---- what the guest tells ---- */

/* By its number, in the list of all: one that is given up is not in it any more. */
static struct guest_exec *find(struct guest *g, uint64_t number)
{
	list_for_each (node, &g->k->execs) {
		struct exec *e = container_of(node, struct exec, node);
		if (e->type == &type && of(e)->number == number)
			return of(e);
	}
	return NULL;
}

bool guest_exec_stream(struct guest *g, uint64_t process, enum guest_stream stream, int fd)
{
	struct guest_exec *x = find(g, process);
	if (!x)
		return false;
	/* A terminal is both ways, and stands in the first place. */
	int at = x->exec.io.tty ? 0 : (int)stream;
	fd_close(&x->fds.fd[at]);
	x->fds.fd[at] = fd;
	return true;
}

bool guest_exec_exited(struct guest *g, uint64_t process, int status)
{
	struct guest_exec *x = find(g, process);
	if (!x)
		return false;
	x->exited = true;
	x->status = status;
	loop_timer(&g->k->loop, &x->drain_timer, has_output(x) ? DRAIN_MS : 0);
	return true;
}

static void on_started(void *arg, const uint8_t *body, size_t size, const struct err *err)
{
	struct guest_exec *x = arg;
	struct keeper *k = x->exec.k;
	struct err e = ERR_INIT;
	(void)body;
	(void)size;
	json_object *o = json_object_new_object();
	x->answered = true;
	if (!err) {
		int rc = payio_open(&x->exec.io, &x->fds);
		if (rc < 0)
			(void)err_rc(&e, rc, "cannot watch the process's output");
		err = rc < 0 ? &e : NULL;
	}
	if (!err) {
		x->running = true;
		json_add_i64(o, "pid", 0);
		control_answer(k, &x->asker, o, NULL);
		if (x->killed)
			(void)send_signal(&x->exec, SIGKILL);
		return;
	}
	int code = exitrec_code_of_errno(err->code, 128);
	json_add_i64(o, "exit_code", code);
	exec_failed(&x->exec, code, err);
	control_answer(k, &x->asker, o, err);
}

/* ---- its start ---- */

static int ask(struct guest_exec *x, const struct request *r, struct err *err)
{
	struct keeper *k = x->exec.k;
	struct guest *g = k->guest;
	bool streams = r->stream.id != NULL;
	const bool wants[3] = { streams && r->stream.want_stdin, streams && r->stream.want_stdout,
				streams && r->stream.want_stderr };
	cleanup_tlv struct tlv_writer w = { 0 };
	const struct guest_process_args args = {
		.number = x->number,
		.process = r->process,
		.seccomp = r->privileged ? NULL : ctr_spec_seccomp(k->ctr_spec),
		.cache_fd = k->cache_fd,
		.streams = wants,
		.rows = r->has_size ? r->rows : 0,
		.columns = r->has_size ? r->columns : 0,
	};
	int rc = guest_process_put(&w, &args, err);
	return rc < 0 ? rc : guest_link_call(&g->link, GUEST_EXEC, &w, EXEC_MS, on_started, x, err);
}

int guest_exec_start(struct keeper *k, const struct request *r, const struct ctr_process *process,
		     int *fd, struct exec **ret, struct err *err)
{
	struct guest_exec *x = calloc(1, sizeof(*x));
	(void)ret;
	if (!x)
		return err_set(err, ENOMEM, "out of memory");
	x->fds = (struct payio_fds){ { -1, -1, -1 } };
	x->asker = k->asker;
	x->number = ++k->guest->number;
	x->drain_timer.on_time = on_drain_timer;
	exec_init(&x->exec, k, &type, r);
	payio_prepare(&x->exec.io, &k->loop, ctr_process_terminal(process),
		      r->stream.id && r->stream.want_stdin);
	x->exec.io.on_output_end = on_output_end;
	int rc = ask(x, r, err);
	if (rc < 0) {
		exec_drop(&x->exec);
		return rc;
	}
	rc = exec_attach(&x->exec, r, fd, err);
	if (rc < 0) {
		(void)fd_close(fd);
		/* It comes to be, and has no client. */
		control_warn(k, err->text);
	}
	return -EINPROGRESS;
}
