/* SPDX-License-Identifier: Apache-2.0 */
/* copy - an archive becomes files of the container (GUEST_COPY), in a process of its own that
 * executes nothing: the mount namespace is the container's, all else is init's, so the
 * container neither sees nor reaches it. It waits for its stream like any program, and its
 * memory is bounded by tar.h. */
#include "init.h"

#include "tree.h"

#include "isola/extract.h"
#include "isola/fd.h"
#include "isola/path.h"
#include "isola/pieces.h"

#include "../../src/image/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define SYS_CLOSE_RANGE_ 436 /* which our C library does not know */

/* ---- pieces ---- */

struct pieces {
	int fd;
	bool ended;
	uint8_t buf[GUEST_PIECE_MAX];
};

/* The next piece: its size, 0 behind the last. */
static ssize_t next_piece(struct pieces *p, struct err *err)
{
	uint8_t head[4];
	if (p->ended)
		return 0;
	ssize_t n = fd_read_all(p->fd, head, sizeof(head));
	size_t size = n == sizeof(head) ? (size_t)tlv_load(head, 4) : 0;
	if (size > sizeof(p->buf))
		return err_set(err, EPROTO, "isola-image sent a piece that is too long");
	if (n == sizeof(head) && size > 0)
		n = fd_read_all(p->fd, p->buf, size) == (ssize_t)size ? n : 0;
	if (n != sizeof(head))
		return err_set(err, ECONNRESET, "the host is gone");
	p->ended = size == 0;
	return (ssize_t)size;
}

static ssize_t read_archive(void *arg, const unsigned char **ret, struct err *err)
{
	struct pieces *p = arg;
	*ret = p->buf;
	return next_piece(p, err);
}

/* ---- the container's files ---- */

/* As a folder first: it is what makes a mount that virtio-fs announces. */
static int open_place(int root, const char *path)
{
	int fd = path_open_in_root(root, path, O_PATH | O_DIRECTORY, 0);
	return fd == -ENOTDIR ? path_open_in_root(root, path, O_PATH, 0) : fd;
}

static int clone_one(int root, const struct mount_spec *m, int *ret, struct err *err)
{
	cleanup_fd int at = open_place(root, m->target);
	/* The container may have taken the folder away. */
	if (at < 0)
		return 0;
	cleanup_fd int fd = tree_clone(at, "", m->flags & MS_REC);
	if (fd < 0)
		return err_rc(err, fd, "cannot clone the mount at %.200s", m->target);
	int rc = m->flags & MS_RDONLY ? tree_restrict(fd, TREE_READ_ONLY, true) : 0;
	if (rc < 0)
		return err_rc(err, rc, "cannot make the mount at %.200s read-only", m->target);
	*ret = take_fd(&fd);
	return 0;
}

/* All are cloned before one is moved: each lies in what the container has. */
static int clone_all(const struct copy_spec *s, int root, int *fds, struct err *err)
{
	struct tlv_reader r = tlv_read(s->fields.data, s->fields.size);
	struct tlv_field f;
	struct mount_spec m;
	int rc = 0;
	for (size_t i = 0; rc == 0 && tlv_next(&r, &f) > 0;)
		if (f.tag == GF_MOUNT && copy_mount_parse(f.data, f.size, &m) == 0)
			rc = clone_one(root, &m, &fds[i++], err);
	return rc;
}

static int attach_all(const struct copy_spec *s, int root, int *fds, struct err *err)
{
	struct tlv_reader r = tlv_read(s->fields.data, s->fields.size);
	struct tlv_field f;
	struct mount_spec m;
	for (size_t i = 0; tlv_next(&r, &f) > 0;) {
		if (f.tag != GF_MOUNT || copy_mount_parse(f.data, f.size, &m) < 0)
			continue;
		int fd = fds[i++];
		cleanup_fd int at = fd < 0 ? -1 : path_open_in_root(root, m.target, O_PATH, 0);
		int rc = at < 0 ? 0 : tree_move(fd, at, "");
		if (rc < 0)
			return err_rc(err, rc, "cannot mount %.200s for a copy", m.target);
	}
	return 0;
}

/* Leaves this process with the root, without what is mounted on it, and the mounts that the
 * host named, as "/". */
