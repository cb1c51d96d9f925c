/* SPDX-License-Identifier: Apache-2.0 */
/* root - the container's root and what is mounted in it (GUEST_SETUP). Each name is
 * resolved inside the root by descriptor; mount(2) gets at the very folder through
 * /proc/self/fd of the guest's own procfs. */
#include "init.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <unistd.h>

#define NAME_BYTES 40
#define MASK_FLAGS (MS_RDONLY | MS_NOSUID | MS_NODEV | MS_NOEXEC)

static const char *fd_name(char *buf, int fd)
{
	(void)snprintf(buf, NAME_BYTES, "/proc/self/fd/%d", fd);
	return buf;
}

static int bind(int from, int to)
{
	char a[NAME_BYTES], b[NAME_BYTES];
	return mount(fd_name(a, from), fd_name(b, to), NULL, MS_BIND | MS_REC, NULL) < 0 ? -errno
											 : 0;
}

int root_mount(int root, const struct mount_spec *m, struct err *err)
{
	char name[NAME_BYTES];
	cleanup_fd int target = path_mkdir_in_root(root, m->target, 0755, err);
	if (target < 0)
		return err_prefix(err, "cannot make the place of %s", m->target);
	if (mount(m->source ? m->source : m->type, fd_name(name, target), m->type, m->flags,
		  m->data) < 0)
		return err_sys(err, "cannot mount %s at %s", m->type, m->target);
	return 0;
}

static int mount_root(const struct guest *g, struct err *err)
{
	struct tlv_field f;
	struct mount_spec m, image;
	if (tlv_find(g->setup, g->setup_size, GF_ROOT, &f) <= 0 ||
	    mount_spec_parse(f.data, f.size, &m) < 0)
		return err_set(err, EPROTO, "isola-keeper told of no root");
	if (tlv_find(g->setup, g->setup_size, GF_IMAGE, &f) > 0)
		return mount_spec_parse(f.data, f.size, &image) < 0
			       ? err_set(err, EPROTO, "isola-keeper sent a malformed image")
			       : image_mount(g, &image, err);
	bool is_bind = !strcmp(m.type, "bind");
	if (mount(m.source, g->place, m.type, m.flags | (is_bind ? MS_BIND | MS_REC : 0), m.data) <
	    0)
		return err_sys(err, "cannot mount the root (%s %s)", m.type,
			       m.source ? m.source : "");
	return 0;
}

/* ---- /dev ---- */

static int open_parent(int root, const char *path, const char **ret_name, struct err *err)
{
	char folder[4096];
	const char *slash = strrchr(path, '/');
	(void)snprintf(folder, sizeof(folder), "%.*s", slash == path ? 1 : (int)(slash - path),
		       path);
	*ret_name = slash + 1;
	return path_mkdir_in_root(root, folder, 0755, err);
}

static int make_device(int root, const struct device_spec *d, struct err *err)
{
	const char *name = NULL;
	struct stat st;
	dev_t rdev = makedev(d->major, d->minor);
	cleanup_fd int dir = open_parent(root, d->target, &name, err);
	if (dir < 0)
		return dir;
	mode_t mask = umask(0);
	int rc = mknodat(dir, name, d->mode, rdev) < 0 ? -errno : 0;
	(void)umask(mask);
	if (rc == -EEXIST && fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    (st.st_mode & S_IFMT) == (d->mode & S_IFMT) &&
	    (S_ISFIFO(st.st_mode) || st.st_rdev == rdev))
		return 0;
	if (rc == -EEXIST)
		return err_set(err, EEXIST, "the image has something else at %s", d->target);
	if (rc == 0 && (d->uid || d->gid) &&
	    fchownat(dir, name, d->uid, d->gid, AT_SYMLINK_NOFOLLOW) < 0)
		rc = -errno;
	return rc < 0 ? err_rc(err, rc, "cannot make the device %s", d->target) : 0;
}

static int make_links(int root, struct err *err)
{
	static const struct {
		const char *name, *target;
	} links[] = {
		{ "fd", "/proc/self/fd" },       { "stdin", "/proc/self/fd/0" },
		{ "stdout", "/proc/self/fd/1" }, { "stderr", "/proc/self/fd/2" },
		{ "ptmx", "pts/ptmx" },
	};
	cleanup_fd int dev = path_mkdir_in_root(root, "/dev", 0755, err);
	cleanup_fd int pts = path_open_in_root(root, "/dev/pts/ptmx", O_PATH, 0);
	size_t n = sizeof(links) / sizeof(links[0]) - (pts < 0);
	if (dev < 0)
		return dev;
	/* A ptmx of the image would open another devpts than the container's. */
	if (pts >= 0)
		(void)unlinkat(dev, "ptmx", 0);
	for (size_t i = 0; i < n; i++)
		if (symlinkat(links[i].target, dev, links[i].name) < 0 && errno != EEXIST)
			return err_sys(err, "cannot make the link /dev/%s", links[i].name);
	return 0;
}

int root_console(int root, int slave, struct err *err)
{
	cleanup_fd int dev = path_mkdir_in_root(root, "/dev", 0755, err);
	if (dev < 0)
		return dev;
	cleanup_fd int made =
		openat(dev, "console", O_CREAT | O_EXCL | O_RDONLY | O_NOFOLLOW | O_CLOEXEC, 0666);
	cleanup_fd int target = openat(dev, "console", O_PATH | O_NOFOLLOW | O_CLOEXEC);
	struct stat st;
	if (target < 0 || fstat(target, &st) < 0)
		return err_sys(err, "cannot open /dev/console");
	if (S_ISLNK(st.st_mode) || S_ISDIR(st.st_mode))
		return err_set(err, EINVAL, "/dev/console is a %s in the image",
			       S_ISLNK(st.st_mode) ? "link" : "folder");
	int rc = bind(slave, target);
	return rc < 0 ? err_rc(err, rc, "cannot bind the terminal to /dev/console") : 0;
}

