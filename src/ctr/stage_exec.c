/* SPDX-License-Identifier: Apache-2.0 */
/* stage_exec - the last stages: descriptors, the gate, and the payload. */
#include "channel.h"
#include "init.h"
#include "rlimits.h"
#include "reaper.h"

#include "isola/console.h"
#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/close_range.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static const char default_path[] = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/* Puts the three in place, whatever numbers they have. */
static int place_stdio(struct init *in, int first_free, struct err *err)
{
	for (int i = 0; i < 3; i++) {
		if (in->stdio[i] == i)
			continue;
		int copy = fcntl(in->stdio[i], F_DUPFD_CLOEXEC, first_free);
		if (copy < 0)
			return err_sys(err, "cannot duplicate the payload's descriptor %d", i);
		in->stdio[i] = copy;
	}
	for (int i = 0; i < 3; i++) {
		int rc = in->stdio[i] == i ? fcntl(i, F_SETFD, 0) : dup2(in->stdio[i], i);
		if (rc < 0)
			return err_sys(err, "cannot place the payload's descriptor %d", i);
	}
	return 0;
}

/* So that the user may open /dev/stdout and its terminal again by name. Files of
 * others and read-only ones stay as they are. */
static void own_stdio(const struct init *in)
{
	for (int i = 0; i < 3; i++) {
		struct stat st;
		if (fstat(i, &st) < 0 || st.st_uid == in->user.uid)
			continue;
		bool is_tty = in->slave_fd >= 0;
		if (is_tty || S_ISFIFO(st.st_mode) || S_ISSOCK(st.st_mode))
			(void)fchown(i, in->user.uid, (gid_t)-1);
		if (is_tty)
			break;
	}
}

static int keep_preserved(const struct init *in, struct err *err)
{
	for (int fd = 3; fd < 3 + in->preserve_fds; fd++)
		if (fcntl(fd, F_SETFD, 0) < 0)
			return err_sys(err, "cannot preserve descriptor %d (of %d)", fd,
				       in->preserve_fds);
	return 0;
}

/* Closes all from @from on but the two, which may be -1. */
static void close_others(unsigned int from, int a, int b)
{
	int low = a < b ? a : b, high = a < b ? b : a;
	const int keep[2] = { low, high };
	for (int i = 0; i < 2; i++) {
		if (keep[i] < (int)from)
			continue;
		if (keep[i] > (int)from)
			(void)syscall(SYS_close_range, from, (unsigned int)keep[i] - 1, 0);
		from = (unsigned int)keep[i] + 1;
	}
	(void)syscall(SYS_close_range, from, ~0U, 0);
}

int stage_descriptors(struct init *in, struct err *err)
{
	int first_free = 3 + in->preserve_fds, rc = 0;
	if (in->slave_fd >= 0) {
		rc = console_become(in->slave_fd);
		if (rc < 0)
			return err_rc(err, rc, "cannot take the terminal");
	} else {
		rc = place_stdio(in, first_free, err);
	}
	if (rc == 0)
		rc = keep_preserved(in, err);
	if (rc < 0)
		return rc;
	own_stdio(in);
	close_others((unsigned int)first_free, in->sock, in->gate_fd);
	return 0;
}

static int open_gate(struct init *in, struct err *err)
{
	for (;;) {
		cleanup_fd int conn = accept4(in->gate_fd, NULL, NULL, SOCK_CLOEXEC);
		if (conn < 0) {
			if (errno == EINTR || errno == ECONNABORTED)
				continue;
			return err_sys(err, "cannot wait at the gate");
		}
		/* Whoever can connect is root on the host; one that goes away, or
		 * talks nonsense, is no reason to end. */
		if (chan_expect(conn, CHAN_START, NULL) < 0)
			continue;
		in->sock = take_fd(&conn);
		return 0;
	}
}

/* Init outlives the parent that made it, once that one has written down what it
 * made: not before CHAN_LET_GO, and the parent waits for the answer. */
static int let_go(struct init *in, struct err *err)
{
	int rc = chan_expect(in->sock, CHAN_LET_GO, err);
	if (rc < 0)
		return rc;
	if (prctl(PR_SET_PDEATHSIG, 0) < 0)
		return err_sys(err, "cannot outlive the parent");
	rc = chan_send(in->sock, CHAN_GOES_ON, 0, NULL, 0);
	if (rc < 0)
		return err_rc(err, rc, "the parent is gone");
	fd_close(&in->sock);
	return 0;
}

