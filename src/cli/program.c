/* SPDX-License-Identifier: Apache-2.0 */
/* program - see program.h; posix_spawn(3). */
#include "program.h"

#include "isola/fd.h"

#include <errno.h>
#include <spawn.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

extern char **environ;

int program_output(char *const *argv, char *ret, size_t size, struct err *err)
{
	int ends[2], status;
	pid_t pid;
	posix_spawn_file_actions_t actions;
	if (pipe(ends) < 0)
		return err_sys(err, "cannot make a pipe");
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, ends[1], STDOUT_FILENO);
	(void)posix_spawn_file_actions_addclose(&actions, ends[0]);
	int rc = posix_spawn(&pid, argv[0], &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	(void)close(ends[1]);
	ssize_t n = rc == 0 ? fd_read_all(ends[0], ret, size - 1) : 0;
	(void)close(ends[0]);
	if (rc != 0)
		return err_set(err, rc, "cannot execute %s: %s", argv[0], strerror(rc));
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	ret[n < 0 ? 0 : n] = '\0';
	if (WIFSIGNALED(status))
		return err_set(err, EINTR, "%s was killed by signal %d", argv[0], WTERMSIG(status));
	return WIFEXITED(status) && WEXITSTATUS(status) == 0
		       ? 0
		       : err_set(err, EIO, "%s failed", argv[0]);
}