/* ---- names and sysctls ---- */

static int set_sysctl(const struct tlv_field *f, struct err *err)
{
	char path[512];
	const char *name = tlv_text_or(f->data, f->size, GF_NAME, "");
	const char *value = tlv_text_or(f->data, f->size, GF_VALUE, "");
	(void)snprintf(path, sizeof(path), "/proc/sys/%s", name);
	int rc = fd_write_file(AT_FDCWD, path, value);
	return rc < 0 ? err_rc(err, rc, "linux.sysctl: cannot set %s to %s", name, value) : 0;
}

static int do_field(const struct guest *g, int root, const struct tlv_field *f, struct err *err)
{
	const char *text = (const char *)f->data;
	struct mount_spec m;
	struct device_spec d;
	switch (f->tag) {
	case GF_HOSTNAME:
		return sethostname(text, strlen(text)) < 0
			       ? err_sys(err, "cannot set hostname %s", text)
			       : 0;
	case GF_DOMAINNAME:
		return setdomainname(text, strlen(text)) < 0
			       ? err_sys(err, "cannot set domainname %s", text)
			       : 0;
	case GF_SYSCTL:
		return set_sysctl(f, err);
	case GF_MOUNT:
		(void)mount_spec_parse(f->data, f->size, &m);
		return strcmp(m.type, "bind") ? root_mount(root, &m, err)
					      : image_bind(g, root, &m, err);
	case GF_DEVICE:
		(void)device_spec_parse(f->data, f->size, &d);
		return make_device(root, &d, err);
	default:
		return 0;
	}
}

/* Mounts first: devices lie in one of them. */
static int do_fields(const struct guest *g, int root, bool devices, struct err *err)
{
	struct tlv_reader r = tlv_read(g->setup, g->setup_size);
	struct tlv_field f;
	int rc = 0;
	while (rc == 0 && tlv_next(&r, &f) > 0)
		if ((f.tag == GF_DEVICE) == devices)
			rc = do_field(g, root, &f, err);
	return rc;
}

int root_make(const struct guest *g, int *ret_root, struct err *err)
{
	if (mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, "cannot make the mounts private");
	int rc = mount_root(g, err);
	if (rc < 0)
		return rc;
	int root = open(g->place, O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_sys(err, "cannot open the root");
	rc = do_fields(g, root, false, err);
	if (rc == 0)
		rc = do_fields(g, root, true, err);
	if (rc == 0)
		rc = make_links(root, err);
	image_let_go(g);
	*ret_root = root; /* of a process that ends if this failed */
	return rc;
}

/* ---- what is hidden ---- */

static int mask(int root, const char *path, struct err *err)
{
	char name[NAME_BYTES];
	struct stat st;
	cleanup_fd int target = path_open_in_root(root, path, O_PATH, 0);
	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	int rc = target < 0 ? target : fstat(target, &st) < 0 ? -errno : 0;
	if (rc == 0 && S_ISDIR(st.st_mode)) {
		rc = mount("tmpfs", fd_name(name, target), "tmpfs", MASK_FLAGS, NULL) < 0 ? -errno
											  : 0;
	} else if (rc == 0) {
		cleanup_fd int null = open("/dev/null", O_PATH | O_CLOEXEC);
		rc = null < 0 ? -errno : bind(null, target);
	}
	return rc < 0 ? err_rc(err, rc, "cannot mask %s", path) : 0;
}

/* A bind mount becomes read-only by a second call, which finds it by name anew. */
static int protect(int root, const char *path, struct err *err)
{
	char name[NAME_BYTES];
	cleanup_fd int target = path_open_in_root(root, path, O_PATH, 0);
	if (target == -ENOENT || target == -ENOTDIR)
		return 0;
	int rc = target < 0 ? target : bind(target, target);
	cleanup_fd int bound = rc < 0 ? -1 : path_open_in_root(root, path, O_PATH, 0);
	if (rc == 0 && (bound < 0 || mount(NULL, fd_name(name, bound), NULL,
					   MS_REMOUNT | MS_BIND | MASK_FLAGS, NULL) < 0))
		rc = bound < 0 ? bound : -errno;
	return rc < 0 ? err_rc(err, rc, "cannot make %s read-only", path) : 0;
}

int root_mask(const struct guest *g, int root, struct err *err)
{
	/* Read-only first: a masked path below one stays masked. */
	for (int pass = 0; pass < 2; pass++) {
		struct tlv_reader r = tlv_read(g->setup, g->setup_size);
		struct tlv_field f;
		int rc = 0;
		while (rc == 0 && tlv_next(&r, &f) > 0) {
			if (pass == 0 && f.tag == GF_READONLY)
				rc = protect(root, (const char *)f.data, err);
			else if (pass == 1 && f.tag == GF_MASKED)
				rc = mask(root, (const char *)f.data, err);
		}
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* An initramfs cannot be pivoted out of: the new root is moved over it, as
 * switch_root(8) does; setns(2) leads to the topmost. */
int root_enter(const struct guest *g, int root, struct err *err)
{
	if (fchdir(root) < 0 || mount(".", "/", NULL, MS_MOVE, NULL) < 0 || chroot(".") < 0 ||
	    chdir("/") < 0)
		return err_sys(err, "cannot enter the root");
	if (tlv_u64_or(g->setup, g->setup_size, GF_ROOT_READONLY, 0) &&
	    mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL) < 0)
		return err_sys(err, "cannot make the root read-only");
	return 0;
}