static int enter_files(const struct copy_spec *s, struct err *err)
{
	int fds[GUEST_MOUNTS_MAX];
	memset(fds, -1, sizeof(fds));
	if (setns(KEPT_NAMESPACE, CLONE_NEWNS) < 0 || unshare(CLONE_NEWNS) < 0 ||
	    mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0)
		return err_sys(err, "cannot enter the container's mounts");
	cleanup_fd int old = open("/", O_PATH | O_DIRECTORY | O_CLOEXEC);
	cleanup_fd int root = tree_clone(AT_FDCWD, "/", false);
	if (old < 0 || root < 0)
		return err_rc(err, root < 0 ? root : -EIO, "cannot clone the container's root");
	int rc = clone_all(s, old, fds, err);
	if (rc == 0)
		rc = tree_move(root, AT_FDCWD, "/");
	if (rc == 0 && (fchdir(root) < 0 || chroot(".") < 0))
		rc = -errno;
	if (rc < 0)
		return err_rc(err, rc, "cannot enter the container's files");
	return attach_all(s, root, fds, err);
}

/* ---- a copy ---- */

static int unpack(struct pieces *p, const struct copy_spec *s, struct err *err)
{
	cleanup_tar struct tar *tar = NULL;
	cleanup_fd int to = -1;
	struct extract_options x = { .keep_kinds = s->keep_kinds,
				     .lenient = true,
				     .entries_max = s->entries_max };
	int rc = enter_files(s, err);
	if (rc == 0)
		rc = extract_destination(s->target, s->name, &to, err);
	if (rc == 0 && s->user) {
		rc = owner_find(s->user, &x.uid, &x.gid, err);
		x.owner = EXTRACT_OWNER_FIXED;
	}
	x.root_fd = to;
	if (rc == 0)
		rc = tar_new(read_archive, p, &tar, err);
	return rc < 0 ? rc : extract(tar, &x, err);
}

static int copy(struct pieces *p, struct err *err)
{
	struct copy_spec s;
	ssize_t size = next_piece(p, err);
	if (size < 0)
		return (int)size;
	/* What it borrows is gone with the next piece. */
	cleanup_free uint8_t *head = malloc((size_t)size + 1);
	if (!head)
		return err_set(err, ENOMEM, "out of memory");
	memcpy(head, p->buf, (size_t)size);
	int rc = copy_spec_parse(head, (size_t)size, &s, err);
	return rc < 0 ? rc : unpack(p, &s, err);
}

static void answer(int fd, const struct err *err)
{
	cleanup_tlv struct tlv_writer w = { 0 };
	uint8_t head[4];
	if (err->code) {
		tlv_put_u64(&w, GF_ERROR, (uint64_t)err->code);
		tlv_put_text(&w, GF_TEXT, err->text);
	}
	tlv_store(head, sizeof(head), w.size);
	if (!w.failed && fd_write_all(fd, head, sizeof(head)) == 0)
		(void)fd_write_all(fd, w.data, w.size);
}

/* Nothing of init's stays open: a process's stream ends when init closes it. */
int files_keep(int stream_fd, int namespace_fd)
{
	cleanup_fd int stream = fcntl(stream_fd, F_DUPFD_CLOEXEC, KEPT_NAMESPACE + 1);
	cleanup_fd int ns = fcntl(namespace_fd, F_DUPFD_CLOEXEC, KEPT_NAMESPACE + 1);
	if (stream < 0 || ns < 0 || dup3(stream, KEPT_STREAM, O_CLOEXEC) < 0 ||
	    dup3(ns, KEPT_NAMESPACE, O_CLOEXEC) < 0)
		return -errno;
	stream = ns = -1; /* go with the rest */
	return syscall(SYS_CLOSE_RANGE_, KEPT_NAMESPACE + 1, ~0U, 0) < 0 ? -errno : 0;
}

void copy_run(int stream_fd, int namespace_fd)
{
	struct err e = ERR_INIT;
	sigset_t none;
	(void)sigemptyset(&none);
	(void)sigprocmask(SIG_SETMASK, &none, NULL);
	(void)signal(SIGPIPE, SIG_IGN);
	(void)umask(0);
	struct pieces *p = calloc(1, sizeof(*p));
	int rc = files_keep(stream_fd, namespace_fd);
	if (rc == 0)
		rc = fd_set_nonblock(KEPT_STREAM, false);
	if (rc < 0 || !p)
		_exit(1);
	p->fd = KEPT_STREAM;
	if (copy(p, &e) < 0 && !e.code)
		(void)err_set(&e, EIO, "the copy has failed");
	answer(KEPT_STREAM, &e);
	_exit(e.code != 0);
}
