/* SPDX-License-Identifier: Apache-2.0 */
/* confine - see confine.h. Walls of isola-image, each closed before the first
 * foreign byte is read:
 *
 *   the state folder is "/"      other files have no name (and on it devices
 *                                cannot be opened, nothing runs)
 *   no network                   an empty network namespace, no socket()
 *   capabilities                 those for writing files of any owner
 *   Landlock                     the same folder again
 *   seccomp                      the calls below, else the process dies
 *   limits                       memory, file size, open files, no core
 *
 * A layer process, which parses the tar, has its layer's folder as "/" and in
 * Landlock, no other folder open, not the standard streams of the job, and no
 * CAP_SYS_ADMIN: that is kept only for the attribute trusted.overlay.opaque,
 * which its parent sets. The processes that decompress for it, or read an archive of load or
 * ADD (reader.h, build_archive.c), have no right and no file at all but their descriptors.
 * CAP_MKNOD makes what an image has; opening it is what nodev forbids. */
#include "confine.h"

#include "isola/jail.h"
#include "isola/log.h"
#include "digest.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <linux/capability.h>
#include <linux/close_range.h>
#include <linux/fs.h>
#include <openssl/crypto.h>
#include <sched.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define CAP(name) (1ULL << CAP_##name)

/* For entries of any owner and mode, set-id bits, nodes and file capabilities. */
#define CAPS_FILES                                                                                 \
	(CAP(CHOWN) | CAP(DAC_OVERRIDE) | CAP(FOWNER) | CAP(FSETID) | CAP(MKNOD) | CAP(SETFCAP))

/* An image of JSON at its limits needs some hundred MiB, zstd up to 128. */
#define MEMORY_BYTES_MAX (1024ULL * 1024 * 1024)
/* Locks and folders of 500 layers; two folders a level in a tree as deep as a path. */
#define FILES_MAX 5120

static const struct jail_calls calls[] = {
	{ .names = "read pread64 readv write pwrite64 writev lseek close ftruncate fallocate",
	  .why = "archives, blobs, files of layers" },
	{ .names = "openat openat2 mkdirat unlinkat renameat renameat2 linkat symlinkat mknodat",
	  .why = "entries of layers, temporary and final names in the store" },
	{ .names = "fchown fchownat fchmod fchmodat utimensat readlinkat",
	  .why = "owners, modes, times of entries" },
	{ .names = "fsetxattr fgetxattr flistxattr fremovexattr", .why = "attributes of entries" },
	{ .names = "open mkdir unlink rename link symlink mknod rmdir",
	  .why = "what an older C library calls instead" },
	{ .names = "fstat newfstatat statx fstatfs faccessat faccessat2 getdents64 umask",
	  .why = "looking at the store" },
	{ .names = "ioctl",
	  .why = "FICLONE, and its bits at most: blocks shared by a volume and its snapshots",
	  .arg = 1,
	  .forbidden = ~(uint64_t)FICLONE },
	{ .names = "recvmsg", .why = "a client's socket, from isolad" },
	{ .names = "sendmsg", .why = "a blob to be pushed, to the network process" },
	{ .names = "fsync fdatasync syncfs flock", .why = "durable, one writer at a time" },
	{ .names = "pipe2 poll ppoll fcntl dup dup2 dup3",
	  .why = "the layer process, standard streams" },
	{ .names = "clone",
	  .why = "fork of the layer process; no namespaces",
	  .arg = 0,
	  .forbidden = CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC |
		       CLONE_NEWUTS | CLONE_NEWCGROUP },
	{ .names = "wait4 waitid getpid getppid gettid prctl set_robust_list rseq",
	  .why = "its start and end" },
	{ .names =
		  "fchdir chroot close_range capget capset landlock_create_ruleset landlock_add_rule landlock_restrict_self",
	  .why = "it gives up more rights" },
	{ .names = "mmap mprotect",
	  .why = "memory, not for code",
	  .arg = 2,
	  .forbidden = PROT_EXEC },
	{ .names = "munmap mremap brk madvise", .why = "memory" },
	{ .names = "rt_sigaction rt_sigprocmask rt_sigreturn restart_syscall",
	  .why = "being cancelled" },
	{ .names =
		  "clock_gettime gettimeofday clock_nanosleep nanosleep getrandom futex sysinfo uname",
	  .why = "times of progress, random names, the C library's locks and qsort, machine" },
	{ .names = "exit exit_group", .why = "the end" },
#ifdef __SANITIZE_ADDRESS__
	{ .names = "sigaltstack sched_yield ioctl readlink sched_getaffinity getrlimit prlimit64 "
		   "tgkill getuid geteuid",
	  .why = "reports of the sanitizers" },
#endif
};

