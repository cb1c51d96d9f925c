/* SPDX-License-Identifier: Apache-2.0 */
/* floor - the least the kernel asks for a container: one clone3 with the given
 * namespaces, exec, wait. No root, no mounts, no limits, no seccomp: nothing
 * that starts a real container can be faster.
 *
 *   floor [-u] COMMAND...      -u: a user namespace too, with its id maps */
#include <errno.h>
#include <fcntl.h>
#include <linux/sched.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

static int write_map(pid_t pid, const char *file)
{
	char path[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/%s", (int)pid, file);
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : write(fd, "0 100000 65536\n", 15);
	(void)close(fd);
	return n == 15 ? 0 : -1;
}

int main(int argc, char **argv)
{
	int user = argc > 1 && !strcmp(argv[1], "-u");
	char **cmd = argv + 1 + user;
	int gate[2], status;
	if (!cmd[0] || pipe2(gate, O_CLOEXEC) < 0)
		return 2;
	struct clone_args args = {
		.flags = CLONE_NEWPID | CLONE_NEWNS | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS |
			 CLONE_NEWCGROUP | (user ? CLONE_NEWUSER : 0),
		.exit_signal = SIGCHLD,
	};
	long pid = syscall(SYS_clone3, &args, sizeof(args));
	if (pid == 0) {
		char c;
		(void)close(gate[1]);
		if (user && read(gate[0], &c, 1) != 1)
			_exit(126);
		(void)execvp(cmd[0], cmd);
		_exit(127);
	}
	if (pid < 0) {
		perror("floor: clone3");
		return 125;
	}
	if (user && (write_map((pid_t)pid, "uid_map") < 0 || write_map((pid_t)pid, "gid_map") < 0 ||
		     write(gate[1], "", 1) != 1)) {
		perror("floor: id maps");
		return 125;
	}
	while (waitpid((pid_t)pid, &status, 0) < 0 && errno == EINTR)
		;
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128;
}
