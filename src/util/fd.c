/* SPDX-License-Identifier: Apache-2.0 */
/* fd - see include/isola/fd.h. */
#include "isola/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/fs.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/syscall.h>

#define TEMP_END ".tmp"

void fd_close(int *fd)
{
	if (*fd < 0)
		return;
	int saved = errno;
	(void)close(*fd);
	*fd = -1;
	errno = saved;
}

int fd_write_all(int fd, const void *buf, size_t size)
{
	const char *p = buf;
	while (size > 0) {
		ssize_t n = write(fd, p, size);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			if (errno != EAGAIN)
				return -errno;
			struct pollfd pfd = { .fd = fd, .events = POLLOUT };
			if (poll(&pfd, 1, -1) < 0 && errno != EINTR)
				return -errno;
			continue;
		}
		p += n;
		size -= (size_t)n;
	}
	return 0;
}

ssize_t fd_read_all(int fd, void *buf, size_t size)
{
	size_t got = 0;
	while (got < size) {
		ssize_t n = read(fd, (char *)buf + got, size - got);
		if (n < 0) {
			if (errno == EINTR)
				continue;
			return -errno;
		}
		if (n == 0)
			break;
		got += (size_t)n;
	}
	return (ssize_t)got;
}

static int read_growing(int fd, size_t max_bytes, char **ret_text, size_t *ret_size)
{
	size_t cap = 4096, len = 0;
	cleanup_free char *buf = malloc(cap + 1);
	if (!buf)
		return -ENOMEM;
	for (;;) {
		ssize_t n = fd_read_all(fd, buf + len, cap - len);
		if (n < 0)
			return (int)n;
		len += (size_t)n;
		if (len < cap)
			break;
		if (cap > max_bytes)
			return -EFBIG;
		cap *= 2;
		char *bigger = realloc(buf, cap + 1);
		if (!bigger)
			return -ENOMEM;
		buf = bigger;
	}
	if (len > max_bytes)
		return -EFBIG;
	buf[len] = '\0';
	*ret_text = take_ptr(buf);
	if (ret_size)
		*ret_size = len;
	return 0;
}

int fd_read_file(int dirfd, const char *name, size_t max_bytes, char **ret_text, size_t *ret_size,
		 struct err *err)
{
	cleanup_fd int fd =
		openat(dirfd, name, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW | O_NOCTTY);
	if (fd < 0)
		return err_sys(err, "cannot open %s", name);
	struct stat st;
	if (fstat(fd, &st) < 0)
		return err_sys(err, "cannot stat %s", name);
	if (!S_ISREG(st.st_mode))
		return err_set(err, EINVAL, "%s is not a regular file", name);
	int rc = read_growing(fd, max_bytes, ret_text, ret_size);
	if (rc == -EFBIG)
		return err_set(err, EFBIG, "%s is larger than %zu bytes", name, max_bytes);
	if (rc < 0)
		return err_rc(err, rc, "cannot read %s", name);
	return 0;
}

