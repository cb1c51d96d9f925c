/* SPDX-License-Identifier: Apache-2.0 */
/* clone - a second tree with the same files: snapshots of volumes (copy.h). In
 * isola-image's jail, whose root has the one as /lower, read-only, and the new folder as
 * /to. Contents are shared by FICLONE where the file system can (XFS, btrfs), and else
 * copied without their holes.
 *
 * The tree is a container's: nothing in it is followed, opened as a device or trusted to
 * stay; what vanishes meanwhile is left out. */
#include "cancel.h"
#include "copy.h"

#include "isola/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/fs.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#define PIECE_BYTES     (1024 * 1024)
#define VALUE_BYTES_MAX 65536
/* Three descriptors each. */
#define DEPTH_MAX 1600

struct clone {
	int to_root;
	uint64_t entries, entries_max;
	uint64_t bytes, shared_bytes;
	bool no_reflink; /* was tried */
	void *links;     /* tsearch(3) tree of struct twin */
	char path[PATH_MAX];
	unsigned char buf[PIECE_BYTES];
	char names[XATTR_LIST_MAX], value[VALUE_BYTES_MAX];
};

/* A file of several names: where its first one is in the new tree. */
struct twin {
	dev_t dev;
	ino_t ino;
	char path[];
};

static int compare_twins(const void *a, const void *b)
{
	const struct twin *x = a, *y = b;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

static int remember(struct clone *c, const struct stat *st)
{
	size_t n = strlen(c->path) + 1;
	struct twin *t = malloc(sizeof(*t) + n);
	if (!t)
		return -ENOMEM;
	*t = (struct twin){ st->st_dev, st->st_ino };
	memcpy(t->path, c->path, n);
	if (tsearch(t, &c->links, compare_twins))
		return 0;
	free(t);
	return -ENOMEM;
}

/* 1: it is there now, by another name of its. */
static int link_twin(struct clone *c, const struct stat *st, int to, const char *name)
{
	const struct twin want = { st->st_dev, st->st_ino };
	void *found = st->st_nlink > 1 ? tfind(&want, &c->links, compare_twins) : NULL;
	if (!found)
		return 0;
	return linkat(c->to_root, (*(struct twin **)found)->path, to, name, 0) < 0 ? -errno : 1;
}

/* ---- contents ---- */

static int copy_range(struct clone *c, int from, int to, off_t at, off_t end)
{
	while (at < end) {
		if (cancel_requested())
			return -ECANCELED;
		size_t want = end - at < PIECE_BYTES ? (size_t)(end - at) : PIECE_BYTES;
		ssize_t n = pread(from, c->buf, want, at);
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : 0;
		for (ssize_t done = 0; done < n;) {
			ssize_t m = pwrite(to, c->buf + done, (size_t)(n - done), at + done);
			if (m < 0 && errno != EINTR)
				return -errno;
			done += m > 0 ? m : 0;
		}
		at += n;
	}
	return 0;
}

static int copy_data(struct clone *c, int from, int to, off_t size)
{
	off_t at = 0;
	int rc = ftruncate(to, size) < 0 ? -errno : 0;
	while (rc == 0 && at < size) {
		off_t data = lseek(from, at, SEEK_DATA);
		if (data < 0)
			return errno == ENXIO ? 0 : -errno;
		off_t end = lseek(from, data, SEEK_HOLE);
		if (end < 0)
			return -errno;
		end = end < size ? end : size;
		rc = copy_range(c, from, to, data, end);
		at = end > data ? end : size;
	}
	return rc;
}

static int copy_content(struct clone *c, int from, int to, const struct stat *st)
{
	c->bytes += (uint64_t)st->st_blocks * 512;
	if (st->st_size == 0)
		return 0;
	if (!c->no_reflink && ioctl(to, FICLONE, from) == 0) {
		c->shared_bytes += (uint64_t)st->st_blocks * 512;
		return 0;
	}
	/* EINVAL: of this file alone (say, encrypted or inline). */
	if (!c->no_reflink && (errno == EOPNOTSUPP || errno == ENOTTY || errno == EXDEV))
		c->no_reflink = true;
	return copy_data(c, from, to, st->st_size);
}

/* ---- what else is of a file ---- */

static bool keeps_xattr(const char *name)
{
	return !strncmp(name, "user.", 5) || !strcmp(name, "security.capability") ||
	       !strcmp(name, "system.posix_acl_access") ||
	       !strcmp(name, "system.posix_acl_default");
}

static int copy_xattrs(struct clone *c, int from, int to)
{
	ssize_t n = flistxattr(from, c->names, sizeof(c->names));
	if (n < 0)
		return errno == EOPNOTSUPP ? 0 : -errno;
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(c->names + at) + 1) {
		const char *name = c->names + at;
		if (!keeps_xattr(name))
			continue;
		ssize_t size = fgetxattr(from, name, c->value, sizeof(c->value));
		if (size < 0 && errno == ENODATA)
			continue;
		if (size < 0 || fsetxattr(to, name, c->value, (size_t)size, 0) < 0)
			return -errno;
	}
	return 0;
}

/* Owner before mode and capabilities, which a change of it clears; times last. */
static int finish(struct clone *c, int from, int to, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	if (fchown(to, st->st_uid, st->st_gid) < 0 || fchmod(to, st->st_mode & 07777) < 0)
		return -errno;
	int rc = copy_xattrs(c, from, to);
	return rc == 0 && futimens(to, times) < 0 ? -errno : rc;
}

