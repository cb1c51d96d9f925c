/* SPDX-License-Identifier: Apache-2.0 */
/* volumes - see volumes.h: the table and the disk. isolad: loop thread, but jobs,
 * which work on copies in the thread pool. */
#include "volumes.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/log.h"
#include "isola/num.h"
#include "isola/quota.h"
#include "isola/step.h"

#include "isolad.h"
#include "mounts.h"
#include "project.h"
#include "size.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD           VOLUME_RECORD
#define RECORD_VERSION   1
#define RECORD_BYTES_MAX (256 * 1024)
#define NEW_PREFIX       VOLUME_NEW
#define GONE_PREFIX      ".gone-"
#define REMOVE_TRIES     20
#define REMOVE_PAUSE_US  100000

/* ---- waiting for one ---- */

struct volume_waiter {
	struct list node;
	op_done_fn *done;
	void *arg;
};

void volume_wait(struct volume *v, op_done_fn *done, void *arg)
{
	struct volume_waiter *w = calloc(1, sizeof(*w));
	if (!w)
		abort(); /* see later.h */
	w->done = done;
	w->arg = arg;
	list_add_tail(&v->waiters, &w->node);
}

void volume_wake(struct volume *v, const struct err *err)
{
	while (!list_is_empty(&v->waiters)) {
		struct volume_waiter *w = container_of(v->waiters.next, struct volume_waiter, node);
		list_del(&w->node);
		later_done(v->d, w->done, w->arg, err, err ? NULL : volume_view(v));
		free(w);
	}
}

/* ---- the table ---- */

static void volume_free(struct volume *v)
{
	list_del(&v->node);
	json_object_put(v->labels);
	json_object_put(v->snapshots);
	free(v->name);
	free(v);
}

static struct volume *volume_new(struct isolad *d, const char *name, json_object *labels)
{
	struct volume *v = calloc(1, sizeof(*v));
	if (!v)
		return NULL;
	v->d = d;
	v->name = strdup(name);
	v->labels = json_object_is_type(labels, json_type_object) ? json_copy(labels)
								  : json_object_new_object();
	v->snapshots = json_object_new_object();
	list_init(&v->node);
	list_init(&v->waiters);
	if (!v->name || !v->labels || !v->snapshots) {
		volume_free(v);
		return NULL;
	}
	list_add_tail(&d->volumes.all, &v->node);
	return v;
}

struct volume *volume_find(struct isolad *d, const char *name, struct err *err)
{
	list_for_each (node, &d->volumes.all) {
		struct volume *v = container_of(node, struct volume, node);
		if (!strcmp(v->name, name))
			return v;
	}
	(void)err_set(err, ENOENT, "get %.255s: no such volume", name);
	return NULL;
}

bool volume_is_anonymous(const struct volume *v)
{
	return json_get(v->labels, VOLUME_ANONYMOUS) != NULL;
}

void volumes_init(struct volumes *v)
{
	list_init(&v->all);
	v->dir_fd = -1;
}

void volumes_close(struct volumes *v)
{
	while (!list_is_empty(&v->all))
		volume_free(container_of(v->all.next, struct volume, node));
	fd_close(&v->dir_fd);
}

/* ---- making ---- */

struct making {
	uv_work_t work;
	struct isolad *d;
	char *name;
	json_object *record; /* the job's while it runs; owned */
	int64_t size_bytes;
	uint32_t project;
	enum fd_sync sync;
	struct err err;
};

