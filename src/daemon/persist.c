/* SPDX-License-Identifier: Apache-2.0 */
/* persist - see persist.h. isolad: loop thread, but write_job() and make_job(),
 * which run in the thread pool on a struct save whose job part nobody else
 * touches until it is back. */
#include "persist.h"

#include "folders.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isolad.h"
#include "life.h"
#include "project.h"
#include "root_image.h"
#include "record.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

struct waiting {
	struct list node;
	persist_fn *done;
	void *arg;
	struct err err; /* of a --rm instance's write */
	bool failed;
};

/* Exists while a write is under way. */
struct save {
	struct isolad *isolad;
	struct instance *inst; /* NULL: gone meanwhile */
	struct list now, next; /* who waits for this write, for the next */
	bool again;
	persist_fn *on_idle;
	void *on_idle_arg;

	/* The job's own. */
	uv_work_t work;
	char id[ID_SIZE];
	enum instance_kind kind;
	bool layer;
	uint32_t project;
	int64_t size_bytes;
	char *text;
	size_t size;
	bool make;
	int rc;
	struct err err;
};

static bool has_layer(const struct instance *inst)
{
	return inst->guest_root != GUEST_ROOT_NONE;
}

static int64_t layer_size(const struct instance *inst)
{
	int64_t size = 0;
	if (inst->project)
		(void)storage_size(inst->host_config, &size, NULL);
	return size;
}

static int write_record(int parent_fd, const char *id, const char *text, size_t size,
			enum fd_sync sync, struct err *err)
{
	if (!text)
		return err_set(err, ENOMEM, "cannot write the record: out of memory");
	cleanup_fd int fd = openat(parent_fd, id, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0)
		return err_sys(err, "cannot open the instance's folder");
	return fd_write_atomic(fd, RECORD_FILE, text, size, 0, sync, err);
}

static void job(uv_work_t *work)
{
	struct save *save = container_of(work, struct save, work);
	const struct roots *roots = &save->isolad->roots;
	int parent_fd = roots->instances_fd;
	save->rc =
		save->make ? folders_make(roots, save->id, save->kind, save->layer, &save->err) : 0;
	if (save->rc == 0 && save->make)
		save->rc = folders_limit(roots, save->id, save->layer, save->project,
					 save->size_bytes, &save->err);
	if (save->rc == 0)
		save->rc = write_record(parent_fd, save->id, save->text, save->size, FD_SYNC_YES,
					&save->err);
	if (save->rc == 0 && save->make && fsync(parent_fd) < 0)
		save->rc = err_sys(&save->err, "cannot sync the folder of instances");
	if (save->rc < 0 && save->make)
		(void)fd_remove_tree(parent_fd, save->id, NULL);
}

static void move_all(struct list *from, struct list *to)
{
	while (!list_is_empty(from)) {
		struct list *node = from->next;
		list_del(node);
		list_add_tail(to, node);
	}
}

static void tell(struct list *waiters, const struct err *err)
{
	while (!list_is_empty(waiters)) {
		struct waiting *w = container_of(waiters->next, struct waiting, node);
		list_del(&w->node);
		w->done(w->arg, err);
		free(w);
	}
}

static void on_job_done(uv_work_t *work, int status);

static void begin(struct save *save)
{
	free(save->text);
	save->text = record_text(save->inst, &save->size);
	save->err = (struct err)ERR_INIT;
	save->again = false;
	move_all(&save->next, &save->now);
	(void)uv_queue_work(&save->isolad->loop, &save->work, job, on_job_done);
}

/* No write follows: those who wait for one hear so, then whoever waits for quiet. */
static void save_end(struct save *save)
{
	struct err e = ERR_INIT;
	(void)err_set(&e, ECANCELED, "it is being removed");
	tell(&save->next, &e);
	if (save->on_idle)
		save->on_idle(save->on_idle_arg, NULL);
	free(save->text);
	free(save);
}

static void on_job_done(uv_work_t *work, int status)
{
	(void)status;
	struct save *save = container_of(work, struct save, work);
	struct life *life = save->inst ? save->inst->priv : NULL;
	struct list told;
	list_init(&told);
	move_all(&save->now, &told);
	struct err e = save->err;
	bool failed = save->rc < 0, more = life && save->again && !life->persist_stopped;
	if (failed)
		log_error(save->id, "%s", e.text);
	save->make = false;
	if (more)
		begin(save);
	else if (life)
		life->save = NULL;
	/* From here on those told may save again, or end the instance. */
	tell(&told, failed ? &e : NULL);
	if (!more)
		save_end(save);
}

