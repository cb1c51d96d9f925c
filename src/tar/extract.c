/* SPDX-License-Identifier: Apache-2.0 */
/* extract - see isola/extract.h. Foreign bytes: runs in isola-image's jail, and in
 * ctrctl below the folder the user named. */
#include "isola/extract.h"

#include "isola/fd.h"
#include "isola/pack.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

/* A folder whose time is set when nothing more comes into it. */
struct folder {
	struct folder *next;
	struct timespec mtime;
	char path[];
};

struct extract {
	const struct extract_options *o;
	struct tar *tar;
	struct folder *folders; /* the last one first: deepest before its parents */
	int dir_fd;             /* of the last parent; -1 = none */
	char dir[PATH_MAX];
	char path[PATH_MAX]; /* of the entry, clean; "" = the folder itself */
	char *last;          /* into path */
};

/* ---- names ---- */

/* With o->first the first component is exchanged. */
static int place(const struct extract *x, const char *name, char ret[PATH_MAX], struct err *err)
{
	char clean[PATH_MAX];
	int rc = tar_clean_name(name, clean, err);
	if (rc < 0)
		return rc;
	const char *rest = clean;
	if (x->o->first) {
		/* The first component of "./a" is ".", of "/a" nothing. */
		bool named = *name != '/' && strncmp(name, "./", 2) && strcmp(name, ".");
		rest = named ? strchr(clean, '/') : clean;
		rest = rest ? rest + (*rest == '/') : "";
	}
	const char *first = x->o->first ? x->o->first : "";
	int n = snprintf(ret, PATH_MAX, "%s%s%s", first, *first && *rest ? "/" : "", rest);
	return n >= PATH_MAX ? err_set(err, ENAMETOOLONG, "the name is too long") : 0;
}

/* ---- parents ---- */

static int make_parents(const struct extract *x, struct err *err)
{
	char path[PATH_MAX];
	strcpy(path, x->dir);
	for (char *p = path;; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		bool last = *p == '\0';
		*p = '\0';
		char *slash = strrchr(path, '/');
		const char *name = slash ? slash + 1 : path;
		if (slash)
			*slash = '\0';
		cleanup_fd int dir = path_open_beneath(x->o->root_fd, slash ? path : ".",
						       O_PATH | O_DIRECTORY, 0);
		if (dir < 0 || (mkdirat(dir, name, 0755) < 0 && errno != EEXIST))
			return err_sys(err, "cannot make its folder");
		if (slash)
			*slash = '/';
		if (last)
			return 0;
		*p = '/';
	}
}

/* A descriptor of the entry's folder, kept for the next one. */
static int enter(struct extract *x, struct err *err)
{
	char *slash = strrchr(x->path, '/');
	size_t n = slash ? (size_t)(slash - x->path) : 0;
	x->last = slash ? slash + 1 : x->path;
	if (x->dir_fd >= 0 && strlen(x->dir) == n && !memcmp(x->dir, x->path, n))
		return x->dir_fd;
	fd_close(&x->dir_fd);
	memcpy(x->dir, x->path, n);
	x->dir[n] = '\0';
	const char *dir = n > 0 ? x->dir : ".";
	int fd = path_open_beneath(x->o->root_fd, dir, O_PATH | O_DIRECTORY, 0);
	if (fd == -ENOENT) {
		int rc = make_parents(x, err);
		if (rc < 0)
			return rc;
		fd = path_open_beneath(x->o->root_fd, dir, O_PATH | O_DIRECTORY, 0);
	}
	if (fd == -ELOOP || fd == -ENOTDIR)
		return err_set(err, EINVAL, "\"%.300s\" is a symbolic link or no folder", x->dir);
	if (fd < 0)
		return err_rc(err, fd, "cannot open its folder");
	x->dir_fd = fd;
	return fd;
}

/* ---- owner, mode, attributes, time ---- */

