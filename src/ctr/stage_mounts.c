/* SPDX-License-Identifier: Apache-2.0 */
/* stage_mounts - "mounts" of the spec, in order, each onto a descriptor that was
 * resolved inside the root (config.md "Mounts"). The image, and other containers
 * that share a volume, may swap any name below at any time. */
#include "copyup.h"
#include "init.h"
#include "mount_guard.h"
#include "mount_memory.h"
#include "plan_sources.h"
#include "tree.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

static bool is_new(const struct ctr_mount *m)
{
	return !m->bind && !m->remount;
}

/* What a user namespace may not mount afresh without owning the network or ipc
 * namespace as well is shown as the host has it. */
static const struct {
	const char *type, *path;
} fallbacks[] = {
	{ "sysfs", "/sys" },
	{ "mqueue", "/dev/mqueue" },
};

/* By name: a descriptor of the parent's namespace could not be cloned here. */
static int open_own_cgroup(const struct init *in)
{
	cleanup_free char *mount = NULL, *path = NULL;
	cleanup_fd int root = cgroup_mount_open(&mount, NULL);
	if (root < 0 || !in->plan->cgroup || asprintf(&path, "%s%s", mount, in->plan->cgroup) < 0)
		return -EPERM;
	return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

static int bind_instead(const struct init *in, const struct ctr_mount *m)
{
	cleanup_fd int fd = -EPERM;
	if (!strncmp(m->type, "cgroup", 6))
		fd = open_own_cgroup(in);
	for (size_t i = 0; i < sizeof(fallbacks) / sizeof(fallbacks[0]); i++)
		if (!strcmp(m->type, fallbacks[i].type))
			fd = open(fallbacks[i].path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0)
		return -EPERM;
	cleanup_fd int tree = tree_clone(fd, true);
	if (tree < 0)
		return tree;
	/* Fully read-only if so at all: mounts below are the host's too. */
	int rc = tree_set(tree, true, m->attr_set & MOUNT_ATTR_RDONLY, 0, MS_PRIVATE);
	if (rc == 0)
		rc = tree_set(tree, false, m->attr_set, 0, 0);
	return rc < 0 ? rc : take_fd(&tree);
}

/* SELinux: what we mount gets the container's label. */
static int make_labelled(const struct ctr_mount *m, const char *type, const char *label,
			 struct err *err)
{
	struct ctr_mount_param *params = calloc(m->n_params + 1, sizeof(*params));
	if (!params)
		return err_set(err, ENOMEM, "out of memory");
	if (m->n_params)
		memcpy(params, m->params, m->n_params * sizeof(*params));
	params[m->n_params] = (struct ctr_mount_param){ "context", label };
	int tree = tree_new(type, m->source, params, m->n_params + 1, m->attr_set | m->rec_attr_set,
			    err);
	free(params);
	return tree;
}

/* The new file system of @m as a tree; -1 when it has to be made by mount(2). */
static int make_filesystem(struct init *in, const struct ctr_mount *m, int *ret, struct err *err)
{
	const char *type = strcmp(m->type, "cgroup") ? m->type : "cgroup2";
	const char *label = in->spec->mount_label;
	int tree;
	if (label && (!strcmp(type, "tmpfs") || !strcmp(type, "devpts")))
		tree = make_labelled(m, type, label, err);
	else
		tree = tree_new(type, m->source, m->params, m->n_params,
				m->attr_set | m->rec_attr_set, err);
	if (tree == -E2BIG)
		return 0;
	if (tree == -EPERM || tree == -EBUSY) {
		int bound = bind_instead(in, m);
		tree = bound < 0 ? tree : bound;
	}
	if (tree < 0)
		return tree;
	*ret = tree;
	if (!strcmp(type, "proc") && in->proc_fd < 0)
		in->proc_fd = tree;
	if (!strcmp(type, "devpts") && in->devpts_fd < 0)
		in->devpts_fd = tree;
	for (size_t i = 0; i < m->n_propagation; i++) {
		unsigned long flags = m->propagation[i];
		int rc = tree_set(tree, flags & MS_REC, 0, 0, flags & ~(unsigned long)MS_REC);
		if (rc < 0)
			return err_rc(err, rc, "cannot set the propagation");
	}
	return 0;
}

int stage_filesystems(struct init *in, struct err *err)
{
	const struct ctr_spec *spec = in->spec;
	in->fs_trees = malloc((spec->n_mounts + 1) * sizeof(*in->fs_trees));
	if (!in->fs_trees)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct ctr_mount *m = &spec->mounts[i];
		in->fs_trees[i] = -1;
		int rc = is_new(m) ? make_filesystem(in, m, &in->fs_trees[i], err) : 0;
		if (rc < 0)
			return err_prefix(err, "mounts[%zu] (%s)", i, m->destination);
	}
	return 0;
}