static int wait_for(struct list *list, persist_fn *done, void *arg)
{
	if (!done)
		return 0;
	struct waiting *w = calloc(1, sizeof(*w));
	if (!w)
		return -ENOMEM;
	w->done = done;
	w->arg = arg;
	list_add_tail(list, &w->node);
	return 0;
}

static void tell_later(void *arg)
{
	struct waiting *w = arg;
	w->done(w->arg, w->failed ? &w->err : NULL);
	free(w);
}

static void answer(struct isolad *d, persist_fn *done, void *arg, const struct err *err)
{
	if (!done)
		return;
	struct waiting *w = calloc(1, sizeof(*w));
	if (!w)
		abort(); /* see later.h */
	w->done = done;
	w->arg = arg;
	w->failed = err != NULL;
	if (err)
		w->err = *err;
	later_call(d, tell_later, w);
}

static void fail(struct instance *inst, int code, const char *why, persist_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	(void)err_set(&e, code, "%s", why);
	answer(inst->isolad, done, arg, &e);
}

static void save_in_pool(struct instance *inst, bool make, persist_fn *done, void *arg)
{
	struct life *life = inst->priv;
	if (life->save) {
		life->save->again = true;
		if (wait_for(&life->save->next, done, arg) < 0)
			fail(inst, ENOMEM, "out of memory", done, arg);
		return;
	}
	struct save *save = calloc(1, sizeof(*save));
	if (save) {
		list_init(&save->now);
		list_init(&save->next);
	}
	if (!save || wait_for(&save->now, done, arg) < 0) {
		free(save);
		fail(inst, ENOMEM, "out of memory", done, arg);
		return;
	}
	save->isolad = inst->isolad;
	save->inst = inst;
	save->make = make;
	memcpy(save->id, inst->id, ID_SIZE);
	save->kind = inst->kind;
	save->layer = has_layer(inst);
	save->project = inst->project;
	save->size_bytes = layer_size(inst);
	life->save = save;
	begin(save);
}

/* ---- --rm: the run folder, at once ---- */

static int save_now(struct instance *inst, bool make, struct err *err)
{
	struct roots *roots = &inst->isolad->roots;
	bool layer = has_layer(inst);
	int rc = make ? folders_make(roots, inst->id, inst->kind, layer, err) : 0;
	if (rc == 0 && make)
		rc = folders_limit(roots, inst->id, layer, inst->project, layer_size(inst), err);
	if (rc == 0 && mkdirat(roots->run_fd, inst->id, 0700) < 0 && errno != EEXIST)
		rc = err_sys(err, "cannot make the instance's run folder");
	size_t size = 0;
	cleanup_free char *text = rc == 0 ? record_text(inst, &size) : NULL;
	if (rc == 0)
		rc = write_record(roots->run_fd, inst->id, text, size, FD_SYNC_NO, err);
	if (rc < 0 && make) {
		(void)fd_remove_tree(roots->run_fd, inst->id, NULL);
		(void)fd_remove_tree(roots->instances_fd, inst->id, NULL);
	}
	return rc;
}

static void save_either(struct instance *inst, bool make, persist_fn *done, void *arg)
{
	if (!inst->auto_remove) {
		save_in_pool(inst, make, done, arg);
		return;
	}
	struct err e = ERR_INIT;
	int rc = save_now(inst, make, &e);
	if (rc < 0)
		log_error(inst->id, "%s", e.text);
	answer(inst->isolad, done, arg, rc < 0 ? &e : NULL);
}

void persist_create(struct instance *inst, persist_fn *done, void *arg)
{
	save_either(inst, true, done, arg);
}

void persist_save(struct instance *inst, persist_fn *done, void *arg)
{
	struct life *life = inst->priv;
	if (life->persist_stopped)
		fail(inst, ECANCELED, "it is being removed", done, arg);
	else
		save_either(inst, false, done, arg);
}

void persist_stop(struct instance *inst, persist_fn *done, void *arg)
{
	struct life *life = inst->priv;
	life->persist_stopped = true;
	if (!life->save) {
		answer(inst->isolad, done, arg, NULL);
		return;
	}
	life->save->on_idle = done;
	life->save->on_idle_arg = arg;
}

void persist_resume(struct instance *inst)
{
	struct life *life = inst->priv;
	life->persist_stopped = false;
}

void persist_fini(struct instance *inst)
{
	struct life *life = inst->priv;
	if (life->save)
		life->save->inst = NULL;
	life->save = NULL;
}
