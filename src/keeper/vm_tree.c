/* SPDX-License-Identifier: Apache-2.0 */
/* vm_tree - see vm_tree.h. */
#include "vm_tree.h"

#include "vm_virtiofsd.h"

#include "isola/fd.h"

#include <fcntl.h>
#include <grp.h>
#include <linux/mount.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>

/* Where the copy is attached, for the time until virtiofsd makes it its root: a folder that
 * each host has and that anybody may pass, which the run folder is not. */
#define PLACE "/sys"

/* A detached copy of all that is mounted in the holder. NODEV and NOSUID are for the
 * server: what the guest makes of the files' modes is the guest's. */
static int copy_mounts(const struct virtiofsd *v, const struct ctr *holder)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID };
	cleanup_fd int own = open("/proc/self/ns/mnt", O_RDONLY | O_CLOEXEC);
	if (own < 0 || setns(holder->pidfd, CLONE_NEWNS) < 0)
		virtiofsd_fail(v, "cannot enter the container's mounts");
	int tree = (int)syscall(SYS_open_tree, AT_FDCWD, "/",
				AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr,
				sizeof(attr)) < 0)
		virtiofsd_fail(v, "cannot copy the container's mounts");
	if (setns(own, CLONE_NEWNS) < 0)
		virtiofsd_fail(v, "cannot leave the container's mounts");
	return tree;
}

static bool is_same(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_ino == y.st_ino &&
	       x.st_dev == y.st_dev;
}

static void enter_user_namespace(const struct virtiofsd *v, int userns)
{
	cleanup_fd int own = open("/proc/self/ns/user", O_RDONLY | O_CLOEXEC);
	if (own >= 0 && is_same(own, userns))
		return;
	if (setns(userns, CLONE_NEWUSER) < 0)
		virtiofsd_fail(v, "cannot enter the container's user namespace");
	if (setgroups(0, NULL) < 0 || setresgid(0, 0, 0) < 0 || setresuid(0, 0, 0) < 0)
		virtiofsd_fail(v, "cannot become the container's root");
	/* The change of ids undid it. */
	if (prctl(PR_SET_PDEATHSIG, SIGKILL, 0, 0, 0) < 0)
		virtiofsd_fail(v, "cannot be tied to the keeper");
}

static void enter(const struct virtiofsd *v)
{
	const struct ctr *holder = v->arg;
	char path[40];
	(void)snprintf(path, sizeof(path), "/proc/%d/ns/user", (int)holder->pid);
	cleanup_fd int userns = open(path, O_RDONLY | O_CLOEXEC);
	if (userns < 0)
		virtiofsd_fail(v, "cannot open the container's user namespace");
	cleanup_fd int tree = copy_mounts(v, holder);
	virtiofsd_unshare_mounts(v);
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, PLACE, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		virtiofsd_fail(v, "cannot attach the container's mounts");
	enter_user_namespace(v, userns);
}

int vm_tree_start(struct vm *vm, const struct ctr *holder, pid_t *ret_pid, struct err *err)
{
	struct virtiofsd v = { .source = PLACE,
			       .enter = enter,
			       .arg = holder,
			       .xattr = true,
			       .announce_submounts = true,
			       .keep_pages = true };
	return virtiofsd_start(vm, &v, ret_pid, err);
}

/* Its sandbox is a child with mounts of its own; the parent only waits. */
pid_t vm_tree_root_pid(pid_t pid)
{
	char path[64], text[64];
	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/children", (int)pid, (int)pid);
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	ssize_t n = fd < 0 ? -1 : read(fd, text, sizeof(text) - 1);
	if (n <= 0)
		return 0;
	text[n] = '\0';
	return (pid_t)strtol(text, NULL, 10);
}
