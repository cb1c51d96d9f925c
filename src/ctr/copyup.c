/* SPDX-License-Identifier: Apache-2.0 */
/* copyup - see copyup.h. Runs in init, over an image's folder. */
#include "copyup.h"

#include "isola/fd.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/sendfile.h>
#include <sys/stat.h>

#define DEPTH_MAX 64

static int copy_bytes(int from, int to)
{
	for (;;) {
		ssize_t n = sendfile(to, from, NULL, 1 << 20);
		if (n == 0)
			return 0;
		if (n < 0)
			return -errno;
	}
}

static int copy_file(int from_dir, int to_dir, const char *name)
{
	cleanup_fd int from =
		openat(from_dir, name, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY | O_CLOEXEC);
	cleanup_fd int to =
		openat(to_dir, name, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
	return from < 0 || to < 0 ? -errno : copy_bytes(from, to);
}

static int copy_link(int from_dir, int to_dir, const char *name)
{
	char text[PATH_MAX];
	ssize_t n = readlinkat(from_dir, name, text, sizeof(text) - 1);
	if (n < 0)
		return -errno;
	text[n] = '\0';
	return symlinkat(text, to_dir, name) < 0 ? -errno : 0;
}

/* Owner before mode: a change of owner clears setuid. */
static int copy_attributes(int dir, const char *name, const struct stat *st)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	if (fchownat(dir, name, st->st_uid, st->st_gid, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	if (!S_ISLNK(st->st_mode) && fchmodat(dir, name, st->st_mode & 07777, 0) < 0)
		return -errno;
	return utimensat(dir, name, times, AT_SYMLINK_NOFOLLOW) < 0 ? -errno : 0;
}

static int copy_folder(int from, int to, dev_t dev, int depth);

static int copy_entry(int from, int to, const char *name, dev_t dev, int depth)
{
	struct stat st;
	if (fstatat(from, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return -errno;
	int rc = 0;
	if (S_ISREG(st.st_mode)) {
		rc = copy_file(from, to, name);
	} else if (S_ISLNK(st.st_mode)) {
		rc = copy_link(from, to, name);
	} else if (S_ISFIFO(st.st_mode)) {
		rc = mkfifoat(to, name, 0600) < 0 ? -errno : 0;
	} else if (S_ISDIR(st.st_mode)) {
		if (mkdirat(to, name, 0700) < 0)
			return -errno;
		cleanup_fd int a =
			openat(from, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		cleanup_fd int b = openat(to, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		rc = a < 0 || b < 0 ? -errno : copy_folder(a, b, dev, depth + 1);
	} else {
		return 0;
	}
	return rc < 0 ? rc : copy_attributes(to, name, &st);
}

static int copy_folder(int from, int to, dev_t dev, int depth)
{
	struct stat st;
	if (depth > DEPTH_MAX)
		return -ELOOP;
	if (fstat(from, &st) < 0)
		return -errno;
	if (st.st_dev != dev)
		return 0; /* another mount */
	int fd = openat(from, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = fd < 0 ? NULL : fdopendir(fd);
	if (!d) {
		int rc = -errno;
		fd_close(&fd);
		return rc;
	}
	int rc = 0;
	struct dirent *e;
	while (rc == 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			rc = copy_entry(from, to, e->d_name, dev, depth);
	(void)closedir(d);
	return rc;
}

int copyup(int from, int to, bool keep_own, struct err *err)
{
	struct stat st;
	if (fstat(from, &st) < 0)
		return err_sys(err, "cannot read the folder to copy up");
	int rc = copy_folder(from, to, st.st_dev, 0);
	if (rc == 0 && !keep_own)
		rc = copy_attributes(to, ".", &st);
	return rc < 0 ? err_rc(err, rc, "cannot copy what the image has there") : 0;
}
