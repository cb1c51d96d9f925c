/* SPDX-License-Identifier: Apache-2.0 */
/* isola-bootdisk - takes kernel and initial RAM disk out of a disk image. A disk is
 * written by a stranger, so this runs for one disk, with nothing but descriptors:
 *
 *	0 the disk, read-only	1 the answer (JSON, boot.h)	2 messages
 *	3 kernel, to be written	4 initial RAM disk, to be written
 *
 * and without the calls that could open anything else. Started by vmctl. */
#include "boot.h"

#include "isola/fd.h"
#include "isola/jail.h"
#include "isola/json.h"

#include <errno.h>
#include <linux/fs.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define KERNEL_FD        3
#define INITRD_FD        4
#define MEMORY_BYTES_MAX (1024ULL * 1024 * 1024)
#define CPU_SECONDS_MAX  60

static const struct jail_calls calls[] = {
	{ .names = "pread64 read write lseek close fstat newfstatat", .why = "disk and results" },
	{ .names = "mmap mprotect",
	  .why = "memory, not for code",
	  .arg = 2,
	  .forbidden = PROT_EXEC },
	{ .names = "munmap mremap brk madvise", .why = "memory" },
	{ .names =
		  "clock_gettime gettimeofday getpid getuid geteuid getgid getegid prctl getrandom "
		  "futex",
	  .why = "libext2fs asks the time and who we are; locks of the C library" },
	{ .names = "rt_sigaction rt_sigprocmask rt_sigreturn exit exit_group", .why = "the end" },
#ifdef __SANITIZE_ADDRESS__
	{ .names = "sigaltstack sched_yield ioctl readlink sched_getaffinity getrlimit prlimit64 "
		   "tgkill gettid openat wait4 clone",
	  .why = "reports of the sanitizers" },
#endif
};

static int confine(struct err *err)
{
	const struct jail_limit limits[] = {
		{ RLIMIT_CORE, 0 },
		{ RLIMIT_NOFILE, 8 },
		{ RLIMIT_CPU, CPU_SECONDS_MAX },
#ifndef __SANITIZE_ADDRESS__
		{ RLIMIT_AS, MEMORY_BYTES_MAX },
#endif
	};
	int rc = jail_limits(limits, sizeof(limits) / sizeof(limits[0]), err);
	if (rc == 0)
		rc = jail_caps(0, err);
	if (rc == 0)
		rc = jail_seccomp(calls, sizeof(calls) / sizeof(calls[0]), err);
	return rc < 0 ? err_prefix(err, "cannot confine isola-bootdisk") : 0;
}

static int disk_size(uint64_t *ret, struct err *err)
{
	struct stat st;
	if (fstat(STDIN_FILENO, &st) < 0)
		return err_sys(err, "there is no disk on standard input");
	*ret = (uint64_t)st.st_size;
	if (S_ISBLK(st.st_mode) && ioctl(STDIN_FILENO, BLKGETSIZE64, ret) < 0)
		return err_sys(err, "cannot tell the disk's size");
	return S_ISREG(st.st_mode) || S_ISBLK(st.st_mode)
		       ? 0
		       : err_set(err, EINVAL, "standard input is no disk");
}

static int answer(json_object *o, struct err *err)
{
	const char *text = json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN);
	int rc = fd_write_all(STDOUT_FILENO, text, strlen(text));
	return rc < 0 ? err_rc(err, rc, "cannot write the answer") : 0;
}

int main(int argc, char **argv)
{
	struct err err = ERR_INIT;
	struct disk disk = { .fd = STDIN_FILENO };
	cleanup_json json_object *o = NULL;
	if (argc > 1) {
		(void)fprintf(stderr, "Usage: %s <DISK 3>KERNEL 4>INITRD\n", argv[0]);
		return 2;
	}
	int rc = disk_size(&disk.size, &err);
	if (rc == 0)
		rc = confine(&err);
	if (rc == 0)
		rc = boot_find(&disk, KERNEL_FD, INITRD_FD, &o, &err);
	if (rc == 0)
		rc = answer(o, &err);
	if (rc < 0)
		(void)dprintf(STDERR_FILENO, "isola-bootdisk: %s\n", err.text);
	/* Nothing may run behind us: what looks for leaks needs calls that are gone. */
	_exit(rc < 0);
}
