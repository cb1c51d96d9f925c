/* SPDX-License-Identifier: Apache-2.0 */
/* confine - see confine.h. isola-resolver has to reach name servers that the host names,
 * so it stays in the host's network namespace and may make sockets of IPv4 and IPv6:
 * that, and the sockets it was given, is all it has. */
#include "confine.h"

#include "isola/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/socket.h>

#define FILES_MAX        16384 /* three of each client, and its streams */
#define MEMORY_BYTES_MAX (512ULL * 1024 * 1024)

static const struct jail_calls calls[] = {
	{ .names = "epoll_wait epoll_pwait epoll_ctl", .why = "the loop" },
	{ .names = "recvmmsg recvmsg recvfrom sendto sendmsg sendmmsg read readv write writev",
	  .why = "queries, answers, isolad, what goes wrong" },
	{ .names = "accept4 close fcntl", .why = "queries by TCP" },
	{ .names = "socket",
	  .why = "to other name servers, by IPv4 and IPv6",
	  .arg = 0,
	  .forbidden = ~(uint64_t)(AF_INET | AF_INET6) },
	{ .names = "connect setsockopt getsockopt getsockname getpeername ioctl",
	  .why = "the same" },
	{ .names = "openat newfstatat fstat lseek",
	  .why = "c-ares looks for files that the empty root has not" },
	{ .names = "mmap mprotect",
	  .why = "memory, not for code",
	  .arg = 2,
	  .forbidden = PROT_EXEC },
	{ .names = "munmap mremap brk madvise", .why = "memory" },
	{ .names = "clock_gettime gettimeofday time getrandom futex getpid gettid getuid geteuid "
		   "getgid getegid uname sysinfo",
	  .why = "time-outs, ids, the C library, what c-ares asks at its start" },
	{ .names = "rt_sigaction rt_sigprocmask rt_sigreturn restart_syscall exit exit_group",
	  .why = "the end" },
#ifdef __SANITIZE_ADDRESS__
	{ .names = "sigaltstack sched_yield readlink sched_getaffinity getrlimit prlimit64 "
		   "tgkill wait4 clone prctl",
	  .why = "reports of the sanitizers" },
#endif
};

int confine(struct err *err)
{
	const struct jail_limit limits[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_FSIZE, 0 },
		{ RLIMIT_NOFILE, FILES_MAX },
#ifndef __SANITIZE_ADDRESS__
		{ RLIMIT_AS, MEMORY_BYTES_MAX },
#endif
	};
	int rc = jail_limits(limits, sizeof(limits) / sizeof(limits[0]), err);
	if (rc == 0)
		rc = jail_empty_root(CLONE_NEWIPC | CLONE_NEWUTS, err);
	if (rc == 0)
		rc = jail_nobody(err);
	if (rc == 0)
		rc = jail_seccomp(calls, sizeof(calls) / sizeof(calls[0]), err);
	return rc < 0 ? err_prefix(err, "cannot confine isola-resolver") : 0;
}
