/* SPDX-License-Identifier: Apache-2.0 */
/* stage_dev - what belongs in /dev (config-linux.md "Devices", "Default
 * Devices"), and the terminal. Nodes are made, or bound, by descriptor in
 * folders resolved inside the root; a link of the image is never followed at the
 * last name (CVE-2025-31133, CVE-2025-52565, CVE-2026-41579). */
#include "channel.h"
#include "init.h"
#include "tree.h"

#include "isola/console.h"
#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>

static const struct {
	const char *name, *target;
} links[] = {
	{ "fd", "/proc/self/fd" },
	{ "stdin", "/proc/self/fd/0" },
	{ "stdout", "/proc/self/fd/1" },
	{ "stderr", "/proc/self/fd/2" },
};

/* The folder of the node made last: nearly all lie in /dev. */
struct dev_cursor {
	char folder[PATH_MAX];
	int fd;
};

/* Opens the folder of @path and returns its last name, or NULL. */
static const char *enter_folder(struct dev_cursor *c, int root_fd, const char *path,
				struct err *err)
{
	char clean[PATH_MAX];
	if (path_clean(path, clean, sizeof(clean)) < 0 || !strcmp(clean, "/")) {
		(void)err_set(err, EINVAL, "%s is no place for a device", path);
		return NULL;
	}
	char *slash = strrchr(clean, '/');
	*slash = '\0';
	const char *name = path + strlen(path) - strlen(slash + 1);
	if (c->fd >= 0 && !strcmp(c->folder, clean))
		return name;
	fd_close(&c->fd);
	c->fd = path_mkdir_in_root(root_fd, clean, 0755, err);
	strcpy(c->folder, clean);
	return c->fd < 0 ? NULL : name;
}

static bool is_node(int dir, const char *name, const struct ctr_device *d)
{
	struct stat st;
	return fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	       (st.st_mode & S_IFMT) == (d->mode & S_IFMT) &&
	       (S_ISFIFO(st.st_mode) || st.st_rdev == makedev(d->major, d->minor));
}

static int make_node(int dir, const char *name, const struct ctr_device *d, struct err *err)
{
	if (mknodat(dir, name, d->mode, makedev(d->major, d->minor)) < 0) {
		if (errno == EEXIST && is_node(dir, name, d))
			return 0;
		if (errno == EEXIST)
			return err_set(err, EEXIST, "the image has something else at %s", d->path);
		return err_sys(err, "cannot make the device %s", d->path);
	}
	if ((d->uid || d->gid) && fchownat(dir, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "cannot set the owner of %s", d->path);
	return 0;
}

/* Opens @name, made where it is missing, as something to bind a file to. */
static int open_file(int dir, const char *name, struct err *err)
{
	cleanup_fd int made =
		openat(dir, name, O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0666);
	if (made < 0 && errno != EEXIST)
		return err_sys(err, "cannot make /dev/%s", name);
	cleanup_fd int fd = openat(dir, name, O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "cannot open /dev/%s", name);
	if (S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode))
		return err_set(err, EINVAL, "/dev/%s is a %s in the image", name,
			       S_ISLNK(st.st_mode) ? "link" : "folder");
	return take_fd(&fd);
}

static int bind_node(int dir, const char *name, const struct plan_device *d, struct err *err)
{
	cleanup_fd int target = open_file(dir, name, err);
	if (target < 0)
		return target;
	int rc = tree_attach(d->tree, target);
	return rc < 0 ? err_rc(err, rc, "cannot bind %s", d->device->path) : 0;
}

static int make_nodes(const struct init *in, struct err *err)
{
	struct dev_cursor c = { .fd = -1 };
	int rc = 0;
	mode_t mask = umask(0);
	for (size_t i = 0; rc == 0 && i < in->plan->n_devices; i++) {
		const struct plan_device *d = &in->plan->devices[i];
		const char *name = enter_folder(&c, in->root_fd, d->device->path, err);
		if (!name)
			rc = -EINVAL;
		else if (d->tree >= 0)
			rc = bind_node(c.fd, name, d, err);
		else
			rc = make_node(c.fd, name, d->device, err);
	}
	(void)umask(mask);
	fd_close(&c.fd);
	return rc;
}

static int make_link(int dev, const char *name, const char *target, struct err *err)
{
	if (symlinkat(target, dev, name) == 0 || errno == EEXIST)
		return 0;
	return err_sys(err, "cannot make the link /dev/%s", name);
}

static int make_links(const struct init *in, int dev, struct err *err)
{
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(links) / sizeof(links[0]); i++)
		rc = make_link(dev, links[i].name, links[i].target, err);
	if (rc < 0 || in->devpts_fd < 0)
		return rc;
	/* A ptmx of the image would open another devpts than the container's. */
	if (unlinkat(dev, "ptmx", 0) < 0 && errno != ENOENT)
		return err_sys(err, "cannot remove the image's /dev/ptmx");
	return make_link(dev, "ptmx", "pts/ptmx", err);
}

int stage_devices(struct init *in, struct err *err)
{
	if (!ctr_spec_has_new(in->spec, CTR_NS_MOUNT) || !in->plan->make_devices)
		return 0;
	int rc = make_nodes(in, err);
	if (rc < 0)
		return rc;
	cleanup_fd int dev = path_mkdir_in_root(in->root_fd, "/dev", 0755, err);
	return dev < 0 ? dev : make_links(in, dev, err);
}

/* The terminal under its usual second name, bound by descriptor. */
static int bind_console(const struct init *in, int slave, struct err *err)
{
	cleanup_fd int dev = path_mkdir_in_root(in->root_fd, "/dev", 0755, err);
	if (dev < 0)
		return dev;
	cleanup_fd int target = open_file(dev, "console", err);
	if (target < 0)
		return target;
	cleanup_fd int tree = tree_clone(slave, false);
	int rc = tree < 0 ? tree : tree_attach(tree, target);
	return rc < 0 ? err_rc(err, rc, "cannot bind the terminal to /dev/console") : 0;
}

int stage_console(struct init *in, struct err *err)
{
	const struct ctr_process *p = in->process;
	if (!p || !p->terminal)
		return 0;
	cleanup_fd int master = -1, pts = -1;
	int devpts = in->devpts_fd;
	if (!in->plan && devpts < 0) /* exec: "/" is the container's */
		devpts = pts = open("/dev/pts", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (!in->plan && devpts < 0)
		return err_sys(err, "cannot open the container's /dev/pts");
	int rc = console_open(devpts, &master, &in->slave_fd, NULL, err);
	if (rc < 0)
		return rc;
	if (p->rows && p->columns)
		(void)console_resize(master, p->rows, p->columns);
	if (devpts >= 0 && in->plan && in->plan->make_devices)
		rc = bind_console(in, in->slave_fd, err);
	if (rc < 0)
		return rc;
	rc = chan_send(in->sock, CHAN_CONSOLE, 0, &master, 1);
	return rc < 0 ? err_rc(err, rc, "cannot hand over the terminal") : 0;
}
