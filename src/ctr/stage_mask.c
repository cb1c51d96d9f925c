/* SPDX-License-Identifier: Apache-2.0 */
/* stage_mask - linux.maskedPaths and linux.readonlyPaths. Folders share one
 * empty tmpfs, files get the host's /dev/null, which is still at hand here: the
 * image's may be anything (CVE-2025-31133). */
#include "init.h"
#include "tree.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

#define MASK_ATTR (MOUNT_ATTR_RDONLY | MOUNT_ATTR_NOSUID | MOUNT_ATTR_NODEV | MOUNT_ATTR_NOEXEC)

static int open_null(struct err *err)
{
	cleanup_fd int fd = open("/dev/null", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "cannot open /dev/null");
	if (!S_ISCHR(st.st_mode) || st.st_rdev != makedev(1, 3))
		return err_set(err, EINVAL, "the host's /dev/null is not the null device");
	return take_fd(&fd);
}

static int mask_folder(struct init *in, int target, struct err *err)
{
	cleanup_fd int tree = -1;
	if (in->mask_fd < 0)
		tree = tree_new("tmpfs", "tmpfs", NULL, 0, MASK_ATTR, err);
	else
		tree = tree_clone(in->mask_fd, false);
	if (tree < 0)
		return tree;
	int rc = tree_attach(tree, target);
	if (rc == 0 && in->mask_fd < 0)
		in->mask_fd = take_fd(&tree);
	return rc;
}

static int mask_file(int null_fd, int target)
{
	cleanup_fd int tree = tree_clone(null_fd, false);
	return tree < 0 ? tree : tree_attach(tree, target);
}

/* Opens @path for a mount over it; -ENOENT when it is not there. */
static int open_target(const struct init *in, const char *path, bool *ret_is_dir)
{
	cleanup_fd int fd = path_open_in_root(in->root_fd, path, O_PATH, 0);
	struct stat st;
	if (fd == -ENOTDIR)
		return -ENOENT;
	if (fd >= 0 && fstat(fd, &st) < 0)
		return -errno;
	if (fd >= 0)
		*ret_is_dir = S_ISDIR(st.st_mode);
	return take_fd(&fd);
}

static int mask_paths(struct init *in, struct err *err)
{
	if (in->spec->n_masked_paths == 0)
		return 0;
	cleanup_fd int null_fd = open_null(err);
	if (null_fd < 0)
		return null_fd;
	for (char **path = in->spec->masked_paths; *path; path++) {
		bool is_dir = false;
		cleanup_fd int target = open_target(in, *path, &is_dir);
		if (target == -ENOENT)
			continue;
		int rc = target;
		if (rc >= 0)
			rc = is_dir ? mask_folder(in, target, err) : mask_file(null_fd, target);
		if (rc < 0)
			return err_rc(err, rc, "cannot mask %s", *path);
	}
	return 0;
}

static int protect_path(const struct init *in, const char *path)
{
	bool is_dir;
	cleanup_fd int target = open_target(in, path, &is_dir);
	if (target < 0)
		return target == -ENOENT ? 0 : target;
	cleanup_fd int tree = tree_clone(target, true);
	if (tree < 0)
		return tree;
	int rc = tree_set(tree, true, MOUNT_ATTR_RDONLY, 0, 0);
	return rc < 0 ? rc : tree_attach(tree, target);
}

int stage_mask(struct init *in, struct err *err)
{
	if (!ctr_spec_has_new(in->spec, CTR_NS_MOUNT))
		return 0;
	int rc = 0;
	/* Read-only first: a masked path below one stays masked. */
	for (char **path = in->spec->readonly_paths; *path; path++) {
		rc = protect_path(in, *path);
		if (rc < 0)
			return err_rc(err, rc, "cannot make %s read-only", *path);
	}
	return mask_paths(in, err);
}