/* ---- entries ---- */

static int copy_file(struct clone *c, int dir, const char *name, int to, const struct stat *st)
{
	struct stat now;
	int flags = O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC;
	cleanup_fd int from = openat(dir, name, flags | O_NOATIME);
	if (from < 0 || fstat(from, &now) < 0)
		return -errno;
	if (now.st_ino != st->st_ino || !S_ISREG(now.st_mode))
		return -ENOENT; /* another one by now */
	cleanup_fd int out = openat(to, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	if (out < 0)
		return -errno;
	int rc = copy_content(c, from, out, &now);
	return rc < 0 ? rc : finish(c, from, out, &now);
}

static int set_times(int to, const char *name, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	if (fchownat(to, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISLNK(st->st_mode) && fchmodat(to, name, st->st_mode & 07777, 0) < 0)
		return -errno;
	return utimensat(to, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_link(struct clone *c, int dir, const char *name, int to, const struct stat *st)
{
	char *target = (char *)c->buf;
	ssize_t n = readlinkat(dir, name, target, PATH_MAX - 1);
	if (n < 0)
		return -errno;
	target[n] = '\0';
	return symlinkat(target, to, name) < 0 ? -errno : set_times(to, name, st);
}

static int copy_node(int to, const char *name, const struct stat *st)
{
	return mknodat(to, name, st->st_mode & S_IFMT, st->st_rdev) < 0 ? -errno
									: set_times(to, name, st);
}

static int copy_folder(struct clone *c, int from, int to, int depth, struct err *err);

static int descend(struct clone *c, int dir, const char *name, int to, int depth, struct err *err)
{
	cleanup_fd int from =
		openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NOATIME);
	if (from < 0)
		return -errno;
	if (mkdirat(to, name, 0700) < 0)
		return -errno;
	cleanup_fd int out = openat(to, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return out < 0 ? -errno : copy_folder(c, from, out, depth + 1, err);
}

static int copy_entry(struct clone *c, int dir, const char *name, int to, int depth,
		      struct err *err)
{
	struct stat st;
	if (fstatat(dir, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (S_ISDIR(st.st_mode))
		return descend(c, dir, name, to, depth, err);
	int rc = link_twin(c, &st, to, name);
	if (rc != 0)
		return rc < 0 ? rc : 0;
	if (S_ISREG(st.st_mode))
		rc = copy_file(c, dir, name, to, &st);
	else
		rc = S_ISLNK(st.st_mode) ? copy_link(c, dir, name, to, &st)
					 : copy_node(to, name, &st);
	return rc == 0 && st.st_nlink > 1 ? remember(c, &st) : rc;
}

static int step(struct clone *c, int dir, const char *name, int to, int depth, struct err *err)
{
	size_t before = strlen(c->path);
	if (cancel_requested())
		return err_set(err, ECANCELED, "cancelled");
	if (++c->entries > c->entries_max)
		return err_set(err, E2BIG, "more than %llu entries",
			       (unsigned long long)c->entries_max);
	if (before + strlen(name) + 2 > sizeof(c->path) || depth > DEPTH_MAX)
		return err_set(err, ENAMETOOLONG, "%.100s...: the tree is too deep", c->path);
	(void)snprintf(c->path + before, sizeof(c->path) - before, "%s%s", before ? "/" : "", name);
	int rc = copy_entry(c, dir, name, to, depth, err);
	if (rc == -ENOENT && !err->code)
		rc = 0;
	if (rc < 0 && !err->code)
		(void)err_rc(err, rc, "cannot copy %.200s", c->path);
	c->path[before] = '\0';
	return rc;
}

static int copy_folder(struct clone *c, int from, int to, int depth, struct err *err)
{
	struct stat st;
	int fd = fd_dup(from), rc = 0;
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	if (!list) {
		fd_close(&fd);
		return err_sys(err, "cannot read the folder %.200s", c->path);
	}
	while (rc == 0 && (errno = 0, e = readdir(list)))
		if (strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0)
			rc = step(c, from, e->d_name, to, depth, err);
	if (rc == 0 && errno)
		rc = err_sys(err, "cannot read the folder %.200s", c->path);
	(void)closedir(list);
	if (rc == 0 && fstat(from, &st) < 0)
		rc = -errno;
	if (rc == 0)
		rc = finish(c, from, to, &st);
	return rc < 0 && !err->code ? err_rc(err, rc, "cannot copy the folder %.200s", c->path)
				    : rc;
}

int copy_clone(struct view *v, const struct copy_options *o, json_object **ret_aux, struct err *err)
{
	(void)v;
	struct clone *c = calloc(1, sizeof(*c));
	cleanup_fd int from = open("/lower", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int to = open("/to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	int rc = 0;
	if (!c)
		rc = err_set(err, ENOMEM, "out of memory");
	else if (from < 0 || to < 0)
		rc = err_sys(err, "cannot open the volume");
	if (rc == 0) {
		c->to_root = to;
		c->entries_max = o->entries_max;
		rc = copy_folder(c, from, to, 0, err);
		tdestroy(c->links, free);
	}
	if (rc == 0) {
		*ret_aux = json_object_new_object();
		json_object_object_add(*ret_aux, "Bytes", json_object_new_int64((int64_t)c->bytes));
		json_object_object_add(*ret_aux, "SharedBytes",
				       json_object_new_int64((int64_t)c->shared_bytes));
	}
	free(c);
	return rc;
}
