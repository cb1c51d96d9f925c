/* SPDX-License-Identifier: Apache-2.0 */
/* fd - owning file descriptors, whole reads and writes, atomic files.
 *
 * Every descriptor made here is close-on-exec from birth. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/types.h>
#include <unistd.h>

/* Closes *@fd when >= 0 and makes it -1; keeps errno. */
void fd_close(int *fd);

#define cleanup_fd __attribute__((cleanup(fd_close)))

static inline int take_fd(int *fd)
{
	int v = *fd;
	*fd = -1;
	return v;
}

static inline void free_cleanup(void *p)
{
	free(*(void **)p);
}

#define cleanup_free __attribute__((cleanup(free_cleanup)))

static inline void *take_ptr_(void *p)
{
	void **pp = p, *v = *pp;
	*pp = NULL;
	return v;
}

/* Hands over the pointer in @p, leaving NULL. */
#define take_ptr(p) ((__typeof__(p))take_ptr_(&(p)))

/* Writes all of @buf; 0 or -errno. Retries EINTR; waits on EAGAIN by poll. */
int fd_write_all(int fd, const void *buf, size_t size);

/* Reads up to @size bytes until end of file; returns the count or -errno. */
ssize_t fd_read_all(int fd, void *buf, size_t size);

/* Reads the whole file @name under @dirfd (AT_FDCWD allowed) into an owned,
 * NUL-terminated buffer. A file longer than @max_bytes is -EFBIG; only regular
 * files and kernel files (proc, cgroup) are read, never a FIFO or device
 * (-EINVAL; opened O_NONBLOCK | O_NOFOLLOW). */
int fd_read_file(int dirfd, const char *name, size_t max_bytes, char **ret_text, size_t *ret_size,
		 struct err *err);

/* Writes @text to the existing file @name under @dirfd with one write(2), as
 * kernel files want it (cgroup, proc). 0 or -errno. */
int fd_write_file(int dirfd, const char *name, const char *text);

enum fd_sync { FD_SYNC_NO, FD_SYNC_YES };

/* Replaces the file @name under @dirfd whole: temp file, write, fsync, rename,
 * fsync of the folder (the fsyncs only with FD_SYNC_YES). Mode 0600 unless
 * @mode is not 0. Nobody ever sees half of it; on failure the old one stays
 * and no temp file is left. Blocks: in isolad only on tmpfs or in a worker. */
int fd_write_atomic(int dirfd, const char *name, const void *buf, size_t size, mode_t mode,
		    enum fd_sync sync, struct err *err);

/* True of names like those of fd_write_atomic()'s temp files. */
bool fd_is_temp(const char *name);

/* Removes from @dirfd what a writer that was killed amid fd_write_atomic() left there.
 * Only where nobody writes at the time. What cannot be removed stays, quietly. */
void fd_sweep_temp(int dirfd);

/* Removes the tree @name under @dirfd without following links or crossing
 * mounts; a missing one is fine. Depth is bounded only by the file system. */
int fd_remove_tree(int dirfd, const char *name, struct err *err);

int fd_set_nonblock(int fd, bool on);
int fd_set_cloexec(int fd, bool on);

/* The close-on-exec duplicate, >= 3. -errno on failure. */
int fd_dup(int fd);
