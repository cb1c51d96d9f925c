/* SPDX-License-Identifier: Apache-2.0 */
/* volume_use - the volumes of one instance: made where missing, filled with what the
 * image has at their place. isolad: loop thread, but look_job() and settle_job(), which
 * work on copies in the thread pool.
 *
 * First files, for one volume after the other:
 *
 *   is "_data" empty, may the image have something there?   look_job()
 *   isola-image cp-fill copies it into "fill"               behind its walls
 *   "fill" takes the place of "_data"                       settle_job()
 *
 * Others who want the volume wait meanwhile (volume_wait()). One that a running
 * instance has mounted is not filled: it would go on with the old folder. */
#include "volumes.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/log.h"
#include "isola/step.h"

#include "copy.h"
#include "folders.h"
#include "isolad.h"
#include "life.h"
#include "mounts.h"
#include "project.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct prepare {
	uv_work_t work;
	struct isolad *d;
	struct instance *inst;
	struct mounts mounts;
	size_t at; /* the mount that is being looked at */
	bool create, made;
	op_done_fn *done;
	void *arg;
	/* A fill's. */
	char *name;         /* of the volume, owned */
	json_object *lower; /* the image's layers, topmost first */
	bool wanted, filled, sync;
	uint32_t project;
	int64_t size_bytes;
	struct err err;
};

/* ---- the fill's jobs ---- */

static bool is_empty(int dir, const char *name)
{
	int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *list = fd < 0 ? NULL : fdopendir(fd);
	bool empty = list != NULL;
	struct dirent *e;
	if (!list)
		fd_close(&fd);
	while (empty && (e = readdir(list)))
		empty = !strcmp(e->d_name, ".") || !strcmp(e->d_name, "..");
	if (list)
		(void)closedir(list);
	return empty;
}

/* Whether a layer has the path's first name: only that is looked up here, as what
 * follows may be a link. */
static bool may_have(json_object *lower, const char *target)
{
	char first[NAME_MAX + 1];
	size_t n = strcspn(target + 1, "/");
	if (n > NAME_MAX)
		return false;
	(void)snprintf(first, sizeof(first), "%.*s", (int)n, target + 1);
	for (size_t i = 0; i < json_len(lower); i++) {
		struct stat st;
		cleanup_fd int fd = open(json_item_str(lower, i), O_PATH | O_DIRECTORY | O_CLOEXEC);
		if (fd >= 0 && fstatat(fd, first, &st, AT_SYMLINK_NOFOLLOW) == 0)
			return true;
	}
	return false;
}

