/* SPDX-License-Identifier: Apache-2.0 */
/* stage_root - the container's root: attached privately before anything is
 * mounted in it, then made "/" with everything of the host out of reach. */
#include "channel.h"
#include "init.h"
#include "plan_sources.h"
#include "tree.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static bool has_new_mounts(const struct init *in)
{
	return ctr_spec_has_new(in->spec, CTR_NS_MOUNT);
}

int stage_sources(struct init *in, struct err *err)
{
	if (!has_new_mounts(in))
		return 0;
	/* Before anything is attached: it must not travel to the host. */
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, "cannot make the mounts private");
	return in->plan->sources_inside ? plan_open_sources(in->plan, err) : 0;
}

/* What the parent could prepare only after the clone: the overlay, idmaps. */
static int receive_trees(struct init *in, struct err *err)
{
	struct chan_msg msg;
	int fd = -1;
	size_t n = 0;
	int rc = chan_recv(in->sock, &msg, &fd, 1, &n);
	if (rc <= 0)
		return err_rc(err, rc ? rc : -EPIPE, "cannot receive the root");
	if (n == 1) {
		fd_close(&in->plan->root_tree);
		in->plan->root_tree = fd;
	}
	if (msg.type != CHAN_TREES || in->plan->root_tree < 0)
		return err_set(err, EPROTO, "unexpected message %d", msg.type);
	return 0;
}

static int open_root_path(const struct init *in)
{
	const char *path = in->spec->root_path;
	if (*path == '/')
		return open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int base = open(in->plan->args->bundle_path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return base < 0 ? -1 : openat(base, path, O_PATH | O_DIRECTORY | O_CLOEXEC);
}

/* Where the root is attached until it becomes "/": on itself, so that hooks find
 * it by root.path. Layers have no path; they go on "/", where only we could see
 * them, and so does what the container's root may not reach. This comes before
 * the change of ids. A descriptor from before the clone is of the parent's
 * namespace, so the path is opened anew, and has to lead to the same folder. */
int stage_place(struct init *in, struct err *err)
{
	struct stat now, before;
	if (!has_new_mounts(in))
		return 0;
	if (in->plan->root_dir >= 0 && !in->plan->args->no_pivot) {
		in->place_fd = open_root_path(in);
		if (in->place_fd < 0 && errno != EACCES)
			return err_sys(err, "cannot open root.path %s", in->spec->root_path);
	}
	if (in->place_fd < 0) {
		in->place_fd = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
		return in->place_fd < 0 ? err_sys(err, "cannot open /") : 0;
	}
	if (fstat(in->place_fd, &now) < 0 || fstat(in->plan->root_dir, &before) < 0)
		return err_sys(err, "cannot open root.path %s", in->spec->root_path);
	if (now.st_dev != before.st_dev || now.st_ino != before.st_ino)
		return err_set(err, ESTALE, "root.path %s changed meanwhile", in->spec->root_path);
	return 0;
}

/* In a mount namespace of others nothing is mounted (spec_check.c): root.path is
 * as they see it. */
static int use_foreign_root(struct init *in, struct err *err)
{
	if (in->spec->ns[CTR_NS_MOUNT].mode == CTR_NS_HOST)
		in->root_fd = fd_dup(in->plan->root_dir);
	else
		in->root_fd = open_root_path(in);
	return in->root_fd < 0 ? err_sys(err, "cannot open root.path %s", in->spec->root_path) : 0;
}

int stage_root(struct init *in, struct err *err)
{
	if (!has_new_mounts(in))
		return use_foreign_root(in, err);
	int rc = in->plan->userns ? receive_trees(in, err) : 0;
	if (rc < 0)
		return rc;
	rc = tree_attach(in->plan->root_tree, in->place_fd);
	if (rc < 0)
		return err_rc(err, rc, "cannot attach the root");
	in->root_fd = in->plan->root_tree;
	return 0;
}

static int pivot(struct err *err)
{
	cleanup_fd int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (old < 0)
		return err_sys(err, "cannot open /");
	/* Both names are ".": the old root is stacked upon the new one. */
	if (syscall(SYS_pivot_root, ".", ".") < 0)
		return err_sys(err, "cannot pivot into the root%s",
			       errno == EINVAL ? " (on an initramfs --no-pivot is needed)" : "");
	if (fchdir(old) < 0 || umount2(".", MNT_DETACH) < 0)
		return err_sys(err, "cannot detach the host's root");
	return 0;
}

int stage_pivot(struct init *in, struct err *err)
{
	const struct ctr_spec *spec = in->spec;
	if (fchdir(in->root_fd) < 0)
		return err_sys(err, "cannot enter the root");
	int rc = 0;
	if (has_new_mounts(in) && !in->plan->args->no_pivot)
		rc = pivot(err);
	else if (chroot(".") < 0)
		rc = err_sys(err, "cannot change the root");
	if (rc < 0)
		return rc;
	if (chdir("/") < 0)
		return err_sys(err, "cannot enter /");
	if (!has_new_mounts(in))
		return 0;
	if (spec->root_readonly) {
		rc = tree_set(in->root_fd, false, MOUNT_ATTR_RDONLY, 0, 0);
		if (rc < 0)
			return err_rc(err, rc, "cannot make the root read-only");
	}
	if (spec->rootfs_propagation && mount(NULL, "/", NULL, spec->rootfs_propagation, NULL) < 0)
		return err_sys(err, "cannot set linux.rootfsPropagation");
	return 0;
}
