/* SPDX-License-Identifier: Apache-2.0 */
/* build_files - what COPY and ADD put in a layer: entries of a tar, made of a source's
 * tree without following any link in it. Foreign trees: in isola-image's jail; the
 * layer's tar is judged again when it is unpacked. */
#include "build_priv.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/xattr.h>

#define PIECE_BYTES 65536

static int join(const char *dir, const char *name, char ret[PATH_MAX], struct err *err)
{
	int n = snprintf(ret, PATH_MAX, "%s%s%s", dir, *dir && *name ? "/" : "", name);
	return n >= PATH_MAX ? err_set(err, ENAMETOOLONG, "the path is too long") : 0;
}

static int count(struct copying *c, struct err *err)
{
	if (++c->entries > c->b->limits->entries)
		return err_set(err, EFBIG, "more than %llu entries, the limit",
			       (unsigned long long)c->b->limits->entries);
	return 0;
}

/* ---- folders on the way ---- */

static int pack_as_is(void *arg, int dir_fd, const char *name, const char *path,
		      const struct stat *st, struct err *err)
{
	struct copying *c = arg;
	struct pack_options was = *c->pack;
	(void)st;
	c->pack->fixed_owner = c->pack->fixed_mode = false;
	int rc = pack_add(c->packer, dir_fd, name, path, err);
	*c->pack = was;
	return rc;
}

static int new_folder(struct copying *c, const char *path, struct err *err)
{
	struct tar_entry e = { .kind = TAR_DIR,
			       .path = path,
			       .link = "",
			       .mode = 0755,
			       .uid = c->pack->fixed_owner ? c->pack->uid : 0,
			       .gid = c->pack->fixed_owner ? c->pack->gid : 0,
			       .mtime_s = num_now_ns() / 1000000000 };
	return tarw_entry(c->out->tar, &e, err);
}

int files_parents(struct copying *c, const char *path, bool with_last, struct err *err)
{
	char part[PATH_MAX];
	int rc = 0;
	for (size_t i = 0; rc == 0; i++) {
		if (path[i] && path[i] != '/')
			continue;
		bool last = !path[i];
		struct stack_spot spot;
		if (i == 0 || (last && !with_last))
			return 0;
		memcpy(part, path, i);
		part[i] = '\0';
		rc = stack_find(c->onto, part, false, &spot, err);
		if (rc == 0 && spot.exists && !S_ISDIR(spot.st.st_mode))
			rc = err_set(err, ENOTDIR, "/%.300s is no folder", part);
		if (rc == 0)
			rc = spot.exists ? stack_entry(c->onto, part, pack_as_is, c, err)
					 : new_folder(c, part, err);
		if (last)
			break;
	}
	return rc;
}

/* ---- files and trees ---- */

bool files_is_mark(const char *path)
{
	const char *slash = strrchr(path, '/');
	return !strncmp(slash ? slash + 1 : path, ".wh.", 4);
}

static int pack_one(void *arg, int dir_fd, const char *name, const char *path,
		    const struct stat *st, struct err *err)
{
	struct copying *c = arg;
	char as[PATH_MAX];
	size_t n = strlen(c->base);
	int rc = count(c, err);
	if (S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode))
		return err_set(err, EINVAL, "%.300s is a device: it cannot be copied", path);
	if (files_is_mark(path))
		return err_set(err, EINVAL, "%.300s: its name is a mark of image layers", path);
	if (rc == 0)
		rc = join(c->to, path + n + (n > 0 && path[n] == '/'), as, err);
	return rc < 0 ? rc : pack_add(c->packer, dir_fd, name, as, err);
}

int files_one(struct copying *c, const char *path, const char *as, struct err *err)
{
	c->base = path;
	int rc = join(as, "", c->to, err);
	return rc < 0 ? rc : stack_entry(c->from, path, pack_one, c, err);
}

int files_below(struct copying *c, const char *path, const char *as, struct err *err)
{
	c->base = path;
	int rc = join(as, "", c->to, err);
	return rc < 0 ? rc : stack_walk(c->from, path, c->b->limits->entries, pack_one, c, err);
}

/* ---- what would be copied ---- */

static void hash_number(struct hasher *h, uint64_t v)
{
	hasher_add(h, &v, sizeof(v));
}

static void hash_text(struct hasher *h, const char *text)
{
	hasher_add(h, text, strlen(text) + 1);
}

static int hash_content(struct hasher *h, int fd, const char *path, struct err *err)
{
	char buf[PIECE_BYTES];
	ssize_t n;
	while ((n = read(fd, buf, sizeof(buf))) > 0)
		hasher_add(h, buf, (size_t)n);
	return n < 0 ? err_sys(err, "cannot read %.300s", path) : 0;
}

static void hash_xattrs(struct hasher *h, int fd)
{
	char names[PIECE_BYTES], value[PIECE_BYTES];
	ssize_t size = flistxattr(fd, names, sizeof(names));
	for (ssize_t at = 0; at < size; at += (ssize_t)strlen(names + at) + 1) {
		if (!pack_keeps_xattr(names + at))
			continue;
		ssize_t n = fgetxattr(fd, names + at, value, sizeof(value));
		hash_text(h, names + at);
		hasher_add(h, value, n > 0 ? (size_t)n : 0);
	}
}

/* Everything but times. */
static int hash_one(void *arg, int dir_fd, const char *name, const char *path,
		    const struct stat *st, struct err *err)
{
	struct copying *c = arg;
	struct hasher *h = c->hasher;
	char link[PATH_MAX];
	int rc = count(c, err);
	if (rc < 0)
		return rc;
	hash_text(h, path + strlen(c->base));
	hash_number(h, st->st_mode);
	hash_number(h, st->st_uid);
	hash_number(h, st->st_gid);
	hash_number(h, S_ISCHR(st->st_mode) || S_ISBLK(st->st_mode) ? st->st_rdev : 0);
	if (S_ISLNK(st->st_mode)) {
		ssize_t n = readlinkat(dir_fd, name, link, sizeof(link) - 1);
		if (n < 0)
			return err_sys(err, "cannot read the link %.300s", path);
		link[n] = '\0';
		hash_text(h, link);
		return 0;
	}
	if (!S_ISREG(st->st_mode))
		return 0;
	hash_number(h, (uint64_t)st->st_size);
	cleanup_fd int fd = openat(dir_fd, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0)
		return err_sys(err, "cannot open %.300s", path);
	hash_xattrs(h, fd);
	return hash_content(h, fd, path, err);
}

int files_hash(struct copying *c, const char *path, struct err *err)
{
	struct stack_spot spot;
	c->base = path;
	int rc = stack_find(c->from, path, false, &spot, err);
	if (rc == 0)
		rc = stack_entry(c->from, path, hash_one, c, err);
	if (rc == 0 && S_ISDIR(spot.st.st_mode))
		rc = stack_walk(c->from, path, c->b->limits->entries, hash_one, c, err);
	return rc;
}
