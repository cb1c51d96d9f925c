/* SPDX-License-Identifier: Apache-2.0 */
/* path - see include/isola/path.h. openat2(2), Linux 5.6. */
#include "isola/path.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/openat2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>

static int open_how(int dir_fd, const char *path, int flags, mode_t mode, unsigned long resolve)
{
	struct open_how how = {
		.flags = (unsigned int)flags | O_CLOEXEC,
		.mode = flags & (O_CREAT | O_TMPFILE) ? mode & 07777 : 0,
		.resolve = resolve | RESOLVE_NO_MAGICLINKS,
	};
	/* EAGAIN: a rename raced with ".." below the root; bounded retry. */
	for (int tries = 0;; tries++) {
		long fd = syscall(SYS_openat2, dir_fd, *path ? path : ".", &how, sizeof(how));
		if (fd >= 0)
			return (int)fd;
		if ((errno != EAGAIN && errno != EINTR) || tries >= 128)
			return -errno;
	}
}

int path_open_in_root(int root_fd, const char *path, int flags, mode_t mode)
{
	return open_how(root_fd, path, flags, mode, RESOLVE_IN_ROOT);
}

int path_open_beneath(int dir_fd, const char *path, int flags, mode_t mode)
{
	return open_how(dir_fd, path, flags, mode, RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS);
}

/* Splits "a/b/c" into its parent ("a/b", or "/") and last name. */
static int split_path(const char *path, char *parent, char *last)
{
	char clean[PATH_MAX];
	size_t n = strnlen(path, PATH_MAX);
	if (n >= PATH_MAX - 2)
		return -ENAMETOOLONG;
	(void)snprintf(clean, sizeof(clean), "/%s", path);
	n = strlen(clean);
	while (n > 1 && clean[n - 1] == '/')
		clean[--n] = '\0';
	char *slash = strrchr(clean, '/');
	if (strlen(slash + 1) > NAME_MAX)
		return -ENAMETOOLONG;
	strcpy(last, slash + 1);
	*slash = '\0';
	strcpy(parent, *clean ? clean : "/");
	return 0;
}

static int mkdir_parts(int root_fd, const char *path, mode_t mode)
{
	int fd = path_open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0);
	if (fd != -ENOENT)
		return fd;
	char parent[PATH_MAX], last[NAME_MAX + 1];
	int rc = split_path(path, parent, last);
	if (rc < 0)
		return rc;
	if (!*last || !strcmp(last, ".") || !strcmp(last, ".."))
		return -ENOENT;
	cleanup_fd int dir = mkdir_parts(root_fd, parent, mode);
	if (dir < 0)
		return dir;
	if (mkdirat(dir, last, mode) < 0 && errno != EEXIST)
		return -errno;
	/* Whoever raced us may have put a link there: resolve again inside. */
	return path_open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0);
}

int path_mkdir_in_root(int root_fd, const char *path, mode_t mode, struct err *err)
{
	int fd = mkdir_parts(root_fd, path, mode);
	return fd < 0 ? err_rc(err, fd, "cannot make folder %s in the root", path) : fd;
}

int path_mkfile_in_root(int root_fd, const char *path, mode_t mode, struct err *err)
{
	int fd = path_open_in_root(root_fd, path, O_PATH, 0);
	if (fd >= 0)
		return fd;
	char parent[PATH_MAX], last[NAME_MAX + 1];
	int rc = fd == -ENOENT ? split_path(path, parent, last) : fd;
	if (rc == 0) {
		cleanup_fd int dir = mkdir_parts(root_fd, parent, 0755);
		rc = dir;
		if (dir >= 0) {
			cleanup_fd int file = openat(dir, last,
						     O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC |
							     O_NOFOLLOW | O_NONBLOCK,
						     mode);
			rc = file < 0 && errno != EEXIST ? -errno : 0;
		}
	}
	if (rc >= 0)
		rc = path_open_in_root(root_fd, path, O_PATH, 0);
	return rc < 0 ? err_rc(err, rc, "cannot make file %s in the root", path) : rc;
}

int path_clean(const char *path, char *ret, size_t size)
{
	if (path[0] != '/')
		return -EINVAL;
	size_t n = 0;
	for (const char *p = path; *p;) {
		while (*p == '/')
			p++;
		size_t len = strcspn(p, "/");
		if (len == 0)
			break;
		if (len == 2 && p[0] == '.' && p[1] == '.') {
			while (n > 0 && ret[--n] != '/')
				;
		} else if (!(len == 1 && p[0] == '.')) {
			if (n + len + 2 > size)
				return -ENAMETOOLONG;
			ret[n++] = '/';
			memcpy(ret + n, p, len);
			n += len;
		}
		p += len;
	}
	if (n == 0)
		ret[n++] = '/';
	ret[n] = '\0';
	return 0;
}

int path_mkdir_all(const char *path, mode_t mode, struct err *err)
{
	char buf[PATH_MAX];
	size_t n = strnlen(path, PATH_MAX);
	if (n == 0 || n >= PATH_MAX)
		return err_set(err, EINVAL, "not a usable folder name: %.64s", path);
	memcpy(buf, path, n + 1);
	for (char *p = buf + 1;; p++) {
		if (*p != '/' && *p != '\0')
			continue;
		char c = *p;
		*p = '\0';
		if (mkdir(buf, mode) < 0 && errno != EEXIST)
			return err_sys(err, "cannot make folder %s", buf);
		*p = c;
		if (c == '\0')
			return 0;
	}
}