int fd_write_file(int dirfd, const char *name, const char *text)
{
	cleanup_fd int fd = openat(dirfd, name, O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return -errno;
	ssize_t n = write(fd, text, strlen(text));
	return n < 0 ? -errno : 0;
}

static int write_temp(int dirfd, const char *temp, const void *buf, size_t size, mode_t mode,
		      enum fd_sync sync)
{
	cleanup_fd int fd =
		openat(dirfd, temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW,
		       mode ? mode : 0600);
	if (fd < 0)
		return -errno;
	int rc = fd_write_all(fd, buf, size);
	if (rc == 0 && sync == FD_SYNC_YES && fsync(fd) < 0)
		rc = -errno;
	return rc;
}

static int sync_dir(int dirfd)
{
	cleanup_fd int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (fd < 0 || fsync(fd) < 0)
		return -errno;
	return 0;
}

int fd_write_atomic(int dirfd, const char *name, const void *buf, size_t size, mode_t mode,
		    enum fd_sync sync, struct err *err)
{
	char temp[300];
	unsigned int rnd = 0;
	(void)getrandom(&rnd, sizeof(rnd), GRND_NONBLOCK);
	if (snprintf(temp, sizeof(temp), ".%s.%08x" TEMP_END, name, rnd) >= (int)sizeof(temp))
		return err_set(err, ENAMETOOLONG, "file name %s is too long", name);
	int rc = write_temp(dirfd, temp, buf, size, mode, sync);
	if (rc == 0 && renameat(dirfd, temp, dirfd, name) < 0)
		rc = -errno;
	if (rc < 0) {
		(void)unlinkat(dirfd, temp, 0);
		return err_rc(err, rc, "cannot write %s", name);
	}
	if (sync == FD_SYNC_YES) {
		rc = sync_dir(dirfd);
		if (rc < 0)
			return err_rc(err, rc, "cannot sync the folder of %s", name);
	}
	return 0;
}

bool fd_is_temp(const char *name)
{
	size_t n = strlen(name), end = strlen(TEMP_END);
	return *name == '.' && n > 1 + end && !strcmp(name + n - end, TEMP_END);
}

void fd_sweep_temp(int dirfd)
{
	int fd = openat(dirfd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		fd_close(&fd);
		return;
	}
	for (struct dirent *entry; (entry = readdir(dir));)
		if (fd_is_temp(entry->d_name))
			(void)unlinkat(dirfd, entry->d_name, 0);
	(void)closedir(dir);
}

/* A walk holds two descriptors a level, and a tree may be thousands deep: what
 * lies deeper than this is first moved up to the top of the tree. */
#define REMOVE_DEPTH_MAX 64

struct removal {
	int top; /* the tree's own folder, -1 until it is open */
	unsigned int serial;
	bool moved; /* something came to the top: look there again */
};

static int remove_children(struct removal *r, int dir, dev_t dev, unsigned int depth);

static int move_up(struct removal *r, int parent, const char *name)
{
	for (;;) {
		char to[32];
		(void)snprintf(to, sizeof(to), ".deep-%u", r->serial++);
		if (syscall(SYS_renameat2, parent, name, r->top, to, RENAME_NOREPLACE) == 0)
			break;
		if (errno != EEXIST)
			return -errno;
	}
	r->moved = true;
	return 0;
}

static int remove_entry(struct removal *r, int parent, const char *name, dev_t dev,
			unsigned int depth)
{
	if (unlinkat(parent, name, 0) == 0 || errno == ENOENT)
		return 0;
	if (errno != EISDIR && errno != EPERM)
		return -errno;
	cleanup_fd int dir =
		openat(parent, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK);
	if (dir < 0)
		return errno == ENOENT ? 0 : -errno;
	struct stat st;
	if (fstat(dir, &st) < 0)
		return -errno;
	if (dev && st.st_dev != dev)
		return -EXDEV;
	if (depth == REMOVE_DEPTH_MAX)
		return move_up(r, parent, name);
	if (depth == 0)
		r->top = dir;
	int rc = remove_children(r, dir, st.st_dev, depth + 1);
	while (rc == 0 && depth == 0 && r->moved) {
		r->moved = false;
		rc = remove_children(r, dir, st.st_dev, depth + 1);
	}
	if (rc < 0)
		return rc;
	if (unlinkat(parent, name, AT_REMOVEDIR) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

static int remove_children(struct removal *r, int dir, dev_t dev, unsigned int depth)
{
	/* Its own description: a second pass must start at the first name. */
	int copy = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		int rc = -errno;
		fd_close(&copy);
		return rc;
	}
	int rc = 0;
	struct dirent *e;
	while (rc == 0 && (e = readdir(d))) {
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		rc = remove_entry(r, dir, e->d_name, dev, depth);
	}
	(void)closedir(d);
	return rc;
}

int fd_remove_tree(int dirfd, const char *name, struct err *err)
{
	struct removal r = { .top = -1 };
	int rc = remove_entry(&r, dirfd, name, 0, 0);
	return rc < 0 ? err_rc(err, rc, "cannot remove %s", name) : 0;
}

int fd_set_nonblock(int fd, bool on)
{
	int fl = fcntl(fd, F_GETFL);
	if (fl < 0)
		return -errno;
	fl = on ? fl | O_NONBLOCK : fl & ~O_NONBLOCK;
	return fcntl(fd, F_SETFL, fl) < 0 ? -errno : 0;
}

int fd_set_cloexec(int fd, bool on)
{
	return fcntl(fd, F_SETFD, on ? FD_CLOEXEC : 0) < 0 ? -errno : 0;
}

int fd_dup(int fd)
{
	int n = fcntl(fd, F_DUPFD_CLOEXEC, 3);
	return n < 0 ? -errno : n;
}
