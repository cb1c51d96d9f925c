/* SPDX-License-Identifier: Apache-2.0 */
/* diff - what differs between /lower, the image, and /upper, the writable layer, as
 * Docker tells it: a folder has changed when its mode or owner did or something
 * below it; a file also by size and time, so one that was only copied up is not
 * shown. Foreign trees: in isola-image's jail. */
#include "copy.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"
#include "out.h"
#include "stub.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/xattr.h>
#include <unistd.h>

#define PIECE_BYTES 65536

enum { CHANGED, ADDED, GONE };

struct change {
	int kind;
	char path[];
};

struct diff {
	struct change **items;
	size_t n, cap;
	uint64_t max;
	const char *opaque;  /* the attribute that marks a folder */
	char path[PATH_MAX]; /* "/a/b" */
};

static int note(struct diff *d, int kind, struct err *err)
{
	size_t size = strlen(d->path) + 1;
	struct change *c = malloc(sizeof(*c) + size);
	if (d->n == d->cap) {
		size_t cap = d->cap ? 2 * d->cap : 256;
		struct change **items = realloc(d->items, cap * sizeof(struct change *));
		if (items) {
			d->items = items;
			d->cap = cap;
		}
	}
	if (!c || d->n == d->cap || d->n >= d->max) {
		bool many = d->n >= d->max;
		free(c);
		return err_set(err, many ? EFBIG : ENOMEM,
			       many ? "too many changed files" : "out of memory");
	}
	c->kind = kind;
	memcpy(c->path, d->path, size);
	d->items[d->n++] = c;
	return 0;
}

static bool differs(const struct stat *a, const struct stat *b)
{
	if (a->st_mode != b->st_mode || a->st_uid != b->st_uid || a->st_gid != b->st_gid ||
	    a->st_rdev != b->st_rdev)
		return true;
	return !S_ISDIR(a->st_mode) &&
	       (a->st_size != b->st_size || a->st_mtim.tv_sec != b->st_mtim.tv_sec ||
		a->st_mtim.tv_nsec != b->st_mtim.tv_nsec);
}

static bool is_whiteout(const struct stat *st)
{
	return S_ISCHR(st->st_mode) && st->st_rdev == 0;
}

