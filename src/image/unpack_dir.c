/* SPDX-License-Identifier: Apache-2.0 */
/* unpack_dir - the folders of a layer: finding the one an entry lies in, making
 * missing ones, folder entries. Runs in the process that unpacks one layer. */
#include "unpack_priv.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>

/* Makes @last, which is missing or a whiteout, a folder. Returns its fd. */
static int imply_one(struct unpack *u, int parent, const char *last, const char *path,
		     bool whiteout, struct err *err)
{
	static const struct later_item plain = { .kind = LATER_LOOK, .mode = 0755 };
	struct later_item look = plain;
	int rc = unpack_count(u, err);
	if (rc < 0)
		return rc;
	if (whiteout && unlinkat(parent, last, 0) < 0)
		return err_sys(err, "cannot replace \"%.300s\"", path);
	if (mkdirat(parent, last, 0755) < 0)
		return err_sys(err, "cannot make the folder \"%.300s\"", path);
	u->result.shape.names += !whiteout;
	/* Where the layers below are hidden, their folder's look is, too. */
	look.path = path;
	rc = unpack_note_made(u, path, err);
	if (rc == 0 && whiteout)
		rc = unpack_note(u, LATER_OPAQUE, path, err);
	if (rc == 0)
		rc = whiteout ? later_add(u->later, &look, err)
			      : unpack_note(u, LATER_BELOW, path, err);
	if (rc < 0)
		return rc;
	int fd = openat(parent, last, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(err, "cannot open the folder \"%.300s\"", path) : fd;
}

static int step(struct unpack *u, int parent, const char *last, const char *path, struct err *err)
{
	struct stat st;
	if (fstatat(parent, last, &st, AT_SYMLINK_NOFOLLOW) < 0) {
		if (errno != ENOENT)
			return err_sys(err, "cannot look at \"%.300s\"", path);
		return imply_one(u, parent, last, path, false, err);
	}
	if (is_whiteout(&st))
		return imply_one(u, parent, last, path, true, err);
	if (S_ISLNK(st.st_mode))
		return err_set(err, ENOTDIR, "its name leads through the symbolic link \"%.300s\"",
			       path);
	if (!S_ISDIR(st.st_mode))
		return err_set(err, ENOTDIR,
			       "its name leads through \"%.300s\", which is no folder", path);
	int fd = openat(parent, last, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? err_sys(err, "cannot open the folder \"%.300s\"", path) : fd;
}

/* The slow way, component by component. */
static int walk(struct unpack *u, const char *path, struct err *err)
{
	char part[PATH_MAX];
	cleanup_fd int dir = fd_dup(u->args->root_fd);
	if (dir < 0)
		return err_rc(err, dir, "cannot open the layer's folder");
	for (size_t at = 0; path[at];) {
		size_t len = strcspn(path + at, "/");
		memcpy(part, path, at + len);
		part[at + len] = '\0';
		int next = step(u, dir, part + at, part, err);
		if (next < 0)
			return next;
		fd_close(&dir);
		dir = next;
		at += len;
		at += path[at] == '/';
	}
	return take_fd(&dir);
}

int unpack_enter(struct unpack *u, const char *path, struct err *err)
{
	if (u->dir_fd >= 0 && !strcmp(path, u->dir_path))
		return u->dir_fd;
	fd_close(&u->dir_fd);
	cleanup_fd int fd =
		path_open_beneath(u->args->root_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW, 0);
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		fd = walk(u, path, err);
	else if (fd < 0)
		return err_rc(err, fd, "cannot open the folder \"%.300s\"", path);
	if (fd < 0)
		return fd;
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, "cannot look at the folder \"%.300s\"", path);
	u->dir_setgid = st.st_mode & S_ISGID;
	strcpy(u->dir_path, path);
	u->dir_fd = take_fd(&fd);
	return u->dir_fd;
}

static int put_root(struct unpack *u, const struct tar_entry *e, struct err *err)
{
	u->dir_setgid = false;
	int rc = unpack_dir_meta(u, u->args->root_fd, "", "", e, false, err);
	fd_close(&u->dir_fd); /* its set-group-id bit may have changed */
	return rc;
}

int unpack_put_dir(struct unpack *u, const struct name *name, const struct tar_entry *e,
		   struct err *err)
{
	if (!*name->path)
		return put_root(u, e, err);
	int dir = unpack_enter(u, name->parent, err);
	if (dir < 0)
		return dir;
	mode_t mode = e->mode & 01777;
	bool fresh = mkdirat(dir, name->last, mode) == 0, opaque = false;
	u->result.shape.names += fresh;
	if (!fresh) {
		struct stat st;
		if (errno != EEXIST || fstatat(dir, name->last, &st, AT_SYMLINK_NOFOLLOW) < 0)
			return err_sys(err, "cannot make the folder");
		if (!S_ISDIR(st.st_mode)) {
			if (unlinkat(dir, name->last, 0) < 0 || mkdirat(dir, name->last, mode) < 0)
				return err_sys(err, "cannot replace what was there");
			fresh = true;
			u->result.shape.unknown |= !is_whiteout(&st);
			opaque = is_whiteout(&st);
		}
	}
	int rc = fresh ? unpack_note_made(u, name->path, err) : 0;
	if (rc == 0 && opaque)
		rc = unpack_note(u, LATER_OPAQUE, name->path, err);
	return rc < 0 ? rc : unpack_dir_meta(u, dir, name->last, name->path, e, fresh, err);
}
