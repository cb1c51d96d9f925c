/* SPDX-License-Identifier: Apache-2.0 */
/* jail - what a process inside can and cannot do any more. Each case is a child
 * that locks itself in, tries, and exits with what it saw. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "isola/fd.h"
#include "isola/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/capability.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>

static char dir[PATH_MAX];

static int setup(void **state)
{
	(void)state;
	if (geteuid() != 0) {
		print_message("needs root\n");
		exit(77);
	}
	/* Not in the tree: where that is an overlay, it knows no device 0:0. */
	const char *tmp = getenv("TMPDIR");
	(void)snprintf(dir, sizeof(dir), "%s/jail-test.XXXXXX", tmp ? tmp : "/var/tmp");
	if (!mkdtemp(dir))
		return -1;
	cleanup_fd int fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	static const char script[] = "#!/bin/sh\nexit 0\n";
	if (mkdirat(fd, "in", 0755) < 0 || mkdirat(fd, "out", 0755) < 0 ||
	    fd_write_atomic(fd, "run", script, sizeof(script) - 1, 0755, FD_SYNC_NO, NULL) < 0)
		return -1;
	return mknodat(fd, "zero", S_IFCHR | 0666, makedev(1, 5));
}

static int teardown(void **state)
{
	(void)state;
	return fd_remove_tree(AT_FDCWD, dir, NULL);
}

/* Runs @fn in a child: its exit status, or 128 + signal. */
static int inside(int (*fn)(void))
{
	pid_t pid = fork();
	assert_true(pid >= 0);
	if (pid == 0)
		_exit(fn());
	int status = 0;
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

static int fail_with(const struct err *err, int status)
{
	(void)fprintf(stderr, "%s\n", err->text);
	return status;
}

/* Each of these returns 0, or the number of the line that was wrong. */
#define WANT(condition)                                                                            \
	do {                                                                                       \
		if (!(condition)) {                                                                \
			(void)fprintf(stderr, "line %d: %s\n", __LINE__, #condition);              \
			return 1;                                                                  \
		}                                                                                  \
	} while (0)

static int try_root(void)
{
	struct err err = ERR_INIT;
	struct stat st;
	if (jail_root(dir, true, &err) < 0)
		return fail_with(&err, 2);
	WANT(stat("/etc", &st) < 0 && errno == ENOENT);
	WANT(stat("/in", &st) == 0 && stat("in", &st) == 0); /* and the working folder */
	WANT(chdir("..") == 0 && stat("in", &st) == 0);
	WANT(open("/zero", O_RDONLY) < 0 && errno == EACCES);
	WANT(execl("/run", "run", NULL) < 0 && errno == EACCES);
	/* making a node is no way to open it */
	WANT(mknod("/in/mem", S_IFCHR | 0666, makedev(1, 5)) == 0);
	WANT(open("/in/mem", O_RDWR) < 0 && errno == EACCES);
	WANT(unlink("/in/mem") == 0);
	WANT(if_nametoindex("lo") != 0 && if_nametoindex("eth0") == 0);
	return 0;
}

static int try_caps(void)
{
	struct err err = ERR_INIT;
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2];
	uint64_t keep = 1ULL << CAP_CHOWN | 1ULL << CAP_SETPCAP;
	if (jail_caps(keep, &err) < 0)
		return fail_with(&err, 2);
	WANT(syscall(SYS_capget, &head, data) == 0);
	WANT(data[0].effective == keep && data[0].permitted == keep && !data[0].inheritable);
	WANT(!data[1].effective && !data[1].permitted);
	WANT(unshare(CLONE_NEWNS) < 0 && errno == EPERM);
	/* a second time without CAP_SETPCAP: still narrower */
	WANT(jail_caps(1ULL << CAP_CHOWN, &err) == 0 && jail_caps(0, &err) == 0);
	WANT(syscall(SYS_capget, &head, data) == 0 && !data[0].permitted);
	/* what is not held is no error, and does not come back */
	WANT(jail_caps(1ULL << CAP_CHOWN, &err) == 0);
	WANT(syscall(SYS_capget, &head, data) == 0 && !data[0].permitted);
	return 0;
}

static int try_limits(void)
{
	struct err err = ERR_INIT;
	struct rlimit now;
	const struct jail_limit rows[] = { { RLIMIT_CORE, 0 },
					   { RLIMIT_FSIZE, 1000 },
					   { RLIMIT_NOFILE, RLIM_INFINITY } };
	struct rlimit before;
	WANT(getrlimit(RLIMIT_NOFILE, &before) == 0);
	if (jail_limits(rows, 3, &err) < 0)
		return fail_with(&err, 2);
	WANT(getrlimit(RLIMIT_FSIZE, &now) == 0 && now.rlim_cur == 1000 && now.rlim_max == 1000);
	WANT(getrlimit(RLIMIT_NOFILE, &now) == 0 && now.rlim_max == before.rlim_max);
	return 0;
}

static int try_landlock(void)
{
	struct err err = ERR_INIT;
	cleanup_fd int top = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int in = openat(top, "in", O_PATH | O_DIRECTORY | O_CLOEXEC);
	const struct jail_path path = { .fd = in, .write = true };
	int rc = jail_landlock(&path, 1, &err);
	if (rc == -EOPNOTSUPP)
		return 77;
	if (rc < 0)
		return fail_with(&err, 2);
	WANT(openat(top, "out/x", O_CREAT | O_WRONLY, 0600) < 0 && errno == EACCES);
	WANT(openat(top, "run", O_RDONLY) < 0 && errno == EACCES);
	WANT(open("/etc/passwd", O_RDONLY) < 0 && errno == EACCES);
	WANT(mkdirat(top, "out/d", 0700) < 0 && errno == EACCES);
	WANT(symlinkat("x", top, "out/l") < 0 && errno == EACCES);
	WANT(renameat(top, "run", in, "run") < 0 && (errno == EACCES || errno == EXDEV));
	WANT(execl("/bin/true", "true", NULL) < 0 && errno == EACCES);
	WANT(socket(AF_UNIX, SOCK_STREAM, 0) >= 0); /* Landlock does not forbid that */
	/* inside, all that a layer needs */
	cleanup_fd int f = openat(in, "f", O_CREAT | O_RDWR, 0600);
	WANT(f >= 0 && ftruncate(f, 10) == 0);
	WANT(mkdirat(in, "d", 0700) == 0 && linkat(in, "f", in, "d/f", 0) == 0);
	WANT(renameat(in, "d/f", in, "g") == 0 && symlinkat("/etc/passwd", in, "s") == 0);
	WANT(openat(in, "s", O_RDONLY) < 0 && errno == EACCES);
	WANT(mknodat(in, "w", S_IFCHR, makedev(0, 0)) == 0 && mkfifoat(in, "p", 0600) == 0);
	return 0;
}

static const struct jail_calls calls[] = {
	{ .names = "write exit_group rt_sigreturn no_such_call munmap getpid", .why = "test" },
	{ .names = "mmap", .why = "test", .arg = 2, .forbidden = PROT_EXEC },
#ifdef __SANITIZE_ADDRESS__
	{ .names = "rt_sigaction sigaltstack futex gettid mprotect", .why = "sanitizer" },
#endif
};

static int enter(void)
{
	struct err err = ERR_INIT;
	int rc = jail_seccomp(calls, sizeof(calls) / sizeof(calls[0]), &err);
	return rc < 0 ? fail_with(&err, 2) : 0;
}

static int try_allowed(void)
{
	int rc = enter();
	if (rc)
		return rc;
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	WANT(p != MAP_FAILED && munmap(p, 4096) == 0 && syscall(SYS_getpid) > 0);
	return 0;
}

static int try_open(void)
{
	return enter() || open("/etc/passwd", O_RDONLY) >= 0;
}

static int try_socket(void)
{
	return enter() || socket(AF_INET, SOCK_STREAM, 0) >= 0;
}

static int try_exec_memory(void)
{
	return enter() || mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1,
			       0) != MAP_FAILED;
}

