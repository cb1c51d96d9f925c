/* SPDX-License-Identifier: Apache-2.0 */
/* compare - see compare.h. Foreign bytes, and a tree that may be damaged: runs in the
 * process that unpack runs in, with the layer's folder as its root. */
#include "compare.h"

#include "isola/fd.h"
#include "isola/path.h"
#include "name.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define PIECE_BYTES 65536
/* An entry that a later one replaces differs until that one is read; so many wait. */
#define DIFFERENT_MAX 256

struct difference {
	char *path; /* owned */
	const char *what;
};

struct compare {
	struct tar *tar;
	int root_fd;
	bool once;
	struct difference found[DIFFERENT_MAX];
	size_t n;
	unsigned char buf[PIECE_BYTES];
};

/* ---- what differs ---- */

static int note(struct compare *c, const char *path, const char *what, struct err *err)
{
	if (c->n == DIFFERENT_MAX)
		return err_set(err, EIO, "\"%.300s\": %s", c->found[0].path, c->found[0].what);
	char *copy = strdup(path);
	if (!copy)
		return err_set(err, ENOMEM, "out of memory");
	c->found[c->n++] = (struct difference){ copy, what };
	return 0;
}

/* What an earlier entry said of @path, and of all below unless it stays a folder. */
static void forget(struct compare *c, const char *path, bool folder)
{
	size_t kept = 0, n = strlen(path);
	for (size_t i = 0; i < c->n; i++) {
		const char *p = c->found[i].path;
		bool below = !strncmp(p, path, n) && p[n] == '/' && !folder;
		if (!strcmp(p, path) || below)
			free(c->found[i].path);
		else
			c->found[kept++] = c->found[i];
	}
	c->n = kept;
}

/* ---- one entry ---- */

static bool same_time(const struct timespec *t, const struct tar_entry *e)
{
	if (e->mtime_s < 0 || e->mtime_s > INT32_MAX)
		return true;
	/* Some file systems know only seconds. */
	return t->tv_sec == e->mtime_s && (t->tv_nsec == (long)e->mtime_ns || t->tv_nsec == 0);
}

static const char *meta_differs(const struct stat *st, const struct tar_entry *e)
{
	if (st->st_uid != e->uid || st->st_gid != e->gid)
		return "it has another owner";
	if (!S_ISLNK(st->st_mode) && (st->st_mode & 07777) != e->mode)
		return "it has another mode";
	return same_time(&st->st_mtim, e) ? NULL : "it has another time";
}

static const char *xattrs_differ(struct compare *c, int fd, const struct tar_entry *e)
{
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct tar_xattr *x = &e->xattrs[i];
		bool plain =
			!strncmp(x->name, "user.", 5) && strncmp(x->name, "user.overlay.", 13) != 0;
		if (!plain && strcmp(x->name, "security.capability") != 0)
			continue;
		ssize_t n = fgetxattr(fd, x->name, c->buf, sizeof(c->buf));
		if (n < 0 || (size_t)n != x->size || memcmp(c->buf, x->value, x->size) != 0)
			return "it has other extended attributes";
	}
	return NULL;
}

/* The bytes of @fd from @at on: are they @data, or zeros when that is NULL? */
static bool bytes_are(struct compare *c, int fd, uint64_t at, const unsigned char *data,
		      uint64_t size)
{
	while (size > 0) {
		size_t want = size < sizeof(c->buf) ? (size_t)size : sizeof(c->buf);
		ssize_t n = pread(fd, c->buf, want, (off_t)at);
		if (n <= 0)
			return false;
		if (data ? memcmp(c->buf, data, (size_t)n) != 0
			 : c->buf[0] != 0 || memcmp(c->buf, c->buf + 1, (size_t)n - 1) != 0)
			return false;
		data = data ? data + n : NULL;
		at += (uint64_t)n;
		size -= (uint64_t)n;
	}
	return true;
}

static int content_differs(struct compare *c, int fd, const struct tar_entry *e,
			   const char **ret_what, struct err *err)
{
	const unsigned char *data = NULL;
	size_t size = 0;
	uint64_t offset = 0, end = 0;
	bool same = true;
	int rc;
	while (same && (rc = tar_data(c->tar, &data, &size, &offset, err)) > 0) {
		same = bytes_are(c, fd, end, NULL, offset - end) &&
		       bytes_are(c, fd, offset, data, size);
		end = offset + size;
	}
	if (!same || (rc == 0 && !bytes_are(c, fd, end, NULL, e->size - end))) {
		*ret_what = "its content is another";
		return 0;
	}
	return rc;
}

