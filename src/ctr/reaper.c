/* SPDX-License-Identifier: Apache-2.0 */
/* reaper - see reaper.h. It is the library's own code in init's process, so no
 * binary shows up in the container; the program it belongs to was executed from
 * a read-only mount and is undumpable (self.h). */
#include "reaper.h"

#include <errno.h>
#include <linux/close_range.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define ARGS_BYTES_MAX (128 * 1024)

/* Where the strings on the stack end that begin at @args: arguments, and behind them the
 * environment, which nobody reads any more. */
static char *strings_end(char *args)
{
	char *end = environ && *environ ? *environ : NULL;
	if (!end || end <= args || end - args > ARGS_BYTES_MAX)
		return args;
	for (char **e = environ; *e == end; e++)
		end += strlen(end) + 1;
	return end;
}

/* ps(1) in the container shows these, not the command line of the host's program. A name
 * that is longer than that goes on in the environment, as the kernel knows it from
 * setproctitle(3). */
static void rename_self(void)
{
	static const char name[] = "isola-init";
	char *args = program_invocation_name, *end = strings_end(args);
	(void)prctl(PR_SET_NAME, name);
	if ((size_t)(end - args) <= sizeof(name))
		return;
	memset(args, 0, (size_t)(end - args));
	memcpy(args, name, sizeof(name));
}

/* Exits when the one that counts has ended. */
static void reap(pid_t child)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
		if (pid == child)
			_exit(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status));
	if (pid < 0 && errno == ECHILD)
		_exit(255);
}

void reaper_run(pid_t child)
{
	sigset_t all;
	(void)sigfillset(&all);
	(void)sigprocmask(SIG_SETMASK, &all, NULL);
	(void)syscall(SYS_close_range, 0, ~0U, 0);
	rename_self();
	for (;;) {
		reap(child);
		int signo = sigwaitinfo(&all, NULL);
		if (signo > 0 && signo != SIGCHLD)
			(void)kill(child, signo);
	}
}

void reaper_child_setup(bool terminal)
{
	if (setpgid(0, 0) < 0 || !terminal)
		return;
	(void)signal(SIGTTOU, SIG_IGN);
	(void)tcsetpgrp(0, getpgrp());
	(void)signal(SIGTTOU, SIG_DFL);
}
