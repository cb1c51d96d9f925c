/* SPDX-License-Identifier: Apache-2.0 */
/* layer_verify - is a layer's folder what was unpacked? Counts names and sizes, as
 * its layer.json has them. Nothing of the tree is opened but folders. Runs in
 * isola-image's jail. */
#include "layer.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "isola/path.h"
#include "cancel.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LAYER_JSON_BYTES_MAX 4096

/* A folder that waits to be read. */
struct waiting {
	struct waiting *next;
	char path[]; /* below the root */
};

struct walk {
	int root_fd;
	struct waiting *top; /* the newest first: few wait at a time */
	uint64_t names, file_bytes;
};

static int push(struct walk *w, const char *parent, const char *name, struct err *err)
{
	size_t size = strlen(parent) + strlen(name) + 2;
	struct waiting *p = malloc(sizeof(*p) + size);
	if (!p)
		return err_set(err, ENOMEM, "out of memory");
	(void)snprintf(p->path, size, "%s%s%s", parent, *parent ? "/" : "", name);
	p->next = w->top;
	w->top = p;
	return 0;
}

static int count(struct walk *w, int dir_fd, const char *path, const char *name, struct err *err)
{
	struct stat st;
	if (!strcmp(name, ".") || !strcmp(name, ".."))
		return 0;
	if (fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0)
		return err_sys(err, "cannot look at \"%.300s/%.255s\"", path, name);
	w->names++;
	if (S_ISREG(st.st_mode))
		w->file_bytes += (uint64_t)st.st_size;
	return S_ISDIR(st.st_mode) ? push(w, path, name, err) : 0;
}

static int read_folder(struct walk *w, const char *path, struct err *err)
{
	int fd = *path ? path_open_beneath(w->root_fd, path, O_RDONLY | O_DIRECTORY, 0)
		       : openat(w->root_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int rc = err_sys(err, "cannot read the folder \"%.300s\"", path);
		fd_close(&fd);
		return rc;
	}
	int rc = 0;
	for (struct dirent *e; rc == 0 && (errno = 0, e = readdir(dir));)
		rc = count(w, fd, path, e->d_name, err);
	if (rc == 0 && errno != 0)
		rc = err_sys(err, "cannot read the folder \"%.300s\"", path);
	(void)closedir(dir);
	return rc;
}

static int walk_tree(struct walk *w, struct err *err)
{
	int rc = push(w, "", "", err);
	while (w->top) {
		struct waiting *p = w->top;
		w->top = p->next;
		if (rc == 0 && cancel_requested())
			rc = err_set(err, EINTR, "cancelled");
		if (rc == 0)
			rc = read_folder(w, p->path, err);
		free(p);
	}
	return rc;
}

static int compare(int root_fd, json_object *facts, struct err *err)
{
	int64_t names = json_i64_or(facts, "names", -1);
	int64_t bytes = json_i64_or(facts, "file_bytes", -1);
	struct walk w = { .root_fd = root_fd };
	int rc = walk_tree(&w, err);
	if (rc < 0)
		return rc;
	/* Not told for a layer in which entries replace each other. */
	if (names >= 0 && (uint64_t)names != w.names)
		return err_set(err, EIO, "it has %llu names and should have %lld",
			       (unsigned long long)w.names, (long long)names);
	if (bytes >= 0 && (uint64_t)bytes != w.file_bytes)
		return err_set(err, EIO, "its files have %llu bytes and should have %lld",
			       (unsigned long long)w.file_bytes, (long long)bytes);
	return 0;
}

int layer_verify(const struct store *s, const char *chain_hex, struct err *err)
{
	cleanup_json json_object *facts = NULL;
	cleanup_fd int dir =
		openat(s->layers_fd, chain_hex, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	cleanup_fd int fs =
		dir < 0 ? -1 : openat(dir, "fs", O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (fs < 0)
		return errno == ENOENT ? err_set(err, ENOENT, "it is missing")
				       : err_sys(err, "it cannot be opened");
	int rc = json_read_file(dir, "layer.json", LAYER_JSON_BYTES_MAX, &facts, err);
	if (rc == 0 && !id_is_digest(json_str_or(facts, "diff_id", "")))
		rc = err_set(err, EINVAL, "its layer.json names no diff id");
	if (rc == 0)
		rc = compare(fs, facts, err);
	return rc == 0 || rc == -EINTR ? rc : -EIO;
}

uint64_t layer_ino(const struct store *s, const char *chain_hex)
{
	char name[80];
	struct stat st;
	(void)snprintf(name, sizeof(name), "%.64s/fs", chain_hex);
	return fstatat(s->layers_fd, name, &st, AT_SYMLINK_NOFOLLOW) < 0 ? 0 : st.st_ino;
}

int layer_verify_deep(const struct store *s, const char *chain_hex, const char *diff_id,
		      const struct layer_input *input, uint64_t *ret_ino, struct err *err)
{
	cleanup_json json_object *facts = NULL;
	char name[80];
	struct layer l = LAYER_INIT;
	struct stat st;
	int rc = layer_verify(s, chain_hex, err);
	if (rc < 0)
		return rc;
	(void)snprintf(name, sizeof(name), "%.64s/fs", chain_hex);
	cleanup_fd int fs =
		openat(s->layers_fd, name, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	(void)snprintf(name, sizeof(name), "%.64s/layer.json", chain_hex);
	if (fs < 0 || fstat(fs, &st) < 0)
		return err_set(err, EIO, "it cannot be opened");
	rc = json_read_file(s->layers_fd, name, LAYER_JSON_BYTES_MAX, &facts, err);
	if (rc < 0)
		return rc;
	strcpy(l.diff_id, diff_id);
	l.shape.unknown = !json_get(facts, "names");
	l.fs_fd = fs;
	*ret_ino = st.st_ino;
	return layer_compare(input, &l, err);
}
