/* SPDX-License-Identifier: Apache-2.0 */
/* confine - see confine.h. A socket of a port is bound, filtered and locked by isolad: it
 * leads to one guest, whatever becomes of this process, and no other can be made. */
#include "confine.h"

#include "isola/jail.h"

#include <sched.h>
#include <sys/mman.h>

#define FILES_MAX        16384
#define MEMORY_BYTES_MAX (128ULL * 1024 * 1024)

static const struct jail_calls calls[] = {
	{ .names = "epoll_wait epoll_pwait epoll_ctl", .why = "the loop" },
	{ .names = "recvmsg recvfrom sendto", .why = "requests, answers, isolad" },
	{ .names = "close fcntl", .why = "ports that go" },
	{ .names = "write writev", .why = "what goes wrong" },
	{ .names = "mmap mprotect",
	  .why = "memory, not for code",
	  .arg = 2,
	  .forbidden = PROT_EXEC },
	{ .names = "munmap mremap brk madvise", .why = "memory" },
	{ .names = "clock_gettime getrandom futex", .why = "limits, the C library" },
	{ .names = "rt_sigreturn restart_syscall exit exit_group", .why = "the end" },
#ifdef __SANITIZE_ADDRESS__
	{ .names = "sigaltstack sched_yield readlink sched_getaffinity getrlimit prlimit64 tgkill "
		   "wait4 clone prctl getpid gettid openat read newfstatat fstat lseek "
		   "rt_sigaction rt_sigprocmask getuid geteuid getgid getegid",
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
		rc = jail_empty_root(CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS, err);
	if (rc == 0)
		rc = jail_nobody(err);
	if (rc == 0)
		rc = jail_seccomp(calls, sizeof(calls) / sizeof(calls[0]), err);
	return rc < 0 ? err_prefix(err, "cannot confine isola-dhcp") : 0;
}
