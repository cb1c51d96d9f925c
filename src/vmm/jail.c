/* SPDX-License-Identifier: Apache-2.0 */
/* jail - see jail.h. isola-vmm; the steps are those of src/host/jail.c.
 *
 * What the guest could reach if it broke the worker: the descriptors that were handed
 * to it, the calls below on them, and nothing else. There is no file system, no other
 * process, no network in its namespaces, and no right to make or leave any. */
#include "jail.h"

#include "isola/jail.h"

#include "isola/caps.h"
#include "isola/fd.h"

#include "filter.h"
#include "machine.h"

#include <asm/termbits.h>
#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/if_tun.h>
#include <linux/kvm.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#include <asm/ioctls.h>

#define NOBODY      65534
#define ALONE_TRIES 100 /* milliseconds */

/* ---- namespaces and root ---- */

/* A keeper clones its worker into pid, network, ipc and uts namespaces of its own, so that it
 * is PID 1 there, but not into a cgroup namespace, whose root would have been the keeper's
 * cgroup. The mount namespace is always ours: it is the one that we are about to empty. */
static int missing_namespaces(bool keeper)
{
	return keeper && getpid() == 1
		       ? CLONE_NEWCGROUP
		       : CLONE_NEWCGROUP | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS;
}

/* A user without rights has them in a user namespace of his own. */
static int enter_user_namespace(struct err *err)
{
	char map[64];
	uid_t uid = geteuid();
	gid_t gid = getegid();
	/* Only for a process of one thread, and the loader's is joined a moment before the
	 * kernel forgets it. */
	int rc = -1;
	for (int i = 0; rc < 0 && i < ALONE_TRIES; i++) {
		rc = unshare(CLONE_NEWUSER);
		if (rc < 0 && errno != EINVAL)
			break;
		if (rc < 0)
			(void)usleep(1000);
	}
	if (rc < 0)
		return err_sys(err, "cannot make a user namespace");
	(void)fd_write_file(AT_FDCWD, "/proc/self/setgroups", "deny");
	(void)snprintf(map, sizeof(map), "%u %u 1", uid, uid);
	rc = fd_write_file(AT_FDCWD, "/proc/self/uid_map", map);
	(void)snprintf(map, sizeof(map), "%u %u 1", gid, gid);
	if (rc == 0)
		rc = fd_write_file(AT_FDCWD, "/proc/self/gid_map", map);
	return rc < 0 ? err_rc(err, rc, "cannot map us into the user namespace") : 0;
}

/* ---- identity ---- */

/* While we still may; without the bounding set nothing can come back by exec. */
static int drop_bounding(struct err *err)
{
	for (int cap = 0; cap <= caps_last(); cap++)
		if (prctl(PR_CAPBSET_DROP, cap, 0, 0, 0) < 0 && errno != EPERM)
			return err_sys(err, "cannot drop a capability");
	return 0;
}

static int become(uid_t uid, gid_t gid, struct err *err)
{
	if (setgroups(0, NULL) < 0 || setresgid(gid, gid, gid) < 0 || setresuid(uid, uid, uid) < 0)
		return err_sys(err, "cannot become user %u, group %u", uid, gid);
	return 0;
}

static int lower_limits(struct err *err)
{
	static const struct jail_limit rows[] = {
		{ RLIMIT_CORE, 0 },      /* a core would hold the guest's secrets */
		{ RLIMIT_NOFILE, 8192 }, /* a flood of vsock connections ends here */
		{ RLIMIT_MSGQUEUE, 0 },
		{ RLIMIT_SIGPENDING, 1024 },
	};
	return jail_limits(rows, sizeof(rows) / sizeof(rows[0]), err);
}