static int open_dir(int dir, const char *name)
{
	return openat(dir, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
}

static bool append(struct diff *d, size_t at, const char *name)
{
	return (size_t)snprintf(d->path + at, sizeof(d->path) - at, "/%s", name) <
	       sizeof(d->path) - at;
}

typedef int entry_fn(struct diff *d, int upper, int lower, const char *name, struct err *err);

/* Calls @each for the entries of @dir with d->path set. */
static int each_entry(struct diff *d, DIR *dir, int upper, int lower, entry_fn *each,
		      struct err *err)
{
	size_t at = strlen(d->path);
	struct dirent *e;
	int rc = 0;
	while (rc == 0 && (errno = 0, e = readdir(dir))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		rc = append(d, at, e->d_name) ? each(d, upper, lower, e->d_name, err)
					      : err_set(err, ENAMETOOLONG, "a path is too long");
		d->path[at] = '\0';
	}
	return rc == 0 && errno ? err_sys(err, "cannot list %.300s", d->path) : rc;
}

/* Of an opaque folder: what the one below has and it has not. */
static int look_lower(struct diff *d, int upper, int lower, const char *name, struct err *err)
{
	struct stat st;
	(void)lower;
	return fstatat(upper, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? note(d, GONE, err) : 0;
}

static int look_upper(struct diff *d, int upper, int lower, const char *name, struct err *err);

/* Takes both descriptors. @lower -1: there is nothing below. A level of a deep tree
 * needs no more than these two. */
static int look_folder(struct diff *d, int upper, int lower, struct err *err)
{
	char c = 0;
	DIR *dir = fdopendir(upper), *below = lower < 0 ? NULL : fdopendir(lower);
	int rc = dir && (below || lower < 0) ? 0 : err_sys(err, "cannot list %.300s", d->path);
	if (rc == 0)
		rc = each_entry(d, dir, upper, lower, look_upper, err);
	bool opaque = fgetxattr(upper, d->opaque, &c, 1) == 1 && c == 'y';
	if (rc == 0 && below && opaque)
		rc = each_entry(d, below, upper, lower, look_lower, err);
	(void)(dir ? closedir(dir) : close(upper));
	if (lower >= 0)
		(void)(below ? closedir(below) : close(lower));
	return rc;
}

static int look_both(struct diff *d, int upper, int lower, const char *name, const struct stat *u,
		     const struct stat *l, struct err *err)
{
	if (!S_ISDIR(u->st_mode) || !S_ISDIR(l->st_mode))
		return differs(u, l) ? note(d, CHANGED, err) : 0;
	cleanup_fd int udir = open_dir(upper, name), ldir = open_dir(lower, name);
	if (udir < 0 || ldir < 0)
		return errno == ENOENT ? 0 : err_sys(err, "cannot open %.300s", d->path);
	size_t before = d->n;
	int rc = look_folder(d, take_fd(&udir), take_fd(&ldir), err);
	return rc == 0 && (differs(u, l) || d->n > before) ? note(d, CHANGED, err) : rc;
}

static int look_upper(struct diff *d, int upper, int lower, const char *name, struct err *err)
{
	struct stat u, l;
	if (fstatat(upper, name, &u, AT_SYMLINK_NOFOLLOW) < 0) /* gone meanwhile? */
		return errno == ENOENT ? 0 : err_sys(err, "cannot look at %.300s", d->path);
	bool below = lower >= 0 && fstatat(lower, name, &l, AT_SYMLINK_NOFOLLOW) == 0;
	if (is_whiteout(&u))
		return below ? note(d, GONE, err) : 0;
	if (below)
		return look_both(d, upper, lower, name, &u, &l, err);
	bool stub = stub_is(d->path, &u);
	if (!S_ISDIR(u.st_mode))
		return stub ? 0 : note(d, ADDED, err);
	cleanup_fd int dir = open_dir(upper, name);
	if (dir < 0)
		return errno == ENOENT ? 0 : err_sys(err, "cannot open %.300s", d->path);
	size_t before = d->n;
	int rc = look_folder(d, take_fd(&dir), -1, err);
	return rc == 0 && (!stub || d->n > before) ? note(d, ADDED, err) : rc;
}

/* ---- the answer ---- */

static int compare(const void *a, const void *b)
{
	struct change *const *x = a, *const *y = b;
	return strcmp((*x)->path, (*y)->path);
}

static int send_item(struct out *out, struct strbuf *b, const struct change *c, bool first,
		     struct err *err)
{
	cleanup_json json_object *o = json_object_new_object();
	json_add_text(o, "Path", c->path);
	json_add_i64(o, "Kind", c->kind);
	strbuf_puts(b, first ? "[" : ",");
	strbuf_puts(b, json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								 JSON_C_TO_STRING_NOSLASHESCAPE));
	if (!strbuf_ok(b))
		return err_set(err, ENOMEM, "out of memory");
	if (b->len < PIECE_BYTES)
		return 0;
	int rc = out_write(out, b->text, b->len, err);
	strbuf_reset(b);
	return rc;
}

static int send_all(const struct diff *d, struct err *err)
{
	struct out out = { .fd = -1 };
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	int rc = out_receive(&out, err);
	for (size_t i = 0; rc == 0 && i < d->n; i++)
		rc = send_item(&out, &b, d->items[i], i == 0, err);
	strbuf_puts(&b, d->n > 0 ? "]\n" : "[]\n");
	if (rc == 0 && strbuf_ok(&b))
		rc = out_write(&out, b.text, b.len, err);
	return rc < 0 ? rc : out_end(&out, err);
}

int copy_changes(struct view *v, const struct copy_options *o, json_object **ret_aux,
		 struct err *err)
{
	bool user_marks = json_bool_or(v->spec, "user_marks", false);
	struct diff d = { .max = o->entries_max,
			  .opaque = user_marks ? "user.overlay.opaque" : "trusted.overlay.opaque" };
	cleanup_fd int upper = open_dir(AT_FDCWD, "/upper"), lower = open_dir(AT_FDCWD, "/lower");
	int rc = upper < 0 || lower < 0 ? err_sys(err, "cannot open the layers")
					: look_folder(&d, take_fd(&upper), take_fd(&lower), err);
	if (rc == 0) {
		if (d.n > 0)
			qsort(d.items, d.n, sizeof(struct change *), compare);
		(void)fd_write_all(STDOUT_FILENO, "{\"stat\":{}}\n", 12);
		rc = send_all(&d, err);
	}
	for (size_t i = 0; i < d.n; i++)
		free(d.items[i]);
	free(d.items);
	if (rc == 0)
		*ret_aux = json_object_new_object();
	return rc;
}