static int limit(uint64_t bytes_max, struct err *err)
{
	const struct jail_limit rows[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_FSIZE, bytes_max },
		{ RLIMIT_NOFILE, FILES_MAX },
		{ RLIMIT_MEMLOCK, 0 },
#ifndef __SANITIZE_ADDRESS__ /* whose shadow is larger than any machine */
		{ RLIMIT_AS, MEMORY_BYTES_MAX },
#endif
	};
	return jail_limits(rows, sizeof(rows) / sizeof(rows[0]), err);
}

static int landlock(bool required, struct err *err)
{
	int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, "cannot open the state folder");
	const struct jail_path path = { .fd = root, .write = true };
	int rc = jail_landlock(&path, 1, err);
	(void)close(root);
	if (rc == -EOPNOTSUPP && !required) {
		log_warn(NULL, "%s: the other walls stand", err->text);
		rc = 0;
	}
	return rc;
}

/* Lets libraries open now what they open at their first use; but for the host's settings of
 * OpenSSL, which are about TLS and may name plug-ins: SHA-256 needs none of them. */
static int warm_up(struct err *err)
{
	char digest[DIGEST_SIZE];
	(void)OPENSSL_init_crypto(OPENSSL_INIT_NO_LOAD_CONFIG, NULL);
	return digest_of("", 0, digest, err);
}

int confine_job(const struct confine_options *options, struct err *err)
{
	(void)syscall(SYS_close_range, 3 + options->keep, ~0U, 0);
	(void)umask(077);
	if (options->ret_proc_fd)
		*options->ret_proc_fd = open("/proc/self/fd", O_PATH | O_DIRECTORY | O_CLOEXEC);
	int rc = warm_up(err);
	if (rc == 0)
		rc = limit(options->bytes_max, err);
	if (rc == 0)
		rc = jail_root(options->state, options->foreign, err);
	if (rc == 0)
		rc = jail_caps(CAPS_FILES | CAP(SYS_ADMIN) | CAP(SYS_CHROOT), err);
	if (rc == 0)
		rc = landlock(options->require_landlock, err);
	if (rc == 0)
		rc = jail_seccomp(calls, sizeof(calls) / sizeof(calls[0]), err);
	return rc < 0 ? err_prefix(err, "cannot confine isola-image") : 0;
}

int confine_view(uint64_t bytes_max, bool reads_marks, bool devices, bool require_landlock,
		 struct err *err)
{
	uint64_t caps = CAPS_FILES & ~(devices ? 0 : CAP(MKNOD));
	(void)umask(0);
	int rc = limit(bytes_max, err);
	if (rc == 0)
		rc = jail_caps(caps | (reads_marks ? CAP(SYS_ADMIN) : 0), err);
	if (rc == 0)
		rc = landlock(require_landlock, err);
	if (rc == 0)
		rc = jail_seccomp(calls, sizeof(calls) / sizeof(calls[0]), err);
	return rc < 0 ? err_prefix(err, "cannot confine isola-image") : 0;
}

/* Closes all but @keep and the standard ones, of which only error stays what it
 * was; the others become @keep[0], so that no file gets their numbers. */
static int close_others(const int *keep, size_t n)
{
	if (dup2(keep[0], STDIN_FILENO) < 0 || dup2(keep[0], STDOUT_FILENO) < 0)
		return -errno;
	for (unsigned int from = STDERR_FILENO + 1;;) {
		unsigned int next = ~0U;
		for (size_t i = 0; i < n; i++)
			if ((unsigned int)keep[i] >= from && (unsigned int)keep[i] < next)
				next = (unsigned int)keep[i];
		bool last = next == ~0U;
		if (next != from && syscall(SYS_close_range, from, last ? next : next - 1, 0) < 0)
			return -errno;
		if (last)
			return 0;
		from = next + 1;
	}
}

/* From here no folder but @root_fd has a name or a descriptor. */
static int enter(int root_fd, const int *keep, size_t n, struct err *err)
{
	int rc = close_others(keep, n);
	if (rc < 0)
		return err_rc(err, rc, "cannot close descriptors");
	if (fchdir(root_fd) < 0 || chroot(".") < 0)
		return err_sys(err, "cannot enter the layer's folder");
	return 0;
}

int confine_layer(int root_fd, const int *keep, size_t n, struct err *err)
{
	const struct jail_path path = { .fd = root_fd, .write = true };
	int rc = enter(root_fd, keep, n, err);
	if (rc == 0)
		rc = jail_caps(CAPS_FILES, err);
	if (rc == 0)
		rc = jail_landlock(&path, 1, err);
	return rc == -EOPNOTSUPP ? 0 : rc;
}

