/* SPDX-License-Identifier: Apache-2.0 */
/* pack - see isola/pack.h. Foreign trees: runs in isola-image's jail, and in
 * ctrctl on the user's own files. */
#include "isola/pack.h"

#include "isola/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <search.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define OPAQUE        "trusted.overlay.opaque"
#define USER_OPAQUE   "user.overlay.opaque"
#define XATTR_MAX     65536
#define XATTRS_SUM    (256 * 1024) /* of one file: tar.h takes pax records up to 1 MiB */
#define XATTRS_NUMBER 128

/* A file met under one name, by device and inode. */
struct link {
	dev_t dev;
	ino_t ino;
	char as[];
};

struct pack {
	const struct pack_options *o;
	void *links; /* tsearch(3) tree of struct link */
	size_t n_links;
	char as[PATH_MAX];
	char link[PATH_MAX];
	struct tar_xattr xattrs[XATTRS_NUMBER];
	char names[XATTR_MAX];
	char *values; /* XATTRS_SUM bytes */
};

/* ---- hard links ---- */

static int compare_links(const void *a, const void *b)
{
	const struct link *x = a, *y = b;
	if (x->dev != y->dev)
		return x->dev < y->dev ? -1 : 1;
	return x->ino < y->ino ? -1 : x->ino > y->ino;
}

/* 1 and the first name of a file met before; 0 when it is new. */
static int find_link(struct pack *p, const struct stat *st, const char **ret, struct err *err)
{
	if (st->st_nlink < 2)
		return 0;
	size_t size = strlen(p->as) + 1;
	struct link *l = malloc(sizeof(*l) + size);
	if (!l || p->n_links >= PACK_LINKS_MAX) {
		free(l);
		return err_set(err, l ? EFBIG : ENOMEM, "too many files with several names");
	}
	l->dev = st->st_dev;
	l->ino = st->st_ino;
	memcpy(l->as, p->as, size);
	struct link **found = tsearch(l, &p->links, compare_links);
	if (found && *found == l) {
		p->n_links++;
		return 0;
	}
	free(l);
	if (!found)
		return err_set(err, ENOMEM, "out of memory");
	*ret = (*found)->as;
	return 1;
}

/* ---- one entry ---- */

static void read_xattrs(struct pack *p, int fd, struct tar_entry *e)
{
	/* Where they cannot be read there are none for us. */
	ssize_t size = flistxattr(fd, p->names, sizeof(p->names));
	size_t used = 0;
	e->xattrs = p->xattrs;
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(p->names + at) + 1) {
		const char *name = p->names + at;
		if (!pack_keeps_xattr(name) || e->n_xattrs == XATTRS_NUMBER)
			continue;
		ssize_t n = fgetxattr(fd, name, p->values + used, XATTRS_SUM - used);
		if (n < 0)
			continue;
		p->xattrs[e->n_xattrs++] =
			(struct tar_xattr){ .name = name, .value = p->values + used, (size_t)n };
		used += (size_t)n;
	}
}

static struct tar_entry entry_of(const struct pack *p, const struct stat *st)
{
	return (struct tar_entry){
		.path = p->as,
		.link = "",
		.mode = p->o->fixed_mode && !S_ISLNK(st->st_mode) ? p->o->mode
								  : st->st_mode & 07777,
		.uid = p->o->root_owned    ? 0
		       : p->o->fixed_owner ? p->o->uid
					   : st->st_uid,
		.gid = p->o->root_owned    ? 0
		       : p->o->fixed_owner ? p->o->gid
					   : st->st_gid,
		.mtime_s = st->st_mtim.tv_sec,
		.mtime_ns = (uint32_t)st->st_mtim.tv_nsec,
	};
}

static int pack_symlink(struct pack *p, int fd, const struct stat *st, struct err *err)
{
	struct tar_entry e = entry_of(p, st);
	ssize_t n = readlinkat(fd, "", p->link, sizeof(p->link) - 1);
	if (n < 0)
		return err_sys(err, "cannot read the link");
	p->link[n] = '\0';
	e.kind = TAR_SYMLINK;
	e.link = p->link;
	return tarw_entry(p->o->out, &e, err);
}

