/* SPDX-License-Identifier: Apache-2.0 */
/* clone - see clone.h. Runs in the parent. */
#include "clone.h"

#include "channel.h"

#include "isola/fd.h"
#include "isola/pid.h"

#include <errno.h>
#include <linux/sched.h>
#include <sched.h>
#include <signal.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static int refused(const struct clone_request *req, struct err *err)
{
	if (errno == EPERM && req->flags & CLONE_NEWUSER)
		return err_sys(err, "the kernel refuses a user namespace "
				    "(kernel.unprivileged_userns_clone, or a security module)");
	if (errno == ENOSPC)
		return err_sys(err, "too many namespaces (user.max_*_namespaces)");
	if (errno == EBUSY && req->cgroup_fd >= 0)
		return err_sys(err, "the cgroup takes no processes: it has controllers enabled "
				    "for cgroups below it");
	return err_sys(err, "cannot clone a process%s", req->flags ? " into new namespaces" : "");
}

/* @sibling: the child of our parent. */
static pid_t clone_one(const struct clone_request *req, bool sibling, int *ret_pidfd,
		       struct err *err)
{
	int pidfd = -1;
	struct clone_args args = {
		.flags = req->flags | CLONE_PIDFD | (sibling ? CLONE_PARENT : 0) |
			 (req->cgroup_fd >= 0 ? CLONE_INTO_CGROUP : 0),
		.pidfd = (uintptr_t)&pidfd,
		.exit_signal = sibling ? 0 : SIGCHLD,
		.cgroup = req->cgroup_fd >= 0 ? (uint64_t)req->cgroup_fd : 0,
	};
	pid_t pid = (pid_t)syscall(SYS_clone3, &args, sizeof(args));
	if (pid < 0)
		return refused(req, err);
	if (pid == 0) {
		req->run(req->arg);
		_exit(1);
	}
	*ret_pidfd = pidfd;
	return pid;
}

struct helper {
	const struct clone_request *req;
	int sock;
};

static void helper_run(void *arg)
{
	const struct helper *h = arg;
	const struct clone_request *req = h->req;
	struct err err = ERR_INIT;
	int pidfd = -1, rc = 0;
	pid_t pid = 0;
	for (size_t i = 0; rc == 0 && i < req->n_joins; i++)
		if (setns(req->joins[i].fd, req->joins[i].flags) < 0)
			rc = err_sys(&err, "cannot join %s", req->joins[i].what);
	if (rc == 0)
		rc = pid = clone_one(req, true, &pidfd, &err);
	if (rc > 0)
		(void)chan_send(h->sock, CHAN_CHILD, pid, &pidfd, 1);
	else
		(void)chan_send_error(h->sock, &err);
	_exit(0);
}

static pid_t receive_child(int sock, int *ret_pidfd, struct err *err)
{
	struct chan_msg msg;
	int fd = -1;
	size_t n = 0;
	int rc = chan_recv(sock, &msg, &fd, 1, &n);
	if (rc > 0 && msg.type == CHAN_CHILD && n == 1 && msg.value > 0) {
		*ret_pidfd = fd;
		return msg.value;
	}
	fd_close(&fd);
	if (rc > 0 && msg.type == CHAN_ERROR)
		return err_set(err, msg.value, "%s", msg.text);
	return err_set(err, EPIPE, "the process that joins the namespaces died");
}

pid_t clone_run(const struct clone_request *req, int *ret_pidfd, struct err *err)
{
	if (req->n_joins == 0)
		return clone_one(req, false, ret_pidfd, err);
	int socks[2], helper_pidfd = -1;
	int rc = chan_pair(socks);
	if (rc < 0)
		return err_rc(err, rc, "cannot make a socket pair");
	struct helper helper = { req, socks[1] };
	const struct clone_request first = { .cgroup_fd = -1, .run = helper_run, .arg = &helper };
	pid_t pid = clone_one(&first, false, &helper_pidfd, err);
	(void)close(socks[1]);
	if (pid > 0)
		pid = receive_child(socks[0], ret_pidfd, err);
	(void)close(socks[0]);
	clone_kill(&helper_pidfd);
	return pid;
}

void clone_kill(int *pidfd)
{
	siginfo_t info;
	if (*pidfd < 0)
		return;
	(void)pid_signal(*pidfd, SIGKILL);
	while (waitid(P_PIDFD, (id_t)*pidfd, &info, WEXITED) < 0 && errno == EINTR)
		;
	fd_close(pidfd);
}
