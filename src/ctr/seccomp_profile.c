/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp_profile - see seccomp_profile.h. An allow-list: what is not here is
 * EPERM, and ENOSYS when it is newer than all that is (seccomp.h), so that a C
 * library falls back to what it used before.
 *
 * A name is here if ordinary programs need it and it acts on the process itself,
 * its files, or what namespaces divide. What reaches the machine as a whole, or
 * has often been a way into the kernel and is rarely needed, waits for the
 * capability that goes with it, or is left out altogether:
 *
 *   keyrings (add_key, keyctl, request_key): not divided by namespaces in full
 *   io_uring: a second system call table that no filter sees
 *   userfaultfd: mostly used to win races in the kernel
 *   kexec, swap, quota files, _sysctl, uselib, ustat, vm86: the machine's, or old
 *   socketcall on 32 bit: its arguments lie in memory that no filter can read. Its
 *   calls are let through by name (bind, connect, ...) but not the one that makes
 *   a socket, or AF_ALG and AF_VSOCK could be had through it. */
#include "seccomp_profile.h"

#include <errno.h>
#include <sched.h>

/* Address families by number; the kernel looks at 32 bits only, so comparing for
 * "not 38" could be fooled by higher bits, and only what is good is listed.
 * Below 38 are all that programs use. 38 AF_ALG: the kernel's ciphers, a series of
 * holes. 39 NFC, 41 KCM, 42 QIPCRTR, 45 MCTP: hardly any users. 40 AF_VSOCK: would
 * reach the hypervisor and, on a host of virtual machines, these. */
static const struct profile_arg families_below_alg = { 0, PROFILE_LT, 38 };
static const struct profile_arg family_smc = { 0, PROFILE_EQ, 43 };
static const struct profile_arg family_xdp = { 0, PROFILE_EQ, 44 };

/* Linux and 32-bit Linux, each also with UNAME26, and the question what is set.
 * Others switch off address randomisation or map page zero. */
static const struct profile_arg personality_linux = { 0, PROFILE_EQ, 0x0 };
static const struct profile_arg personality_linux32 = { 0, PROFILE_EQ, 0x8 };
static const struct profile_arg personality_uname26 = { 0, PROFILE_EQ, 0x20000 };
static const struct profile_arg personality_uname26_32 = { 0, PROFILE_EQ, 0x20008 };
static const struct profile_arg personality_query = { 0, PROFILE_EQ, 0xffffffff };

/* No namespace, hence no user namespace in which everybody is root. */
#define CLONE_NAMESPACES                                                                           \
	(CLONE_NEWNS | CLONE_NEWCGROUP | CLONE_NEWUTS | CLONE_NEWIPC | CLONE_NEWUSER |             \
	 CLONE_NEWPID | CLONE_NEWNET)
static const struct profile_arg clone_same_namespaces = {
#if defined(__s390__)
	1, /* the arguments are the other way round there */
#else
	0,
#endif
	PROFILE_MASKED_EQ, CLONE_NAMESPACES, 0
};

