/* SPDX-License-Identifier: Apache-2.0 */
/* fill - the first files of a volume: what the image has where it will be mounted
 * (copy.h). In isola-image's jail, whose root has the image as /lower and the new
 * folder as /to. We pack and a child extracts, so the rules for foreign trees and
 * foreign archives hold, and are nowhere written twice. */
#include "copy.h"

#include "isola/extract.h"
#include "isola/fd.h"
#include "isola/pack.h"
#include "isola/path.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <sys/xattr.h>

#define PIECE_BYTES     (256 * 1024)
#define VALUE_BYTES_MAX 65536

struct pipe_end {
	int fd;
	uint64_t left; /* of what may come */
	unsigned char *buf;
};

static ssize_t read_piece(void *arg, const unsigned char **ret, struct err *err)
{
	struct pipe_end *in = arg;
	ssize_t n;
	do
		n = read(in->fd, in->buf, PIECE_BYTES);
	while (n < 0 && errno == EINTR);
	if (n < 0)
		return err_sys(err, "cannot read from the packer");
	if ((uint64_t)n > in->left)
		return err_set(err, EFBIG, "the image's files for the volume are too large");
	in->left -= (uint64_t)n;
	*ret = in->buf;
	return n;
}

static int write_piece(void *arg, const void *data, size_t size, struct err *err)
{
	int rc = fd_write_all(*(int *)arg, data, size);
	return rc < 0 ? err_rc(err, rc, "cannot write to the extracting process") : 0;
}

static int pack(const struct view *v, int dir, int out, struct err *err)
{
	cleanup_tarw struct tarw *t = NULL;
	int rc = tarw_new(write_piece, &out, &t, err);
	const struct pack_options options = { .out = t, .proc_fd = v->proc_fd };
	if (rc == 0)
		rc = pack_below(&options, dir, err);
	return rc < 0 ? rc : tarw_end(t, err);
}

/* The child. */
static int unpack(int in, const struct copy_options *o, struct err *err)
{
	cleanup_tar struct tar *tar = NULL;
	cleanup_free unsigned char *buf = malloc(PIECE_BYTES);
	cleanup_fd int to = open("/to", O_PATH | O_DIRECTORY | O_CLOEXEC);
	struct pipe_end end = { .fd = in, .left = o->bytes_max, .buf = buf };
	const struct extract_options x = { .root_fd = to,
					   .lenient = true,
					   .entries_max = o->entries_max };
	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	if (to < 0)
		return err_sys(err, "cannot open the volume");
	int rc = tar_new(read_piece, &end, &tar, err);
	return rc < 0 ? rc : extract(tar, &x, err);
}

/* @rc: the packer's, with @err; @said: the child's error, shared. Whoever failed first
 * makes the other one fail, too: a full disk is the child's to tell, a file that
 * cannot be read is ours. */
static int wait_for(pid_t pid, int rc, const struct err *said, struct err *err)
{
	int status = 0;
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		;
	if (rc < 0 && rc != -EPIPE)
		return rc;
	if (said->code)
		return err_set(err, said->code, "%.*s", (int)sizeof(said->text) - 1, said->text);
	if (rc == 0 && status != 0)
		return err_set(err, EIO, "the extracting process failed");
	return rc;
}

/* We pack, since proc_fd names our own descriptors. */
static int copy_tree(const struct view *v, int dir, const struct copy_options *o, struct err *said,
		     struct err *err)
{
	int ends[2];
	if (pipe2(ends, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	(void)signal(SIGPIPE, SIG_IGN);
	pid_t pid = fork();
	if (pid == 0) {
		(void)close(ends[1]);
		_exit(unpack(ends[0], o, said) < 0);
	}
	fd_close(&ends[0]);
	int rc = pid < 0 ? err_sys(err, "cannot fork") : pack(v, dir, ends[1], err);
	fd_close(&ends[1]);
	return pid < 0 ? rc : wait_for(pid, rc, said, err);
}

static void copy_xattrs(int from, int to)
{
	char names[XATTR_LIST_MAX];
	char value[VALUE_BYTES_MAX];
	ssize_t n = flistxattr(from, names, sizeof(names));
	for (ssize_t at = 0; at < n; at += (ssize_t)strlen(names + at) + 1) {
		ssize_t size = pack_keeps_xattr(names + at)
				       ? fgetxattr(from, names + at, value, sizeof(value))
				       : -1;
		/* Where the file system has none of the kind, there is none. */
		if (size >= 0)
			(void)fsetxattr(to, names + at, value, (size_t)size, 0);
	}
}

/* The folder itself becomes what the image's is: owner before mode, times last. */
static int copy_folder(int dir, const struct stat *st, struct err *err)
{
	const struct timespec times[2] = { st->st_atim, st->st_mtim };
	cleanup_fd int from = openat(dir, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int to = open("/to", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (from < 0 || to < 0 || fchown(to, st->st_uid, st->st_gid) < 0 ||
	    fchmod(to, st->st_mode & 07777) < 0)
		return err_sys(err, "cannot set owner and mode of the volume");
	copy_xattrs(from, to);
	return futimens(to, times) < 0 ? err_sys(err, "cannot set the volume's times") : 0;
}

int copy_fill(struct view *v, const struct copy_options *o, json_object **ret_aux, struct err *err)
{
	char clean[PATH_MAX];
	struct stat st;
	if (path_clean(o->path, clean, sizeof(clean)) < 0)
		return err_set(err, EINVAL, "the path is too long");
	cleanup_fd int lower = open("/lower", O_PATH | O_DIRECTORY | O_CLOEXEC);
	if (lower < 0)
		return err_sys(err, "cannot open the image's files");
	cleanup_fd int dir = path_open_in_root(lower, clean, O_PATH, 0);
	bool is_folder = dir >= 0 && fstat(dir, &st) == 0 && S_ISDIR(st.st_mode);
	struct err *said = mmap(NULL, sizeof(*said), PROT_READ | PROT_WRITE,
				MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	if (said == MAP_FAILED)
		return err_sys(err, "out of memory");
	/* Nothing there, or no folder: the volume stays empty. */
	int rc = is_folder ? copy_tree(v, dir, o, said, err) : 0;
	if (rc == 0 && is_folder)
		rc = copy_folder(dir, &st, err);
	(void)munmap(said, sizeof(*said));
	if (rc == 0) {
		*ret_aux = json_object_new_object();
		json_object_object_add(*ret_aux, "Filled", json_object_new_boolean(is_folder));
	}
	return rc;
}
