/* SPDX-License-Identifier: Apache-2.0 */
/* snapshot - second copies of a volume's files: taken, put back, made a volume of their
 * own. isolad: loop thread, but jobs, which work on copies in the thread pool.
 *
 *   begin()         the names are checked; starts that want the volume wait from here
 *   hold_next()     running ones that use it are paused, one after the other; of those
 *                   that ended just now the keeper's end is waited for (restore)
 *   prepare_job()   ".new-<id>/_data" is made                       in the pool
 *   cp-clone        isola-image copies, sharing blocks where it can  behind its walls
 *   settle_job()    records, sync, and one rename                    in the pool
 *   release_next()  they go on
 *
 * The one rename makes a snapshot, a volume, or exchanges "_data" for the restored files;
 * so what kills isolad or the host leaves the old or the new, and ".new-..." goes at the
 * next start. What is paused for us is thawed by its keeper when isolad dies. */
#include "volumes.h"

#include "copy.h"
#include "fields.h"
#include "isolad.h"
#include "life.h"
#include "mounts.h"
#include "project.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/log.h"
#include "isola/num.h"
#include "isola/quota.h"
#include "isola/step.h"
#include "isola/strbuf.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define RECORD           "snapshot.json"
#define RECORD_BYTES_MAX 4096
#define SNAPSHOTS_MAX    1000

enum kind { TAKE, RESTORE, CLONE };

static const char *const steps[][3] = {
	[TAKE] = { "snapshot.begun", "snapshot.copied", "snapshot.settled" },
	[RESTORE] = { "restore.begun", "restore.copied", "restore.settled" },
	[CLONE] = { "clone.begun", "clone.copied", "clone.settled" },
};

struct snapping {
	struct list node; /* in isolad's snapshotting */
	uv_work_t work;
	struct isolad *d;
	enum kind kind;
	char *volume;
	char *snapshot; /* its name; NULL: a clone of the volume itself */
	char *clone;    /* the new volume's name */
	char aside[sizeof(VOLUME_NEW) + ID_SIZE];
	json_object *record; /* snapshot.json or volume.json; a job's while it runs */
	json_object *users;  /* ids to be paused, or to be through; of those before "at"
			      * held[] says */
	json_object *held;   /* ids that we paused */
	size_t at;
	int64_t size_bytes; /* of the volume that gets the files; 0 = without a limit */
	uint32_t project;
	enum fd_sync sync;
	bool claimed; /* the volume is "filling" because of us */
	bool reserved;
	struct err err;
	op_done_fn *done;
	void *arg;
};

/* ---- what there is ---- */

static json_object *view(const struct volume *v, const char *name, json_object *record)
{
	char when[64];
	json_object *o = json_object_new_object();
	json_add_str(o, "CreatedAt",
		     num_format_time(json_i64_or(record, "created_ns", 0), when, sizeof(when)));
	json_add_str(o, "Name", name);
	json_add_i64(o, "SharedBytes", json_i64_or(record, "shared_bytes", 0));
	json_add_i64(o, "Size", json_i64_or(record, "bytes", 0));
	json_add_str(o, "Volume", v->name);
	return o;
}

json_object *volume_snapshots(const struct volume *v)
{
	json_object *o = json_object_new_object(), *list = json_object_new_array();
	json_object_object_foreach (v->snapshots, name, record)
		(void)json_object_array_add(list, view(v, name, record));
	json_add(o, "Snapshots", list);
	return o;
}

static void read_one(struct volume *v, int dir, const char *name, json_object *found)
{
	json_object *record = NULL;
	struct err e = ERR_INIT;
	cleanup_fd int fd = openat(dir, name, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || json_read_file(fd, RECORD, RECORD_BYTES_MAX, &record, &e) < 0) {
		log_error(NULL, "snapshot %s of volume %s cannot be used and is left as it is: %s",
			  name, v->name, e.text);
		return;
	}
	json_add_str(record, "name", name);
	(void)json_object_array_add(found, record);
}

