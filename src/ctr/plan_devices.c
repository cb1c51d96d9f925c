/* SPDX-License-Identifier: Apache-2.0 */
/* plan_devices - see plan_devices.h. Runs in the parent; opening the host's nodes
 * in init for a caller without CAP_SYS_ADMIN. */
#include "plan_devices.h"

#include "scratch.h"
#include "tree.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
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

/* What make_node() needs. */
struct making {
	const struct ctr_spec *spec;
	struct plan_device **devices;
};

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

/* A node of the container's own for device @i, with the owner and mode it is to
 * have there: the host's nodes belong to nobody inside. */
static int make_node(void *arg, size_t i, struct err *err)
{
	const struct making *m = arg;
	const struct ctr_device *d = m->devices[i]->device;
	const struct ctr_spec *spec = m->spec;
	char name[24];
	(void)snprintf(name, sizeof(name), "%zu", i);
	(void)umask(0);
	if (mknod(name, d->mode, makedev(d->major, d->minor)) < 0 ||
	    lchown(name, host_id(&spec->uid_maps, d->uid), host_id(&spec->gid_maps, d->gid)) < 0)
		return err_sys(err, "cannot make device %s", d->path);
	cleanup_fd int fd = open(name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	cleanup_fd int tree = fd < 0 ? -errno : tree_clone(fd, false);
	int rc = tree < 0 ? tree
			  : tree_set(tree, false, MOUNT_ATTR_NOSUID | MOUNT_ATTR_NOEXEC, 0,
				     MS_PRIVATE);
	return rc < 0 ? err_rc(err, rc, "cannot bind device %s", d->path) : take_fd(&tree);
}

static bool is_default(const struct ctr_device *d)
{
	return d >= default_devices && d < default_devices + N_DEFAULT_DEVICES;
}

static int make_nodes(struct ctr_plan *plan, struct err *err)
{
	struct making m = { plan->spec, calloc(plan->n_devices + 1, sizeof(void *)) };
	int *trees = calloc(plan->n_devices + 1, sizeof(int)), rc = 0;
	size_t n = 0;
	for (size_t i = 0; m.devices && i < plan->n_devices; i++)
		if (plan->devices[i].tree < 0 && !S_ISFIFO(plan->devices[i].device->mode))
			m.devices[n++] = &plan->devices[i];
	if (!m.devices || !trees)
		rc = err_set(err, ENOMEM, "out of memory");
	else if (n > 0)
		rc = scratch_trees(make_node, &m, n, trees, err);
	for (size_t i = 0; rc == 0 && i < n; i++)
		m.devices[i]->tree = trees[i];
	free(m.devices);
	free(trees);
	return rc;
}

/* In a user namespace nodes cannot be made. The default ones are anybody's to
 * use, so the host's do; and all are the host's for who may not make any. */
int plan_open_devices(struct ctr_plan *plan, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < plan->n_devices; i++) {
		struct plan_device *d = &plan->devices[i];
		if (is_default(d->device) || (plan->sources_inside && !S_ISFIFO(d->device->mode)))
			rc = open_node(d->device, &d->tree, err);
	}
	return rc < 0 || plan->sources_inside ? rc : make_nodes(plan, err);
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

int plan_devices(struct ctr_plan *plan, struct err *err)
{
	const struct ctr_spec *spec = plan->spec;
	plan->make_devices = fills_dev(spec) && !plan->args->no_devices;
	if (!plan->make_devices)
		return 0;
	plan->devices = calloc(N_DEFAULT_DEVICES + spec->n_devices, sizeof(*plan->devices));
	if (!plan->devices)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < N_DEFAULT_DEVICES + spec->n_devices; i++)
		plan->devices[plan->n_devices++] = (struct plan_device){
			.device = i < N_DEFAULT_DEVICES ? &default_devices[i]
							: &spec->devices[i - N_DEFAULT_DEVICES],
			.tree = -1,
		};
	return 0;
}

void plan_devices_fini(struct ctr_plan *plan)
{
	for (size_t i = 0; i < plan->n_devices; i++)
		fd_close(&plan->devices[i].tree);
	free(plan->devices);
}