static int try_refusing(void)
{
	struct err err = ERR_INIT;
	int rc = jail_seccomp_refusing(calls, sizeof(calls) / sizeof(calls[0]), ENOSYS, &err);
	if (rc < 0)
		return fail_with(&err, 2);
	void *p = mmap(NULL, 4096, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	WANT(p != MAP_FAILED);
	WANT(open("/etc/passwd", O_RDONLY) < 0 && errno == ENOSYS);
	WANT(socket(AF_INET, SOCK_STREAM, 0) < 0 && errno == ENOSYS);
	WANT(mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) ==
	     MAP_FAILED);
	return 0;
}

static void jail_root__shows_one_folder(void **state)
{
	(void)state;
	assert_int_equal(inside(try_root), 0);
}

static void jail_caps__keeps_only_these(void **state)
{
	(void)state;
	assert_int_equal(inside(try_caps), 0);
}

static void jail_limits__only_lowers(void **state)
{
	(void)state;
	assert_int_equal(inside(try_limits), 0);
}

static void jail_landlock__leaves_one_folder(void **state)
{
	(void)state;
	int rc = inside(try_landlock);
	if (rc == 77)
		skip();
	assert_int_equal(rc, 0);
}

static void jail_seccomp__kills_at_other_calls(void **state)
{
	(void)state;
	assert_int_equal(inside(try_allowed), 0);
	assert_int_equal(inside(try_open), 128 + SIGSYS);
	assert_int_equal(inside(try_socket), 128 + SIGSYS);
	assert_int_equal(inside(try_exec_memory), 128 + SIGSYS);
}

static void jail_seccomp_refusing__lets_live(void **state)
{
	(void)state;
	assert_int_equal(inside(try_refusing), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(jail_root__shows_one_folder),
		cmocka_unit_test(jail_caps__keeps_only_these),
		cmocka_unit_test(jail_limits__only_lowers),
		cmocka_unit_test(jail_landlock__leaves_one_folder),
		cmocka_unit_test(jail_seccomp__kills_at_other_calls),
		cmocka_unit_test(jail_seccomp_refusing__lets_live),
	};
	return cmocka_run_group_tests_name("jail", tests, setup, teardown);
}