static void look_job(uv_work_t *work)
{
	struct prepare *p = container_of(work, struct prepare, work);
	cleanup_fd int dir = openat(p->d->volumes.dir_fd, p->name,
				    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	p->wanted = dir >= 0 && is_empty(dir, VOLUME_DATA) &&
		    may_have(p->lower, p->mounts.items[p->at].target);
	if (!p->wanted)
		return;
	if (mkdirat(dir, VOLUME_FILL, 0755) < 0 || fchmodat(dir, VOLUME_FILL, 0755, 0) < 0)
		(void)err_sys(&p->err, "cannot fill volume %.255s", p->name);
	else
		(void)volume_limit(p->d, dir, VOLUME_FILL, p->project, p->size_bytes, &p->err);
	step_reached("fill.begun");
}

static void settle_job(uv_work_t *work)
{
	struct prepare *p = container_of(work, struct prepare, work);
	cleanup_fd int dir = openat(p->d->volumes.dir_fd, p->name,
				    O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	cleanup_fd int fill =
		dir < 0 ? -1
			: openat(dir, VOLUME_FILL, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	step_reached("fill.copied");
	/* The files before the name that makes them the volume's. */
	if (fill < 0 || (p->sync && syncfs(fill) < 0) ||
	    renameat(dir, VOLUME_FILL, dir, VOLUME_DATA) < 0 || (p->sync && fsync(dir) < 0))
		(void)err_sys(&p->err, "cannot fill volume %.255s", p->name);
	step_reached("fill.settled");
}

/* ---- the fill ---- */

static void next(struct prepare *p);

static void finish(struct prepare *p, const struct err *err)
{
	struct err e = err ? *err : (struct err)ERR_INIT;
	op_done_fn *done = p->done;
	void *arg = p->arg;
	if (!err)
		life_of(p->inst)->volumes_ready = true;
	mounts_fini(&p->mounts);
	json_object_put(p->lower);
	free(p->name);
	free(p);
	done(arg, err ? &e : NULL, NULL);
}

static void fill_over(struct prepare *p)
{
	struct volume *v = volume_find(p->d, p->name, NULL);
	if (p->err.code || !p->filled) {
		char path[NAME_MAX + sizeof(VOLUME_FILL) + 2];
		(void)snprintf(path, sizeof(path), "%s/" VOLUME_FILL, p->name);
		if (p->wanted)
			(void)volumes_discard(p->d, path, NULL);
	}
	if (v) {
		v->filling = false;
		v->unfilled = p->err.code != 0;
		volume_wake(v, NULL);
	}
	free(take_ptr(p->name));
	if (p->err.code) {
		finish(p, &p->err);
		return;
	}
	p->at++;
	p->made = false;
	next(p);
}

static void on_settled(uv_work_t *work, int status)
{
	struct prepare *p = container_of(work, struct prepare, work);
	if (status < 0)
		(void)err_set(&p->err, ECANCELED, "isolad is shutting down");
	fill_over(p);
}

static void on_filled(void *arg, const struct err *err, json_object *result)
{
	struct prepare *p = arg;
	if (err) {
		p->err = *err;
		(void)err_prefix(&p->err, "cannot copy the image's files to volume %.255s",
				 p->name);
	}
	p->filled = !err && json_bool_or(result, "Filled", false);
	if (!p->filled || uv_queue_work(&p->d->loop, &p->work, settle_job, on_settled) < 0)
		fill_over(p);
}

static void add_path(json_object *o, const char *key, const struct prepare *p, const char *tail)
{
	cleanup_free char *path = NULL;
	if (asprintf(&path, "%s/" VOLUMES_DIR "/%s%s", p->d->roots.state, p->name, tail) >= 0)
		json_add_str(o, key, path);
}

static void on_looked(uv_work_t *work, int status)
{
	struct prepare *p = container_of(work, struct prepare, work);
	const char *words[] = { "cp-fill", "--", p->mounts.items[p->at].target, NULL };
	if (status < 0)
		(void)err_set(&p->err, ECANCELED, "isolad is shutting down");
	if (p->err.code || !p->wanted) {
		fill_over(p);
		return;
	}
	cleanup_json json_object *spec = json_object_new_object();
	json_add_str(spec, "id", p->inst->id);
	json_add(spec, "lower", json_object_get(p->lower));
	add_path(spec, "work", p, "");
	add_path(spec, "to", p, "/" VOLUME_FILL);
	json_add_bool(spec, "mapped", true); /* no devices */
	struct copy *c = copy_new(p->d, on_filled, p);
	if (c && copy_run(c, words, -1, spec, &p->err) < 0)
		copy_fail(c, &p->err);
}

static void begin_fill(struct prepare *p, struct volume *v)
{
	p->name = strdup(v->name);
	p->wanted = p->filled = false;
	p->sync = !*v->temporary_of;
	p->project = v->project;
	p->size_bytes = v->size_bytes;
	p->err = (struct err)ERR_INIT;
	v->filling = true;
	if (!p->name || uv_queue_work(&p->d->loop, &p->work, look_job, on_looked) < 0)
		abort(); /* see later.h */
}

/* ---- one after the other ---- */

static void on_made(void *arg, const struct err *err, json_object *result)
{
	struct prepare *p = arg;
	(void)result;
	if (err)
		finish(p, err);
	else
		next(p);
}

/* Whoever made or filled it is through, or it is gone: looked at again. */
static void on_waited(void *arg, const struct err *err, json_object *result)
{
	(void)err;
	(void)result;
	next(arg);
}

static void make(struct prepare *p, const struct mount_point *m)
{
	cleanup_json json_object *labels =
		m->labels ? json_copy(m->labels) : json_object_new_object();
	if (m->anonymous)
		json_add_str(labels, VOLUME_ANONYMOUS, "");
	struct volume_spec spec = {
		.name = m->volume,
		.labels = labels,
		.temporary_of = m->anonymous && p->inst->auto_remove ? p->inst->id : NULL,
		.size_bytes = m->size_bytes,
	};
	struct err e = ERR_INIT;
	if (spec.size_bytes && project_take(p->d, &spec.project, &e) < 0) {
		finish(p, &e);
		return;
	}
	p->made = true;
	volume_make(p->d, &spec, on_made, p);
}

static bool has_its_size(const struct volume *v, const struct mount_point *m, struct err *err)
{
	return volume_check_size(v, m->size_bytes, err) == 0;
}

static bool wants_fill(const struct prepare *p, const struct mount_point *m, const struct volume *v)
{
	bool is_new = p->create || p->made || v->unfilled ||
		      (!p->inst->started_ns && !life_of(p->inst)->volumes_ready);
	return is_new && !m->no_copy && !m->subpath && !volume_is_mounted(p->inst, m->volume);
}

static void next(struct prepare *p)
{
	for (; p->at < p->mounts.n; p->at++, p->made = false) {
		const struct mount_point *m = &p->mounts.items[p->at];
		if (m->kind != MOUNT_VOLUME)
			continue;
		struct volume *v = volume_find(p->d, m->volume, NULL);
		struct err e = ERR_INIT;
		if (p->d->stopping)
			(void)err_set(&e, ECANCELED, "isolad is shutting down");
		if (e.code || (v && !has_its_size(v, m, &e))) {
			finish(p, &e);
			return;
		}
		if (!v)
			make(p, m);
		else if (v->making || v->filling)
			volume_wait(v, on_waited, p);
		else if (wants_fill(p, m, v))
			begin_fill(p, v);
		else
			continue;
		return;
	}
	finish(p, NULL);
}

static void begin(void *arg)
{
	next(arg);
}

static bool is_ready(const struct instance *inst, const struct mounts *m)
{
	for (size_t i = 0; i < m->n; i++) {
		struct volume *v = m->items[i].kind == MOUNT_VOLUME
					   ? volume_find(inst->isolad, m->items[i].volume, NULL)
					   : NULL;
		if (m->items[i].kind != MOUNT_VOLUME)
			continue;
		if (!v || v->making || v->filling || v->unfilled ||
		    !has_its_size(v, &m->items[i], NULL) ||
		    (!inst->started_ns && !life_of(inst)->volumes_ready))
			return false;
	}
	return true;
}

bool volumes_prepare(struct instance *inst, bool create, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	cleanup_mounts struct mounts m = { NULL, 0 };
	if (mounts_of(inst, &m, NULL) < 0 || is_ready(inst, &m))
		return true;
	struct prepare *p = calloc(1, sizeof(*p));
	if (!p) {
		(void)err_set(&e, ENOMEM, "out of memory");
		later_done(inst->isolad, done, arg, &e, NULL);
		return false;
	}
	*p = (struct prepare){ .d = inst->isolad,
			       .inst = inst,
			       .mounts = m,
			       .create = create,
			       .done = done,
			       .arg = arg,
			       .lower = folders_lower(inst->isolad->roots.state, inst->image) };
	m = (struct mounts){ NULL, 0 };
	later_call(inst->isolad, begin, p);
	return false;
}
