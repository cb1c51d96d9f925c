/* SPDX-License-Identifier: Apache-2.0 */
/* plan_sources - see plan_sources.h. Runs in the parent; for a caller without
 * CAP_SYS_ADMIN the opening part runs in init, which has it in its namespace. */
#include "plan_sources.h"

#include "tree.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/mount.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

/* config-linux.md "Default Devices"; /dev/console and /dev/ptmx are made with
 * the terminal and devpts. */
static const struct ctr_device default_devices[] = {
	{ "/dev/null", S_IFCHR | 0666, 1, 3, 0, 0 },
	{ "/dev/zero", S_IFCHR | 0666, 1, 5, 0, 0 },
	{ "/dev/full", S_IFCHR | 0666, 1, 7, 0, 0 },
	{ "/dev/random", S_IFCHR | 0666, 1, 8, 0, 0 },
	{ "/dev/urandom", S_IFCHR | 0666, 1, 9, 0, 0 },
	{ "/dev/tty", S_IFCHR | 0666, 5, 0, 0, 0 },
};
#define N_DEFAULT_DEVICES (sizeof(default_devices) / sizeof(default_devices[0]))

static bool has_new_mount_ns(const struct ctr_plan *plan)
{
	return plan->spec->ns[CTR_NS_MOUNT].mode == CTR_NS_NEW;
}

int plan_check(struct ctr_plan *plan, struct err *err)
{
	const struct ctr_spec *spec = plan->spec;
	const struct ctr_root *root = &plan->args->root;
	if (!has_new_mount_ns(plan) &&
	    (spec->n_mounts || spec->n_masked_paths || spec->n_readonly_paths || spec->n_devices ||
	     root->n_lower || spec->root_readonly))
		return err_set(err, EINVAL,
			       "linux.namespaces: mounts, linux.devices, linux.maskedPaths, "
			       "linux.readonlyPaths and root.readonly need a new mount namespace "
			       "(one without a path)");
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

static int open_bind(struct ctr_plan *plan, int base, const struct ctr_mount *m,
		     struct plan_mount *ret, struct err *err)
{
	cleanup_fd int fd = openat(base, m->source, O_PATH | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "cannot open the source %s of the mount on %s", m->source,
			       m->destination);
	cleanup_fd int tree = tree_clone(fd, m->recursive);
	if (tree < 0)
		return err_rc(err, tree, "cannot bind %s to %s", m->source, m->destination);
	int rc = plan_mount_attributes(tree, m, plan->userns, err);
	if (rc < 0)
		return rc;
	ret->is_dir = S_ISDIR(st.st_mode);
	ret->tree = take_fd(&tree);
	return 0;
}

/* The host's node for @d: what a user namespace may use but not make. */
static int open_node(const struct ctr_device *d, int *ret, struct err *err)
{
	cleanup_fd int fd = open(d->path, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err,
			       "linux.devices: cannot open the host's %s, which a container "
			       "with a user namespace shares",
			       d->path);
	if ((st.st_mode & S_IFMT) != (d->mode & S_IFMT) || major(st.st_rdev) != d->major ||
	    minor(st.st_rdev) != d->minor)
		return err_set(err, EINVAL,
			       "linux.devices: the host's %s is not device %u:%u, and a container "
			       "with a user namespace can only share the host's nodes",
			       d->path, d->major, d->minor);
	int tree = tree_clone(fd, false);
	if (tree < 0)
		return err_rc(err, tree, "cannot bind %s", d->path);
	(void)tree_set(tree, false, 0, 0, MS_PRIVATE);
	*ret = tree;
	return 0;
}

/* The host's id for the container's @id; the id itself where nothing maps it. */
static uint32_t host_id(const struct ctr_idmaps *maps, uint32_t id)
{
	for (size_t i = 0; i < maps->n; i++) {
		const struct ctr_idmap *m = &maps->items[i];
		if (id >= m->container_id && id - m->container_id < m->size)
			return m->host_id + (id - m->container_id);
	}
	return id;
}

#define NODE_NAME_BYTES 32

static void node_name(size_t i, char ret[NODE_NAME_BYTES])
{
	(void)snprintf(ret, NODE_NAME_BYTES, ".isola-device-%zu", i);
}

/* A node of the container's own for device @i, with the owner and mode it is to
 * have there: the host's nodes belong to nobody inside. It lies in the bundle
 * until the container is made, since only a linked file of an ordinary mount can
 * be cloned and attached (Linux before 6.15). -EPERM: we may not make nodes. */
static int make_node(struct ctr_plan *plan, size_t i, struct err *err)
{
	const struct ctr_device *d = plan->devices[i].device;
	const struct ctr_spec *spec = plan->spec;
	char name[NODE_NAME_BYTES];
	int dir = plan->args->bundle_fd;
	node_name(i, name);
	(void)unlinkat(dir, name, 0);
	if (mknodat(dir, name, (d->mode & S_IFMT) | 0600, makedev(d->major, d->minor)) < 0)
		return errno == EPERM ? -EPERM : err_sys(err, "cannot make device %s", d->path);
	plan->devices[i].made = true;
	cleanup_fd int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 ||
	    fchownat(dir, name, host_id(&spec->uid_maps, d->uid), host_id(&spec->gid_maps, d->gid),
		     AT_SYMLINK_NOFOLLOW) < 0 ||
	    fchmodat(dir, name, d->mode & 07777, 0) < 0)
		return err_sys(err, "cannot give device %s its owner and mode", d->path);
	cleanup_fd int tree = tree_clone(fd, false);
	int rc = tree < 0 ? tree
			  : tree_set(tree, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC,
				     MOUNT_ATTR_NODEV, MS_PRIVATE);
	if (rc < 0)
		return err_rc(err, rc, "cannot bind device %s", d->path);
	plan->devices[i].tree = take_fd(&tree);
	return 0;
}

