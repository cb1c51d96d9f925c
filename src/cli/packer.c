/* SPDX-License-Identifier: Apache-2.0 */
/* packer - see packer.h. */
#include "packer.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <sys/wait.h>
#include <unistd.h>

#define PIPE_BYTES (1024 * 1024)

int packer_start(packer_fn *fn, const void *arg, const char *what, pid_t *ret_pid, struct err *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	(void)fcntl(fds[1], F_SETPIPE_SZ, PIPE_BYTES);
	pid_t pid = fork();
	if (pid == 0) {
		struct err e = ERR_INIT;
		(void)close(fds[0]);
		int rc = fn(fds[1], arg, &e);
		if (rc < 0 && rc != -EPIPE && *e.text)
			(void)fprintf(stderr, "ctrctl: %s\n", e.text);
		_exit(rc < 0);
	}
	int saved = errno;
	(void)close(fds[1]);
	if (pid < 0) {
		(void)close(fds[0]);
		return err_rc(err, -saved, "cannot start packing %s", what);
	}
	*ret_pid = pid;
	return fds[0];
}

int packer_end(pid_t pid, const char *failed, struct err *err)
{
	int status;
	while (waitpid(pid, &status, 0) < 0)
		if (errno != EINTR)
			return err_sys(err, "cannot wait for packing");
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	return err_set(err, EIO, "%s", failed);
}

int packer_write(void *arg, const void *data, size_t size, struct err *err)
{
	int rc = fd_write_all(*(int *)arg, data, size);
	return rc < 0 ? err_rc(err, rc, "cannot pass it on") : 0;
}