static int owner_of(const struct extract *x, const struct tar_entry *e, uid_t *ret_uid,
		    gid_t *ret_gid, struct err *err)
{
	bool fixed = x->o->owner == EXTRACT_OWNER_FIXED;
	*ret_uid = fixed ? x->o->uid : e->uid;
	*ret_gid = fixed ? x->o->gid : e->gid;
	if (x->o->ids_end && (*ret_uid >= x->o->ids_end || *ret_gid >= x->o->ids_end))
		return err_set(err, EINVAL,
			       "its owner %u:%u has no place in the container's user namespace "
			       "(0 to %u)",
			       *ret_uid, *ret_gid, x->o->ids_end - 1);
	return 0;
}

static int set_owner(const struct extract *x, int fd, const char *name, const struct tar_entry *e,
		     struct err *err)
{
	uid_t uid;
	gid_t gid;
	if (x->o->owner == EXTRACT_OWNER_NONE)
		return 0;
	int rc = owner_of(x, e, &uid, &gid, err);
	if (rc < 0)
		return rc;
	if (fchownat(fd, name, uid, gid, AT_SYMLINK_NOFOLLOW | (*name ? 0 : AT_EMPTY_PATH)) < 0)
		return err_sys(err, "cannot set its owner %u:%u", uid, gid);
	return 0;
}

static int set_xattrs(const struct extract *x, int fd, const struct tar_entry *e, struct err *err)
{
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct tar_xattr *a = &e->xattrs[i];
		if (!pack_keeps_xattr(a->name) || fsetxattr(fd, a->name, a->value, a->size, 0) == 0)
			continue;
		if (x->o->lenient && (errno == EPERM || errno == EOPNOTSUPP))
			continue;
		return err_sys(err, "cannot set its extended attribute %.100s", a->name);
	}
	return 0;
}

static void times_of(const struct tar_entry *e, struct timespec ret[2])
{
	ret[0].tv_sec = ret[1].tv_sec = (time_t)e->mtime_s;
	ret[0].tv_nsec = ret[1].tv_nsec = (long)e->mtime_ns;
}

/* Of an open file or folder. Order: chown drops set-id bits and capabilities. */
static int set_meta(const struct extract *x, int fd, const struct tar_entry *e, struct err *err)
{
	int rc = set_owner(x, fd, "", e, err);
	if (rc == 0 && fchmod(fd, e->mode) < 0)
		rc = err_sys(err, "cannot set its mode");
	return rc < 0 ? rc : set_xattrs(x, fd, e, err);
}

/* ---- entries ---- */