int confine_feed(int root_fd, const int *keep, size_t n, struct err *err)
{
	int rc = enter(root_fd, keep, n, err);
	(void)close(root_fd);
	if (rc == 0)
		rc = jail_caps(0, err);
	if (rc == 0)
		rc = jail_landlock(NULL, 0, err);
	return rc == -EOPNOTSUPP ? 0 : rc;
}

#define NOBODY           65534
#define NET_FILES_MAX    256
#define NET_MEMORY_BYTES (512ULL * 1024 * 1024)

#define CLONE_NAMESPACES                                                                           \
	(CLONE_NEWNS | CLONE_NEWUSER | CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | \
	 CLONE_NEWCGROUP)

/* What else is called fails and does not kill: the C library's name services are
 * plug-ins of the host (systemd-resolved, sssd, mDNS, nscd), which do without. So does
 * the C library without clone3, whose flags no filter can see. */
static const struct jail_calls net_calls[] = {
	{ .names = "socket",
	  .why = "Unix (resolvers), IPv4, IPv6, netlink (addresses that are here), not VSOCK, ALG...",
	  .arg = 0,
	  .forbidden = ~(uint64_t)(AF_UNIX | AF_INET | AF_INET6 | AF_NETLINK) },
	{ .names = "socketpair connect bind getsockname getpeername getsockopt setsockopt shutdown",
	  .why = "connections; a resolver's own port" },
	{ .names = "sendto sendmsg sendmmsg recvfrom recvmsg recvmmsg",
	  .why = "TLS, DNS; what a push sends comes from the job" },
	{ .names = "read readv pread64 write writev lseek close fcntl ioctl",
	  .why = "frames to the job, files that names and certificates are read from" },
	{ .names = "openat open fstat newfstatat stat lstat statx access faccessat faccessat2 "
		   "readlink readlinkat getdents64 fstatfs statfs",
	  .why = "certificates, /etc/resolv.conf, plug-ins; Landlock says where" },
	{ .names = "poll ppoll select pselect6 epoll_create1 epoll_ctl epoll_wait epoll_pwait "
		   "eventfd2 pipe2 timerfd_create timerfd_settime",
	  .why = "waiting, libcurl's wake-ups, the event loops of plug-ins" },
	{ .names = "clone",
	  .why = "libcurl's resolver is a thread; no namespaces",
	  .arg = 0,
	  .forbidden = CLONE_NAMESPACES },
	{ .names = "set_robust_list rseq set_tid_address futex sched_yield sched_getaffinity "
		   "rt_sigaction rt_sigprocmask rt_sigreturn sigaltstack restart_syscall",
	  .why = "threads, signals" },
	{ .names = "mmap mprotect munmap mremap brk madvise",
	  .why = "memory; plug-ins are loaded when a name is asked for" },
	{ .names = "clock_gettime clock_nanosleep nanosleep gettimeofday time getrandom",
	  .why = "deadlines, keys" },
	{ .names = "getpid getppid gettid getuid geteuid getgid getegid uname sysinfo prctl "
		   "getrlimit prlimit64",
	  .why = "who and where we are; dying with the job" },
	{ .names = "exit exit_group", .why = "the end" },
#ifdef __SANITIZE_ADDRESS__
	{ .names = "tgkill", .why = "reports of the sanitizers" },
#endif
};

int confine_net(struct err *err)
{
	static const char *const readable[] = { "/etc", "/usr", "/lib", "/lib64", "/run" };
	const struct jail_limit limits[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_FSIZE, 0 },
		{ RLIMIT_NOFILE, NET_FILES_MAX },
#ifndef __SANITIZE_ADDRESS__
		{ RLIMIT_DATA, NET_MEMORY_BYTES },
#endif
	};
	struct jail_path paths[sizeof(readable) / sizeof(readable[0])];
	size_t n = 0;
	for (size_t i = 0; i < sizeof(readable) / sizeof(readable[0]); i++) {
		int fd = open(readable[i], O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0)
			paths[n++] = (struct jail_path){ .fd = fd };
	}
	int rc = jail_limits(limits, sizeof(limits) / sizeof(limits[0]), err);
	if (rc == 0 && (setgroups(0, NULL) < 0 || setresgid(NOBODY, NOBODY, NOBODY) < 0 ||
			setresuid(NOBODY, NOBODY, NOBODY) < 0))
		rc = err_sys(err, "cannot become user %d", NOBODY);
	if (rc == 0)
		rc = jail_caps(0, err);
	if (rc == 0)
		rc = jail_landlock_files(paths, n, err);
	for (size_t i = 0; i < n; i++)
		(void)close(paths[i].fd);
	if (rc == 0 || rc == -EOPNOTSUPP)
		rc = jail_seccomp_refusing(net_calls, sizeof(net_calls) / sizeof(net_calls[0]),
					   ENOSYS, err);
	return rc < 0 ? err_prefix(err, "cannot confine the network process") : 0;
}
