/* SPDX-License-Identifier: Apache-2.0 */
/* sandbox - see sandbox.h. seccomp(2) with a filter written by hand: a list this
 * short needs no compiler at run time (libseccomp would take longer than most
 * readers live). */
#include "sandbox.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/capability.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#if defined(__x86_64__)
#define ARCH AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCH AUDIT_ARCH_AARCH64
#endif

#if defined(ARCH) && !defined(__SANITIZE_ADDRESS__)

static const int allowed[] = {
	SYS_read,
	SYS_write,
	SYS_pread64,
	SYS_sendto,
	SYS_recvfrom,
	SYS_close,
	SYS_fstat,
	SYS_newfstatat,
#ifdef SYS_poll
	SYS_poll,
#endif
	SYS_ppoll,
	SYS_clock_gettime,
	SYS_gettimeofday,
	SYS_nanosleep,
	SYS_clock_nanosleep,
	SYS_restart_syscall,
	SYS_mmap,
	SYS_munmap,
	SYS_mremap,
	SYS_madvise,
	SYS_brk,
	SYS_futex,
	SYS_rt_sigreturn,
	SYS_exit,
	SYS_exit_group,
};

#define N_ALLOWED (sizeof(allowed) / sizeof(allowed[0]))
#define MAX_LINES (N_ALLOWED * 2 + 16)

#define LOAD(field)                                                                                \
	BPF_STMT(BPF_LD | BPF_W | BPF_ABS, (uint32_t)offsetof(struct seccomp_data, field))
#define RETURN(what)            BPF_STMT(BPF_RET | BPF_K, what)
#define JUMP_EQ(value, yes, no) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(value), yes, no)

/* Low half of an argument; open flags fit there. */
#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define ARG_LOW(i) args[i]
#else
#define ARG_LOW(i) args[i] + 4
#endif

static int load_filter(void)
{
	struct sock_filter f[MAX_LINES];
	size_t n = 0;
	const struct sock_filter begin[] = {
		LOAD(arch),
		JUMP_EQ(ARCH, 1, 0),
		RETURN(SECCOMP_RET_KILL_PROCESS),
		LOAD(nr),
	};
	const struct sock_filter end[] = {
		/* openat: anything but a plain read-only open would do harm. */
		JUMP_EQ(SYS_openat, 0, 3),
		LOAD(ARG_LOW(2)),
		BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, O_ACCMODE | O_CREAT | O_TRUNC, 1, 0),
		RETURN(SECCOMP_RET_ALLOW),
		RETURN(SECCOMP_RET_ERRNO | EPERM),
	};
	memcpy(f, begin, sizeof(begin));
	n = sizeof(begin) / sizeof(begin[0]);
	for (size_t i = 0; i < N_ALLOWED; i++) {
		f[n++] = (struct sock_filter)JUMP_EQ(allowed[i], 0, 1);
		f[n++] = (struct sock_filter)RETURN(SECCOMP_RET_ALLOW);
	}
	memcpy(f + n, end, sizeof(end));
	n += sizeof(end) / sizeof(end[0]);
	const struct sock_fprog prog = { .len = (unsigned short)n, .filter = f };
	return syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, 0, &prog) < 0 ? -errno : 0;
}

#else

static int load_filter(void)
{
	return 0;
}

#endif

int sandbox_enter(struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	const struct __user_cap_data_struct none[2] = { { 0 } };
	if (syscall(SYS_capset, &head, none) < 0)
		return err_sys(err, "cannot drop the capabilities");
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, "cannot set no_new_privs");
	int rc = load_filter();
	/* A kernel without seccomp filters: the rest holds. */
	return rc < 0 && rc != -EINVAL && rc != -ENOSYS
		       ? err_rc(err, rc, "cannot load the system call filter")
		       : 0;
}