static int pack_file(struct pack *p, int path_fd, struct err *err)
{
	char number[16];
	struct stat st;
	(void)snprintf(number, sizeof(number), "%d", path_fd);
	cleanup_fd int fd = openat(p->o->proc_fd, number, O_RDONLY | O_NOCTTY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "cannot open it");
	struct tar_entry e = entry_of(p, &st);
	e.kind = TAR_FILE;
	e.size = (uint64_t)st.st_size;
	read_xattrs(p, fd, &e);
	int rc = tarw_entry(p->o->out, &e, err);
	return rc < 0 ? rc : tarw_file(p->o->out, fd, e.size, err);
}

static int pack_node(struct pack *p, const struct stat *st, struct err *err)
{
	struct tar_entry e = entry_of(p, st);
	if (S_ISFIFO(st->st_mode))
		e.kind = TAR_FIFO;
	else if (S_ISCHR(st->st_mode))
		e.kind = TAR_CHAR;
	else if (S_ISBLK(st->st_mode))
		e.kind = TAR_BLOCK;
	else
		return 0; /* a socket */
	e.major = major(st->st_rdev);
	e.minor = minor(st->st_rdev);
	return tarw_entry(p->o->out, &e, err);
}

/* An empty file of this name beside the entries of the folder p->as. */
static int pack_mark(struct pack *p, size_t at, const char *prefix, const char *name,
		     struct err *err)
{
	struct tar_entry e = { .kind = TAR_FILE, .path = p->as, .link = "", .mode = 0 };
	int n = snprintf(p->as + at, sizeof(p->as) - at, "%s%s%s",
			 at > 0 && p->as[at - 1] != '/' ? "/" : "", prefix, name);
	if (n < 0 || (size_t)n >= sizeof(p->as) - at)
		return err_set(err, ENAMETOOLONG, "the path is too long");
	return tarw_entry(p->o->out, &e, err);
}

/* ---- folders ---- */

static int pack_any(struct pack *p, int dir_fd, const char *name, struct err *err);

static bool is_opaque(const struct pack *p, int fd)
{
	char c = 0;
	return fgetxattr(fd, p->o->user_marks ? USER_OPAQUE : OPAQUE, &c, 1) == 1 && c == 'y';
}

/* The entries below @fd, which is taken; p->as has @at bytes for the folder itself. A
 * level of a deep tree needs this one descriptor. */
static int pack_entries(struct pack *p, int fd, size_t at, struct err *err)
{
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int rc = err_sys(err, "cannot list the folder");
		fd_close(&fd);
		return rc;
	}
	int rc = p->o->layer && is_opaque(p, fd) ? pack_mark(p, at, "", ".wh..wh..opq", err) : 0;
	struct dirent *e;
	while (rc == 0 && (errno = 0, e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		const char *slash = at > 0 && p->as[at - 1] != '/' ? "/" : "";
		int n = snprintf(p->as + at, sizeof(p->as) - at, "%s%s", slash, e->d_name);
		if (n < 0 || (size_t)n >= sizeof(p->as) - at)
			rc = err_set(err, ENAMETOOLONG, "the path is too long");
		else
			rc = pack_any(p, fd, e->d_name, err);
	}
	if (rc == 0 && errno)
		rc = err_sys(err, "cannot list the folder");
	p->as[at] = '\0';
	(void)closedir(dir);
	return rc;
}

