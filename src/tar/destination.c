/* SPDX-License-Identifier: Apache-2.0 */
/* destination - see isola/extract.h: the folder that a user copies to. In isola-image's
 * jail, and in guests in isola-init, with the container's files as "/". */
#include "isola/extract.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <unistd.h>

/* As of statx(2), whose mount IDs isola-init's C library does not know. */
#define MASK_MNT_ID 0x1000U
struct mount_statx {
	uint8_t others[0x90];
	uint64_t mnt_id;
	uint8_t rest[0x100 - 0x98];
};

int extract_missing(const char *path, const char *name, struct err *err)
{
	return err_set(err, ENOENT, "Could not find the file %.300s in container %.64s", path,
		       name);
}

static uint64_t mount_of(int fd)
{
	struct mount_statx st;
	memset(&st, 0, sizeof(st));
	return syscall(SYS_statx, fd, "", AT_EMPTY_PATH, MASK_MNT_ID, &st) == 0 ? st.mnt_id : 0;
}

static int check_writable(int root, int fd, struct err *err)
{
	struct statvfs fs;
	if (fstatvfs(fd, &fs) < 0 || !(fs.f_flag & ST_RDONLY))
		return 0;
	return err_set(err, EROFS, "%s",
		       mount_of(fd) == mount_of(root) ? "container rootfs is marked read-only"
						      : "mounted volume is marked read-only");
}

int extract_destination(const char *path, const char *name, int *ret_fd, struct err *err)
{
	char clean[PATH_MAX], full[PATH_MAX];
	struct stat st;
	int n = snprintf(full, sizeof(full), "/%s", path);
	if (n >= (int)sizeof(full) || path_clean(full, clean, sizeof(clean)) < 0)
		return err_set(err, EINVAL, "the path is too long");
	cleanup_fd int root = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int fd = path_open_in_root(root, clean, O_PATH, 0);
	if (fd == -ENOENT || fd == -ENOTDIR)
		return extract_missing(path, name, err);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_rc(err, fd, "cannot open %.300s in the container", path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, EINVAL, "extraction point is not a directory");
	int rc = check_writable(root, fd, err);
	if (rc == 0)
		*ret_fd = take_fd(&fd);
	return rc;
}