/* Takes away what has the name. */
static int make_room(const struct extract *x, int dir, struct err *err)
{
	struct stat st;
	if (fstatat(dir, x->last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? 0 : err_sys(err, "cannot look at what is there");
	if (S_ISDIR(st.st_mode) && x->o->keep_kinds)
		return err_set(err, EINVAL,
			       "cannot overwrite directory \"%.300s\" with non-directory", x->path);
	if (S_ISDIR(st.st_mode))
		return fd_remove_tree(dir, x->last, err);
	if (unlinkat(dir, x->last, 0) < 0 && errno != ENOENT)
		return err_sys(err, "cannot replace what is there");
	return 0;
}

static int copy_data(struct extract *x, int fd, const struct tar_entry *e, struct err *err)
{
	const unsigned char *data = NULL;
	size_t size = 0;
	uint64_t offset = 0, end = 0;
	int rc;
	while ((rc = tar_data(x->tar, &data, &size, &offset, err)) > 0) {
		end = offset + size;
		while (size > 0) {
			ssize_t n = pwrite(fd, data, size, (off_t)offset);
			if (n < 0 && errno == EINTR)
				continue;
			if (n < 0)
				return err_sys(err, "cannot write it");
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

static int put_file(struct extract *x, int dir, const struct tar_entry *e, struct err *err)
{
	int rc = make_room(x, dir, err);
	if (rc < 0)
		return rc;
	/* Until it is whole nobody but its owner can read it. */
	cleanup_fd int fd =
		openat(dir, x->last, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	if (fd < 0)
		return err_sys(err, "cannot make the file");
	rc = copy_data(x, fd, e, err);
	if (rc == 0)
		rc = set_meta(x, fd, e, err);
	struct timespec times[2];
	times_of(e, times);
	if (rc == 0 && futimens(fd, times) < 0)
		rc = err_sys(err, "cannot set its time");
	/* Half a file would pass for a whole one, and keep a full disk full. */
	if (rc < 0)
		(void)unlinkat(dir, x->last, 0);
	return rc;
}

static int note_folder(struct extract *x, const struct tar_entry *e, struct err *err)
{
	size_t size = strlen(x->path) + 1;
	struct folder *f = malloc(sizeof(*f) + size);
	if (!f)
		return err_set(err, ENOMEM, "out of memory");
	f->mtime.tv_sec = (time_t)e->mtime_s;
	f->mtime.tv_nsec = (long)e->mtime_ns;
	memcpy(f->path, x->path, size);
	f->next = x->folders;
	x->folders = f;
	return 0;
}

static int make_folder(struct extract *x, int dir, struct err *err)
{
	struct stat st;
	if (mkdirat(dir, x->last, 0700) == 0)
		return 0;
	if (errno != EEXIST || fstatat(dir, x->last, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "cannot make the folder");
	if (S_ISDIR(st.st_mode))
		return 0;
	if (x->o->keep_kinds)
		return err_set(err, EINVAL,
			       "cannot overwrite non-directory \"%.300s\" with directory", x->path);
	int rc = make_room(x, dir, err);
	if (rc == 0 && mkdirat(dir, x->last, 0700) < 0)
		rc = err_sys(err, "cannot make the folder");
	return rc;
}

static int put_folder(struct extract *x, int dir, const struct tar_entry *e, struct err *err)
{
	int rc = *x->last ? make_folder(x, dir, err) : 0;
	if (rc < 0)
		return rc;
	cleanup_fd int fd = openat(dir, *x->last ? x->last : ".",
				   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "cannot open the folder");
	/* The folder itself was there before and stays as it is. */
	if (!*x->last)
		return 0;
	rc = set_meta(x, fd, e, err);
	return rc < 0 ? rc : note_folder(x, e, err);
}

static int put_link(struct extract *x, int dir, const struct tar_entry *e, struct err *err)
{
	char target[PATH_MAX];
	int rc = place(x, e->link, target, err);
	if (rc < 0)
		return err_prefix(err, "target of the hard link");
	if (!*target || !strcmp(target, x->path))
		return err_set(err, EINVAL, "it is a hard link to itself or to nothing");
	char *slash = strrchr(target, '/'), *last = slash ? slash + 1 : target;
	if (slash)
		*slash = '\0';
	cleanup_fd int from =
		path_open_beneath(x->o->root_fd, slash ? target : ".", O_PATH | O_DIRECTORY, 0);
	struct stat st;
	if (from < 0 || fstatat(from, last, &st, AT_SYMLINK_NOFOLLOW) < 0 || S_ISDIR(st.st_mode))
		return err_set(err, EINVAL, "the target of the hard link, \"%.300s\", is not there",
			       e->link);
	rc = make_room(x, dir, err);
	if (rc == 0 && linkat(from, last, dir, x->last, 0) < 0)
		rc = err_sys(err, "cannot make the hard link");
	return rc;
}

static int make_node(const struct extract *x, int dir, const struct tar_entry *e)
{
	if (e->kind == TAR_SYMLINK)
		return symlinkat(e->link, dir, x->last);
	mode_t kind = e->kind == TAR_FIFO ? S_IFIFO : e->kind == TAR_CHAR ? S_IFCHR : S_IFBLK;
	dev_t dev = e->kind == TAR_FIFO ? 0 : makedev(e->major, e->minor);
	return mknodat(dir, x->last, kind | 0600, dev);
}

static int put_node(struct extract *x, int dir, const struct tar_entry *e, struct err *err)
{
	bool device = e->kind == TAR_CHAR || e->kind == TAR_BLOCK;
	/* On the upper layer of an overlay it would hide what is below. */
	if (e->kind == TAR_CHAR && e->major == 0 && e->minor == 0)
		return err_set(err, EINVAL,
			       "it is a character device 0:0, which stands for a "
			       "removed file");
	if (device && x->o->no_devices)
		return err_set(err, EINVAL, "it is a device, which has no place here");
	int rc = make_room(x, dir, err);
	if (rc < 0)
		return rc;
	if (make_node(x, dir, e) < 0)
		return device && x->o->lenient && errno == EPERM ? 0
								 : err_sys(err, "cannot make it");
	rc = set_owner(x, dir, x->last, e, err);
	/* Made by us just now; should somebody have put a link there, no mode is set
	 * through it. */
	if (rc == 0 && e->kind != TAR_SYMLINK) {
		cleanup_fd int fd = openat(dir, x->last, O_PATH | O_NOFOLLOW | O_CLOEXEC);
		struct stat st;
		if (fd >= 0 && fstat(fd, &st) == 0 && !S_ISLNK(st.st_mode) &&
		    fchmodat(dir, x->last, e->mode, 0) < 0)
			rc = err_sys(err, "cannot set its mode");
	}
	struct timespec times[2];
	times_of(e, times);
	if (rc == 0 && utimensat(dir, x->last, times, AT_SYMLINK_NOFOLLOW) < 0)
		rc = err_sys(err, "cannot set its time");
	return rc;
}

static int put_entry(struct extract *x, const struct tar_entry *e, struct err *err)
{
	int rc = place(x, e->path, x->path, err);
	if (rc < 0)
		return rc;
	int dir = enter(x, err);
	if (dir < 0)
		return dir;
	/* What comes below it is not below the folder that was there. */
	if (e->kind == TAR_DIR)
		return put_folder(x, dir, e, err);
	if (!*x->last)
		return err_set(err, EINVAL, "it has the name of the folder that is copied to");
	if (e->kind == TAR_FILE)
		return put_file(x, dir, e, err);
	return e->kind == TAR_HARDLINK ? put_link(x, dir, e, err) : put_node(x, dir, e, err);
}

/* The last one first, so that no time is set before a change below it. A folder
 * that somebody took away meanwhile has none. */
static void settle(struct extract *x)
{
	while (x->folders) {
		struct folder *f = x->folders;
		struct timespec times[2] = { f->mtime, f->mtime };
		int fd = path_open_beneath(x->o->root_fd, f->path, O_RDONLY | O_DIRECTORY, 0);
		if (fd >= 0)
			(void)futimens(fd, times);
		fd_close(&fd);
		x->folders = f->next;
		free(f);
	}
}

/* What is missing here is missing in the archive: nothing that somebody asked for (ENOENT). */
static int entry_failed(int rc, const struct tar_entry *e, struct err *err)
{
	if (rc == -ENOENT) {
		struct err cause = ERR_INIT;
		(void)err_copy(&cause, err);
		rc = err_set(err, EINVAL, "%s", cause.text);
	}
	(void)err_prefix(err, "\"%.300s\"", e->path);
	return rc;
}

int extract(struct tar *tar, const struct extract_options *options, struct err *err)
{
	struct extract *x = calloc(1, sizeof(*x));
	const struct tar_entry *e = NULL;
	uint64_t n = 0;
	if (!x)
		return err_set(err, ENOMEM, "out of memory");
	x->o = options;
	x->tar = tar;
	x->dir_fd = -1;
	int rc;
	while ((rc = tar_next(tar, &e, err)) > 0) {
		if (++n > options->entries_max)
			rc = err_set(err, EFBIG, "more than %llu entries, the limit",
				     (unsigned long long)options->entries_max);
		else if ((rc = put_entry(x, e, err)) < 0)
			rc = entry_failed(rc, e, err);
		if (rc < 0)
			break;
	}
	fd_close(&x->dir_fd);
	settle(x);
	free(x);
	return rc;
}
