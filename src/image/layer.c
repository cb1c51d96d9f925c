/* SPDX-License-Identifier: Apache-2.0 */
/* layer - see layer.h. The folder layers/<chain>: claim, publish, remove. Runs
 * in isola-image. */
#include "layer.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "cancel.h"
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define LAYER_JSON_BYTES_MAX 4096

void layer_fini(const struct store *s, struct layer *l)
{
	fd_close(&l->fs_fd);
	if (l->lock_fd < 0)
		return;
	/* Still ours alone: nobody else can be inside an unpublished one. */
	if (!l->present) {
		(void)unlinkat(l->lock_fd, "layer.json", 0);
		(void)unlinkat(s->layers_fd, digest_hex(l->chain), AT_REMOVEDIR);
	}
	fd_close(&l->lock_fd);
}

static int lock_wait(int fd, int how)
{
	while (flock(fd, how) < 0)
		if (errno != EINTR || cancel_requested())
			return -errno;
	return 0;
}

/* Was the folder removed while we waited for its lock? */
static bool is_removed(int fd)
{
	struct stat st;
	return fstat(fd, &st) < 0 || st.st_nlink == 0;
}

static int read_facts(struct layer *l, struct err *err)
{
	cleanup_json json_object *facts = NULL;
	int rc = json_read_file(l->lock_fd, "layer.json", LAYER_JSON_BYTES_MAX, &facts, err);
	if (rc < 0)
		return err_prefix(err, "layer %s", digest_hex(l->chain));
	l->bytes = (uint64_t)json_i64_or(facts, "size", 0);
	l->opaque = unpack_is_opaque(l->fs_fd);
	l->present = true;
	return 0;
}

/* One try: 1 = claimed, 0 = try again. */
static int try_claim(const struct store *s, struct layer *l, struct err *err)
{
	const char *hex = digest_hex(l->chain);
	if (mkdirat(s->layers_fd, hex, 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make the folder layers/%s", hex);
	cleanup_fd int dir =
		openat(s->layers_fd, hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 0 : err_sys(err, "cannot open layers/%s", hex);
	/* Shared first: several images may use a finished layer at once. A lock
	 * is dropped while it changes its kind, so look again afterwards. */
	for (int how = LOCK_SH;; how = LOCK_EX) {
		int rc = lock_wait(dir, how);
		if (rc < 0)
			return err_rc(err, rc, "cannot lock layers/%s", hex);
		if (is_removed(dir))
			return 0;
		l->fs_fd = openat(dir, "fs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
		if (l->fs_fd >= 0 && how == LOCK_EX) {
			fd_close(&l->fs_fd);
			return 0;
		}
		if (l->fs_fd < 0 && errno != ENOENT)
			return err_sys(err, "cannot open layers/%s/fs", hex);
		if (l->fs_fd >= 0 || how == LOCK_EX)
			break;
	}
	l->lock_fd = take_fd(&dir);
	return 1;
}

int layer_claim(const struct store *s, struct layer *l, struct err *err)
{
	int rc;
	while ((rc = try_claim(s, l, err)) == 0)
		;
	if (rc > 0)
		rc = l->fs_fd >= 0 ? read_facts(l, err) : 0;
	return rc;
}

static int publish(const struct job *job, struct layer *l, struct err *err)
{
	char name[32];
	(void)snprintf(name, sizeof(name), "layer-%u", l->number);
	if (renameat(job->fd, name, l->lock_fd, "fs") < 0)
		return err_sys(err, "cannot put layer %s in place", digest_hex(l->chain));
	l->present = l->moved = true;
	return 0;
}

int layers_publish(const struct job *job, struct layer *l, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		int rc = l[i].present ? 0 : publish(job, &l[i], err);
		if (rc < 0)
			return rc;
	}
	/* All names first: a journal takes them in one go. */
	for (size_t i = 0; i < n; i++)
		if (l[i].moved && fsync(l[i].lock_fd) < 0)
			return err_sys(err, "cannot write layer %s to disk",
				       digest_hex(l[i].chain));
	if (fsync(job->store->layers_fd) < 0)
		return err_sys(err, "cannot write layers/ to disk");
	return 0;
}

int layer_share(struct layer *l, struct err *err)
{
	int rc = lock_wait(l->lock_fd, LOCK_SH);
	return rc < 0 ? err_rc(err, rc, "cannot lock layers/%s", digest_hex(l->chain)) : 0;
}

/* 0 when it cannot be told. */
static uint64_t bytes_of(int dir)
{
	cleanup_json json_object *facts = NULL;
	if (json_read_file(dir, "layer.json", LAYER_JSON_BYTES_MAX, &facts, NULL) < 0)
		return 0;
	return (uint64_t)json_i64_or(facts, "size", 0);
}

int layer_remove(const struct job *job, const char *chain_hex, uint64_t *ret_bytes, struct err *err)
{
	int layers = job->store->layers_fd;
	cleanup_fd int dir =
		openat(layers, chain_hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0)
		return errno == ENOENT ? 1 : err_sys(err, "cannot open layers/%s", chain_hex);
	if (flock(dir, LOCK_EX | LOCK_NB) < 0)
		return errno == EWOULDBLOCK ? 0 : err_sys(err, "cannot lock layers/%s", chain_hex);
	if (ret_bytes)
		*ret_bytes = bytes_of(dir) + root_bytes(job->store, chain_hex);
	/* Out of its place at once: a half-removed one must not look complete. */
	char name[80];
	(void)snprintf(name, sizeof(name), "dead-%s", chain_hex);
	if (renameat(dir, "fs", job->fd, name) < 0 && errno != ENOENT)
		return err_sys(err, "cannot remove layers/%s", chain_hex);
	int rc = fd_remove_tree(layers, chain_hex, err);
	if (rc == 0)
		rc = fd_remove_tree(job->fd, name, err);
	return rc < 0 ? rc : 1;
}
