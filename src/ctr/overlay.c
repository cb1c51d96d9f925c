/* SPDX-License-Identifier: Apache-2.0 */
/* overlay - see overlay.h. Runs in the parent, as the host's root. */
#include "overlay.h"

#include "overlay_legacy.h"
#include "tree.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <libgen.h>
#include <limits.h>
#include <linux/capability.h>
#include <stdio.h>
#include <string.h>
#include <sys/fsuid.h>
#include <sys/mount.h>
#include <sys/syscall.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>

const struct overlay_option overlay_options[] = {
	/* What a layer claims by extended attributes is not believed; unpacking
	 * removed it already. A rename of a folder copies, so that the upper
	 * folder alone tells what changed. */
	{ "redirect_dir", "nofollow" },
	{ "metacopy", "off" },
	{ "index", "off" },
	{ NULL, NULL },
};

static bool is_same_folder(int a, int b)
{
	struct stat x, y;
	return fstat(a, &x) == 0 && fstat(b, &y) == 0 && x.st_dev == y.st_dev &&
	       x.st_ino == y.st_ino;
}

/* The last name of the path @fd was opened by. */
static int name_of(int fd, char ret[NAME_MAX + 1])
{
	char link[40], path[PATH_MAX];
	(void)snprintf(link, sizeof(link), "/proc/self/fd/%d", fd);
	ssize_t n = readlink(link, path, sizeof(path) - 1);
	if (n < 0)
		return -errno;
	path[n] = '\0';
	const char *name = basename(path);
	if (strlen(name) > NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(ret, name);
	return 0;
}

/* Clones the folder that holds both upper and work, which have to be on one
 * mount; their names in it go to @l. */
static int clone_writable(const struct ctr_root *root, struct overlay_layers *l, struct err *err)
{
	cleanup_fd int parent = openat(root->upper_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int other = openat(root->work_fd, "..", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (parent < 0 || other < 0 || !is_same_folder(parent, other))
		return err_set(err, EINVAL, "the upper and work folders must lie in one folder");
	int rc = name_of(root->upper_fd, l->upper);
	if (rc == 0)
		rc = name_of(root->work_fd, l->work);
	if (rc == 0)
		rc = l->writable = tree_clone(parent, false);
	return rc < 0 ? err_rc(err, rc, "cannot clone the folder of the upper layer") : 0;
}

static int idmap_layer(int tree, const struct overlay_ids *ids, struct err *err)
{
	if (ids->userns_fd < 0)
		return 0;
	int rc = tree_idmap(tree, false, ids->userns_fd);
	if (rc == -EINVAL)
		return err_set(err, EINVAL,
			       "the file system below the layers cannot be idmapped on this "
			       "kernel: move the state folder to ext4, xfs or btrfs, or run "
			       "without a user namespace");
	return rc < 0 ? err_rc(err, rc, "cannot idmap a layer") : 0;
}

static int clone_layers(const struct ctr_root *root, const struct overlay_ids *ids,
			struct overlay_layers *l, struct err *err)
{
	l->lower = malloc(root->n_lower * sizeof(*l->lower));
	if (!l->lower)
		return err_set(err, ENOMEM, "out of memory");
	for (; l->n < root->n_lower; l->n++) {
		l->lower[l->n] = tree_clone(root->lower_fds[l->n], false);
		if (l->lower[l->n] < 0)
			return err_rc(err, l->lower[l->n], "cannot clone a layer");
		int rc = idmap_layer(l->lower[l->n], ids, err);
		if (rc < 0) {
			l->n++;
			return rc;
		}
	}
	if (root->upper_fd < 0)
		return 0;
	int rc = clone_writable(root, l, err);
	return rc < 0 ? rc : idmap_layer(l->writable, ids, err);
}

static void layers_fini(struct overlay_layers *l)
{
	for (size_t i = 0; i < l->n; i++)
		fd_close(&l->lower[i]);
	fd_close(&l->writable);
	free(l->lower);
}

/* Overlayfs makes its work folder, whiteouts and copies as the one who mounted
 * it, who has to have an id that the upper mount maps. The capabilities that
 * go with a file system id other than 0 are taken back. */
void overlay_become(const struct overlay_ids *ids)
{
	if (ids->userns_fd < 0)
		return;
	(void)setfsgid(ids->gid);
	(void)setfsuid(ids->uid);
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];
	if (syscall(SYS_capget, &head, caps) < 0)
		return;
	caps[0].effective = caps[0].permitted;
	caps[1].effective = caps[1].permitted;
	(void)syscall(SYS_capset, &head, caps);
}

static void become_again(const struct overlay_ids *ids)
{
	if (ids->userns_fd < 0)
		return;
	(void)setfsuid(geteuid());
	(void)setfsgid(getegid());
}

static int set_fd(int fs, const char *key, int fd, struct err *err)
{
	return fsconfig(fs, FSCONFIG_SET_FD, key, NULL, fd) < 0
		       ? tree_fs_error(fs, -errno, err, "overlay: %s", key)
		       : 0;
}

static int set_writable(int fs, const struct ctr_root *root, const struct overlay_layers *l,
			struct err *err)
{
	cleanup_fd int upper = -1, work = -1;
	int upper_fd = root->upper_fd, work_fd = root->work_fd;
	if (l->writable >= 0) {
		upper_fd = upper = openat(l->writable, l->upper, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		work_fd = work = openat(l->writable, l->work, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		if (upper < 0 || work < 0)
			return err_sys(err, "cannot open the upper layer");
	}
	int rc = set_fd(fs, "upperdir", upper_fd, err);
	return rc < 0 ? rc : set_fd(fs, "workdir", work_fd, err);
}

/* -EOPNOTSUPP: this kernel wants names. */
static int mount_by_fd(const struct ctr_root *root, const struct overlay_ids *ids,
		       const struct overlay_layers *l, struct err *err)
{
	cleanup_fd int fs = fsopen("overlay", FSOPEN_CLOEXEC);
	if (fs < 0)
		return err_sys(err, "this kernel has no overlay file system");
	/* Linux before 6.13 does not know the parameter, or not as an fd; before
	 * 6.15 it refuses detached mounts. */
	if (fsconfig(fs, FSCONFIG_SET_FD, "lowerdir+", NULL,
		     l->lower ? l->lower[0] : root->lower_fds[0]) < 0)
		return -EOPNOTSUPP;
	int rc = 0;
	for (size_t i = 1; rc == 0 && i < root->n_lower; i++)
		rc = set_fd(fs, "lowerdir+", l->lower ? l->lower[i] : root->lower_fds[i], err);
	if (rc == 0 && root->upper_fd >= 0)
		rc = set_writable(fs, root, l, err);
	for (const struct overlay_option *o = overlay_options; rc == 0 && o->key; o++)
		if (fsconfig(fs, FSCONFIG_SET_STRING, o->key, o->value, 0) < 0)
			rc = tree_fs_error(fs, -errno, err, "overlay: %s=%s", o->key, o->value);
	if (rc == 0 && root->volatile_upper && root->upper_fd >= 0 &&
	    fsconfig(fs, FSCONFIG_SET_FLAG, "volatile", NULL, 0) < 0)
		rc = tree_fs_error(fs, -errno, err, "overlay: volatile");
	if (rc < 0)
		return rc;
	overlay_become(ids);
	rc = tree_create(fs, "overlay", 0, err);
	become_again(ids);
	return rc == -EINVAL && l->lower ? -EOPNOTSUPP : rc;
}

/* When overlayfs cannot make its work folder it mounts read-only, with no more
 * than a line in the kernel's log. */
static int check_writable(int tree, const struct ctr_root *root, struct err *err)
{
	struct statvfs fs;
	if (root->upper_fd < 0 || fstatvfs(tree, &fs) < 0 || !(fs.f_flag & ST_RDONLY))
		return tree;
	(void)close(tree);
	return err_set(err, EROFS,
		       "the kernel could not use the work folder of the upper layer; see its log");
}

/* What is written through an overlay is written with the rights of who made it, and with
 * this one the upper layer's quota would not count. */
static void set_quota_right(bool on)
{
	struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct caps[2];
	if (syscall(SYS_capget, &head, caps) < 0)
		return;
	uint32_t bit = 1u << CAP_SYS_RESOURCE & caps[0].permitted;
	caps[0].effective = on ? caps[0].effective | bit : caps[0].effective & ~bit;
	(void)syscall(SYS_capset, &head, caps);
}

int overlay_make(const struct ctr_root *root, const struct overlay_ids *ids, struct err *err)
{
	struct overlay_layers l = { .writable = -1 };
	int tree = -EOPNOTSUPP;
	set_quota_right(false);
	if (ids->userns_fd < 0)
		tree = mount_by_fd(root, ids, &l, err);
	if (tree == -EOPNOTSUPP) {
		tree = clone_layers(root, ids, &l, err);
		if (tree == 0 && ids->userns_fd >= 0)
			tree = mount_by_fd(root, ids, &l, err);
		if (tree == -EOPNOTSUPP || (tree == 0 && ids->userns_fd < 0))
			tree = overlay_mount_by_name(root, ids, &l, err);
	}
	layers_fini(&l);
	set_quota_right(true);
	if (tree < 0)
		return err_prefix(err, "cannot build the root from its layers");
	(void)tree_set(tree, false, 0, 0, MS_PRIVATE);
	return check_writable(tree, root, err);
}
