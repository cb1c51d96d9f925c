/* SPDX-License-Identifier: Apache-2.0 */
/* logset - see logset.h. The writer renames while we look: a look counts when
 * the newest file still has its name afterwards. */
#include "logset.h"

#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#define LOOKS_MAX 50
#define FILES_MAX 1001

static int add_file(struct logset *set, int fd, const struct stat *st)
{
	if (set->n == set->cap) {
		size_t cap = set->cap ? set->cap * 2 : 8;
		struct logset_file *more = realloc(set->files, cap * sizeof(*more));
		if (!more)
			return -ENOMEM;
		set->files = more;
		set->cap = cap;
	}
	set->files[set->n++] =
		(struct logset_file){ .fd = fd, .dev = st->st_dev, .ino = st->st_ino };
	return 0;
}

static void drop_files(struct logset *set)
{
	while (set->n > 0)
		fd_close(&set->files[--set->n].fd);
}

static bool is_file(const struct logset_file *f, const struct stat *st)
{
	return f->ino == st->st_ino && f->dev == st->st_dev;
}

/* The writer renames upwards, as we look upwards: a file may be met twice. */
static bool is_known(const struct logset *look, const struct stat *st)
{
	for (size_t i = 0; i < look->n; i++)
		if (is_file(&look->files[i], st))
			return true;
	return false;
}

/* Opens <name>.<i>. 1, 0 when it is missing, -EAGAIN when it was met before,
 * -errno. */
static int open_nth(struct logset *look, const struct logset *set, unsigned int i)
{
	char name[NAME_MAX + 1];
	if (snprintf(name, sizeof(name), i ? "%s.%u" : "%s", set->name, i) > NAME_MAX)
		return 0;
	cleanup_fd int fd =
		openat(set->dir_fd, name, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	struct stat st;
	if (fd < 0)
		return errno == ENOENT ? 0 : -errno;
	if (fstat(fd, &st) < 0 || !S_ISREG(st.st_mode))
		return -EINVAL;
	if (is_known(look, &st))
		return -EAGAIN;
	int rc = add_file(look, fd, &st);
	if (rc == 0)
		(void)take_fd(&fd);
	return rc < 0 ? rc : 1;
}

/* Opens the files, newest first, up to and without @until (may be NULL). 1 when
 * the look counts, 0 when the writer was just rotating, -errno. */
static int look_once(const struct logset *set, const struct logset_file *until, struct logset *look)
{
	bool hole = false;
	for (unsigned int i = 0; i < FILES_MAX; i++) {
		int rc = open_nth(look, set, i);
		if (rc < 0)
			return rc == -EAGAIN ? 0 : rc;
		if (rc == 0 && hole)
			break;
		if (rc == 0) {
			hole = true;
			continue;
		}
		if (hole)
			return 0;
		const struct logset_file *f = &look->files[look->n - 1];
		if (until && f->ino == until->ino && f->dev == until->dev) {
			fd_close(&look->files[--look->n].fd);
			break;
		}
	}
	struct stat st;
	if (fstatat(set->dir_fd, set->name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return errno == ENOENT ? look->n == 0 : -errno;
	if (look->n == 0)
		return until && is_file(until, &st);
	return is_file(&look->files[0], &st);
}

static int look(struct logset *set)
{
	struct logset found = { .dir_fd = -1 };
	const struct logset_file *newest = set->n ? &set->files[set->n - 1] : NULL;
	struct stat st;
	if (newest && fstatat(set->dir_fd, set->name, &st, AT_SYMLINK_NOFOLLOW) == 0 &&
	    is_file(newest, &st))
		return 0;
	int rc = 0;
	for (int i = 0; i < LOOKS_MAX && rc == 0; i++) {
		static const struct timespec ms = { .tv_nsec = 1000000 };
		if (i > 0)
			(void)nanosleep(&ms, NULL);
		drop_files(&found);
		rc = look_once(set, newest, &found);
	}
	/* A writer that died while it rotated leaves a hole: what was found is
	 * what there is. */
	int added = 0;
	for (size_t i = found.n; i > 0 && rc >= 0; i--) {
		st = (struct stat){ .st_dev = found.files[i - 1].dev,
				    .st_ino = found.files[i - 1].ino };
		rc = add_file(set, found.files[i - 1].fd, &st);
		if (rc == 0) {
			found.files[i - 1].fd = -1;
			added++;
		}
	}
	drop_files(&found);
	free(found.files);
	return rc < 0 ? rc : added;
}

int logset_open(struct logset *set, const char *path, struct err *err)
{
	*set = (struct logset){ .dir_fd = -1 };
	const char *slash = strrchr(path, '/');
	cleanup_free char *dir = slash ? strndup(path, (size_t)(slash - path) + 1) : NULL;
	if (!slash || !slash[1])
		return err_set(err, EINVAL, "\"%s\" is not the path of a file", path);
	set->name = strdup(slash + 1);
	if (!dir || !set->name)
		return err_set(err, ENOMEM, "out of memory");
	set->dir_fd = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (set->dir_fd < 0)
		return err_sys(err, "cannot open %s", dir);
	int rc = look(set);
	return rc < 0 ? err_rc(err, rc, "cannot open the log %s", path) : 0;
}

int logset_refresh(struct logset *set)
{
	return look(set);
}

void logset_drop(struct logset *set, size_t i)
{
	fd_close(&set->files[i].fd);
	memmove(&set->files[i], &set->files[i + 1], (set->n - i - 1) * sizeof(set->files[0]));
	set->n--;
}

void logset_fini(struct logset *set)
{
	drop_files(set);
	free(set->files);
	free(set->name);
	fd_close(&set->dir_fd);
}
