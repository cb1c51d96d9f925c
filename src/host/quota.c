/* SPDX-License-Identifier: Apache-2.0 */
/* quota - see isola/quota.h. */
#include "isola/quota.h"

#include <errno.h>
#include <linux/fs.h>
#include <linux/quota.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#ifndef SYS_quotactl_fd
#define SYS_quotactl_fd 443
#endif

static int call(int fd, unsigned int cmd, uint32_t project, void *arg)
{
	return syscall(SYS_quotactl_fd, fd, QCMD(cmd, PRJQUOTA), project, arg) < 0 ? -errno : 0;
}

static int explain(int rc, const char *path, struct err *err)
{
	if (rc != -ESRCH && rc != -ENOSYS && rc != -EOPNOTSUPP && rc != -EINVAL && rc != -ENOTTY &&
	    rc != -ENOTBLK)
		return err_rc(err, rc, "cannot ask for the project quotas of %s", path);
	return err_set(err, EOPNOTSUPP,
		       "a size needs project quotas, which the file system of %s has not on: mount "
		       "it with the option prjquota (ext4: after tune2fs -O project,quota DEVICE, "
		       "once, unmounted; for / the kernel's rootflags=prjquota); others than ext4 "
		       "and XFS have none",
		       path);
}

int quota_get(int fd, uint32_t project, const char *path, struct quota *ret, struct err *err)
{
	struct if_dqblk q = { 0 };
	int rc = call(fd, Q_GETQUOTA, project, &q);
	/* XFS: of a project that nothing was counted for. */
	if (rc < 0 && rc != -ENOENT)
		return explain(rc, path, err);
	*ret = (struct quota){ .used_bytes = q.dqb_curspace,
			       .used_files = q.dqb_curinodes,
			       .limit_bytes = q.dqb_bhardlimit * QIF_DQBLKSIZE };
	return 0;
}

int quota_limit(int fd, uint32_t project, uint64_t bytes, const char *path, struct err *err)
{
	struct if_dqblk q = { .dqb_bhardlimit = (bytes + QIF_DQBLKSIZE - 1) / QIF_DQBLKSIZE,
			      .dqb_valid = QIF_BLIMITS };
	int rc = call(fd, Q_SETQUOTA, project, &q);
	return rc < 0 ? explain(rc, path, err) : 0;
}

int quota_assign(int dir_fd, uint32_t project, struct err *err)
{
	struct fsxattr x;
	if (ioctl(dir_fd, FS_IOC_FSGETXATTR, &x) < 0)
		return err_sys(err, "cannot look up the project of a folder");
	x.fsx_projid = project;
	x.fsx_xflags |= FS_XFLAG_PROJINHERIT;
	return ioctl(dir_fd, FS_IOC_FSSETXATTR, &x) < 0
		       ? err_sys(err, "cannot set the project of a folder")
		       : 0;
}
