/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_default - what the default profile lets a process do, tried out. */
#include "spec_doc.h"

#include "isola/fd.h"
#include "isola/seccomp.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>

static const char docker_caps[] =
	"[\"CAP_CHOWN\",\"CAP_DAC_OVERRIDE\",\"CAP_FSETID\",\"CAP_FOWNER\",\"CAP_MKNOD\","
	"\"CAP_NET_RAW\",\"CAP_SETGID\",\"CAP_SETUID\",\"CAP_SETFCAP\",\"CAP_SETPCAP\","
	"\"CAP_NET_BIND_SERVICE\",\"CAP_SYS_CHROOT\",\"CAP_KILL\",\"CAP_AUDIT_WRITE\"]";

static struct seccomp_filter load_default(const char *caps)
{
	struct seccomp_filter f = SECCOMP_FILTER_INIT;
	struct err err = ERR_INIT;
	json_object *list = parse_json(caps), *profile = ctr_seccomp_default(list, &err);
	assert_non_null(profile);
	if (seccomp_filter_load(profile, -1, &f, &err) < 0)
		fail_msg("%s", err.text);
	json_object_put(profile);
	json_object_put(list);
	return f;
}

/* A row of system calls and what errno they must end with; 0 = may be done, what
 * else may go wrong with it. */
struct call {
	const char *name;
	long nr, a, b, c;
	int error;
};