/* The default devices are anybody's to use: the host's nodes do. */
static int open_device(struct ctr_plan *plan, size_t i, struct err *err)
{
	const struct ctr_device *d = plan->devices[i].device;
	bool is_default = d >= default_devices && d < default_devices + N_DEFAULT_DEVICES;
	int rc = is_default || plan->sources_inside ? -EPERM : make_node(plan, i, err);
	return rc == -EPERM ? open_node(d, &plan->devices[i].tree, err) : rc;
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
			rc = open_bind(plan, base, &spec->mounts[i], &plan->mounts[i], err);
	for (size_t i = 0; rc == 0 && plan->userns && i < plan->n_devices; i++)
		if (!S_ISFIFO(plan->devices[i].device->mode))
			rc = open_device(plan, i, err);
	return rc;
}

/* A bind on /dev brings its own nodes. */
static bool fills_dev(const struct ctr_spec *spec)
{
	char path[PATH_MAX];
	for (size_t i = 0; i < spec->n_mounts; i++)
		if (spec->mounts[i].bind && !spec->mounts[i].remount &&
		    path_clean(spec->mounts[i].destination, path, sizeof(path)) == 0 &&
		    !strcmp(path, "/dev"))
			return false;
	return true;
}

static int make_tables(struct ctr_plan *plan, struct err *err)
{
	const struct ctr_spec *spec = plan->spec;
	plan->mounts = calloc(spec->n_mounts + 1, sizeof(*plan->mounts));
	plan->devices = calloc(N_DEFAULT_DEVICES + spec->n_devices, sizeof(*plan->devices));
	if (!plan->mounts || !plan->devices)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < spec->n_mounts; i++)
		plan->mounts[i] = (struct plan_mount){ .tree = -1, .is_dir = true };
	plan->make_devices = fills_dev(spec);
	for (size_t i = 0; plan->make_devices && i < N_DEFAULT_DEVICES; i++)
		plan->devices[plan->n_devices++] =
			(struct plan_device){ .device = &default_devices[i], .tree = -1 };
	for (size_t i = 0; plan->make_devices && i < spec->n_devices; i++)
		plan->devices[plan->n_devices++] =
			(struct plan_device){ .device = &spec->devices[i], .tree = -1 };
	return 0;
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
	for (size_t i = 0; i < plan->n_devices; i++) {
		char name[NODE_NAME_BYTES];
		node_name(i, name);
		if (plan->devices[i].made)
			(void)unlinkat(plan->args->bundle_fd, name, 0);
		fd_close(&plan->devices[i].tree);
	}
	free(plan->mounts);
	free(plan->devices);
}
