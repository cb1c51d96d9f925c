/* SPDX-License-Identifier: Apache-2.0 */
/* cred_helper - runs docker-credential-NAME, found in $PATH: a verb as its argument, a
 * text on standard input, its answer on standard output (Docker's protocol of
 * credential helpers). Runs in ctrctl. */
#include "docker_config.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#define ANSWER_BYTES_MAX (256 * 1024)

extern char **environ;

static int spawn(const char *name, const char *verb, const int in[2], const int out[2],
		 pid_t *ret_pid, struct err *err)
{
	char *argv[] = { (char *)(uintptr_t)name, (char *)(uintptr_t)verb, NULL };
	posix_spawn_file_actions_t actions;
	(void)posix_spawn_file_actions_init(&actions);
	(void)posix_spawn_file_actions_adddup2(&actions, in[0], STDIN_FILENO);
	(void)posix_spawn_file_actions_adddup2(&actions, out[1], STDOUT_FILENO);
	int code = posix_spawnp(ret_pid, name, &actions, NULL, argv, environ);
	(void)posix_spawn_file_actions_destroy(&actions);
	return code == 0 ? 0 : err_rc(err, -code, "cannot run it");
}

/* A helper's refusal is on its standard output, too. */
static int judge(int status, const char *text, struct err *err)
{
	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	if (strstr(text, "credentials not found"))
		return err_set(err, ENOENT, "no credentials");
	return err_set(err, EIO, "%.*s",
		       *text ? (int)strcspn(text, "\n") : (int)sizeof("it failed"),
		       *text ? text : "it failed");
}

int helper_run(const char *helper, const char *verb, const char *input, char **ret, struct err *err)
{
	char name[256];
	int in[2], out[2], status = 0;
	cleanup_free char *text = calloc(1, ANSWER_BYTES_MAX + 1);
	pid_t pid;
	if (strchr(helper, '/') ||
	    snprintf(name, sizeof(name), "docker-credential-%s", helper) >= (int)sizeof(name))
		return err_set(err, EINVAL, "this is no name of a credential helper");
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	if (pipe2(in, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int in_read = in[0], in_write = in[1];
	if (pipe2(out, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	cleanup_fd int out_read = out[0], out_write = out[1];
	int rc = spawn(name, verb, in, out, &pid, err);
	if (rc < 0)
		return rc;
	fd_close(&in_read);
	fd_close(&out_write);
	/* One that does not read is no reason to die. */
	void (*old)(int) = signal(SIGPIPE, SIG_IGN);
	(void)fd_write_all(in_write, input, strlen(input));
	(void)signal(SIGPIPE, old);
	fd_close(&in_write);
	ssize_t n = fd_read_all(out_read, text, ANSWER_BYTES_MAX);
	fd_close(&out_read);
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	rc = n < 0 ? err_rc(err, (int)n, "cannot read its answer") : judge(status, text, err);
	if (rc == 0)
		*ret = take_ptr(text);
	return rc;
}