static void try_calls(const char *caps, const struct call *rows, size_t n)
{
	struct seccomp_filter f = load_default(caps);
	for (size_t i = 0; i < n; i++) {
		int status = 0;
		pid_t pid = fork();
		if (pid == 0) {
			(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
			if (seccomp_filter_install(&f) < 0)
				_exit(255);
			errno = 0;
			long rc = syscall(rows[i].nr, rows[i].a, rows[i].b, rows[i].c, 0, 0, 0);
			_exit(rc < 0 ? errno : 0);
		}
		assert_int_equal(waitpid(pid, &status, 0), pid);
		if (status != rows[i].error << 8)
			fail_msg("%s: status %#x, wanted errno %d", rows[i].name, status,
				 rows[i].error);
	}
	seccomp_filter_fini(&f);
}

#define TRY(caps, rows) try_calls(caps, rows, sizeof(rows) / sizeof((rows)[0]))

static void profile__lets_ordinary_things_through(void **state)
{
	(void)state;
	static const struct call rows[] = {
		{ "getpid", SYS_getpid, 0, 0, 0, 0 },
		{ "socket unix", SYS_socket, AF_UNIX, SOCK_STREAM, 0, 0 },
		{ "socket inet", SYS_socket, AF_INET, SOCK_STREAM, 0, 0 },
		{ "socket netlink", SYS_socket, AF_NETLINK, SOCK_RAW, 0, 0 },
		{ "personality query", SYS_personality, 0xffffffffL, 0, 0, 0 },
		{ "personality linux32", SYS_personality, PER_LINUX32, 0, 0, 0 },
		{ "chroot", SYS_chroot, (long)"/", 0, 0, 0 },
		{ "close_range", SYS_close_range, 100, 200, 0, 0 },
		{ "pidfd_open", SYS_pidfd_open, 1, 0, 0, 0 },
		{ "getrandom", SYS_getrandom, 0, 0, 0, 0 },
		{ "prctl", SYS_prctl, PR_GET_DUMPABLE, 0, 0, 0 },
	};
	if (geteuid() != 0)
		skip();
	TRY(docker_caps, rows);
}

static void profile__refuses_ways_out(void **state)
{
	(void)state;
	static const struct call rows[] = {
		{ "socket alg", SYS_socket, 38, SOCK_SEQPACKET, 0, EPERM },
		{ "socket vsock", SYS_socket, 40, SOCK_STREAM, 0, EPERM },
		/* the kernel drops the upper half */
		{ "socket alg, hidden", SYS_socket, 0x100000000L | 38, SOCK_SEQPACKET, 0, EPERM },
		{ "socket vsock, hidden", SYS_socket, 0x7fffffff00000000L | 40, SOCK_STREAM, 0,
		  EPERM },
		{ "socket kcm", SYS_socket, 41, SOCK_DGRAM, 0, EPERM },
		{ "personality noaslr", SYS_personality, ADDR_NO_RANDOMIZE, 0, 0, EPERM },
		{ "unshare user", SYS_unshare, CLONE_NEWUSER, 0, 0, EPERM },
		{ "setns", SYS_setns, 0, 0, 0, EPERM },
		{ "clone user", SYS_clone, CLONE_NEWUSER | SIGCHLD, 0, 0, EPERM },
		{ "clone mount", SYS_clone, CLONE_NEWNS | SIGCHLD, 0, 0, EPERM },
		{ "clone cgroup", SYS_clone, CLONE_NEWCGROUP | SIGCHLD, 0, 0, EPERM },
		{ "clone3", SYS_clone3, 0, 0, 0, ENOSYS },
		{ "mount", SYS_mount, 0, 0, 0, EPERM },
		{ "umount2", SYS_umount2, 0, 0, 0, EPERM },
		{ "pivot_root", SYS_pivot_root, 0, 0, 0, EPERM },
		{ "fsopen", SYS_fsopen, (long)"tmpfs", 0, 0, EPERM },
		{ "open_tree", SYS_open_tree, -1, 0, 0, EPERM },
		{ "bpf", SYS_bpf, 0, 0, 0, EPERM },
		{ "perf_event_open", SYS_perf_event_open, 0, 0, 0, EPERM },
		{ "userfaultfd", SYS_userfaultfd, 0, 0, 0, EPERM },
		{ "io_uring_setup", SYS_io_uring_setup, 0, 0, 0, EPERM },
		{ "keyctl", SYS_keyctl, 0, 0, 0, EPERM },
		{ "add_key", SYS_add_key, 0, 0, 0, EPERM },
		{ "kexec_load", SYS_kexec_load, 0, 0, 0, EPERM },
		{ "init_module", SYS_init_module, 0, 0, 0, EPERM },
		{ "reboot", SYS_reboot, 0, 0, 0, EPERM },
		{ "swapon", SYS_swapon, 0, 0, 0, EPERM },
		{ "syslog", SYS_syslog, 10, 0, 0, EPERM },
		{ "acct", SYS_acct, 0, 0, 0, EPERM },
		{ "sethostname", SYS_sethostname, 0, 0, 0, EPERM },
		{ "clock_settime", SYS_clock_settime, 0, 0, 0, EPERM },
		{ "open_by_handle_at", SYS_open_by_handle_at, 0, 0, 0, EPERM },
		{ "mbind", SYS_mbind, 0, 0, 0, EPERM },
		{ "kcmp", SYS_kcmp, 0, 0, 0, EPERM },
		{ "a call of next year", 1000, 0, 0, 0, ENOSYS },
#if defined(__x86_64__)
		{ "iopl", SYS_iopl, 3, 0, 0, EPERM },
		{ "x32 getpid", 0x40000000L | SYS_getpid, 0, 0, 0, ENOSYS },
#endif
	};
	TRY(docker_caps, rows);
}

/* With the capability the kernel itself answers: other errors than the filter's. */
static void profile__opens_with_capabilities(void **state)
{
	(void)state;
	if (geteuid() != 0)
		skip();
	static const struct call admin[] = {
		{ "unshare", SYS_unshare, 0, 0, 0, 0 },
		{ "setns", SYS_setns, -1, 0, 0, EBADF },
		{ "clone3", SYS_clone3, 0, 0, 0, EINVAL },
		{ "bpf", SYS_bpf, 9999, 0, 0, EINVAL },
		{ "open_tree", SYS_open_tree, -1, (long)"x", 0, EBADF },
	};
	TRY("[\"CAP_SYS_ADMIN\"]", admin);
	static const struct call others[] = {
		{ "bpf", SYS_bpf, 9999, 0, 0, EINVAL },
		{ "open_by_handle_at", SYS_open_by_handle_at, 0, 0, 0, EFAULT },
		{ "setns", SYS_setns, -1, 0, 0, EPERM },
		{ "kcmp", SYS_kcmp, 0x7ffffffe, 0x7ffffffe, 0, ESRCH },
	};
	TRY("[\"CAP_BPF\",\"CAP_DAC_READ_SEARCH\",\"CAP_SYS_PTRACE\"]", others);
	static const struct call none[] = {
		{ "chroot", SYS_chroot, (long)"/", 0, 0, EPERM },
	};
	TRY("[]", none);
}

static int in_thread(void *arg)
{
	*(volatile int *)arg = 1;
	return 0;
}

/* What a C library does to start threads and programs. */
static void profile__runs_threads_and_programs(void **state)
{
	(void)state;
	struct seccomp_filter f = load_default(docker_caps);
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (seccomp_filter_install(&f) < 0)
			_exit(9);
		static char stack[65536];
		volatile int ran = 0;
		int tid = clone(in_thread, stack + sizeof(stack), SIGCHLD | CLONE_VM, (void *)&ran);
		if (tid < 0 || waitpid(tid, NULL, 0) != tid || !ran)
			_exit(8);
		execl("/bin/sh", "sh", "-c", "test $(echo 3 | cat) = 3", NULL);
		_exit(7);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_int_equal(status, 0);
	seccomp_filter_fini(&f);
}

#if defined(__x86_64__)
/* A 32-bit system call from a 64-bit program. */
static long int80(long nr, long a, long b, long c)
{
	long rc;
	__asm__ volatile("int $0x80"
			 : "=a"(rc)
			 : "a"(nr), "b"(a), "c"(b), "d"(c)
			 : "memory", "r8", "r9", "r10", "r11");
	return rc;
}

static int try_int80(const struct seccomp_filter *f, long nr, long a, long b, long c)
{
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		(void)prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
		if (f && seccomp_filter_install(f) < 0)
			_exit(255);
		long rc = int80(nr, a, b, c);
		_exit(rc < 0 ? (int)-rc : 0);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	return WIFSIGNALED(status) ? 256 + WTERMSIG(status) : WEXITSTATUS(status);
}

static void profile__guards_32_bit_calls(void **state)
{
	(void)state;
	enum { NR_GETPID = 20, NR_SOCKETCALL = 102, NR_SOCKET = 359, NR_CLONE3 = 435 };
	if (try_int80(NULL, NR_GETPID, 0, 0, 0) != 0) {
		print_message("this kernel runs no 32-bit programs\n");
		skip();
	}
	struct seccomp_filter f = load_default(docker_caps);
	uint32_t *args = mmap(NULL, 4096, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
	assert_ptr_not_equal(args, MAP_FAILED);
	long at = (long)(uintptr_t)args;
	assert_int_equal(try_int80(&f, NR_GETPID, 0, 0, 0), 0);
	assert_int_equal(try_int80(&f, NR_SOCKET, AF_UNIX, SOCK_STREAM, 0), 0);
	assert_int_equal(try_int80(&f, NR_SOCKET, 38, SOCK_SEQPACKET, 0), EPERM);
	assert_int_equal(try_int80(&f, NR_SOCKET, 40, SOCK_STREAM, 0), EPERM);
	args[0] = 38;
	args[1] = SOCK_SEQPACKET;
	args[2] = 0;
	assert_int_equal(try_int80(&f, NR_SOCKETCALL, 1 /* SYS_SOCKET */, at, 0), EPERM);
	args[0] = AF_UNIX;
	assert_int_equal(try_int80(&f, NR_SOCKETCALL, 1, at, 0), EPERM);
	/* listen(-1): let through, and wrong */
	args[0] = (uint32_t)-1;
	assert_int_equal(try_int80(&f, NR_SOCKETCALL, 4 /* SYS_LISTEN */, at, 0), EBADF);
	assert_int_equal(try_int80(&f, NR_CLONE3, 0, 0, 0), ENOSYS);
	assert_int_equal(try_int80(&f, 1000, 0, 0, 0), ENOSYS);
	(void)munmap(args, 4096);
	seccomp_filter_fini(&f);
}
#endif

static void profile__depends_on_caps_only(void **state)
{
	(void)state;
	struct err err = ERR_INIT;
	json_object *bad = parse_json("{}");
	assert_null(ctr_seccomp_default(bad, &err));
	assert_int_equal(err.code, EINVAL);
	json_object_put(bad);
	json_object *a = ctr_seccomp_default(NULL, &err), *b = ctr_seccomp_default(NULL, &err);
	assert_true(json_object_equal(a, b));
	assert_string_equal(json_str_or(a, "defaultAction", ""), "SCMP_ACT_ERRNO");
	json_object_put(a);
	json_object_put(b);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profile__lets_ordinary_things_through),
		cmocka_unit_test(profile__refuses_ways_out),
		cmocka_unit_test(profile__opens_with_capabilities),
		cmocka_unit_test(profile__runs_threads_and_programs),
#if defined(__x86_64__)
		cmocka_unit_test(profile__guards_32_bit_calls),
#endif
		cmocka_unit_test(profile__depends_on_caps_only),
	};
	return cmocka_run_group_tests_name("seccomp_default", tests, NULL, NULL);
}
