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

/* "/a/b": one slash before each name. */
static int tidy(const char *path, char ret[PATH_MAX])
{
	size_t n = 0;
	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");
		if (len > NAME_MAX || n + len + 2 > PATH_MAX)
			return -ENAMETOOLONG;
		if (len) {
			ret[n++] = '/';
			memcpy(ret + n, p, len);
			n += len;
		}
		p += len;
		p += *p == '/';
	}
	ret[n] = '\0';
	return (int)n;
}

/* The folder @dir gets @name; whoever raced us may have put a link there. */
static int make_part(int dir, const char *name, mode_t mode)
{
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return -ENOENT;
	return mkdirat(dir, name, mode) < 0 && errno != EEXIST ? -errno : 0;
}

/* Back to what there is, then forth from there; each step resolves anew inside. Not by
 * recursion: a path has up to 2048 names. */
static int mkdir_parts(int root_fd, const char *path, mode_t mode)
{
	char at[PATH_MAX];
	int fd = path_open_in_root(root_fd, path, O_PATH | O_DIRECTORY, 0);
	int whole = fd == -ENOENT ? tidy(path, at) : 0, n = whole;
	if (whole < 0)
		return whole;
	while (fd == -ENOENT && n > 0) {
		while (at[--n] != '/')
			;
		at[n] = '\0';
		fd = path_open_in_root(root_fd, n ? at : "/", O_PATH | O_DIRECTORY, 0);
	}
	while (fd >= 0 && n < whole) {
		int rc = make_part(fd, at + n + 1, mode);
		fd_close(&fd);
		if (rc < 0)
			return rc;
		at[n] = '/';
		n += (int)strlen(at + n);
		fd = path_open_in_root(root_fd, at, O_PATH | O_DIRECTORY, 0);
	}
	return fd;
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
	char parent[PATH_MAX];
	int rc = fd == -ENOENT ? tidy(path, parent) : fd;
	if (rc == 0)
		rc = -ENOENT; /* the root itself */
	if (rc > 0) {
		char *last = strrchr(parent, '/');
		*last++ = '\0';
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
