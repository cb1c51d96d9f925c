/* SPDX-License-Identifier: Apache-2.0 */
/* size - how much a container's writable layer holds (docker ps -s, inspect
 * --size). The walk runs in isolad's thread pool; the tree is the payload's and
 * changes meanwhile, so every step is by descriptor, below the layer, and without
 * following links. What lies deeper than a path can name is not counted. */
#include "size.h"

#include "folders.h"
#include "isolad.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/path.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <search.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* Folders that wait to be read; a payload must not fill isolad's memory. */
#define WAITING_MAX (1024 * 1024)
#define LINKS_MAX   (1024 * 1024)

struct measuring {
	uv_work_t work;
	struct isolad *d;
	char *upper;         /* the folder, owned */
	int64_t image_bytes; /* below it */
	op_done_fn *done;
	void *arg;
	/* The worker's. */
	int root_fd;
	dev_t dev;
	struct list waiting; /* struct folder */
	size_t n_waiting, n_links;
	void *links; /* tsearch(3) tree of inodes with several names */
	int64_t bytes;
	struct err err;
};

struct folder {
	struct list node;
	char path[]; /* below the root */
};

/* ---- in the worker ---- */

static int compare_inodes(const void *a, const void *b)
{
	const ino_t *x = a, *y = b;
	return *x < *y ? -1 : *x > *y;
}

/* Whether a file with several names is met for the first time. */
static bool is_first(struct measuring *m, ino_t ino)
{
	if (m->n_links >= LINKS_MAX)
		return true;
	ino_t *key = malloc(sizeof(*key));
	if (!key)
		return true;
	*key = ino;
	ino_t **found = tsearch(key, &m->links, compare_inodes);
	if (found && *found == key) {
		m->n_links++;
		return true;
	}
	free(key);
	return !found;
}

static void push(struct measuring *m, const char *parent, const char *name)
{
	size_t size = strlen(parent) + strlen(name) + 2;
	if (size > PATH_MAX || m->n_waiting >= WAITING_MAX)
		return;
	struct folder *f = malloc(sizeof(*f) + size);
	if (!f)
		return;
	(void)snprintf(f->path, size, "%s%s%s", parent, *parent ? "/" : "", name);
	list_add_tail(&m->waiting, &f->node);
	m->n_waiting++;
}

static void count(struct measuring *m, const char *path, const char *name, const struct stat *st)
{
	if (st->st_dev != m->dev)
		return;
	if (S_ISDIR(st->st_mode))
		push(m, path, name);
	else if (st->st_nlink < 2 || is_first(m, st->st_ino))
		m->bytes += S_ISREG(st->st_mode) || S_ISLNK(st->st_mode) ? st->st_size : 0;
}

static void read_folder(struct measuring *m, const char *path)
{
	int fd = path_open_beneath(m->root_fd, *path ? path : ".", O_RDONLY | O_DIRECTORY, 0);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	if (!dir) {
		fd_close(&fd);
		return; /* gone meanwhile */
	}
	while ((e = readdir(dir))) {
		struct stat st;
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..") &&
		    fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0)
			count(m, path, e->d_name, &st);
	}
	(void)closedir(dir);
}

static void walk(struct measuring *m)
{
	push(m, "", "");
	while (!list_is_empty(&m->waiting)) {
		struct folder *f = container_of(m->waiting.next, struct folder, node);
		list_del(&f->node);
		m->n_waiting--;
		read_folder(m, f->path);
		free(f);
	}
}

static void measure(uv_work_t *work)
{
	struct measuring *m = container_of(work, struct measuring, work);
	struct stat st;
	m->root_fd = open(m->upper, O_PATH | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (m->root_fd < 0 || fstat(m->root_fd, &st) < 0) {
		(void)err_sys(&m->err, "cannot measure %s", m->upper);
		return;
	}
	m->dev = st.st_dev;
	walk(m);
}

int64_t size_tree(int root_fd)
{
	struct measuring m = { .root_fd = root_fd };
	struct stat st;
	list_init(&m.waiting);
	if (fstat(root_fd, &st) < 0)
		return 0;
	m.dev = st.st_dev;
	walk(&m);
	tdestroy(m.links, free);
	return m.bytes;
}

/* ---- in the loop ---- */

static void measuring_free(struct measuring *m)
{
	fd_close(&m->root_fd);
	tdestroy(m->links, free);
	free(m->upper);
	free(m);
}

static void on_measured(uv_work_t *work, int status)
{
	struct measuring *m = container_of(work, struct measuring, work);
	if (status < 0)
		(void)err_set(&m->err, ECANCELED, "isolad is shutting down");
	cleanup_json json_object *result = json_object_new_object();
	json_add_i64(result, "SizeRw", m->bytes);
	json_add_i64(result, "SizeRootFs", m->image_bytes + m->bytes);
	m->done(m->arg, m->err.code ? &m->err : NULL, m->err.code ? NULL : result);
	measuring_free(m);
}

void view_size(struct instance *inst, op_done_fn *done, void *arg)
{
	struct err err = ERR_INIT;
	struct measuring *m = calloc(1, sizeof(*m));
	cleanup_free char *state_dir = instance_state_dir(inst);
	if (m) {
		m->root_fd = -1;
		m->d = inst->isolad;
		m->image_bytes = json_i64_or(inst->image, "size", 0);
		m->done = done;
		m->arg = arg;
		list_init(&m->waiting);
	}
	int rc = m && state_dir && asprintf(&m->upper, "%s/%s", state_dir, folders_upper(inst)) >= 0
			 ? uv_queue_work(&inst->isolad->loop, &m->work, measure, on_measured)
			 : -ENOMEM;
	if (rc >= 0)
		return;
	(void)err_rc(&err, rc, "cannot measure container %.12s", inst->id);
	later_done(inst->isolad, done, arg, &err, NULL);
	free(m ? m->upper : NULL);
	free(m);
}