int stage_gate(struct init *in, struct err *err)
{
	int rc = chan_send(in->sock, CHAN_READY, 0, NULL, 0);
	if (rc < 0)
		return err_rc(err, rc, "the parent is gone");
	if (in->gate_fd < 0) {
		rc = chan_expect(in->sock, CHAN_START, err);
	} else {
		rc = let_go(in, err);
		if (rc == 0)
			rc = open_gate(in, err);
	}
	if (rc == 0 && !in->process)
		rc = err_set(err, EINVAL, "config.json has no process to start");
	return rc;
}

/* Whether @path could be executed; *@worst becomes EACCES if one is in the way. */
static bool is_program(const char *path, int *worst)
{
	struct stat st;
	if (stat(path, &st) < 0) {
		if (errno == EACCES)
			*worst = EACCES;
		return false;
	}
	if (S_ISREG(st.st_mode) && faccessat(AT_FDCWD, path, X_OK, AT_EACCESS) == 0)
		return true;
	*worst = EACCES;
	return false;
}

static int search_path(struct init *in, const char *name, const char *path, int *worst)
{
	for (;; path++) {
		size_t n = strcspn(path, ":");
		char *candidate;
		if (asprintf(&candidate, "%.*s/%s", n ? (int)n : 1, n ? path : ".", name) < 0)
			return -ENOMEM;
		if (is_program(candidate, worst)) {
			in->program = candidate;
			return 0;
		}
		free(candidate);
		path += n;
		if (!*path)
			return -ENOENT;
	}
}

/* args[0], through PATH of the payload's environment, in the container. */
static int find_program(struct init *in, struct err *err)
{
	const char *path = default_path;
	char *name = in->process->args[0];
	int worst = ENOENT, rc = -ENOENT;
	if (in->program)
		return 0;
	for (char **e = in->env; *e; e++)
		if (!strncmp(*e, "PATH=", 5))
			path = *e + 5;
	if (strchr(name, '/')) {
		rc = is_program(name, &worst) ? 0 : -ENOENT;
		in->program = rc < 0 ? NULL : name;
	} else if (*name) {
		rc = search_path(in, name, path, &worst);
	}
	if (rc == -ENOMEM)
		return err_set(err, ENOMEM, "out of memory");
	if (rc == 0)
		return 0;
	if (worst == EACCES)
		return err_set(err, EACCES, "\"%s\": permission denied", name);
	return err_set(err, ENOENT,
		       strchr(name, '/') ? "\"%s\": no such file or directory"
					 : "\"%s\": executable file not found in $PATH",
		       name);
}

/* A create that is a process of its own tells of a missing program at once, as
 * runc's does; otherwise the start does. */
int stage_program(struct init *in, struct err *err)
{
	return in->process && in->gate_fd >= 0 ? find_program(in, err) : 0;
}

/* The payload becomes a child; what stays is the tiny init, with the same rights. */
static int split_reaper(struct init *in, struct err *err)
{
	pid_t pid = fork();
	if (pid < 0)
		return err_sys(err, "cannot fork the payload");
	if (pid > 0) {
		struct err mine = ERR_INIT;
		fd_close(&in->sock);
		if (rights_finish(in, &mine) < 0)
			_exit(255);
		reaper_run(pid);
	}
	reaper_child_setup(in->slave_fd >= 0);
	return 0;
}

int stage_exec(struct init *in, struct err *err)
{
	int rc = find_program(in, err);
	/* From here the payload lives on without us. */
	if (rc == 0 && prctl(PR_SET_PDEATHSIG, 0) < 0)
		rc = err_sys(err, "cannot outlive the parent");
	if (rc == 0)
		rc = limits_apply(in->process, err);
	if (rc == 0 && in->reaper)
		rc = split_reaper(in, err);
	if (rc == 0)
		rc = rights_finish(in, err);
	if (rc < 0)
		return rc;
	(void)execve(in->program, in->process->args, in->env);
	if (errno == ENOENT)
		return err_set(err, ENOENT,
			       "cannot execute %s: no such file or directory: its "
			       "interpreter, it seems",
			       in->program);
	return err_sys(err, "cannot execute %s", in->program);
}
