/* SPDX-License-Identifier: Apache-2.0 */
/* jlogfile - see jlogfile.h. Only this process writes the file; others read it
 * at any time, by descriptor (logset.c). */
#include "jlogfile.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct jlogfile {
	int dir_fd, fd; /* fd -1: to be made by the next write */
	char *name;
	int64_t size; /* bytes in the current file */
	struct jlog_limits limits;
};

static int open_file(struct jlogfile *file, int flags)
{
	/* 0640 as Docker has it: log shippers run under an own group. */
	int fd = openat(file->dir_fd, file->name,
			O_RDWR | O_APPEND | O_CREAT | O_NOFOLLOW | O_NONBLOCK | O_CLOEXEC | flags,
			0640);
	struct stat st;
	if (fd < 0 || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode)) {
		int rc = fd < 0 ? -errno : -EINVAL;
		fd_close(&fd);
		return rc;
	}
	file->fd = fd;
	file->size = st.st_size;
	return 0;
}

static int name_of(const struct jlogfile *file, unsigned int i, char ret[NAME_MAX + 1])
{
	return snprintf(ret, NAME_MAX + 1, i ? "%s.%u" : "%s", file->name, i) > NAME_MAX
		       ? -ENAMETOOLONG
		       : 0;
}

void jlogfile_limit(struct jlogfile *file, const struct jlog_limits *limits)
{
	file->limits = *limits;
	if (file->limits.max_files < 1)
		file->limits.max_files = 1;
	/* Files that a higher limit left behind would never be overwritten. */
	char name[NAME_MAX + 1];
	for (unsigned int i = file->limits.max_files; name_of(file, i, name) == 0; i++)
		if (unlinkat(file->dir_fd, name, 0) < 0)
			break;
}

/* A crash may have cut off the last record. Readers skip a broken line, but the
 * next record must not be glued to it. */
static void mend_end(struct jlogfile *file)
{
	char last;
	if (file->size > 0 && pread(file->fd, &last, 1, file->size - 1) == 1 && last != '\n' &&
	    write(file->fd, "\n", 1) == 1)
		file->size++;
}

int jlogfile_open(const char *path, const struct jlog_limits *limits, struct jlogfile **ret,
		  struct err *err)
{
	const char *slash = strrchr(path, '/');
	if (path[0] != '/' || !slash[1] || strlen(slash + 1) > NAME_MAX - 12)
		return err_set(err, EINVAL, "log path \"%s\" is not the absolute name of a file",
			       path);
	struct jlogfile *file = calloc(1, sizeof(*file));
	cleanup_free char *dir = strndup(path, slash == path ? 1 : (size_t)(slash - path));
	if (!file || !dir) {
		free(file);
		return err_set(err, ENOMEM, "out of memory");
	}
	file->fd = -1;
	file->dir_fd = open(dir, O_PATH | O_DIRECTORY | O_CLOEXEC);
	int rc = file->dir_fd < 0 ? -errno : 0;
	file->name = strdup(slash + 1);
	if (rc == 0)
		rc = file->name ? open_file(file, 0) : -ENOMEM;
	if (rc < 0) {
		jlogfile_close(file);
		return err_rc(err, rc, "cannot open the log %s", path);
	}
	jlogfile_limit(file, limits);
	mend_end(file);
	*ret = file;
	return 0;
}

void jlogfile_close(struct jlogfile *file)
{
	if (!file)
		return;
	fd_close(&file->fd);
	fd_close(&file->dir_fd);
	free(file->name);
	free(file);
}

/* Takes back what was written of a record that is not whole. */
static void cut_back(struct jlogfile *file, const char *records, size_t written, size_t *ret_kept)
{
	while (written > 0 && records[written - 1] != '\n') {
		const char *nl = memrchr(records, '\n', written);
		written = nl ? (size_t)(nl - records) + 1 : 0;
	}
	file->size += (int64_t)written;
	if (ftruncate(file->fd, file->size) < 0)
		mend_end(file);
	*ret_kept = written;
}

int jlogfile_write(struct jlogfile *file, const char *records, size_t size, size_t *ret_written)
{
	int rc = file->fd < 0 ? open_file(file, 0) : 0;
	size_t done = 0;
	while (rc == 0 && done < size) {
		ssize_t n = write(file->fd, records + done, size - done);
		if (n >= 0)
			done += (size_t)n;
		else if (errno != EINTR)
			rc = -errno;
	}
	if (rc == 0)
		file->size += (int64_t)size;
	else if (file->fd >= 0)
		cut_back(file, records, done, &done);
	if (ret_written)
		*ret_written = done;
	return rc;
}

bool jlogfile_is_full(const struct jlogfile *file, size_t before, size_t size)
{
	int64_t now = file->size + (int64_t)before;
	return file->limits.max_size > 0 && now > 0 && now + (int64_t)size > file->limits.max_size;
}

/* <name>.<i> -> <name>.<i+1>; a missing one is fine. */
static int move_up(const struct jlogfile *file, unsigned int i)
{
	char from[NAME_MAX + 1], to[NAME_MAX + 1];
	if (name_of(file, i, from) < 0 || name_of(file, i + 1, to) < 0)
		return -ENAMETOOLONG;
	if (renameat(file->dir_fd, from, file->dir_fd, to) < 0 && errno != ENOENT)
		return -errno;
	return 0;
}

int jlogfile_rotate(struct jlogfile *file)
{
	int rc = 0;
	/* The last is overwritten, or, when it is the only one, unlinked: a
	 * reader that has it open reads it to its end. */
	for (unsigned int i = file->limits.max_files - 1; i > 0 && rc == 0; i--)
		rc = move_up(file, i - 1);
	if (file->limits.max_files == 1 && unlinkat(file->dir_fd, file->name, 0) < 0 &&
	    errno != ENOENT)
		rc = -errno;
	if (rc < 0)
		return rc;
	fd_close(&file->fd);
	file->size = 0;
	return open_file(file, O_EXCL);
}
