/* SPDX-License-Identifier: Apache-2.0 */
/* unpack - see unpack.h. The entries that are no folders, and the loop. Runs in
 * a process that can reach nothing but this one layer's folder. */
#include "unpack_priv.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysmacros.h>

int unpack_count(struct unpack *u, struct err *err)
{
	if (u->result.entries >= u->args->entries_max)
		return err_set(err, EFBIG, "more than %llu entries, the limit (--max-entries)",
			       (unsigned long long)u->args->entries_max);
	u->result.entries++;
	return 0;
}

int unpack_note(struct unpack *u, enum later_kind kind, const char *path, struct err *err)
{
	struct later_item item = { .kind = kind, .path = path };
	return later_add(u->later, &item, err);
}

int unpack_note_made(struct unpack *u, const char *path, struct err *err)
{
	return u->folders_gone ? unpack_note(u, LATER_ANEW, path, err) : 0;
}

/* Removes what an earlier entry (or a whiteout) put at @last. */
static int make_room(struct unpack *u, int dir, const char *last, struct err *err)
{
	u->result.shape.unknown = true;
	if (unlinkat(dir, last, 0) == 0)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return err_sys(err, "cannot replace what was there");
	u->folders_gone = true;
	return fd_remove_tree(dir, last, err);
}

static int copy_data(struct unpack *u, int fd, const struct tar_entry *e, struct err *err)
{
	const unsigned char *data = NULL;
	size_t size = 0;
	uint64_t offset = 0, end = 0;
	int rc;
	while ((rc = tar_data(u->args->tar, &data, &size, &offset, err)) > 0) {
		end = offset + size;
		u->result.bytes += size;
		while (size > 0) {
			ssize_t n = pwrite(fd, data, size, (off_t)offset);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return err_sys(err, "cannot write");
			data += n;
			size -= (size_t)n;
			offset += (uint64_t)n;
		}
	}
	if (rc == 0 && end != e->size && ftruncate(fd, (off_t)e->size) < 0)
		return err_sys(err, "cannot make a file of %llu bytes",
			       (unsigned long long)e->size);
	return rc;
}

static int put_file(struct unpack *u, int dir, const struct name *name, const struct tar_entry *e,
		    struct err *err)
{
	static const int flags = O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC;
	cleanup_fd int fd = openat(dir, name->last, flags, e->mode & 0777);
	if (fd < 0 && errno == EEXIST) {
		int rc = make_room(u, dir, name->last, err);
		if (rc < 0)
			return rc;
		fd = openat(dir, name->last, flags, e->mode & 0777);
	}
	if (fd < 0)
		return err_sys(err, "cannot make the file");
	u->result.shape.names++;
	u->result.shape.file_bytes += e->size;
	int rc = copy_data(u, fd, e, err);
	return rc < 0 ? rc : unpack_file_meta(u, fd, e, err);
}

static int make_node(int dir, const char *last, const struct tar_entry *e)
{
	if (e->kind == TAR_SYMLINK)
		return symlinkat(e->link, dir, last);
	mode_t kind = e->kind == TAR_FIFO ? S_IFIFO : e->kind == TAR_CHAR ? S_IFCHR : S_IFBLK;
	dev_t dev = e->kind == TAR_FIFO ? 0 : makedev(e->major, e->minor);
	return mknodat(dir, last, kind | (e->mode & 0777), dev);
}

static int put_node(struct unpack *u, int dir, const struct name *name, const struct tar_entry *e,
		    struct err *err)
{
	if (e->kind == TAR_CHAR && e->major == 0 && e->minor == 0)
		return err_set(err, EINVAL,
			       "it is a character device 0:0, which would act as a "
			       "whiteout; layers spell these \".wh.\"");
	if (e->kind == TAR_SYMLINK && !*e->link)
		return err_set(err, EINVAL, "it is a symbolic link to nothing");
	int rc = make_node(dir, name->last, e);
	if (rc < 0 && errno == EEXIST) {
		rc = make_room(u, dir, name->last, err);
		if (rc < 0)
			return rc;
		rc = make_node(dir, name->last, e);
	}
	if (rc < 0)
		return err_sys(err, "cannot make it");
	u->result.shape.names++;
	return unpack_node_meta(u, dir, name->last, e, err);
}

