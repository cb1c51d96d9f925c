/* SPDX-License-Identifier: Apache-2.0 */
/* stage_kill - kills a start of a container at a chosen stage, for
 * test_ctr_kill.py.
 *
 *   stage_kill list              COMMAND...   prints the stages that init goes through
 *   stage_kill init   STAGE      COMMAND...   SIGKILL to init as it enters STAGE
 *   stage_kill parent STAGE      COMMAND...   SIGKILL to COMMAND at that moment
 *
 * Init tells its stage by prctl(PR_SET_NAME, "init:<stage>"), which ptrace(2)
 * lets us see. Exits with COMMAND's status (128 + n for a signal), 99 when STAGE
 * never came. */
#include <errno.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <unistd.h>

struct job {
	pid_t command;
	const char *stage; /* NULL: list */
	bool kill_init, came;
	int status;
};

static bool read_name(pid_t pid, uint64_t address, char *ret, size_t size)
{
	struct iovec to = { ret, size - 1 }, from = { (void *)(uintptr_t)address, size - 1 };
	memset(ret, 0, size);
	return process_vm_readv(pid, &to, 1, &from, 1, 0) > 0;
}

static void on_syscall(struct job *j, pid_t pid)
{
	struct __ptrace_syscall_info info;
	char name[17];
	if (ptrace(PTRACE_GET_SYSCALL_INFO, pid, (void *)sizeof(info), &info) <= 0 ||
	    info.op != PTRACE_SYSCALL_INFO_ENTRY || info.entry.nr != SYS_prctl ||
	    info.entry.args[0] != PR_SET_NAME ||
	    !read_name(pid, info.entry.args[1], name, sizeof(name)) || strncmp(name, "init:", 5))
		return;
	if (!j->stage) {
		printf("%s\n", name + 5);
		(void)fflush(stdout);
	} else if (!j->came && !strcmp(name + 5, j->stage)) {
		j->came = true;
		(void)kill(j->kill_init ? pid : j->command, SIGKILL);
	}
}

static void on_stop(struct job *j, pid_t pid, int status)
{
	int signo = WSTOPSIG(status), event = status >> 16;
	if (signo == (SIGTRAP | 0x80)) {
		on_syscall(j, pid);
		signo = 0;
	} else if (event == PTRACE_EVENT_STOP || event) {
		signo = 0;
	}
	/* Once the blow has fallen all may run on by themselves. */
	if (j->came)
		(void)ptrace(PTRACE_DETACH, pid, NULL, (void *)(intptr_t)signo);
	else
		(void)ptrace(PTRACE_SYSCALL, pid, NULL, (void *)(intptr_t)signo);
}

static void follow(struct job *j)
{
	int status;
	pid_t pid;
	while ((pid = waitpid(-1, &status, __WALL)) > 0 || errno == EINTR) {
		if (pid > 0 && WIFSTOPPED(status))
			on_stop(j, pid, status);
		if (pid == j->command && (WIFEXITED(status) || WIFSIGNALED(status)))
			j->status =
				WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
	}
}

int main(int argc, char **argv)
{
	struct job j = { .status = 99 };
	int first = 2;
	if (argc > 3 && strcmp(argv[1], "list")) {
		j.kill_init = !strcmp(argv[1], "init");
		j.stage = argv[2];
		first = 3;
	}
	if (argc <= first)
		return 98;
	j.command = fork();
	if (j.command == 0) {
		(void)raise(SIGSTOP);
		(void)execvp(argv[first], argv + first);
		_exit(127);
	}
	(void)waitpid(j.command, NULL, WUNTRACED);
	if (ptrace(PTRACE_SEIZE, j.command, NULL,
		   (void *)(PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACECLONE | PTRACE_O_TRACEFORK |
			    PTRACE_O_TRACEVFORK)) < 0)
		return 97;
	(void)kill(j.command, SIGCONT);
	follow(&j);
	return j.stage && !j.came ? 99 : j.status;
}
