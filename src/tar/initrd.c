/* SPDX-License-Identifier: Apache-2.0 */
/* initrd - see include/isola/initrd.h. Not compressed: it is read out of the page cache once, and
 * unpacking would cost the guest more. */
#include "isola/initrd.h"

#include "isola/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

struct cpio {
	int fd;
	unsigned int ino;
};

static int pad(struct cpio *c, size_t size)
{
	static const char zeros[4];
	return fd_write_all(c->fd, zeros, (4 - size % 4) % 4);
}

/* A header and name; the data follows, padded to four bytes. */
static int put_head(struct cpio *c, const char *name, unsigned int mode, size_t size)
{
	char head[111];
	size_t len = strlen(name) + 1;
	(void)snprintf(head, sizeof(head),
		       "070701%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x%08x", ++c->ino, mode,
		       0u, 0u, S_ISDIR(mode) ? 2u : 1u, 0u, (unsigned int)size, 0u, 0u, 0u, 0u,
		       (unsigned int)len, 0u);
	int rc = fd_write_all(c->fd, head, 110);
	if (rc == 0)
		rc = fd_write_all(c->fd, name, len);
	return rc < 0 ? rc : pad(c, 110 + len);
}

static int copy_bytes(struct cpio *c, int from, size_t left)
{
	char buf[65536];
	while (left > 0) {
		ssize_t n = read(from, buf, left < sizeof(buf) ? left : sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		int rc = fd_write_all(c->fd, buf, (size_t)n);
		if (rc < 0)
			return rc;
		left -= (size_t)n;
	}
	return 0;
}

static int put_file(struct cpio *c, int dir_fd, const char *path, const char *name,
		    unsigned int mode, struct err *err)
{
	struct stat st;
	/* Not blocking: a FIFO would hold it up for ever. */
	cleanup_fd int fd = openat(dir_fd, path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st) < 0)
		return err_sys(err, "cannot open %s", path);
	if (!S_ISREG(st.st_mode) || st.st_size > INT32_MAX)
		return err_set(err, EINVAL, "%s is no file for an initial RAM disk", path);
	int rc = put_head(c, name, S_IFREG | mode, (size_t)st.st_size);
	if (rc == 0)
		rc = copy_bytes(c, fd, (size_t)st.st_size);
	if (rc == 0)
		rc = pad(c, (size_t)st.st_size);
	return rc < 0 ? err_rc(err, rc, "cannot write the initial RAM disk") : 0;
}

static int put_modules(struct cpio *c, const char *path, struct err *err)
{
	DIR *dir = opendir(path);
	if (!dir)
		return err_sys(err, "cannot open %s", path);
	int rc = 0;
	for (struct dirent *e; rc == 0 && (e = readdir(dir));) {
		char name[NAME_MAX + 4];
		if (e->d_name[0] == '.')
			continue;
		(void)snprintf(name, sizeof(name), "m/%s", e->d_name);
		rc = put_file(c, dirfd(dir), e->d_name, name, 0644, err);
	}
	(void)closedir(dir);
	return rc;
}

int initrd_write(int fd, const char *init, const char *modules, struct err *err)
{
	static const char *const folders[] = { "dev", "proc", "sys", "new", "m" };
	struct cpio c = { .fd = fd };
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(folders) / sizeof(folders[0]); i++)
		rc = put_head(&c, folders[i], S_IFDIR | 0755, 0);
	if (rc < 0)
		return err_rc(err, rc, "cannot write the initial RAM disk");
	rc = put_file(&c, AT_FDCWD, init, "init", 0755, err);
	if (rc == 0 && modules)
		rc = put_modules(&c, modules, err);
	if (rc < 0)
		return rc;
	rc = put_head(&c, "TRAILER!!!", 0, 0);
	return rc < 0 ? err_rc(err, rc, "cannot write the initial RAM disk") : 0;
}
