/* SPDX-License-Identifier: Apache-2.0 */
/* mount_guard - see mount_guard.h. Runs in init. */
#include "mount_guard.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/magic.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/vfs.h>

/* Files of /proc that lxcfs and its like show their own version of: read-only
 * facts, nothing that we or the kernel act on. */
static const char *const proc_files[] = {
	"/proc/cpuinfo", "/proc/diskstats",
	"/proc/loadavg", "/proc/meminfo",
	"/proc/net/dev", "/proc/slabinfo",
	"/proc/stat",    "/proc/swaps",
	"/proc/uptime",  "/proc/sys/kernel/ns_last_pid",
};

bool mount_guard_is_proc(int fd)
{
	struct statfs fs;
	return fstatfs(fd, &fs) == 0 && fs.f_type == PROC_SUPER_MAGIC;
}

static bool is_pseudo(const struct ctr_mount *m)
{
	return !m->bind && (!strcmp(m->type, "proc") || !strcmp(m->type, "sysfs"));
}

static int open_plain(int root_fd, const char *path, struct err *err)
{
	path += strspn(path, "/");
	int fd = path_open_beneath(root_fd, path, O_PATH | O_DIRECTORY, 0);
	if (fd == -ELOOP || fd == -ENOTDIR || fd == -EXDEV)
		return err_set(err, EINVAL, "must be a plain folder in the image, not a link");
	return fd;
}

int mount_guard_target(int root_fd, const struct ctr_mount *m, bool is_dir, struct err *err)
{
	char path[PATH_MAX];
	if (path_clean(m->destination, path, sizeof(path)) < 0 || !strcmp(path, "/"))
		return err_set(err, EINVAL, "the root itself cannot be mounted over");
	if (is_pseudo(m)) {
		int fd = open_plain(root_fd, path, err);
		if (fd != -ENOENT)
			return fd;
		cleanup_fd int made = path_mkdir_in_root(root_fd, path, 0755, err);
		if (made < 0)
			return made;
		fd = open_plain(root_fd, path, err);
		return fd == -ENOENT ? err_rc(err, fd, "cannot open it") : fd;
	}
	if (is_dir)
		return path_mkdir_in_root(root_fd, m->destination, 0755, err);
	cleanup_fd int file = path_mkfile_in_root(root_fd, m->destination, 0755, err);
	struct stat st;
	if (file >= 0 && fstat(file, &st) == 0 && S_ISDIR(st.st_mode))
		return err_set(err, EISDIR,
			       "what is mounted is a file, and in the container there is a folder");
	return file < 0 ? file : take_fd(&file);
}

static bool is_harmless(const char *path)
{
	for (size_t i = 0; i < sizeof(proc_files) / sizeof(proc_files[0]); i++)
		if (!strcmp(path, proc_files[i]))
			return true;
	return false;
}

int mount_guard_check(const struct ctr_mount *m, int tree, int target, struct err *err)
{
	char path[PATH_MAX];
	if (path_clean(m->destination, path, sizeof(path)) < 0)
		return err_set(err, EINVAL, "not an absolute path");
	bool brings_proc = tree >= 0 ? mount_guard_is_proc(tree) : !strcmp(m->type, "proc");
	if (!strcmp(path, "/proc") && !brings_proc)
		return err_set(err, EINVAL, "only a proc file system may be mounted on /proc");
	if (!mount_guard_is_proc(target) || is_harmless(path))
		return 0;
	if (!strcmp(path, "/proc") && brings_proc)
		return 0;
	return err_set(err, EINVAL, "lies in /proc, where nothing may be mounted over");
}

int mount_guard_verify(int root_fd, int proc_fd, struct err *err)
{
	if (proc_fd < 0)
		return 0;
	cleanup_fd int now = path_open_beneath(root_fd, "proc", O_PATH | O_DIRECTORY, 0);
	struct stat a, b;
	if (now == -ENOENT)
		return 0; /* it was mounted elsewhere */
	if (now < 0 || fstat(now, &a) < 0 || fstat(proc_fd, &b) < 0)
		return err_rc(err, now < 0 ? now : -EIO, "cannot check /proc");
	if (mount_guard_is_proc(now) && a.st_dev == b.st_dev && a.st_ino == b.st_ino)
		return 0;
	return err_set(err, EINVAL, "/proc is not the proc file system that was mounted there");
}
