/* SPDX-License-Identifier: Apache-2.0 */
/* tarball - see tarball.h. The ustar header of POSIX.1-1988 is enough: an OCI
 * layout has short names; what does not fit is an error, never cut. Runs in
 * ctrctl. */
#include "tarball.h"

#include "isola/fd.h"
#include "packer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK     512
#define DEPTH_MAX 16

struct ustar {
	char name[100], mode[8], uid[8], gid[8], size[12], mtime[12], sum[8], type, link[100];
	char magic[6], version[2], user[32], group[32], major[8], minor[8], prefix[155], pad[12];
};
_Static_assert(sizeof(struct ustar) == BLOCK, "ustar header");

/* Splits a long name at a slash into prefix and name. */
static int put_name(struct ustar *h, const char *path)
{
	size_t len = strlen(path);
	if (len < sizeof(h->name)) {
		memcpy(h->name, path, len);
		return 0;
	}
	const char *cut = path + len - (sizeof(h->name) - 1);
	cut = strchr(cut, '/');
	if (!cut || (size_t)(cut - path) > sizeof(h->prefix))
		return -ENAMETOOLONG;
	memcpy(h->prefix, path, (size_t)(cut - path));
	memcpy(h->name, cut + 1, strlen(cut + 1));
	return 0;
}

static int put_header(int out, const char *path, const struct stat *st)
{
	struct ustar h = { .magic = "ustar", .version = { '0', '0' } };
	bool dir = S_ISDIR(st->st_mode);
	unsigned long long size = dir ? 0 : (unsigned long long)st->st_size;
	if (size >= 1ULL << 33)
		return -EFBIG;
	if (put_name(&h, path) < 0)
		return -ENAMETOOLONG;
	h.type = dir ? '5' : '0';
	(void)snprintf(h.mode, sizeof(h.mode), "%07o", st->st_mode & 07777);
	(void)snprintf(h.uid, sizeof(h.uid), "%07o", 0);
	(void)snprintf(h.gid, sizeof(h.gid), "%07o", 0);
	(void)snprintf(h.size, sizeof(h.size), "%011llo", size);
	(void)snprintf(h.mtime, sizeof(h.mtime), "%011llo", (unsigned long long)st->st_mtime);
	memset(h.sum, ' ', sizeof(h.sum));
	unsigned int sum = 0;
	for (size_t i = 0; i < sizeof(h); i++)
		sum += ((unsigned char *)&h)[i];
	(void)snprintf(h.sum, sizeof(h.sum), "%06o", sum);
	return fd_write_all(out, &h, sizeof(h));
}

/* Exactly @size bytes, whatever happens to the file meanwhile. */
static int put_data(int out, int fd, off_t size)
{
	static char buf[65536];
	off_t left = size;
	while (left > 0) {
		ssize_t n = read(fd, buf, left < (off_t)sizeof(buf) ? (size_t)left : sizeof(buf));
		if (n < 0 && errno == EINTR)
			continue;
		if (n <= 0)
			return n < 0 ? -errno : -EIO;
		int rc = fd_write_all(out, buf, (size_t)n);
		if (rc < 0)
			return rc;
		left -= n;
	}
	memset(buf, 0, BLOCK);
	size_t pad = (BLOCK - (size_t)size % BLOCK) % BLOCK;
	return fd_write_all(out, buf, pad);
}

static int put_folder(int out, int dir, const char *path, int depth);

static int put_entry(int out, int dir, const char *name, const char *path, int depth)
{
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC);
	struct stat st;
	if (fd < 0)
		return errno == ELOOP ? -EINVAL : -errno;
	if (fstat(fd, &st) < 0)
		return -errno;
	if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
		return -EINVAL;
	int rc = put_header(out, path, &st);
	if (rc < 0)
		return rc;
	return S_ISREG(st.st_mode) ? put_data(out, fd, st.st_size)
				   : put_folder(out, fd, path, depth + 1);
}

static int put_folder(int out, int dir, const char *path, int depth)
{
	int copy = fd_dup(dir);
	DIR *d = depth > DEPTH_MAX || copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		fd_close(&copy);
		return depth > DEPTH_MAX ? -ELOOP : -ENOMEM;
	}
	int rc = 0;
	struct dirent *e;
	while (rc == 0 && (e = readdir(d))) {
		char child[512];
		if (!strcmp(e->d_name, ".") || !strcmp(e->d_name, ".."))
			continue;
		int n = snprintf(child, sizeof(child), "%s%s%s", path, *path ? "/" : "", e->d_name);
		rc = n >= (int)sizeof(child) ? -ENAMETOOLONG
					     : put_entry(out, dir, e->d_name, child, depth);
		if (rc < 0)
			(void)fprintf(stderr, "ctrctl: cannot pack %s: %s\n", child, strerror(-rc));
	}
	(void)closedir(d);
	return rc;
}

static int put_archive(int out, const void *arg, struct err *err)
{
	static const char end[2 * BLOCK];
	const char *path = arg;
	cleanup_fd int dir = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (dir < 0)
		return err_sys(err, "cannot open %s", path);
	/* What fails inside says so itself. */
	int rc = put_folder(out, dir, "", 0);
	return rc < 0 ? rc : fd_write_all(out, end, sizeof(end));
}

int tarball_open(const char *path, pid_t *ret_pid, struct err *err)
{
	return packer_start(put_archive, path, path, ret_pid, err);
}

int tarball_close(pid_t pid, struct err *err)
{
	return packer_end(pid, "the folder could not be packed whole", err);
}
