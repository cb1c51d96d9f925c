/* SPDX-License-Identifier: Apache-2.0 */
/* exec_ctr - an exec in a container: a child of ours, by ctr_exec(). */
#include "exec_ctr.h"

#include "isola/fd.h"
#include "isola/pid.h"

#include "exec.h"
#include "stdio_set.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/wait.h>

/* After SIGKILL; longer only when it hangs in the kernel. */
#define KILL_WAIT_MS 1000

struct exec_ctr {
	struct exec exec;
	struct ctr_child child;
	struct source src; /* its pidfd */
};

static struct exec_ctr *of(struct exec *e)
{
	return container_of(e, struct exec_ctr, exec);
}

static int send_signal(struct exec *e, int signo)
{
	return pid_signal(of(e)->child.pidfd, signo);
}

static int resize(struct exec *e, unsigned int rows, unsigned int columns)
{
	return payio_resize(&e->io, rows, columns);
}

static void unwatch(struct exec_ctr *c)
{
	loop_unwatch(&c->exec.k->loop, &c->src);
	fd_close(&c->child.pidfd);
}

static int end(struct exec *e)
{
	struct exec_ctr *c = of(e);
	int status = SIGKILL;
	(void)pid_wait_end(c->child.pidfd, KILL_WAIT_MS);
	(void)waitpid(c->child.pid, &status, WNOHANG | __WALL);
	unwatch(c);
	return exitrec_code(status);
}

static void free_it(struct exec *e)
{
	struct exec_ctr *c = of(e);
	unwatch(c);
	fd_close(&c->child.console_fd);
	free(c);
}

static const struct exec_type type = {
	.signal = send_signal,
	.resize = resize,
	.end = end,
	.free = free_it,
};

static void on_pidfd(struct source *src, uint32_t events)
{
	struct exec_ctr *c = container_of(src, struct exec_ctr, src);
	(void)events;
	int status = 0;
	pid_t pid = waitpid(c->child.pid, &status, WNOHANG | __WALL);
	if (pid == 0 || (pid < 0 && errno != ECHILD))
		return;
	unwatch(c);
	/* Reaped by somebody else: must not happen. */
	exec_ended(&c->exec, pid < 0 ? 255 : exitrec_code(status), NULL);
}

static int run(struct exec_ctr *c, const struct request *r, const struct ctr_process *process,
	       struct err *err)
{
	struct keeper *k = c->exec.k;
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
	rc = ctr_exec(&args, &c->child, err);
	if (rc < 0)
		return rc;
	c->exec.pid = c->child.pid;
	if (tty)
		set.ours.fd[0] = take_fd(&c->child.console_fd);
	rc = payio_init(&c->exec.io, &k->loop, &set.ours, tty);
	if (rc == 0) {
		c->src = (struct source){ .fd = c->child.pidfd, .on_event = on_pidfd };
		rc = loop_watch(&k->loop, &c->src, EPOLLIN);
	}
	return rc < 0 ? err_rc(err, rc, "cannot watch the process") : 0;
}

int exec_ctr_start(struct keeper *k, const struct request *r, const struct ctr_process *process,
		   int *fd, struct exec **ret, struct err *err)
{
	struct exec_ctr *c = calloc(1, sizeof(*c));
	if (!c)
		return err_set(err, ENOMEM, "out of memory");
	c->child = (struct ctr_child){ .pidfd = -1, .console_fd = -1 };
	exec_init(&c->exec, k, &type, r);
	int rc = run(c, r, process, err);
	if (rc == 0)
		rc = exec_attach(&c->exec, r, fd, err);
	if (rc == 0) {
		*ret = &c->exec;
		return 0;
	}
	if (c->child.pidfd >= 0) {
		(void)pid_signal(c->child.pidfd, SIGKILL);
		(void)waitpid(c->child.pid, NULL, __WALL);
	}
	exec_drop(&c->exec);
	return rc;
}
