/* SPDX-License-Identifier: Apache-2.0 */
/* child - see child.h. posix_spawn(3) (vfork inside), pidfd_open(2). isolad,
 * loop thread. */
#include "child.h"

#include "isola/fd.h"
#include "isola/pid.h"
#include "isolad.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>

/* glibc 2.36 has no name for it in waitid(2) without this. */
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

struct child {
	struct list node; /* in isolad's children */
	uv_poll_t poll;
	pid_t pid;
	int pidfd;
	child_exit_fn *on_exit; /* NULL once forgotten */
	void *arg;
};

static void on_closed(uv_handle_t *handle)
{
	struct child *child = container_of(handle, struct child, poll);
	fd_close(&child->pidfd);
	free(child);
}

static int reap(const struct child *child)
{
	siginfo_t si = { 0 };
	if (waitid(P_PIDFD, (id_t)child->pidfd, &si, WEXITED | WNOHANG) < 0 || si.si_pid == 0)
		return -1;
	return si.si_code == CLD_EXITED ? si.si_status << 8 : si.si_status;
}

static void on_ended(uv_poll_t *handle, int status, int events)
{
	(void)status;
	(void)events;
	struct child *child = container_of(handle, struct child, poll);
	int wait_status = reap(child);
	list_del(&child->node);
	uv_close((uv_handle_t *)handle, on_closed);
	if (child->on_exit)
		child->on_exit(child->arg, wait_status);
}

static int watch(struct isolad *d, pid_t pid, int pidfd, child_exit_fn *on_exit, void *arg,
		 struct child **ret, struct err *err)
{
	struct child *child = calloc(1, sizeof(*child));
	if (!child) {
		(void)close(pidfd);
		return err_set(err, ENOMEM, "out of memory");
	}
	*child = (struct child){ .pid = pid, .pidfd = pidfd, .on_exit = on_exit, .arg = arg };
	int rc = uv_poll_init(&d->loop, &child->poll, pidfd);
	if (rc < 0) {
		(void)close(pidfd);
		free(child);
		return err_rc(err, rc, "cannot watch process %d", (int)pid);
	}
	(void)uv_poll_start(&child->poll, UV_READABLE, on_ended);
	list_add_tail(&d->children, &child->node);
	*ret = child;
	return 0;
}

/* 0-4 of the child; everything else of ours is close-on-exec. */
static int deal_fds(posix_spawn_file_actions_t *fa, const struct child_args *args, int null_fd)
{
	int rc = posix_spawn_file_actions_adddup2(
		fa, args->stdin_fd >= 0 ? args->stdin_fd : null_fd, 0);
	if (!rc)
		rc = posix_spawn_file_actions_adddup2(
			fa, args->stdout_fd >= 0 ? args->stdout_fd : null_fd, 1);
	if (!rc && args->fd3 >= 0)
		rc = posix_spawn_file_actions_adddup2(fa, args->fd3, 3);
	if (!rc && args->fd4 > 0)
		rc = posix_spawn_file_actions_adddup2(fa, args->fd4, 4);
	return rc;
}

/* isolad ignores SIGPIPE, and exec keeps what is ignored. */
static int deal_signals(posix_spawnattr_t *attr)
{
	sigset_t none, all;
	(void)sigemptyset(&none);
	(void)sigfillset(&all);
	(void)posix_spawnattr_setsigmask(attr, &none);
	(void)posix_spawnattr_setsigdefault(attr, &all);
	return posix_spawnattr_setflags(attr, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF |
						      POSIX_SPAWN_SETSID);
}

static int spawn(const char *path, const struct child_args *args, int null_fd, pid_t *ret_pid)
{
	posix_spawn_file_actions_t fa;
	posix_spawnattr_t attr;
	(void)posix_spawn_file_actions_init(&fa);
	(void)posix_spawnattr_init(&attr);
	int rc = deal_fds(&fa, args, null_fd);
	if (!rc)
		rc = deal_signals(&attr);
	if (!rc)
		rc = posix_spawn(ret_pid, path, &fa, &attr, (char *const *)args->argv, environ);
	(void)posix_spawn_file_actions_destroy(&fa);
	(void)posix_spawnattr_destroy(&attr);
	return -rc;
}

int child_spawn(struct isolad *d, const struct child_args *args, child_exit_fn *on_exit, void *arg,
		struct child **ret, struct err *err)
{
	const char *name = program_name(args->program);
	if (d->programs.fds[args->program] < 0)
		return err_set(err, ENOENT,
			       "%s is missing: install it, or name it in isolad's configuration",
			       name);
	char path[64];
	struct rlimit ours;
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", d->programs.fds[args->program]);
	pid_t pid;
	(void)prlimit(0, RLIMIT_NOFILE, &d->nofile, &ours);
	int rc = spawn(path, args, d->null_fd, &pid);
	(void)prlimit(0, RLIMIT_NOFILE, &ours, NULL);
	if (rc < 0)
		return err_rc(err, rc, "cannot execute %s", name);
	/* Not reaped yet, so the pid is still this child's. */
	int pidfd = pid_open(pid);
	if (pidfd < 0) {
		(void)kill(pid, SIGKILL);
		(void)waitpid(pid, NULL, 0);
		return err_rc(err, pidfd, "cannot open a pidfd of %s", name);
	}
	return watch(d, pid, pidfd, on_exit, arg, ret, err);
}

int child_adopt(struct isolad *d, pid_t pid, int pidfd, child_exit_fn *on_exit, void *arg,
		struct child **ret, struct err *err)
{
	return watch(d, pid, pidfd, on_exit, arg, ret, err);
}

pid_t child_pid(const struct child *child)
{
	return child->pid;
}

int child_kill(struct child *child, int signo)
{
	return pid_signal(child->pidfd, signo);
}

void child_hand_over(struct child *child, child_exit_fn *on_exit, void *arg)
{
	child->on_exit = on_exit;
	child->arg = arg;
}

void child_forget(struct child *child)
{
	if (child)
		child->on_exit = NULL;
}

void children_close(struct isolad *d)
{
	list_for_each_safe (node, &d->children) {
		struct child *child = container_of(node, struct child, node);
		list_del(&child->node);
		uv_close((uv_handle_t *)&child->poll, on_closed);
	}
}