static int file_differs(struct compare *c, int dir, const char *last, const struct tar_entry *e,
			const char **ret_what, struct err *err)
{
	struct stat st;
	cleanup_fd int fd =
		openat(dir, last, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		*ret_what = "it is no file any more";
		return 0;
	}
	*ret_what = (uint64_t)st.st_size != e->size ? "it has another size" : meta_differs(&st, e);
	if (!*ret_what)
		*ret_what = xattrs_differ(c, fd, e);
	return *ret_what ? 0 : content_differs(c, fd, e, ret_what, err);
}

static const char *folder_differs(struct compare *c, int dir, const char *last,
				  const struct tar_entry *e)
{
	struct stat st;
	cleanup_fd int fd =
		openat(dir, *last ? last : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return "it is no folder any more";
	const char *what = meta_differs(&st, e);
	return what ? what : xattrs_differ(c, fd, e);
}

static const char *link_differs(struct compare *c, int dir, const char *last,
				const struct tar_entry *e)
{
	char target[PATH_MAX];
	struct stat a, b;
	if (!c->once || name_parse_target(e->link, target, NULL) < 0)
		return NULL;
	cleanup_fd int to = path_open_beneath(c->root_fd, target, O_PATH | O_NOFOLLOW, 0);
	bool same = to >= 0 && fstat(to, &a) == 0 &&
		    fstatat(dir, last, &b, AT_SYMLINK_NOFOLLOW) == 0 && a.st_dev == b.st_dev &&
		    a.st_ino == b.st_ino;
	return same ? NULL : "it is another hard link";
}

static const char *node_differs(int dir, const char *last, const struct tar_entry *e)
{
	static const mode_t kinds[] = { [TAR_SYMLINK] = S_IFLNK,
					[TAR_CHAR] = S_IFCHR,
					[TAR_BLOCK] = S_IFBLK,
					[TAR_FIFO] = S_IFIFO };
	char link[PATH_MAX];
	struct stat st;
	if (fstatat(dir, last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return "it is missing";
	if ((st.st_mode & S_IFMT) != kinds[e->kind])
		return "it is something else now";
	if ((e->kind == TAR_CHAR || e->kind == TAR_BLOCK) &&
	    st.st_rdev != makedev(e->major, e->minor))
		return "it is another device";
	if (e->kind == TAR_SYMLINK) {
		ssize_t n = readlinkat(dir, last, link, sizeof(link) - 1);
		link[n < 0 ? 0 : n] = '\0';
		if (strcmp(link, e->link) != 0)
			return "it leads elsewhere";
	}
	return meta_differs(&st, e);
}

static int entry_differs(struct compare *c, const struct name *name, const struct tar_entry *e,
			 const char **ret_what, struct err *err)
{
	cleanup_fd int dir = path_open_beneath(c->root_fd, name->parent, O_PATH | O_DIRECTORY, 0);
	*ret_what = dir < 0 ? "its folder is missing" : NULL;
	if (dir < 0)
		return 0;
	if (e->kind == TAR_FILE)
		return file_differs(c, dir, name->last, e, ret_what, err);
	*ret_what = e->kind == TAR_DIR        ? folder_differs(c, dir, name->last, e)
		    : e->kind == TAR_HARDLINK ? link_differs(c, dir, name->last, e)
					      : node_differs(dir, name->last, e);
	return 0;
}

static int compare_entry(struct compare *c, const struct tar_entry *e, struct err *err)
{
	struct name name;
	const char *what = NULL;
	int rc = name_parse(e->path, &name, err);
	if (rc < 0 || name.kind != NAME_PLAIN)
		return rc;
	forget(c, name.path, e->kind == TAR_DIR);
	rc = entry_differs(c, &name, e, &what, err);
	return rc == 0 && what ? note(c, name.path, what, err) : rc;
}

int compare_layer(struct tar *tar, int root_fd, bool once, struct err *err)
{
	struct compare *c = calloc(1, sizeof(*c));
	const struct tar_entry *e = NULL;
	if (!c)
		return err_set(err, ENOMEM, "out of memory");
	c->tar = tar;
	c->root_fd = root_fd;
	c->once = once;
	int rc;
	while ((rc = tar_next(tar, &e, err)) > 0) {
		rc = compare_entry(c, e, err);
		if (rc < 0)
			break;
	}
	if (rc == 0 && c->n > 0)
		rc = err_set(err, EIO, "\"%.300s\": %s", c->found[0].path, c->found[0].what);
	while (c->n > 0)
		free(c->found[--c->n].path);
	free(c);
	return rc;
}
