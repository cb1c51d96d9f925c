/* SPDX-License-Identifier: Apache-2.0 */
/* unpack_meta - owners, modes, extended attributes and times of what unpack
 * makes. Runs in the process that unpacks one layer. */
#include "unpack_priv.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

enum xattr_rule { XATTR_DROP, XATTR_KEEP, XATTR_LATER };

/* The first row that fits decides; what fits none is dropped. */
static const struct {
	const char *name;
	bool prefix;
	enum xattr_rule rule;
} xattr_rows[] = {
	/* overlayfs with "userxattr" obeys these */
	{ "user.overlay.", true, XATTR_DROP },
	{ "user.", true, XATTR_KEEP },
	{ "security.capability", false, XATTR_KEEP },
	{ "system.posix_acl_access", false, XATTR_KEEP },
	/* entries made afterwards would inherit it */
	{ "system.posix_acl_default", false, XATTR_LATER },
};

static enum xattr_rule rule_of(const char *name)
{
	for (size_t i = 0; i < sizeof(xattr_rows) / sizeof(xattr_rows[0]); i++) {
		const char *row = xattr_rows[i].name;
		if (xattr_rows[i].prefix ? !strncmp(name, row, strlen(row)) : !strcmp(name, row))
			return xattr_rows[i].rule;
	}
	return XATTR_DROP;
}

static int set_xattrs(struct unpack *u, int fd, const char *path, const struct tar_entry *e,
		      struct err *err)
{
	for (size_t i = 0; i < e->n_xattrs; i++) {
		const struct tar_xattr *x = &e->xattrs[i];
		enum xattr_rule rule = rule_of(x->name);
		struct later_item item = { .kind = LATER_XATTR,
					   .path = path,
					   .xattr = x->name,
					   .value = x->value,
					   .size = x->size };
		int rc = 0;
		if (rule == XATTR_KEEP && fsetxattr(fd, x->name, x->value, x->size, 0) < 0)
			rc = err_sys(err, "cannot set extended attribute %s", x->name);
		else if (rule == XATTR_LATER)
			rc = later_add(u->later, &item, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static bool needs_owner(const struct unpack *u, const struct tar_entry *e)
{
	return e->uid != 0 || e->gid != 0 || u->dir_setgid;
}

static void fill_times(const struct tar_entry *e, struct timespec ret[2])
{
	ret[0].tv_sec = ret[1].tv_sec = (time_t)e->mtime_s;
	ret[0].tv_nsec = ret[1].tv_nsec = (long)e->mtime_ns;
}

int unpack_file_meta(struct unpack *u, int fd, const struct tar_entry *e, struct err *err)
{
	/* The order matters: chown drops set-id bits and capabilities. */
	if (needs_owner(u, e) && fchown(fd, e->uid, e->gid) < 0)
		return err_sys(err, "cannot set the owner");
	if ((e->mode & 07000) && fchmod(fd, e->mode) < 0)
		return err_sys(err, "cannot set the mode");
	int rc = set_xattrs(u, fd, "", e, err);
	if (rc < 0)
		return rc;
	struct timespec times[2];
	fill_times(e, times);
	if (futimens(fd, times) < 0)
		return err_sys(err, "cannot set the time");
	return 0;
}

int unpack_dir_meta(struct unpack *u, int dir_fd, const char *last, const char *path,
		    const struct tar_entry *e, bool fresh, struct err *err)
{
	bool owner = !fresh || needs_owner(u, e), mode = owner || (e->mode & 06000);
	if (owner || mode || e->n_xattrs > 0) {
		cleanup_fd int fd = openat(dir_fd, *last ? last : ".",
					   O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (fd < 0)
			return err_sys(err, "cannot open the folder");
		if (owner && fchown(fd, e->uid, e->gid) < 0)
			return err_sys(err, "cannot set the owner");
		if (mode && fchmod(fd, e->mode) < 0)
			return err_sys(err, "cannot set the mode");
		int rc = set_xattrs(u, fd, path, e, err);
		if (rc < 0)
			return rc;
	}
	/* It may have been noted as implied before, and one that it replaces, too: the last
	 * word counts. */
	struct later_item item = { .kind = fresh && !u->folders_gone ? LATER_TIME : LATER_LOOK,
				   .path = path,
				   .mode = e->mode,
				   .uid = e->uid,
				   .gid = e->gid,
				   .mtime_s = e->mtime_s,
				   .mtime_ns = e->mtime_ns };
	return later_add(u->later, &item, err);
}

int unpack_node_meta(struct unpack *u, int dir_fd, const char *last, const struct tar_entry *e,
		     struct err *err)
{
	if (needs_owner(u, e) && fchownat(dir_fd, last, e->uid, e->gid, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "cannot set the owner");
	if (e->kind != TAR_SYMLINK && (e->mode & 07000) && fchmodat(dir_fd, last, e->mode, 0) < 0)
		return err_sys(err, "cannot set the mode");
	struct timespec times[2];
	fill_times(e, times);
	if (utimensat(dir_fd, last, times, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "cannot set the time");
	return 0;
}
