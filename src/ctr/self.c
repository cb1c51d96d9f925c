/* SPDX-License-Identifier: Apache-2.0 */
/* self - keeps a container from writing to the program that made it
 * (CVE-2019-5736): an image whose entry point is "#!/proc/self/exe" executes us
 * inside, and may then reach our file through /proc/<pid>/exe. Behind a read-only
 * mount that belongs to no namespace, or in a sealed memfd, there is nothing to
 * write to. Runs first in isola-oci and isola-keeper. */
#include "isola/ctr.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

#ifndef MFD_EXEC
#define MFD_EXEC 0x0010U /* Linux 6.3 */
#endif
#define SEALS (F_SEAL_WRITE | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL)

static bool is_protected(int exe)
{
	struct statvfs fs;
	if (fstatvfs(exe, &fs) == 0 && fs.f_flag & ST_RDONLY)
		return true;
	cleanup_fd int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	int seals = fd < 0 ? -1 : fcntl(fd, F_GET_SEALS);
	return seals >= 0 && (seals & SEALS) == SEALS;
}

static int open_bind(int exe)
{
	cleanup_fd int tree =
		open_tree(exe, "", OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH);
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_RDONLY };
	if (tree < 0 || mount_setattr(tree, "", AT_EMPTY_PATH, &attr, sizeof(attr)) < 0)
		return -errno;
	return take_fd(&tree);
}

/* For callers who may not clone mounts. */
static int open_copy(void)
{
	cleanup_fd int from = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
	const unsigned int flags = MFD_CLOEXEC | MFD_ALLOW_SEALING;
	cleanup_fd int to = memfd_create("isola", flags | MFD_EXEC);
	if (to < 0 && errno == EINVAL)
		to = memfd_create("isola", flags);
	struct stat st;
	if (from < 0 || to < 0 || fstat(from, &st) < 0)
		return -errno;
	for (off_t left = st.st_size; left > 0;) {
		ssize_t n = sendfile(to, from, NULL, (size_t)left);
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		left -= n;
	}
	if (fchmod(to, 0500) < 0 || fcntl(to, F_ADD_SEALS, SEALS) < 0)
		return -errno;
	return take_fd(&to);
}

int ctr_protect_self(char **argv, struct err *err)
{
	cleanup_fd int exe = open("/proc/self/exe", O_PATH | O_CLOEXEC);
	if (exe < 0)
		return err_sys(err, "cannot open /proc/self/exe");
	if (is_protected(exe)) {
		/* Executed by descriptor we are called by its number. */
		const char *slash = strrchr(argv[0], '/');
		(void)prctl(PR_SET_NAME, slash ? slash + 1 : argv[0]);
		return 0;
	}
	cleanup_fd int fd = open_bind(exe);
	if (fd < 0)
		fd = open_copy();
	if (fd < 0)
		return err_rc(err, fd, "cannot make a protected copy of ourselves");
	(void)syscall(SYS_execveat, fd, "", argv, environ, AT_EMPTY_PATH);
	return err_sys(err, "cannot execute the protected copy of ourselves");
}
