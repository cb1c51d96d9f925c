/* SPDX-License-Identifier: Apache-2.0 */
/* mount_memory - see mount_memory.h. */
#include "mount_memory.h"

#include "tree.h"

#include "isola/ctr.h"
#include "isola/fd.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>

#define MEMORY_FILE "file"

static int copy(int from, int to, const struct ctr_mount *m, struct err *err)
{
	char *text = malloc(CTR_MEMORY_BYTES + 1);
	if (!text)
		return err_set(err, ENOMEM, "out of memory");
	ssize_t n = fd_read_all(from, text, CTR_MEMORY_BYTES + 1);
	int rc = n < 0 ? (int)n : n > CTR_MEMORY_BYTES ? -EFBIG : fd_write_all(to, text, (size_t)n);
	explicit_bzero(text, CTR_MEMORY_BYTES + 1);
	free(text);
	/* The mode last: a change of owner clears bits of it. */
	if (rc == 0 &&
	    (fchown(to, m->memory_uid, m->memory_gid) < 0 || fchmod(to, m->memory_mode) < 0))
		rc = -errno;
	return rc;
}

int mount_memory_make(int base, const struct ctr_mount *m, struct err *err)
{
	static const struct ctr_mount_param mode = { "mode", "0711" };
	cleanup_fd int from =
		openat(base, m->source, O_RDONLY | O_CLOEXEC | O_NOFOLLOW | O_NONBLOCK);
	if (from < 0)
		return err_sys(err, "cannot open the source %s of the file on %s", m->source,
			       m->destination);
	cleanup_fd int tree = tree_new("ramfs", "none", &mode, 1, 0, err);
	if (tree < 0)
		return err_prefix(err, "the file on %s", m->destination);
	cleanup_fd int to =
		openat(tree, MEMORY_FILE, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
	int rc = to < 0 ? -errno : copy(from, to, m, err);
	if (rc < 0)
		return err_rc(err, rc, "cannot make the file on %s", m->destination);
	fd_close(&to);
	rc = tree_set(tree, false, m->attr_set | m->rec_attr_set, 0, MS_PRIVATE);
	return rc < 0 ? err_rc(err, rc, "cannot set the options of the file on %s", m->destination)
		      : take_fd(&tree);
}

int mount_memory_file(int tree, int place, struct err *err)
{
	char path[40];
	int rc = tree_attach(tree, place);
	if (rc < 0)
		return err_rc(err, rc, "cannot attach the file system of a file");
	int fd = openat(tree, MEMORY_FILE, O_PATH | O_CLOEXEC | O_NOFOLLOW);
	int file = fd < 0 ? -errno : tree_clone(fd, false);
	fd_close(&fd);
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", tree);
	if (umount2(path, MNT_DETACH) < 0) {
		rc = -errno;
		fd_close(&file);
		return err_rc(err, rc, "cannot detach the file system of a file");
	}
	return file < 0 ? err_rc(err, file, "cannot clone the mount of a file") : file;
}