static int pack_folder(struct pack *p, int dir_fd, const char *name, struct err *err)
{
	struct stat st;
	cleanup_fd int fd =
		openat(dir_fd, *name ? name : ".", O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "cannot open it");
	struct tar_entry e = entry_of(p, &st);
	size_t at = strlen(p->as);
	e.kind = TAR_DIR;
	read_xattrs(p, fd, &e);
	int rc = tarw_entry(p->o->out, &e, err);
	if (p->o->shallow)
		return rc;
	/* "" stands for the root, whose entries are "/x". */
	if (at == 0)
		p->as[at++] = '/';
	p->as[at] = '\0';
	return rc < 0 ? rc : pack_entries(p, take_fd(&fd), at, err);
}

/* Anything but a folder. */
static int pack_leaf(struct pack *p, const char *name, int fd, const struct stat *st,
		     struct err *err)
{
	const char *first = NULL;
	if (p->o->layer && S_ISCHR(st->st_mode) && st->st_rdev == 0) {
		size_t at = strlen(p->as) - strlen(name);
		return pack_mark(p, at, ".wh.", name, err);
	}
	int rc = find_link(p, st, &first, err);
	if (rc < 0)
		return rc;
	if (rc > 0) {
		struct tar_entry e = entry_of(p, st);
		e.kind = TAR_HARDLINK;
		e.link = first;
		return tarw_entry(p->o->out, &e, err);
	}
	if (S_ISREG(st->st_mode))
		return pack_file(p, fd, err);
	return S_ISLNK(st->st_mode) ? pack_symlink(p, fd, st, err) : pack_node(p, st, err);
}

static bool is_empty(int dir_fd, const char *name)
{
	int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	bool empty = true;
	if (!dir) {
		fd_close(&fd);
		return false;
	}
	while (empty && (e = readdir(dir)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	(void)closedir(dir);
	return empty;
}

/* An error names the entry it was met at, which is the deepest. */
static int pack_any(struct pack *p, int dir_fd, const char *name, struct err *err)
{
	cleanup_fd int fd = *name ? openat(dir_fd, name, O_PATH | O_NOFOLLOW | O_CLOEXEC)
				  : openat(dir_fd, ".", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct stat st;
	if (fd < 0 && errno == ENOENT)
		return 0; /* gone meanwhile */
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "%.300s: cannot look at it", p->as);
	bool leaf = !S_ISDIR(st.st_mode);
	if (p->o->skip && p->o->skip(p->as, &st, p->o->skip_arg) &&
	    (leaf || is_empty(dir_fd, name)))
		return 0;
	if (!leaf) {
		fd_close(&fd);
		return pack_folder(p, dir_fd, name, err);
	}
	int rc = pack_leaf(p, name, fd, &st, err);
	return rc < 0 ? err_prefix(err, "%.300s", p->as) : rc;
}

int pack_new(const struct pack_options *options, struct pack **ret, struct err *err)
{
	struct pack *p = calloc(1, sizeof(*p));
	char *values = malloc(XATTRS_SUM);
	if (!p || !values) {
		free(p);
		free(values);
		return err_set(err, ENOMEM, "out of memory");
	}
	p->o = options;
	p->values = values;
	*ret = p;
	return 0;
}

void pack_free(struct pack *p)
{
	if (!p)
		return;
	tdestroy(p->links, free);
	free(p->values);
	free(p);
}

int pack_add(struct pack *p, int dir_fd, const char *name, const char *as, struct err *err)
{
	if (strlen(as) >= PATH_MAX - 1)
		return err_set(err, ENAMETOOLONG, "the path is too long");
	strcpy(p->as, as);
	return pack_any(p, dir_fd, name, err);
}

int pack_tree(const struct pack_options *options, int dir_fd, const char *name, const char *as,
	      struct err *err)
{
	struct pack *p = NULL;
	int rc = pack_new(options, &p, err);
	if (rc == 0)
		rc = pack_add(p, dir_fd, name, as, err);
	pack_free(p);
	return rc;
}

int pack_below(const struct pack_options *options, int dir_fd, struct err *err)
{
	struct pack *p = NULL;
	int rc = pack_new(options, &p, err);
	if (rc == 0)
		rc = pack_entries(p, openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC), 0,
				  err);
	pack_free(p);
	return rc;
}