int jail_enter(const struct machine *machine, bool keeper, struct err *err)
{
	bool root = geteuid() == 0;
	int rc = lower_limits(err);
	if (rc == 0 && !root)
		rc = enter_user_namespace(err);
	if (rc == 0)
		rc = jail_empty_root(missing_namespaces(keeper), err);
	if (rc == 0)
		rc = drop_bounding(err);
	if (rc == 0 && root)
		rc = become(machine->jail ? machine->uid : NOBODY,
			    machine->jail ? machine->gid : NOBODY, err);
	if (rc == 0)
		rc = jail_caps(0, err);
	if (rc < 0)
		return rc;
	/* A change of user clears it, so it comes behind. */
	if (keeper && prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		return err_sys(err, "cannot end with the keeper");
	if (prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0)
		return err_sys(err, "cannot set no_new_privs");
	return 0;
}

/* ---- system calls ---- */

#define ANY(name, why)                                                                             \
	{                                                                                          \
		SYS_##name, FILTER_ANY, 0, 0, why                                                  \
	}
#define IS(name, arg, value, why)                                                                  \
	{                                                                                          \
		SYS_##name, FILTER_IS, arg, (uint32_t)(value), why                                 \
	}
#define LACKS(name, arg, value, why)                                                               \
	{                                                                                          \
		SYS_##name, FILTER_LACKS, arg, (uint32_t)(value), why                              \
	}
#define IOCTL(request, why) IS(ioctl, 1, request, why)

/* clang-format off */

/* Rows of one call stand together. What is allowed whatever its arguments the kernel
 * keeps in a bitmap, so only the place of the others counts: often done comes first. */
static const struct filter_row vcpu_rows[] = {
	IOCTL(KVM_RUN,			"the guest"),
	IOCTL(KVM_GET_REGS,		"the place of an error, for its text"),
	IOCTL(KVM_NMI,			"nmi, asked for by the keeper"),
	IOCTL(KVM_KVMCLOCK_CTRL,	"tells the guest that it was paused"),
};

static const struct filter_row loop_rows[] = {
	ANY(epoll_wait,			"libuv"),
	ANY(epoll_pwait,		"libuv"),
	ANY(epoll_ctl,			"libuv"),
	ANY(read,			"eventfds, serial input, tap, sockets, ptys"),
	ANY(readv,			"tap, sockets, consoles"),
	ANY(writev,			"tap, sockets, consoles"),
	ANY(io_uring_enter,		"disks"),
	ANY(preadv,			"disks without io_uring"),
	ANY(pwritev,			"disks without io_uring"),
	ANY(pwritev2,			"disks without io_uring"),
	ANY(fdatasync,			"flush of a disk"),
	ANY(fallocate,			"discard and zeroes on a disk; memfd pages given back"),
	ANY(lseek,			"the size of a disk that was resized"),
	ANY(fstat,			"the size of a disk that was resized"),
	IS(newfstatat, 3, 0x1000 /* AT_EMPTY_PATH */, "fstat() of newer libcs"),
	IOCTL(FIONBIO,			"libuv: non-blocking streams"),
	IOCTL(TCGETS,			"terminal given back at the end, by hand"),
	IOCTL(TCSETSW,			"terminal given back at the end, by hand"),
	IOCTL(TUNSETOFFLOAD,		"net: what the driver negotiated"),
	IOCTL(TUNGETIFF,		"net: what a port is that comes later"),
	IOCTL(TUNSETVNETHDRSZ,		"net: the same"),
	IOCTL(TUNSETQUEUE,		"net: queue pairs the driver uses"),
	ANY(sendmsg,			"the keeper, vhost-user, vsock"),
	ANY(recvmsg,			"the keeper, vhost-user, vsock"),
	ANY(sendto,			"send() on sockets"),
	ANY(recvfrom,			"recv() on sockets"),
	ANY(accept4,			"vsock: connections from the host"),
	ANY(shutdown,			"vsock: half-closed streams"),
	IS(getsockopt, 2, 4 /* SO_ERROR */, "sockets that failed"),
	ANY(close,			"sockets and eventfds that are done with"),
	IS(fcntl, 1, F_GETFL,		"non-blocking descriptors that came in"),
	IS(fcntl, 1, F_SETFL,		"non-blocking descriptors that came in"),
	IS(fcntl, 1, F_GETFD,		"close-on-exec"),
	IS(fcntl, 1, F_SETFD,		"close-on-exec"),
	ANY(dup3,			"net: another tap for a device whose own is gone"),
	ANY(timerfd_settime,		"rate limits"),
	ANY(poll,			"the last message, when the keeper is slow"),
	LACKS(mremap, 3, MREMAP_FIXED,	"realloc()"),
	ANY(sched_yield,		"libuv: a wake-up that another thread is about to write"),
	ANY(getrandom,			"rng; malloc()"),
	ANY(sched_setaffinity,		"pin, asked for by the keeper"),
	ANY(rt_sigaction,		"libuv: signals by hand"),
};

/* Behind those of each thread; no call stands here and there. */
static const struct filter_row common_rows[] = {
	ANY(write,			"eventfds; serial output, tap, sockets, ptys"),
	ANY(futex,			"locks, vCPUs that wait, the pause barrier"),
	IS(madvise, 2, MADV_DONTNEED,	"balloon; free(); the stack at the end of a thread"),
	LACKS(mmap, 2, PROT_EXEC,	"malloc()"),
	LACKS(mprotect, 2, PROT_EXEC,	"malloc()"),
	ANY(munmap,			"free(), the end"),
	ANY(brk,			"malloc()"),
	ANY(clock_gettime,		"where the vDSO cannot"),
	ANY(getpid,			"for tgkill"),
	ANY(gettid,			"for tgkill"),
	ANY(tgkill,			"kicks of vCPUs; abort()"),
	ANY(rt_sigprocmask,		"libuv, abort(), the end of a thread"),
	ANY(rt_sigreturn,		"the kick's handler; signals by hand"),
	ANY(restart_syscall,		"after SIGSTOP and SIGCONT"),
	ANY(exit,			"the end of a thread"),
	ANY(exit_group,			"the end, abort()"),
};

/* clang-format on */

#define N(rows) (sizeof(rows) / sizeof((rows)[0]))

int jail_filter(enum jail_thread thread, const char *mode, struct err *err)
{
	static const struct {
		const struct filter_row *rows;
		size_t n;
	} tables[] = {
		[JAIL_LOOP] = { loop_rows, N(loop_rows) },
		[JAIL_VCPU] = { vcpu_rows, N(vcpu_rows) },
	};
	struct filter_row rows[N(loop_rows) + N(vcpu_rows) + N(common_rows)];
	size_t n = tables[thread].n;
	if (!strcmp(mode, "off"))
		return 0;
	memcpy(rows, tables[thread].rows, n * sizeof(rows[0]));
	memcpy(rows + n, common_rows, sizeof(common_rows));
	return filter_install(rows, n + N(common_rows),
			      strcmp(mode, "log") ? SECCOMP_RET_KILL_PROCESS : SECCOMP_RET_LOG,
			      err);
}