static int compare_ages(const void *a, const void *b)
{
	int64_t x = json_i64_or(*(json_object *const *)a, "created_ns", 0);
	int64_t y = json_i64_or(*(json_object *const *)b, "created_ns", 0);
	return x < y ? -1 : x > y;
}

void snapshots_read(struct volume *v, int fd)
{
	int sub = openat(fd, VOLUME_SNAPSHOTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	DIR *dir = sub < 0 ? NULL : fdopendir(sub);
	cleanup_json json_object *found = json_object_new_array();
	struct dirent *e;
	if (!dir) {
		fd_close(&sub);
		return;
	}
	while ((e = readdir(dir)))
		if (id_is_name(e->d_name))
			read_one(v, sub, e->d_name, found);
	(void)closedir(dir);
	json_object_array_sort(found, compare_ages);
	for (size_t i = 0; i < json_len(found); i++) {
		json_object *record = json_object_array_get_idx(found, i);
		json_add(v->snapshots, json_str_or(record, "name", ""), json_object_get(record));
	}
}

bool snapshot_holds(const struct instance *inst)
{
	list_for_each (node, &inst->isolad->snapshotting) {
		struct snapping *s = container_of(node, struct snapping, node);
		if (s->kind == RESTORE)
			continue;
		for (size_t i = 0; i < json_len(s->users); i++)
			if (!strcmp(json_item_str(s->users, i), inst->id))
				return true;
	}
	return false;
}

/* ---- the end ---- */

static void snapping_free(struct snapping *s)
{
	list_del(&s->node);
	json_object_put(s->record);
	json_object_put(s->users);
	json_object_put(s->held);
	free(s->volume);
	free(s->snapshot);
	free(s->clone);
	free(s);
}

/* The table follows the disk. */
static json_object *enter(struct snapping *s, struct volume *v)
{
	if (s->kind == TAKE) {
		json_add(v->snapshots, s->snapshot, json_object_get(s->record));
		return view(v, s->snapshot, s->record);
	}
	struct volume *shown = s->kind == CLONE ? volume_find(s->d, s->clone, NULL) : v;
	return shown ? volume_view(shown) : NULL;
}

static void end(struct snapping *s)
{
	static const char *const actions[] = {
		[TAKE] = "snapshot", [RESTORE] = "restore", [CLONE] = "clone"
	};
	struct volume *v = volume_find(s->d, s->volume, NULL);
	struct volume *made = s->reserved ? volume_find(s->d, s->clone, NULL) : NULL;
	cleanup_json json_object *result = NULL;
	const struct err *err = s->err.code ? &s->err : NULL;
	if (s->err.code && *s->aside)
		(void)volumes_discard(s->d, s->aside, NULL);
	if (v && s->claimed && s->kind == RESTORE && v->project)
		(void)quota_limit(s->d->roots.state_fd, v->project, (uint64_t)v->size_bytes,
				  s->d->roots.state, NULL);
	if (v && s->claimed) {
		v->filling = false;
		volume_wake(v, NULL);
	}
	if (made)
		volume_settle(made, err);
	if (v && !err) {
		json_object *attrs = json_object_new_object();
		if (s->snapshot)
			json_add_str(attrs, "snapshot", s->snapshot);
		events_emit_volume(s->d, actions[s->kind], v->name, attrs);
		result = enter(s, v);
	}
	s->done(s->arg, err, result);
	snapping_free(s);
}

static void on_released(void *arg, const struct err *err, json_object *result);

/* The newest first; what has ended or was resumed meanwhile is no failure. */
static void release_next(struct snapping *s)
{
	while (json_len(s->held) > 0) {
		size_t last = json_len(s->held) - 1;
		struct instance *inst = registry_by_id(s->d, json_item_str(s->held, last));
		(void)json_object_array_del_idx(s->held, last, 1);
		if (!inst || inst->state != INSTANCE_PAUSED)
			continue;
		instance_unpause(inst, on_released, s);
		return;
	}
	end(s);
}

static void on_released(void *arg, const struct err *err, json_object *result)
{
	(void)err;
	(void)result;
	release_next(arg);
}

/* ---- the disk ---- */

static void prepare_job(uv_work_t *work)
{
	struct snapping *s = container_of(work, struct snapping, work);
	int dir = s->d->volumes.dir_fd;
	if (mkdirat(dir, s->aside, 0700) < 0) {
		(void)err_sys(&s->err, "cannot make its folder");
		return;
	}
	cleanup_fd int fd = openat(dir, s->aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0 || mkdirat(fd, VOLUME_DATA, 0700) < 0) {
		(void)err_sys(&s->err, "cannot make its folder");
		return;
	}
	/* While the old and the new files of a restored volume are both there they may be
	 * twice as many; nobody else writes. */
	(void)volume_limit(s->d, fd, VOLUME_DATA, s->project,
			   s->kind == RESTORE ? 0 : s->size_bytes, &s->err);
	step_reached(steps[s->kind][0]);
}

/* XFS takes a new parent for a change of the folder itself. */
static int exchange(const struct snapping *s, int fd, int v)
{
	struct stat st;
	cleanup_fd int data =
		openat(fd, VOLUME_DATA, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (data < 0 || fstat(data, &st) < 0 ||
	    renameat2(fd, VOLUME_DATA, v, VOLUME_DATA, RENAME_EXCHANGE) < 0)
		return -errno;
	const struct timespec times[2] = { st.st_atim, st.st_mtim };
	(void)futimens(data, times);
	return s->sync && fsync(v) < 0 ? -errno : 0;
}

static int move_in(struct snapping *s, int fd)
{
	int dir = s->d->volumes.dir_fd;
	if (s->kind == CLONE)
		return renameat2(dir, s->aside, dir, s->clone, RENAME_NOREPLACE) < 0 ? -errno : 0;
	cleanup_fd int v = openat(dir, s->volume, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (v < 0)
		return -errno;
	if (s->kind == RESTORE)
		return exchange(s, fd, v);
	if (mkdirat(v, VOLUME_SNAPSHOTS, 0700) < 0 && errno != EEXIST)
		return -errno;
	cleanup_fd int all =
		openat(v, VOLUME_SNAPSHOTS, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (all < 0 || renameat2(dir, s->aside, all, s->snapshot, RENAME_NOREPLACE) < 0 ||
	    (s->sync && (fsync(all) < 0 || fsync(v) < 0)))
		return -errno;
	return 0;
}

static void settle_job(uv_work_t *work)
{
	struct snapping *s = container_of(work, struct snapping, work);
	int dir = s->d->volumes.dir_fd, rc = 0;
	cleanup_fd int fd = openat(dir, s->aside, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NOFOLLOW);
	if (fd < 0) {
		(void)err_sys(&s->err, "cannot open its folder");
		return;
	}
	if (s->kind != RESTORE)
		rc = json_write_atomic(fd, s->kind == TAKE ? RECORD : VOLUME_RECORD, s->record,
				       (int)s->sync, &s->err);
	if (rc < 0)
		return;
	/* The files before the name that makes them count. */
	if (s->sync && syncfs(fd) < 0) {
		(void)err_sys(&s->err, "cannot write the files to the disk");
		return;
	}
	step_reached(steps[s->kind][1]);
	rc = move_in(s, fd);
	step_reached(steps[s->kind][2]);
	if (rc == 0 && s->sync && fsync(dir) < 0)
		rc = -errno;
	if (rc < 0)
		(void)err_rc(&s->err, rc, "cannot give the files their place");
}

static void on_settled(uv_work_t *work, int status)
{
	struct snapping *s = container_of(work, struct snapping, work);
	if (status < 0)
		(void)err_set(&s->err, ECANCELED, "isolad is shutting down");
	/* What is there now are the files from before. */
	if (!s->err.code && s->kind == RESTORE)
		(void)volumes_discard(s->d, s->aside, NULL);
	release_next(s);
}

static void on_copied(void *arg, const struct err *err, json_object *result)
{
	struct snapping *s = arg;
	if (err) {
		s->err = *err;
		(void)err_prefix(&s->err, "cannot copy the files of volume %.255s", s->volume);
		release_next(s);
		return;
	}
	if (s->kind == TAKE) {
		json_add_i64(s->record, "bytes", json_i64_or(result, "Bytes", 0));
		json_add_i64(s->record, "shared_bytes", json_i64_or(result, "SharedBytes", 0));
	}
	if (uv_queue_work(&s->d->loop, &s->work, settle_job, on_settled) < 0)
		abort(); /* see later.h */
}

static void add_path(json_object *o, const char *key, const struct snapping *s, const char *a,
		     const char *b)
{
	cleanup_free char *path = NULL;
	if (asprintf(&path, "%s/" VOLUMES_DIR "/%s%s", s->d->roots.state, a, b) >= 0)
		json_add_str(o, key, path);
}

static json_object *describe(const struct snapping *s)
{
	json_object *spec = json_object_new_object(), *lower = json_object_new_array();
	cleanup_strbuf struct strbuf from = STRBUF_INIT;
	strbuf_printf(&from, "%s/" VOLUMES_DIR "/%s", s->d->roots.state, s->volume);
	if (s->kind != TAKE && s->snapshot)
		strbuf_printf(&from, "/" VOLUME_SNAPSHOTS "/%s", s->snapshot);
	strbuf_puts(&from, "/" VOLUME_DATA);
	(void)json_object_array_add(lower, json_object_new_string(from.text ? from.text : ""));
	json_add_str(spec, "id", s->volume);
	json_add(spec, "lower", lower);
	add_path(spec, "work", s, s->aside, "");
	add_path(spec, "to", s, s->aside, "/" VOLUME_DATA);
	return spec;
}

static void on_made_aside(uv_work_t *work, int status)
{
	static const char *const words[] = { "cp-clone", NULL };
	struct snapping *s = container_of(work, struct snapping, work);
	if (status < 0)
		(void)err_set(&s->err, ECANCELED, "isolad is shutting down");
	if (s->err.code) {
		release_next(s);
		return;
	}
	cleanup_json json_object *spec = describe(s);
	struct copy *c = copy_new(s->d, on_copied, s);
	struct err e = ERR_INIT;
	if (c && copy_run(c, words, -1, spec, &e) < 0)
		copy_fail(c, &e);
}

static void copy_files(struct snapping *s)
{
	char id[ID_SIZE];
	if (id_new(id) < 0) {
		(void)err_set(&s->err, EIO, "no random numbers");
		release_next(s);
		return;
	}
	(void)snprintf(s->aside, sizeof(s->aside), VOLUME_NEW "%s", id);
	if (uv_queue_work(&s->d->loop, &s->work, prepare_job, on_made_aside) < 0)
		abort(); /* see later.h */
}

/* ---- quiet ---- */

static void on_held(void *arg, const struct err *err, json_object *result);
static void on_over(void *arg, const struct err *err, json_object *result);

static void hold_next(struct snapping *s)
{
	for (; s->at < json_len(s->users); s->at++) {
		const char *id = json_item_str(s->users, s->at);
		struct instance *inst = registry_by_id(s->d, id);
		if (inst && s->kind == RESTORE && !run_is_over(inst)) {
			run_wait_over(inst, on_over, s);
			return;
		}
		if (!inst || inst->state != INSTANCE_RUNNING)
			continue;
		instance_hold(inst, on_held, s);
		return;
	}
	copy_files(s);
}

/* One that has ended meanwhile is quiet, too. */
static void on_held(void *arg, const struct err *err, json_object *result)
{
	struct snapping *s = arg;
	const char *id = json_item_str(s->users, s->at);
	struct instance *inst = registry_by_id(s->d, id);
	(void)result;
	if (!err)
		(void)json_object_array_add(s->held, json_object_new_string(id));
	if (err && inst && inst->state == INSTANCE_RUNNING) {
		s->err = *err;
		release_next(s);
		return;
	}
	s->at++;
	hold_next(s);
}

static void on_over(void *arg, const struct err *err, json_object *result)
{
	struct snapping *s = arg;
	(void)result;
	/* Gone is over, too. */
	if (err && registry_by_id(s->d, json_item_str(s->users, s->at))) {
		s->err = *err;
		release_next(s);
		return;
	}
	s->at++;
	hold_next(s);
}

static void on_begun(void *arg)
{
	hold_next(arg);
}

/* ---- the requests ---- */

static int check_name(void *arg, const struct field *row, json_object *v, json_object **ret,
		      struct err *err)
{
	(void)arg;
	(void)row;
	const char *name = json_object_get_string(v);
	if (!id_is_name(name))
		return err_set(err, EINVAL,
			       "\"%.64s\" is no name: only [a-zA-Z0-9][a-zA-Z0-9_.-] (two at "
			       "least) are allowed",
			       name);
	*ret = json_object_get(v);
	return 0;
}

static const struct field take_rows[] = {
	{ "Name", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_name },
	{ "Pause", "--pause", FIELD_BOOL, DEFAULT_TRUE, .only_null = true },
};

static const struct field restore_rows[] = {
	{ "Snapshot", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_name },
};

static const struct field clone_rows[] = {
	{ "Name", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_name },
	{ "Snapshot", "--snapshot", FIELD_STR, DEFAULT_EMPTY, .check = check_name },
	{ "Labels", "--label", FIELD_MAP, DEFAULT_OBJECT },
	{ "Pause", "--pause", FIELD_BOOL, DEFAULT_TRUE, .only_null = true },
};

#define N_ROWS(rows) (sizeof(rows) / sizeof((rows)[0]))

static const struct {
	const struct field *rows;
	size_t n;
} tables[] = {
	[TAKE] = { take_rows, N_ROWS(take_rows) },
	[RESTORE] = { restore_rows, N_ROWS(restore_rows) },
	[CLONE] = { clone_rows, N_ROWS(clone_rows) },
};

static int check_snapshot(const struct volume *v, const char *name, struct err *err)
{
	return json_get(v->snapshots, name)
		       ? 0
		       : err_set(err, ENOENT, "volume %.255s has no snapshot %.255s", v->name,
				 name);
}

/* It writes no more; its keeper may be there yet. */
static bool has_ended(const struct instance *inst)
{
	return inst->state == INSTANCE_EXITED || inst->state == INSTANCE_RESTARTING;
}

static int check(const struct volume *v, enum kind kind, json_object *o, json_object *writers,
		 struct err *err)
{
	const char *name = json_str_or(o, "Name", ""), *snapshot = json_str_or(o, "Snapshot", "");
	if (v->making || v->filling)
		return err_set(err, EBUSY, "volume %.255s is in use - being made or copied",
			       v->name);
	if (kind != RESTORE && !*name)
		return err_set(err, EINVAL, "Name is missing");
	if (kind == RESTORE && !*snapshot)
		return err_set(err, EINVAL, "Snapshot is missing");
	if (*snapshot && check_snapshot(v, snapshot, err) < 0)
		return -err->code;
	if (kind == TAKE && json_get(v->snapshots, name))
		return err_set(err, EEXIST, "volume %.255s has a snapshot %.255s already", v->name,
			       name);
	if (kind == TAKE && json_object_object_length(v->snapshots) >= SNAPSHOTS_MAX)
		return err_set(err, EINVAL, "volume %.255s has %d snapshots already", v->name,
			       SNAPSHOTS_MAX);
	if (kind == CLONE && volume_find(v->d, name, NULL))
		return err_set(err, EEXIST, "there is a volume %.255s already", name);
	for (size_t i = 0; i < json_len(writers); i++) {
		struct instance *inst = registry_by_id(v->d, json_item_str(writers, i));
		if (inst && kind == RESTORE && !has_ended(inst))
			return err_set(err, EBUSY,
				       "volume %.255s is in use by the running %s %.12s: stop it "
				       "first",
				       v->name, instance_noun(inst->kind), inst->id);
		if (inst && kind != RESTORE && (commit_holds(inst) || snapshot_holds(inst)))
			return err_set(err, EBUSY,
				       "%s %.12s, which uses volume %.255s, is paused for a "
				       "commit or another snapshot: try again",
				       instance_noun(inst->kind), inst->id, v->name);
	}
	return 0;
}

static void claim(struct snapping *s, struct volume *v, json_object *o, uint32_t project)
{
	if (s->kind != TAKE) {
		s->size_bytes = v->size_bytes;
		s->project = project;
	}
	if (s->kind == CLONE) {
		const struct volume_spec spec = { .name = s->clone,
						  .labels = json_get(o, "Labels"),
						  .size_bytes = v->size_bytes,
						  .project = project };
		struct volume *made = volume_reserve(s->d, &spec);
		s->reserved = made != NULL;
		s->record = made ? volume_record(made) : NULL;
	} else if (s->kind == TAKE) {
		s->record = json_object_new_object();
		json_add_i64(s->record, "version", 1);
		json_add_i64(s->record, "created_ns", num_now_ns());
	}
	v->filling = s->claimed = true;
}

static void begin(struct volume *v, enum kind kind, json_object *body, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	cleanup_json json_object *o = NULL, *writers = volume_writers(v);
	int rc = fields_check(tables[kind].rows, tables[kind].n, "", body, NULL, &o, &e);
	if (rc >= 0)
		rc = check(v, kind, o, writers, &e);
	uint32_t project = v->project;
	if (rc >= 0 && kind == CLONE && v->project)
		rc = project_take(v->d, &project, &e);
	struct snapping *s = rc < 0 ? NULL : calloc(1, sizeof(*s));
	if (rc >= 0 && !s)
		(void)err_set(&e, ENOMEM, "out of memory");
	if (!s) {
		later_done(v->d, done, arg, &e, NULL);
		return;
	}
	const char *name = json_str_or(o, "Name", ""), *snapshot = json_str_or(o, "Snapshot", "");
	*s = (struct snapping){ .d = v->d, .kind = kind, .done = done, .arg = arg };
	list_add_tail(&v->d->snapshotting, &s->node);
	s->volume = strdup(v->name);
	s->clone = kind == CLONE ? strdup(name) : NULL;
	s->snapshot = kind == TAKE ? strdup(name) : *snapshot ? strdup(snapshot) : NULL;
	s->held = json_object_new_array();
	if (!s->volume)
		abort(); /* see later.h */
	/* What does not outlive the host's uptime need not reach the disk. */
	s->sync = *v->temporary_of && kind != CLONE ? FD_SYNC_NO : FD_SYNC_YES;
	/* A snapshot's files are at rest; those to be replaced are when their users' keepers
	 * are through. */
	if (kind == RESTORE)
		s->users = json_object_get(writers);
	else if (json_bool_or(o, "Pause", true) &&
		 (kind == TAKE || (kind == CLONE && !s->snapshot)))
		s->users = json_object_get(writers);
	claim(s, v, o, project);
	later_call(v->d, on_begun, s);
}

void volume_snapshot(struct volume *v, json_object *body, op_done_fn *done, void *arg)
{
	begin(v, TAKE, body, done, arg);
}

void volume_restore(struct volume *v, json_object *body, op_done_fn *done, void *arg)
{
	begin(v, RESTORE, body, done, arg);
}

void volume_clone(struct volume *v, json_object *body, op_done_fn *done, void *arg)
{
	begin(v, CLONE, body, done, arg);
}

void volume_snapshot_remove(struct volume *v, const char *name, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	cleanup_free char *path = NULL;
	int rc = check_snapshot(v, name, &e);
	if (rc == 0 && (v->making || v->filling))
		rc = err_set(&e, EBUSY, "volume %.255s is in use - being copied", v->name);
	if (rc == 0 && asprintf(&path, "%s/" VOLUME_SNAPSHOTS "/%s", v->name, name) < 0)
		rc = err_set(&e, ENOMEM, "out of memory");
	if (rc == 0)
		rc = volumes_discard(v->d, path, &e);
	if (rc == 0)
		json_object_object_del(v->snapshots, name);
	later_done(v->d, done, arg, rc < 0 ? &e : NULL, NULL);
}
