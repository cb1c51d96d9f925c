/* SPDX-License-Identifier: Apache-2.0 */
/* hostile_probe - what tests/priv/test_hostile_*.py run inside a container: a
 * static program, so that it needs nothing of the image.  It tries a thing, and
 * prints what came of it; judging is the test's. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

static const char *outcome(long rc)
{
	return rc >= 0 ? "done" : strerrorname_np(errno);
}

static long now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* calls: system calls that lead out, one line each */
static int calls(void)
{
	static const struct {
		const char *name;
		int family, type;
	} sockets[] = { { "alg", AF_ALG, SOCK_SEQPACKET },
			{ "vsock", AF_VSOCK, SOCK_STREAM },
			{ "packet", AF_PACKET, SOCK_RAW },
			{ "unix", AF_UNIX, SOCK_STREAM } };
	for (size_t i = 0; i < sizeof(sockets) / sizeof(sockets[0]); i++) {
		long rc = socket(sockets[i].family, sockets[i].type, 0);
		(void)printf("%s %s\n", sockets[i].name, outcome(rc));
	}
	(void)printf("unshare-user %s\n", outcome(unshare(CLONE_NEWUSER)));
	(void)printf("unshare-cgroup %s\n", outcome(unshare(CLONE_NEWUSER | CLONE_NEWCGROUP)));
	(void)printf("clone-user %s\n",
		     outcome(syscall(SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, 0, 0)));
	(void)printf("clone3 %s\n", outcome(syscall(SYS_clone3, NULL, 0)));
	(void)printf("fsopen %s\n", outcome(syscall(SYS_fsopen, "cgroup2", 0)));
	(void)printf("open_tree %s\n", outcome(syscall(SYS_open_tree, AT_FDCWD, "/", 1)));
	(void)printf("io_uring %s\n", outcome(syscall(SYS_io_uring_setup, 1, NULL)));
	(void)printf("keyctl %s\n", outcome(syscall(SYS_keyctl, 0, -3, 0, 0, 0)));
	(void)printf("handle %s\n", outcome(syscall(SYS_open_by_handle_at, AT_FDCWD, NULL, 0)));
	return 0;
}

/* write FILE...: may each be opened for writing? */
static int try_write(char **files)
{
	for (; *files; files++) {
		int fd = open(*files, O_WRONLY | O_NONBLOCK);
		(void)printf("%s %s\n", *files, outcome(fd));
		if (fd >= 0)
			(void)close(fd);
	}
	return 0;
}

static void tell_link(const char *pid, const char *what)
{
	char path[PATH_MAX], target[PATH_MAX];
	(void)snprintf(path, sizeof(path), "/proc/%s/%s", pid, what);
	ssize_t n = readlink(path, target, sizeof(target) - 1);
	if (n > 0)
		(void)printf("%s %.*s\n", what, (int)n, target);
	if (n > 0 && strcmp(what, "exe") == 0) {
		int fd = open(path, O_WRONLY);
		if (fd >= 0)
			(void)printf("writable %.*s\n", (int)n, target);
		(void)close(fd);
	}
}

static void tell_process(const char *pid)
{
	char path[PATH_MAX], name[PATH_MAX];
	tell_link(pid, "exe");
	tell_link(pid, "root");
	tell_link(pid, "cwd");
	(void)snprintf(path, sizeof(path), "/proc/%s/fd", pid);
	DIR *dir = opendir(path);
	struct dirent *e;
	while (dir && (e = readdir(dir))) {
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "fd/%s", e->d_name);
		tell_link(pid, name);
	}
	if (dir)
		(void)closedir(dir);
}

/* spy MS: what can be seen of processes that others start in here, all the time */
static int spy(long ms)
{
	long end = now_ms() + ms, looks = 0;
	const long first = getpid();
	for (; now_ms() < end; looks++) {
		DIR *dir = opendir("/proc");
		struct dirent *e;
		while (dir && (e = readdir(dir))) {
			long pid = strtol(e->d_name, NULL, 10);
			if (pid > 0 && pid != first)
				tell_process(e->d_name);
		}
		if (dir)
			(void)closedir(dir);
	}
	(void)printf("looks %ld\n", looks);
	return 0;
}

/* swap A B MS: exchanges two names as fast as it can */
static int swap(const char *a, const char *b, long ms)
{
	long end = now_ms() + ms, n = 0;
	for (; now_ms() < end; n++)
		if (syscall(SYS_renameat2, AT_FDCWD, a, AT_FDCWD, b, 2) < 0)
			return 1;
	(void)printf("swaps %ld\n", n);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 2 && strcmp(argv[1], "calls") == 0)
		return calls();
	if (argc > 2 && strcmp(argv[1], "write") == 0)
		return try_write(argv + 2);
	if (argc == 3 && strcmp(argv[1], "spy") == 0)
		return spy(strtol(argv[2], NULL, 10));
	if (argc == 5 && strcmp(argv[1], "swap") == 0)
		return swap(argv[2], argv[3], strtol(argv[4], NULL, 10));
	(void)fprintf(stderr, "usage: calls | write FILE... | spy MS | swap A B MS\n");
	return 2;
}
