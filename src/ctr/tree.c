/* SPDX-License-Identifier: Apache-2.0 */
/* tree - see tree.h. Runs in the parent and in the container's init. */
#include "tree.h"

#include "spec.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>

/* fsconfig(2) copies values with this bound, the NUL included. */
#define FSCONFIG_VALUE_MAX 256

int tree_clone(int fd, bool recursive)
{
	unsigned int flags = OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC | AT_EMPTY_PATH;
	int tree = open_tree(fd, "", flags | (recursive ? AT_RECURSIVE : 0));
	return tree < 0 ? -errno : tree;
}

static int set_attr(int tree, bool recursive, struct mount_attr *attr)
{
	unsigned int flags = AT_EMPTY_PATH | (recursive ? AT_RECURSIVE : 0);
	return mount_setattr(tree, "", flags, attr, sizeof(*attr)) < 0 ? -errno : 0;
}

int tree_set(int tree, bool recursive, uint64_t set, uint64_t clr, unsigned long propagation)
{
	struct mount_attr attr = { .attr_set = set, .attr_clr = clr, .propagation = propagation };
	return set_attr(tree, recursive, &attr);
}

int tree_idmap(int tree, bool recursive, int userns_fd)
{
	struct mount_attr attr = { .attr_set = MOUNT_ATTR_IDMAP,
				   .userns_fd = (unsigned int)userns_fd };
	return set_attr(tree, recursive, &attr);
}

int tree_attach(int tree, int target_fd)
{
	return move_mount(tree, "", target_fd, "",
			  MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH) < 0
		       ? -errno
		       : 0;
}

int tree_fs_error(int fs, int rc, struct err *err, const char *fmt, ...)
{
	char what[256], said[512];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(what, sizeof(what), fmt, ap);
	va_end(ap);
	/* Each read gives one line, "e " and the text for an error. */
	ssize_t n;
	while ((n = read(fs, said, sizeof(said) - 1)) > 0) {
		said[n] = '\0';
		said[strcspn(said, "\n")] = '\0';
		if (said[0] == 'e' && said[1] == ' ') {
			char why[128];
			return err_set(err, -rc, "%s: %s (%s)", what, said + 2,
				       strerror_r(-rc, why, sizeof(why)));
		}
	}
	return err_rc(err, rc, "%s", what);
}

int tree_create(int fs, const char *type, uint64_t attr, struct err *err)
{
	if (fsconfig(fs, FSCONFIG_CMD_CREATE, NULL, NULL, 0) < 0)
		return tree_fs_error(fs, -errno, err, "cannot make a %s file system", type);
	int tree = fsmount(fs, FSMOUNT_CLOEXEC, (unsigned int)attr);
	return tree < 0 ? tree_fs_error(fs, -errno, err, "cannot mount a %s file system", type)
			: tree;
}

int tree_new(const char *type, const char *source, const struct ctr_mount_param *params,
	     size_t n_params, uint64_t attr, struct err *err)
{
	cleanup_fd int fs = fsopen(type, FSOPEN_CLOEXEC);
	if (fs < 0)
		return errno == ENODEV
			       ? err_set(err, ENODEV, "this kernel has no file system %s", type)
			       : err_sys(err, "cannot make a %s file system", type);
	if (source && *source && fsconfig(fs, FSCONFIG_SET_STRING, "source", source, 0) < 0)
		return tree_fs_error(fs, -errno, err, "%s: source %s", type, source);
	for (size_t i = 0; i < n_params; i++) {
		const struct ctr_mount_param *p = &params[i];
		if (p->value && strlen(p->value) >= FSCONFIG_VALUE_MAX)
			return err_set(err, E2BIG, "%s: option %s is too long", type, p->key);
		if (fsconfig(fs, p->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, p->key,
			     p->value, 0) < 0)
			return tree_fs_error(fs, -errno, err, "%s: option %s%s%s", type, p->key,
					     p->value ? "=" : "", p->value ? p->value : "");
	}
	return tree_create(fs, type, attr, err);
}
