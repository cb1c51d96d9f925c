/* SPDX-License-Identifier: Apache-2.0 */
/* unpack_settle - the last touches to a layer's folders. Runs in isola-image when
 * the process that unpacked has ended; every item is a request of that process
 * and grants nothing it could not have done itself, but for the opaque mark. */
#include "unpack_priv.h"

#include "isola/fd.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/xattr.h>

#define OPAQUE_XATTR      "trusted.overlay.opaque"
#define DEFAULT_ACL_XATTR "system.posix_acl_default"

struct settling {
	int root_fd;
	const int *lower_fds;
	size_t n_lower;
};

/* Fills in how the folder looks in the layers below, or the default. */
static void look_below(const struct settling *s, struct later_item *item)
{
	item->mode = 0755;
	for (size_t i = 0; i < s->n_lower; i++) {
		cleanup_fd int fd =
			path_open_beneath(s->lower_fds[i], item->path, O_PATH | O_NOFOLLOW, 0);
		struct stat st;
		if (fd == -ENOENT)
			continue;
		/* Hidden or something else: what lies deeper does not show. */
		if (fd < 0 || fstat(fd, &st) < 0 || !S_ISDIR(st.st_mode))
			return;
		item->mode = st.st_mode & 07777;
		item->uid = st.st_uid;
		item->gid = st.st_gid;
		item->mtime_s = st.st_mtim.tv_sec;
		item->mtime_ns = (uint32_t)st.st_mtim.tv_nsec;
		return;
	}
}

static int set_look(int fd, const struct later_item *item)
{
	return fchown(fd, item->uid, item->gid) < 0 || fchmod(fd, item->mode) < 0 ? -errno : 0;
}

static int set_time(int fd, const struct later_item *item)
{
	struct timespec times[2] = { { item->mtime_s, item->mtime_ns },
				     { item->mtime_s, item->mtime_ns } };
	return futimens(fd, times) < 0 ? -errno : 0;
}

static int set_xattr(int fd, const struct later_item *item)
{
	if (strcmp(item->xattr, DEFAULT_ACL_XATTR) != 0)
		return -EPROTO;
	return fsetxattr(fd, item->xattr, item->value, item->size, 0) < 0 ? -errno : 0;
}

static int make_plain(int fd)
{
	static const char *const names[] = { OPAQUE_XATTR, DEFAULT_ACL_XATTR };
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
		if (fremovexattr(fd, names[i]) < 0 && errno != ENODATA && errno != EOPNOTSUPP)
			return -errno;
	return 0;
}

static int apply(int fd, const struct settling *s, struct later_item *item)
{
	switch (item->kind) {
	case LATER_TIME:
		return set_time(fd, item);
	case LATER_BELOW:
		*item = (struct later_item){ .path = item->path };
		look_below(s, item);
		__attribute__((fallthrough));
	case LATER_LOOK: {
		int rc = set_look(fd, item);
		return rc < 0 ? rc : set_time(fd, item);
	}
	case LATER_XATTR:
		return set_xattr(fd, item);
	case LATER_OPAQUE:
		return fsetxattr(fd, OPAQUE_XATTR, "y", 1, 0) < 0 ? -errno : 0;
	case LATER_ANEW:
		return make_plain(fd);
	}
	return -EPROTO;
}

static int settle_one(const struct later_item *given, void *arg, struct err *err)
{
	const struct settling *s = arg;
	struct later_item item = *given;
	cleanup_fd int fd = path_open_beneath(s->root_fd, item.path, O_RDONLY | O_DIRECTORY, 0);
	/* A folder noted may have been replaced since: that is no error. */
	if (fd == -ENOENT || fd == -ENOTDIR || fd == -ELOOP)
		return 0;
	int rc = fd < 0 ? fd : apply(fd, s, &item);
	return rc < 0 ? err_rc(err, rc, "cannot finish the folder \"%.300s\"", item.path) : 0;
}

int unpack_settle(int root_fd, int later_fd, const int *lower_fds, size_t n_lower, struct err *err)
{
	struct settling s = { .root_fd = root_fd, .lower_fds = lower_fds, .n_lower = n_lower };
	return later_each(later_fd, settle_one, &s, err);
}

bool unpack_is_opaque(int root_fd)
{
	char v = 0;
	cleanup_fd int fd = openat(root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return fd >= 0 && fgetxattr(fd, OPAQUE_XATTR, &v, 1) == 1 && v == 'y';
}