/* A hard link joins two names of this layer; owner and mode are the file's. */
static int put_link(struct unpack *u, int dir, const struct name *name, const struct tar_entry *e,
		    struct err *err)
{
	char target[PATH_MAX];
	int rc = name_parse_target(e->link, target, err);
	if (rc < 0)
		return err_prefix(err, "target of the hard link");
	if (!strcmp(target, name->path))
		return err_set(err, EINVAL, "it is a hard link to itself");
	char *slash = strrchr(target, '/'), *last = slash ? slash + 1 : target;
	if (slash)
		*slash = '\0';
	cleanup_fd int from =
		path_open_beneath(u->args->root_fd, slash ? target : "", O_PATH | O_DIRECTORY, 0);
	struct stat st;
	if (from < 0 || fstatat(from, last, &st, AT_SYMLINK_NOFOLLOW) < 0 || is_whiteout(&st))
		return err_set(err, EINVAL,
			       "the target of the hard link, \"%.300s\", is not in "
			       "this layer",
			       e->link);
	if (S_ISDIR(st.st_mode))
		return err_set(err, EINVAL, "it is a hard link to a folder, \"%.300s\"", e->link);
	rc = linkat(from, last, dir, name->last, 0);
	if (rc < 0 && errno == EEXIST) {
		rc = make_room(u, dir, name->last, err);
		if (rc < 0)
			return rc;
		rc = linkat(from, last, dir, name->last, 0);
	}
	if (rc < 0)
		return err_sys(err, "cannot make the hard link");
	u->result.shape.names++;
	u->result.shape.file_bytes += S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
	return 0;
}

/* Rule 3: a whiteout says nothing about what this layer has itself. */
static int put_whiteout(struct unpack *u, int dir, const struct name *name, struct err *err)
{
	if (mknodat(dir, name->last, S_IFCHR, makedev(0, 0)) == 0) {
		u->result.shape.names++;
		return 0;
	}
	struct stat st;
	if (errno != EEXIST || fstatat(dir, name->last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "cannot make the whiteout");
	if (!S_ISDIR(st.st_mode))
		return 0;
	char path[PATH_MAX];
	(void)snprintf(path, sizeof(path), "%s%s%s", name->parent, *name->parent ? "/" : "",
		       name->last);
	return unpack_note(u, LATER_OPAQUE, path, err);
}

static int put_entry(struct unpack *u, const struct name *name, const struct tar_entry *e,
		     struct err *err)
{
	if (name->kind == NAME_IGNORED)
		return 0;
	if (name->kind == NAME_PLAIN && e->kind == TAR_DIR)
		return unpack_put_dir(u, name, e, err);
	if (!*name->path)
		return err_set(err, EINVAL, "the root of a layer must be a folder");
	if (e->kind == TAR_FILE && e->path[strlen(e->path) - 1] == '/')
		return err_set(err, EINVAL, "the name of a file ends in a slash");
	int dir = unpack_enter(u, name->parent, err);
	/* Where this layer has no folder, nothing of a folder below shows anyway;
	 * umoci writes such whiteouts when a folder became a file. */
	if (dir == -ENOTDIR && name->kind != NAME_PLAIN)
		return 0;
	if (dir < 0)
		return dir;
	if (name->kind == NAME_WHITEOUT)
		return put_whiteout(u, dir, name, err);
	if (name->kind == NAME_OPAQUE)
		return unpack_note(u, LATER_OPAQUE, name->parent, err);
	if (e->kind == TAR_FILE)
		return put_file(u, dir, name, e, err);
	if (e->kind == TAR_HARDLINK)
		return put_link(u, dir, name, e, err);
	return put_node(u, dir, name, e, err);
}

static int run(struct unpack *u, struct err *err)
{
	struct name name;
	const struct tar_entry *e = NULL;
	int rc = unpack_note(u, LATER_BELOW, "", err);
	while (rc == 0 && (rc = tar_next(u->args->tar, &e, err)) > 0) {
		rc = name_parse(e->path, &name, err);
		if (rc == 0)
			rc = unpack_count(u, err);
		if (rc < 0)
			break;
		rc = put_entry(u, &name, e, err);
		if (rc < 0)
			(void)err_prefix(err, "\"%.300s\"", e->path);
	}
	return rc < 0 ? rc : later_flush(u->later, err);
}

int unpack_layer(const struct unpack_args *args, struct unpack_result *ret, struct err *err)
{
	cleanup_later struct later *later = NULL;
	int rc = later_new(args->later_fd, &later, err);
	if (rc < 0)
		return rc;
	struct unpack u = { .args = args, .later = later, .dir_fd = -1 };
	rc = run(&u, err);
	fd_close(&u.dir_fd);
	if (rc == 0)
		*ret = u.result;
	return rc;
}
