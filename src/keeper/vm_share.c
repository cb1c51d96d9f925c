/* SPDX-License-Identifier: Apache-2.0 */
/* vm_share - a folder of the host that a VM shares: virtiofsd in a mount namespace
 * whose copy of the folder has no devices and no set-id (and is read-only, if asked
 * for). */
#include "vm_virtiofsd.h"

#include "isola/fd.h"

#include <fcntl.h>
#include <linux/mount.h>
#include <sys/mount.h>
#include <sys/syscall.h>

/* The folder in its place, but with less: in our own mount namespace. */
static void enter(const struct virtiofsd *v)
{
	const bool *readonly = v->arg;
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_NODEV | MOUNT_ATTR_NOSUID |
					       (*readonly ? MOUNT_ATTR_RDONLY : 0) };
	virtiofsd_unshare_mounts(v);
	/* Only mounts of our own namespace can be copied, so by its path. */
	cleanup_fd int tree = (int)syscall(SYS_open_tree, AT_FDCWD, v->source,
					   AT_RECURSIVE | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC);
	if (tree < 0 || syscall(SYS_mount_setattr, tree, "", AT_EMPTY_PATH | AT_RECURSIVE, &attr,
				sizeof(attr)) < 0)
		virtiofsd_fail(v, "cannot restrict the folder");
	if (syscall(SYS_move_mount, tree, "", AT_FDCWD, v->source, MOVE_MOUNT_F_EMPTY_PATH) < 0)
		virtiofsd_fail(v, "cannot mount the folder over itself");
}

int vm_share_start(struct vm *vm, const char *folder, bool readonly, struct err *err)
{
	struct virtiofsd v = { .source = folder, .enter = enter, .arg = &readonly };
	cleanup_fd int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, "cannot open %s", folder);
	return virtiofsd_start(vm, &v, NULL, err);
}
