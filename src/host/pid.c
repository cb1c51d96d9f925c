/* SPDX-License-Identifier: Apache-2.0 */
/* pid - see include/isola/pid.h. */
#include "isola/pid.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>

int pid_open(pid_t pid)
{
	int fd = (int)syscall(SYS_pidfd_open, pid, 0);
	return fd < 0 ? -errno : fd;
}

int pid_start_ticks(pid_t pid, uint64_t *ret_ticks, char *ret_state)
{
	char path[40], buf[1024];
	(void)snprintf(path, sizeof(path), "/proc/%d/stat", pid);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return errno == ENOENT ? -ESRCH : -errno;
	ssize_t n = read(fd, buf, sizeof(buf) - 1);
	if (n < 0)
		return -errno;
	buf[n] = '\0';
	/* Field 2 is the command, which may hold spaces and ")". */
	char *p = strrchr(buf, ')');
	char state = 0;
	unsigned long long ticks = 0;
	if (!p || sscanf(p + 1,
			 " %c %*d %*d %*d %*d %*d %*u %*u %*u %*u %*u %*u %*u %*d %*d %*d %*d %*d "
			 "%*d %llu",
			 &state, &ticks) != 2)
		return -EPROTO;
	*ret_ticks = ticks;
	if (ret_state)
		*ret_state = state;
	return 0;
}

bool pid_is_same(pid_t pid, uint64_t ticks)
{
	uint64_t now = 0;
	char state = 0;
	return pid > 0 && pid_start_ticks(pid, &now, &state) == 0 && now == ticks && state != 'Z' &&
	       state != 'X';
}

int pid_open_same(pid_t pid, uint64_t ticks)
{
	cleanup_fd int fd = pid_open(pid);
	if (fd < 0)
		return take_fd(&fd);
	/* Looked up after the pidfd: had the pid been reused before that, the
	 * ticks differ; after that, they also differ from those of our pidfd. */
	return pid_is_same(pid, ticks) ? take_fd(&fd) : -ESRCH;
}

int pid_signal(int pidfd, int signo)
{
	return syscall(SYS_pidfd_send_signal, pidfd, signo, NULL, 0) < 0 ? -errno : 0;
}

int pid_wait_end(int pidfd, int timeout_ms)
{
	struct pollfd pfd = { .fd = pidfd, .events = POLLIN };
	int n = poll(&pfd, 1, timeout_ms);
	return n < 0 ? -errno : n;
}
