/* SPDX-License-Identifier: Apache-2.0 */
/* plan_sources - see plan_sources.h. Runs in the parent; for a caller without
 * CAP_SYS_ADMIN the opening part runs in init, which has it in its namespace. */
#include "plan_sources.h"

#include "ids.h"
#include "mount_memory.h"
#include "plan_devices.h"
#include "tree.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/mount.h>
#include <sys/stat.h>

static bool has_new_mount_ns(const struct ctr_plan *plan)
{
	return plan->spec->ns[CTR_NS_MOUNT].mode == CTR_NS_NEW;
}

int plan_check(struct ctr_plan *plan, struct err *err)
{
	const struct ctr_spec *spec = plan->spec;
	const struct ctr_root *root = &plan->args->root;
	if (!has_new_mount_ns(plan) && root->n_lower)
		return err_set(err, EINVAL, "a root made of layers needs a new mount namespace");
	if (root->n_lower && geteuid() != 0)
		return err_set(err, EPERM, "a root made of layers needs root");
	for (size_t i = 0; i < spec->n_mounts; i++) {
		const struct ctr_mount *m = &spec->mounts[i];
		if (m->idmap != CTR_IDMAP_NO && !plan->userns && !m->uid_maps.n)
			return err_set(err, EINVAL,
				       "mounts[%zu]: idmap needs uidMappings and gidMappings, or a "
				       "user namespace",
				       i);
	}
	return 0;
}

/* In a user namespace a shared mount would carry what the container mounts back
 * to the host, so it becomes the host's slave before it is shared within. */
static int set_propagation(int tree, unsigned long flags, bool userns)
{
	bool recursive = flags & MS_REC;
	int rc = 0;
	if (userns && flags & MS_SHARED)
		rc = tree_set(tree, recursive, 0, 0, MS_SLAVE);
	return rc < 0 ? rc : tree_set(tree, recursive, 0, 0, flags & ~(unsigned long)MS_REC);
}

int plan_mount_attributes(int tree, const struct ctr_mount *m, bool userns, struct err *err)
{
	int rc = tree_set(tree, true, m->rec_attr_set, m->rec_attr_clr,
			  m->n_propagation ? 0 : MS_PRIVATE);
	if (rc == 0 && (m->attr_set || m->attr_clr))
		rc = tree_set(tree, false, m->attr_set, m->attr_clr, 0);
	for (size_t i = 0; rc == 0 && i < m->n_propagation; i++)
		rc = set_propagation(tree, m->propagation[i], userns);
	if (rc < 0)
		return err_rc(err, rc, "cannot set the options of the mount on %s", m->destination);
	return 0;
}

int plan_open_bind(bool userns, int base, const struct ctr_mount *m, struct plan_mount *ret,
		   struct err *err)
{
	if (m->memory) {
		int memory = mount_memory_make(base, m, err);
		*ret = (struct plan_mount){ .tree = memory < 0 ? -1 : memory, .is_dir = false };
		return memory < 0 ? memory : 0;
	}
	cleanup_fd int fd = openat(base, m->source, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd >= 0 && m->subpath) {
		int below = path_open_beneath(fd, m->subpath, O_PATH, 0);
		if (below < 0)
			return err_rc(err, below,
				      "cannot open %s in %s, the source of the mount on %s",
				      m->subpath, m->source, m->destination);
		fd_close(&fd);
		fd = below;
	}
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "cannot open the source %s of the mount on %s", m->source,
			       m->destination);
	cleanup_fd int tree = tree_clone(fd, m->recursive);
	if (tree < 0)
		return err_rc(err, tree, "cannot bind %s to %s", m->source, m->destination);
	int rc = plan_mount_attributes(tree, m, userns, err);
	if (rc < 0)
		return rc;
	ret->is_dir = S_ISDIR(st.st_mode);
	ret->tree = take_fd(&tree);
	return 0;
}

int plan_idmap_bind(const struct ctr_mount *m, int tree, int userns_fd, struct err *err)
{
	cleanup_fd int own = -1;
	if (m->uid_maps.n) {
		own = ids_make_userns(&m->uid_maps, &m->gid_maps, err);
		if (own < 0)
			return own;
		userns_fd = own;
	}
	int rc = tree_idmap(tree, m->idmap == CTR_IDMAP_RECURSIVE, userns_fd);
	if (rc == -EINVAL)
		return err_set(
			err, EINVAL,
			"the file system of %s, or one mounted below it, cannot be idmapped: "
			"bind it without (-v %s:%s:noidmap) or use the host's user namespace",
			m->source, m->source, m->destination);
	return rc < 0 ? err_rc(err, rc, "cannot idmap") : 0;
}

static int open_root_tree(struct ctr_plan *plan, int base, struct err *err)
{
	cleanup_fd int inside = -1;
	int dir = plan->root_dir;
	if (plan->sources_inside) {
		dir = inside =
			openat(base, plan->spec->root_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (dir < 0)
			return err_sys(err, "cannot open root.path %s", plan->spec->root_path);
	}
	int tree = tree_clone(dir, true);
	if (tree < 0)
		return err_rc(err, tree, "cannot clone the mount of root.path %s",
			      plan->spec->root_path);
	plan->root_tree = tree;
	int rc = tree_set(tree, true, 0, 0, MS_PRIVATE);
	return rc < 0 ? err_rc(err, rc, "cannot make root.path %s private", plan->spec->root_path)
		      : 0;
}

int plan_open_sources(struct ctr_plan *plan, struct err *err)
{
	const struct ctr_spec *spec = plan->spec;
	cleanup_fd int inside = -1;
	int base = plan->args->bundle_fd, rc = 0;
	if (plan->sources_inside) {
		/* A descriptor from before the clone is of another namespace. */
		inside = base = open(plan->args->bundle_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (base < 0)
			return err_sys(err, "cannot open the bundle %s", plan->args->bundle_path);
	}
	if (plan->args->root.n_lower == 0)
		rc = open_root_tree(plan, base, err);
	for (size_t i = 0; rc == 0 && i < spec->n_mounts; i++)
		if (spec->mounts[i].bind && !spec->mounts[i].remount)
			rc = plan_open_bind(plan->userns, base, &spec->mounts[i], &plan->mounts[i],
					    err);
	return rc == 0 && plan->userns ? plan_open_devices(plan, err) : rc;
}

static int make_tables(struct ctr_plan *plan, struct err *err)
{
	const struct ctr_spec *spec = plan->spec;
	plan->mounts = calloc(spec->n_mounts + 1, sizeof(*plan->mounts));
	if (!plan->mounts)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < spec->n_mounts; i++)
		plan->mounts[i] = (struct plan_mount){ .tree = -1, .is_dir = true };
	return plan_devices(plan, err);
}

int plan_sources(struct ctr_plan *plan, struct err *err)
{
	if (!has_new_mount_ns(plan))
		return 0;
	int rc = make_tables(plan, err);
	if (rc < 0)
		return rc;
	plan->sources_inside = geteuid() != 0;
	return plan->sources_inside ? 0 : plan_open_sources(plan, err);
}

void plan_sources_fini(struct ctr_plan *plan)
{
	for (size_t i = 0; plan->mounts && i < plan->spec->n_mounts; i++)
		fd_close(&plan->mounts[i].tree);
	plan_devices_fini(plan);
	free(plan->mounts);
}