const struct profile_group profile_groups[] = {
	/* Opening, and what a descriptor can do. */
	{ "open openat openat2 creat close close_range dup dup2 dup3 fcntl fcntl64 flock ioctl "
	  "name_to_handle_at read write readv writev pread64 pwrite64 preadv pwritev preadv2 "
	  "pwritev2 lseek _llseek sendfile sendfile64 splice tee vmsplice copy_file_range "
	  "readahead fadvise64 fadvise64_64 arm_fadvise64_64 fallocate truncate truncate64 "
	  "ftruncate ftruncate64 sync syncfs fsync fdatasync sync_file_range sync_file_range2 "
	  "arm_sync_file_range cachestat pipe pipe2 memfd_create memfd_secret" },

	/* Names and what the file system knows of a file. */
	{ "access faccessat faccessat2 stat stat64 lstat lstat64 fstat fstat64 fstatat64 "
	  "newfstatat statx statfs statfs64 fstatfs fstatfs64 getdents getdents64 readlink "
	  "readlinkat link linkat symlink symlinkat unlink unlinkat rename renameat renameat2 "
	  "mkdir mkdirat rmdir mknod mknodat chmod fchmod fchmodat fchmodat2 chown chown32 "
	  "fchown fchown32 lchown lchown32 fchownat utime utimes futimesat utimensat "
	  "utimensat_time64 umask chdir fchdir getcwd getxattr lgetxattr fgetxattr setxattr "
	  "lsetxattr fsetxattr listxattr llistxattr flistxattr removexattr lremovexattr "
	  "fremovexattr getxattrat setxattrat listxattrat removexattrat file_getattr "
	  "file_setattr statmount listmount inotify_init inotify_init1 inotify_add_watch inotify_rm_watch" },

	/* Waiting for several things, and asynchronous I/O of the old kind. */
	{ "poll ppoll ppoll_time64 select _newselect pselect6 pselect6_time64 epoll_create "
	  "epoll_create1 epoll_ctl epoll_ctl_old epoll_wait epoll_wait_old epoll_pwait "
	  "epoll_pwait2 eventfd eventfd2 signalfd signalfd4 timerfd timerfd_create "
	  "timerfd_gettime timerfd_gettime64 timerfd_settime timerfd_settime64 io_setup "
	  "io_destroy io_submit io_cancel io_getevents io_pgetevents io_pgetevents_time64" },

	/* Memory of the process. */
	{ "brk mmap mmap2 munmap mremap mprotect madvise msync mincore mlock mlock2 mlockall "
	  "munlock munlockall mseal membarrier remap_file_pages pkey_alloc pkey_free "
	  "pkey_mprotect map_shadow_stack" },

	/* Processes and threads. fork and vfork carry no flags. */
	{ "fork vfork execve execveat exit exit_group wait4 waitid waitpid getpid getppid gettid "
	  "getpgid getpgrp setpgid getsid setsid set_tid_address set_robust_list "
	  "get_robust_list futex futex_time64 futex_waitv futex_wake futex_wait futex_requeue "
	  "rseq restart_syscall prctl pidfd_open pidfd_send_signal process_mrelease" },

	/* Signals. */
	{ "kill tkill tgkill pause sigaltstack signal sigaction sigpending sigprocmask sigreturn "
	  "sigsuspend rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn "
	  "rt_sigsuspend rt_sigtimedwait rt_sigtimedwait_time64 rt_tgsigqueueinfo" },

	/* Reading clocks, sleeping, timers. adjtimex and clock_adjtime read, too; the
	 * kernel asks for CAP_SYS_TIME to set. */
	{ "time times gettimeofday clock_gettime clock_gettime64 clock_getres "
	  "clock_getres_time64 clock_nanosleep clock_nanosleep_time64 nanosleep alarm getitimer "
	  "setitimer timer_create timer_delete timer_getoverrun timer_gettime timer_gettime64 "
	  "timer_settime timer_settime64 adjtimex clock_adjtime clock_adjtime64" },

	/* Users, groups, capabilities, limits, priorities: less is always allowed, more
	 * only by the kernel's own checks. */
	{ "getuid getuid32 geteuid geteuid32 getgid getgid32 getegid getegid32 getresuid "
	  "getresuid32 getresgid getresgid32 getgroups getgroups32 setuid setuid32 setgid "
	  "setgid32 setreuid setreuid32 setregid setregid32 setresuid setresuid32 setresgid "
	  "setresgid32 setfsuid setfsuid32 setfsgid setfsgid32 setgroups setgroups32 capget "
	  "capset getrlimit ugetrlimit setrlimit prlimit64 getrusage getpriority setpriority "
	  "ioprio_get ioprio_set nice sched_yield sched_getaffinity sched_setaffinity "
	  "sched_getparam sched_setparam sched_getscheduler sched_setscheduler sched_getattr "
	  "sched_setattr sched_get_priority_max sched_get_priority_min sched_rr_get_interval "
	  "sched_rr_get_interval_time64 getcpu" },

	/* What the system is. */
	{ "uname sysinfo getrandom" },

	/* Making oneself smaller. */
	{ "seccomp landlock_create_ruleset landlock_add_rule landlock_restrict_self" },

	/* Message queues, semaphores, shared memory: divided by ipc namespaces. */
	{ "ipc msgctl msgget msgrcv msgsnd semctl semget semop semtimedop semtimedop_time64 "
	  "shmat shmctl shmdt shmget mq_open mq_unlink mq_notify mq_getsetattr mq_timedreceive "
	  "mq_timedreceive_time64 mq_timedsend mq_timedsend_time64" },

	/* Sockets that are there; which may be made comes below. */
	{ "socketpair bind connect listen accept accept4 getpeername getsockname getsockopt "
	  "setsockopt recv recvfrom recvmsg recvmmsg recvmmsg_time64 send sendto sendmsg "
	  "sendmmsg shutdown" },
	{ "socket", .arg = &families_below_alg },
	{ "socket", .arg = &family_smc },
	{ "socket", .arg = &family_xdp },

	/* Debuggers. Since Linux 4.8 a filter cannot be dodged through ptrace, and the
	 * kernel lets nobody trace who could not do as much himself. */
	{ "ptrace process_vm_readv process_vm_writev" },

	/* What single machines need to run any program. */
	{ "arch_prctl modify_ldt get_thread_area set_thread_area breakpoint cacheflush set_tls "
	  "get_tls s390_guarded_storage s390_pci_mmio_read s390_pci_mmio_write "
	  "s390_runtime_instr s390_sthyi swapcontext switch_endian subpage_prot "
	  "riscv_flush_icache riscv_hwprobe cachectl sysmips uprobe uretprobe" },

	{ "personality", .arg = &personality_linux },
	{ "personality", .arg = &personality_linux32 },
	{ "personality", .arg = &personality_uname26 },
	{ "personality", .arg = &personality_uname26_32 },
	{ "personality", .arg = &personality_query },

	/* Threads and processes by clone, but no namespaces: only administrators of the
	 * container make these. clone3 has its flags in memory; as if it were not there,
	 * C libraries use clone. */
	{ "clone", PROFILE_WITHOUT, "CAP_SYS_ADMIN", .arg = &clone_same_namespaces },
	{ "clone3", PROFILE_WITHOUT, "CAP_SYS_ADMIN", ENOSYS },
	{ "clone clone3 unshare setns mount umount umount2 pivot_root fsopen fsconfig fsmount "
	  "fspick open_tree open_tree_attr move_mount mount_setattr listns "
	  "sethostname setdomainname fanotify_init fanotify_mark lookup_dcookie quotactl "
	  "quotactl_fd bpf perf_event_open syslog",
	  PROFILE_WITH, "CAP_SYS_ADMIN" },

	/* Each its own key. */
	{ "bpf", PROFILE_WITH, "CAP_BPF" },
	{ "perf_event_open", PROFILE_WITH, "CAP_PERFMON" },
	{ "syslog", PROFILE_WITH, "CAP_SYSLOG" },
	{ "open_by_handle_at", PROFILE_WITH, "CAP_DAC_READ_SEARCH" },
	{ "chroot", PROFILE_WITH, "CAP_SYS_CHROOT" },
	{ "kcmp pidfd_getfd process_madvise", PROFILE_WITH, "CAP_SYS_PTRACE" },
	{ "get_mempolicy set_mempolicy set_mempolicy_home_node mbind migrate_pages move_pages",
	  PROFILE_WITH, "CAP_SYS_NICE" },
	{ "settimeofday stime clock_settime clock_settime64", PROFILE_WITH, "CAP_SYS_TIME" },
	{ "vhangup", PROFILE_WITH, "CAP_SYS_TTY_CONFIG" },
	{ "acct", PROFILE_WITH, "CAP_SYS_PACCT" },
	{ "reboot", PROFILE_WITH, "CAP_SYS_BOOT" },
	{ "init_module finit_module delete_module", PROFILE_WITH, "CAP_SYS_MODULE" },
	{ "iopl ioperm", PROFILE_WITH, "CAP_SYS_RAWIO" },
};

const size_t profile_n_groups = sizeof(profile_groups) / sizeof(profile_groups[0]);

/* x32 is left out: no distribution's kernel runs it, and a program that tries
 * gets ENOSYS. */
const char *const profile_machines[] = {
#if defined(__x86_64__)
	"SCMP_ARCH_X86_64", "SCMP_ARCH_X86",
#elif defined(__aarch64__)
	"SCMP_ARCH_AARCH64", "SCMP_ARCH_ARM",
#elif defined(__s390x__)
	"SCMP_ARCH_S390X", "SCMP_ARCH_S390",
#endif
	NULL
};