/* For options beyond what fsconfig(2) takes. The magic link leads to the very
 * folder that was resolved; "/" is still the host's, so /proc is too. */
static int mount_by_name(const struct init *in, const struct ctr_mount *m, int target,
			 struct err *err)
{
	char path[40];
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", target);
	if (mount(m->source, path, m->type, m->sb_flags, m->data) < 0)
		return err_sys(err, "cannot mount %s", m->type);
	cleanup_fd int fd = path_open_in_root(in->root_fd, m->destination, O_PATH, 0);
	int rc = fd < 0 ? fd : tree_set(fd, false, m->attr_set | m->rec_attr_set, m->attr_clr, 0);
	return rc < 0 ? err_rc(err, rc, "cannot set the options") : 0;
}

static int remount_superblock(const struct ctr_mount *m, int target, struct err *err)
{
	cleanup_fd int fs = fspick(target, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
	if (fs < 0)
		return err_sys(err, "cannot remount");
	for (size_t i = 0; i < m->n_params; i++) {
		const struct ctr_mount_param *p = &m->params[i];
		if (fsconfig(fs, p->value ? FSCONFIG_SET_STRING : FSCONFIG_SET_FLAG, p->key,
			     p->value, 0) < 0)
			return tree_fs_error(fs, -errno, err, "option %s", p->key);
	}
	return fsconfig(fs, FSCONFIG_CMD_RECONFIGURE, NULL, NULL, 0) < 0
		       ? tree_fs_error(fs, -errno, err, "cannot remount")
		       : 0;
}

static int remount(const struct init *in, const struct ctr_mount *m, struct err *err)
{
	cleanup_fd int fd = path_open_in_root(in->root_fd, m->destination, O_PATH, 0);
	if (fd < 0)
		return err_rc(err, fd, "cannot open it");
	if (m->n_params) {
		int rc = remount_superblock(m, fd, err);
		if (rc < 0)
			return rc;
	}
	int rc = tree_set(fd, false, m->attr_set, m->attr_clr, 0);
	if (rc == 0)
		rc = tree_set(fd, true, m->rec_attr_set, m->rec_attr_clr, 0);
	for (size_t i = 0; rc == 0 && i < m->n_propagation; i++)
		rc = tree_set(fd, m->propagation[i] & MS_REC, 0, 0,
			      m->propagation[i] & ~(unsigned long)MS_REC);
	return rc < 0 ? err_rc(err, rc, "cannot change the options") : 0;
}

static bool has_param(const struct ctr_mount *m, const char *key)
{
	for (size_t i = 0; i < m->n_params; i++)
		if (!strcmp(m->params[i].key, key))
			return true;
	return false;
}

static int mount_one(struct init *in, size_t i, struct err *err)
{
	const struct ctr_mount *m = &in->spec->mounts[i];
	if (m->remount)
		return remount(in, m, err);
	int tree = m->bind ? in->plan->mounts[i].tree : in->fs_trees[i];
	cleanup_fd int target = mount_guard_target(in->root_fd, m, in->plan->mounts[i].is_dir, err);
	if (target < 0)
		return target;
	int rc = mount_guard_check(m, tree, target, err);
	if (rc < 0)
		return rc;
	if (tree < 0)
		return mount_by_name(in, m, target, err);
	if (m->tmpcopyup) {
		rc = copyup(target, tree, has_param(m, "mode"), err);
		if (rc < 0)
			return rc;
	}
	cleanup_fd int file = m->memory ? mount_memory_file(tree, in->root_fd, err) : -1;
	if (m->memory && file < 0)
		return file;
	rc = tree_attach(m->memory ? file : tree, target);
	return rc < 0 ? err_rc(err, rc, "cannot attach the mount") : 0;
}

int stage_mounts(struct init *in, struct err *err)
{
	for (size_t i = 0; i < in->spec->n_mounts; i++) {
		int rc = mount_one(in, i, err);
		if (rc < 0)
			return err_prefix(err, "mounts[%zu] (%s)", i,
					  in->spec->mounts[i].destination);
	}
	return mount_guard_verify(in->root_fd, in->proc_fd, err);
}
