/* SPDX-License-Identifier: Apache-2.0 */
/* mkfs_jail - what mkfs.erofs may do; see mkfs.h. Runs in the process that becomes it. */
#include "mkfs.h"

#include "isola/jail.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP(name)   (1ULL << CAP_##name)
#define READS_ALL   CAP(DAC_READ_SEARCH)
#define CPU_SECONDS 900
#define FILES_MAX   1024
/* Some 500 bytes an entry: four million of them. */
#define MEMORY_BYTES_MAX (2ULL * 1024 * 1024 * 1024)

/* What else is called fails and does not kill: it is not our program. Threads are what newer
 * versions compress with; clone3, whose flags no filter can see, is done without. */
static const struct jail_calls calls[] = {
	{ .names = "execve", .why = "it becomes the program; Landlock says which" },
	{ .names = "read pread64 readv write pwrite64 writev lseek close ftruncate fallocate "
		   "copy_file_range sendfile fsync fdatasync fcntl dup",
	  .why = "files of the tree, the file it makes" },
	{ .names = "openat open fstat newfstatat stat lstat statx statfs fstatfs access faccessat "
		   "faccessat2 readlink readlinkat getdents64 getcwd umask",
	  .why = "the tree; Landlock says where" },
	{ .names = "getxattr lgetxattr fgetxattr listxattr llistxattr flistxattr",
	  .why = "attributes of entries" },
	{ .names = "unlink unlinkat", .why = "its temporary files" },
	{ .names = "ioctl", .why = "is it a terminal? a device? Neither is there" },
	{ .names = "clone",
	  .why = "threads; no namespaces",
	  .arg = 0,
	  .forbidden = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
		       CLONE_NEWUTS | CLONE_NEWCGROUP },
	{ .names = "set_robust_list rseq set_tid_address futex sched_yield sched_getaffinity "
		   "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall",
	  .why = "threads, signals" },
	{ .names = "mmap mprotect munmap mremap brk madvise arch_prctl",
	  .why = "memory, libraries" },
	{ .names = "clock_gettime clock_nanosleep nanosleep gettimeofday time getrandom",
	  .why = "the time of making, an id" },
	{ .names = "getpid getppid gettid getuid geteuid getgid getegid uname sysinfo "
		   "getrlimit prlimit64",
	  .why = "who and where it is" },
	{ .names = "exit exit_group", .why = "the end" },
};

/* Another user with one capability, which stays when the program is executed. */
static int become_user(struct err *err)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = (uint32_t)READS_ALL,
						    .permitted = (uint32_t)READS_ALL,
						    .inheritable = (uint32_t)READS_ALL } };
	static const int drops[] = { CAP_SETUID, CAP_SETGID, CAP_SETPCAP };
	int rc = jail_caps(READS_ALL | CAP(SETUID) | CAP(SETGID) | CAP(SETPCAP), err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < sizeof(drops) / sizeof(drops[0]); i++)
		if (prctl(PR_CAPBSET_DROP, drops[i], 0, 0, 0) < 0)
			return err_sys(err, "cannot drop a capability");
	if (prctl(PR_SET_KEEPCAPS, 1, 0, 0, 0) < 0 || setgroups(0, NULL) < 0 ||
	    setresgid(MKFS_USER, MKFS_USER, MKFS_USER) < 0 ||
	    setresuid(MKFS_USER, MKFS_USER, MKFS_USER) < 0)
		return err_sys(err, "cannot become user %d", MKFS_USER);
	if (syscall(SYS_capset, &head, data) < 0 ||
	    prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_RAISE, CAP_DAC_READ_SEARCH, 0, 0) < 0)
		return err_sys(err, "cannot keep a capability");
	/* The change of user has undone it. */
	return prctl(PR_SET_PDEATHSIG, SIGKILL) < 0 ? err_sys(err, "cannot follow the job") : 0;
}

static int landlock(struct err *err)
{
	struct jail_path paths[] = {
		{ .fd = open("/usr", O_PATH | O_DIRECTORY | O_CLOEXEC), .execute = true },
		{ .fd = open("/tree", O_PATH | O_DIRECTORY | O_CLOEXEC) },
		{ .fd = open("/out", O_PATH | O_DIRECTORY | O_CLOEXEC), .write = true },
	};
	size_t n = sizeof(paths) / sizeof(paths[0]);
	for (size_t i = 0; i < n; i++)
		if (paths[i].fd < 0)
			return err_sys(err, "cannot open a folder of the jail");
	int rc = jail_landlock(paths, n, err);
	/* A kernel without it: the other walls stand. */
	return rc == -EOPNOTSUPP ? 0 : rc;
}

int mkfs_confine(const struct mkfs_limits *limits, struct err *err)
{
	const struct jail_limit rows[] = {
		{ RLIMIT_CORE, 0 },           { RLIMIT_FSIZE, limits->file_bytes },
		{ RLIMIT_NOFILE, FILES_MAX }, { RLIMIT_MEMLOCK, 0 },
		{ RLIMIT_CPU, CPU_SECONDS },  { RLIMIT_AS, MEMORY_BYTES_MAX },
	};
	int rc = become_user(err);
	if (rc == 0)
		rc = landlock(err);
	if (rc == 0)
		rc = jail_seccomp_refusing(calls, sizeof(calls) / sizeof(calls[0]), ENOSYS, err);
	/* Last, and not before the filter is made: the sanitizers map more than any machine has. */
	return rc < 0 ? rc : jail_limits(rows, sizeof(rows) / sizeof(rows[0]), err);
}