int volume_limit(struct isolad *d, int fd, const char *name, uint32_t project, int64_t bytes,
		 struct err *err)
{
	if (!project)
		return 0;
	cleanup_fd int dir = openat(fd, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (dir < 0)
		return err_sys(err, "cannot open its folder");
	return project_begin(d->roots.state_fd, dir, project, bytes, err);
}

static int make_folder(int dir, const struct making *m, const char *aside, struct err *err)
{
	if (mkdirat(dir, aside, 0700) < 0)
		return err_sys(err, "cannot make its folder");
	cleanup_fd int fd = openat(dir, aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || mkdirat(fd, VOLUME_DATA, 0755) < 0 || fchmodat(fd, VOLUME_DATA, 0755, 0) < 0)
		return err_sys(err, "cannot make its folder");
	int rc = volume_limit(m->d, fd, VOLUME_DATA, m->project, m->size_bytes, err);
	if (rc == 0)
		rc = json_write_atomic(fd, RECORD, m->record, (int)m->sync, err);
	if (rc < 0)
		return rc;
	step_reached("volume.whole");
	rc = renameat2(dir, aside, dir, m->name, RENAME_NOREPLACE) < 0 ? -errno : 0;
	step_reached("volume.named");
	if (rc == 0)
		return m->sync == FD_SYNC_YES && fsync(dir) < 0
			       ? err_sys(err, "cannot sync the folder of volumes")
			       : 0;
	if (rc != -EEXIST)
		return err_rc(err, rc, "cannot give it its name");
	return err_set(err, EEXIST,
		       "%s/" VOLUMES_DIR "/%s is in the way, which has no usable " RECORD,
		       m->d->roots.state, m->name);
}

static void make_job(uv_work_t *work)
{
	struct making *m = container_of(work, struct making, work);
	char id[ID_SIZE], aside[ID_SIZE + sizeof(NEW_PREFIX)];
	int dir = m->d->volumes.dir_fd;
	if (id_new(id) < 0) {
		(void)err_set(&m->err, EIO, "no random numbers");
		return;
	}
	(void)snprintf(aside, sizeof(aside), NEW_PREFIX "%s", id);
	if (make_folder(dir, m, aside, &m->err) < 0) {
		(void)err_prefix(&m->err, "cannot create volume %.255s", m->name);
		(void)fd_remove_tree(dir, aside, NULL);
	}
}

static void making_free(struct making *m)
{
	json_object_put(m->record);
	free(m->name);
	free(m);
}

void volume_settle(struct volume *v, const struct err *err)
{
	if (err) {
		log_error(NULL, "%s", err->text);
		volume_wake(v, err);
		volume_free(v);
		return;
	}
	v->making = false;
	events_emit_volume(v->d, "create", v->name, NULL);
	volume_wake(v, NULL);
}

static void on_made(uv_work_t *work, int status)
{
	struct making *m = container_of(work, struct making, work);
	struct volume *v = volume_find(m->d, m->name, NULL);
	if (status < 0 && !m->err.code)
		(void)err_set(&m->err, ECANCELED, "isolad is shutting down");
	if (v)
		volume_settle(v, m->err.code ? &m->err : NULL);
	making_free(m);
}

json_object *volume_record(const struct volume *v)
{
	json_object *o = json_object_new_object();
	json_add_i64(o, "version", RECORD_VERSION);
	json_add_str(o, "name", v->name);
	json_add_i64(o, "created_ns", v->created_ns);
	json_add(o, "labels", json_copy(v->labels));
	if (*v->temporary_of)
		json_add_str(o, "temporary_of", v->temporary_of);
	if (v->project) {
		json_add_i64(o, "size_bytes", v->size_bytes);
		json_add_i64(o, "project", v->project);
	}
	return o;
}

static int begin_making(struct volume *v, struct err *err)
{
	struct making *m = calloc(1, sizeof(*m));
	if (!m)
		return err_set(err, ENOMEM, "out of memory");
	m->d = v->d;
	m->name = strdup(v->name);
	m->size_bytes = v->size_bytes;
	m->project = v->project;
	m->record = volume_record(v);
	size_t size = 0;
	(void)json_object_to_json_string_length(
		m->record, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &size);
	if (size > RECORD_BYTES_MAX) {
		making_free(m);
		return err_set(err, EINVAL, "the labels of volume %.255s are larger than %d bytes",
			       v->name, RECORD_BYTES_MAX);
	}
	/* What does not outlive the host's uptime need not reach the disk. */
	m->sync = *v->temporary_of ? FD_SYNC_NO : FD_SYNC_YES;
	if (m->name && m->record && uv_queue_work(&v->d->loop, &m->work, make_job, on_made) == 0)
		return 0;
	making_free(m);
	return err_set(err, ENOMEM, "out of memory");
}

struct volume *volume_reserve(struct isolad *d, const struct volume_spec *spec)
{
	struct volume *v = volume_new(d, spec->name, spec->labels);
	if (!v)
		return NULL;
	v->created_ns = num_now_ns();
	v->size_bytes = spec->size_bytes;
	v->project = spec->project;
	v->making = true;
	(void)snprintf(v->temporary_of, sizeof(v->temporary_of), "%s",
		       spec->temporary_of ? spec->temporary_of : "");
	return v;
}

int volume_check_size(const struct volume *v, int64_t size_bytes, struct err *err)
{
	if (!size_bytes || v->size_bytes == size_bytes)
		return 0;
	if (!v->size_bytes)
		return err_set(err, EEXIST, "volume %.255s is there already, without a size",
			       v->name);
	return err_set(err, EEXIST, "volume %.255s is there already, with a size of %lld bytes",
		       v->name, (long long)v->size_bytes);
}

void volume_make(struct isolad *d, const struct volume_spec *spec, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	struct volume *v = volume_find(d, spec->name, NULL);
	if (v && volume_check_size(v, spec->size_bytes, &e) < 0) {
		later_done(d, done, arg, &e, NULL);
		return;
	}
	if (v && !v->making) {
		later_done(d, done, arg, NULL, volume_view(v));
		return;
	}
	if (!v) {
		v = volume_reserve(d, spec);
		if (!v) {
			(void)err_set(&e, ENOMEM, "out of memory");
			later_done(d, done, arg, &e, NULL);
			return;
		}
		if (begin_making(v, &e) < 0) {
			volume_free(v);
			later_done(d, done, arg, &e, NULL);
			return;
		}
	}
	volume_wait(v, done, arg);
}

/* ---- removing ---- */

struct removing {
	uv_work_t work;
	struct isolad *d;
	char aside[ID_SIZE + sizeof(GONE_PREFIX)];
	bool measure;
	int64_t bytes;
	uint32_t project;
	op_done_fn *done;
	void *arg;
	struct err err;
};

static void remove_job(uv_work_t *work)
{
	struct removing *r = container_of(work, struct removing, work);
	int dir = r->d->volumes.dir_fd;
	cleanup_fd int fd =
		r->measure ? openat(dir, r->aside, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC)
			   : -1;
	cleanup_fd int data =
		fd < 0 ? -1
		       : openat(fd, VOLUME_DATA, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (data >= 0)
		r->bytes = size_tree(data);
	(void)fsync(dir);
	/* While the kernel still counts its files: once it does not, the project may be
	 * another's, with a limit of its own. */
	project_end(dir, r->project);
	/* What still writes into it, a job whose isolad was killed, soon ends. */
	for (int i = 0; i < REMOVE_TRIES; i++) {
		r->err = (struct err)ERR_INIT;
		if (fd_remove_tree(dir, r->aside, &r->err) == 0)
			return;
		(void)usleep(REMOVE_PAUSE_US);
	}
}

static void on_removed(uv_work_t *work, int status)
{
	struct removing *r = container_of(work, struct removing, work);
	(void)status;
	/* It has no name any more; the next start tries again. */
	if (r->err.code)
		log_warn(NULL, "left behind until the next start: %s/" VOLUMES_DIR "/%s: %s",
			 r->d->roots.state, r->aside, r->err.text);
	cleanup_json json_object *result = json_object_new_object();
	json_add_i64(result, "bytes", r->bytes);
	if (r->done)
		r->done(r->arg, NULL, result);
	free(r);
}

/* Its name is free from here on. */
static int discard(struct isolad *d, const char *path, bool measure, uint32_t project,
		   op_done_fn *done, void *arg, struct err *err)
{
	struct removing *r = calloc(1, sizeof(*r));
	char id[ID_SIZE];
	if (!r || id_new(id) < 0) {
		free(r);
		return err_set(err, ENOMEM, "out of memory");
	}
	*r = (struct removing){
		.d = d, .measure = measure, .project = project, .done = done, .arg = arg
	};
	(void)snprintf(r->aside, sizeof(r->aside), GONE_PREFIX "%s", id);
	if (renameat(d->volumes.dir_fd, path, d->volumes.dir_fd, r->aside) < 0 && errno != ENOENT) {
		free(r);
		return err_sys(err, "cannot remove %s/" VOLUMES_DIR "/%s", d->roots.state, path);
	}
	step_reached("volume.gone");
	(void)uv_queue_work(&d->loop, &r->work, remove_job, on_removed);
	return 0;
}

int volumes_discard(struct isolad *d, const char *path, struct err *err)
{
	return discard(d, path, false, 0, NULL, NULL, err);
}

void volume_drop(struct volume *v, bool measure, op_done_fn *done, void *arg)
{
	struct isolad *d = v->d;
	struct err e = ERR_INIT, gone = ERR_INIT;
	if (discard(d, v->name, measure, v->project, done, arg, &e) < 0) {
		log_error(NULL, "%s", e.text);
		if (done)
			later_done(d, done, arg, &e, NULL);
		return;
	}
	events_emit_volume(d, "destroy", v->name, NULL);
	(void)err_set(&gone, ENOENT, "get %.255s: no such volume", v->name);
	volume_wake(v, &gone);
	volume_free(v);
}

/* ---- at start ---- */

/* A restore that was cut off had lifted it. */
static void renew_limit(const struct volume *v, int fd)
{
	struct err e = ERR_INIT;
	if (v->project &&
	    quota_limit(fd, v->project, (uint64_t)v->size_bytes, v->d->roots.state, &e) < 0)
		log_error(NULL, "volume %s has no limit now: %s", v->name, e.text);
}

static int read_record(struct isolad *d, int fd, const char *name, struct err *err)
{
	cleanup_json json_object *o = NULL;
	struct stat st;
	int rc = json_read_file(fd, RECORD, RECORD_BYTES_MAX, &o, err);
	if (rc < 0)
		return rc;
	if (json_i64_or(o, "version", 0) != RECORD_VERSION ||
	    strcmp(json_str_or(o, "name", ""), name) != 0)
		return err_set(err, EINVAL, RECORD " is not that of this volume");
	if (fstatat(fd, VOLUME_DATA, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISDIR(st.st_mode))
		return err_set(err, EINVAL, VOLUME_DATA " is missing");
	struct volume *v = volume_new(d, name, json_get(o, "labels"));
	if (!v)
		return err_set(err, ENOMEM, "out of memory");
	v->created_ns = json_i64_or(o, "created_ns", 0);
	(void)snprintf(v->temporary_of, sizeof(v->temporary_of), "%s",
		       json_str_or(o, "temporary_of", ""));
	v->size_bytes = json_i64_or(o, "size_bytes", 0);
	v->project = (uint32_t)json_i64_or(o, "project", 0);
	renew_limit(v, fd);
	snapshots_read(v, fd);
	if (faccessat(fd, VOLUME_FILL, F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	char path[NAME_MAX + sizeof(VOLUME_FILL) + 2];
	(void)snprintf(path, sizeof(path), "%s/" VOLUME_FILL, name);
	v->unfilled = true;
	return volumes_discard(d, path, err);
}

static void read_one(struct isolad *d, const char *name)
{
	struct err e = ERR_INIT;
	int dir = d->volumes.dir_fd;
	if (!strncmp(name, NEW_PREFIX, strlen(NEW_PREFIX)) ||
	    !strncmp(name, GONE_PREFIX, strlen(GONE_PREFIX))) {
		(void)volumes_discard(d, name, NULL);
		return;
	}
	if (!id_is_name(name))
		return;
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	int rc = fd < 0 ? err_sys(&e, "cannot open it") : read_record(d, fd, name, &e);
	if (rc < 0)
		log_error(NULL, "volume %s cannot be used and is left as it is: %s", name, e.text);
}

static int compare_ages(const void *a, const void *b)
{
	const struct volume *const *x = a, *const *y = b;
	return (*x)->created_ns < (*y)->created_ns ? -1 : (*x)->created_ns > (*y)->created_ns;
}

static void sort(struct volumes *all)
{
	size_t n = 0, i = 0;
	list_for_each (node, &all->all)
		n++;
	struct volume **items = n ? calloc(n, sizeof(struct volume *)) : NULL;
	if (!items)
		return;
	list_for_each_safe (node, &all->all) {
		items[i++] = container_of(node, struct volume, node);
		list_del(node);
	}
	qsort(items, n, sizeof(items[0]), compare_ages);
	for (i = 0; i < n; i++)
		list_add_tail(&all->all, &items[i]->node);
	free(items);
}

int volumes_open(struct isolad *d, struct err *err)
{
	if (mkdirat(d->roots.state_fd, VOLUMES_DIR, 0700) < 0 && errno != EEXIST)
		return err_sys(err, "cannot make %s/" VOLUMES_DIR, d->roots.state);
	d->volumes.dir_fd = openat(d->roots.state_fd, VOLUMES_DIR,
				   O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	/* Read to its end first: what is cleared away gets new names. */
	int fd = d->volumes.dir_fd < 0
			 ? -1
			 : openat(d->volumes.dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	if (!dir) {
		int rc = err_sys(err, "cannot open %s/" VOLUMES_DIR, d->roots.state);
		fd_close(&fd);
		return rc;
	}
	cleanup_json json_object *names = json_object_new_array();
	struct dirent *e;
	while ((e = readdir(dir)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			(void)json_object_array_add(names, json_object_new_string(e->d_name));
	(void)closedir(dir);
	for (size_t i = 0; i < json_len(names); i++)
		read_one(d, json_item_str(names, i));
	sort(&d->volumes);
	return 0;
}
