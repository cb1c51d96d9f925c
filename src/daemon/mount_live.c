/* SPDX-License-Identifier: Apache-2.0 */
/* mount_live - mounts of a container come and go after its creation; while it runs, its
 * keeper makes it so at once. isolad, loop thread.
 *
 * One step after the other, and each is in the record before it is in the container, or
 * gone from there before it is gone from the record: whatever is killed when, a volume
 * that is mounted has its user in the record. */
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/step.h"

#include "bundle_priv.h"
#include "fields.h"
#include "isolad.h"
#include "life.h"
#include "mounts.h"
#include "persist.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

/* op->body:
 *   "steps"   [{"add": Mount} | {"remove": path}]; op->stage is the one at work
 *   "target"  of it, clean
 *   "host", "points"   the record's parts as they were before it */

/* ---- the record ---- */

static json_object *step_of(const struct op *op)
{
	return json_object_array_get_idx(json_get(op->body, "steps"), (size_t)op->stage);
}

static void set_record(struct instance *inst, json_object *host, json_object *points)
{
	json_object_put(inst->host_config);
	json_object_put(inst->mount_points);
	inst->host_config = host;
	inst->mount_points = points;
}

static void remember(struct op *op, const char *target)
{
	json_add(op->body, "host", json_object_get(op->inst->host_config));
	json_add(op->body, "points", json_object_get(op->inst->mount_points));
	json_add_str(op->body, "target", target);
}

static void restore(struct op *op)
{
	set_record(op->inst, json_object_get(json_get(op->body, "host")),
		   json_object_get(json_get(op->body, "points")));
}

/* Whether @item of HostConfig's @key is mounted at @target. */
static bool is_at(const char *key, json_object *item, const char *target)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	cleanup_json json_object *host = json_object_new_object();
	json_object *list = json_object_new_array();
	(void)json_object_array_add(list, json_object_get(item));
	json_add(host, key, list);
	return mounts_parse(host, &m, NULL) == 0 && mounts_find(&m, target);
}

static json_object *without(json_object *list, const char *key, const char *target)
{
	json_object *rest = json_object_new_array();
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *item = json_object_array_get_idx(list, i);
		bool gone = key ? is_at(key, item, target)
				: !strcmp(json_str_or(item, "target", ""), target);
		if (!gone)
			(void)json_object_array_add(rest, json_object_get(item));
	}
	return rest;
}

static void drop_tmpfs(json_object *host, const char *target)
{
	json_object *rest = json_object_new_object();
	json_object_object_foreach (json_get(host, "Tmpfs"), path, options) {
		cleanup_free char *clean = NULL;
		if (mounts_clean_target(path, &clean, NULL) < 0 || strcmp(clean, target) != 0)
			json_add(rest, path, json_object_get(options));
	}
	json_add(host, "Tmpfs", rest);
}

static void record_removal(struct instance *inst, const char *target)
{
	static const char *const keys[] = { "Binds", "Mounts" };
	json_object *host = json_copy(inst->host_config), *points = NULL;
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_get(host, keys[i]))
			json_add(host, keys[i], without(json_get(host, keys[i]), keys[i], target));
	if (json_get(host, "Tmpfs"))
		drop_tmpfs(host, target);
	if (inst->mount_points)
		points = without(inst->mount_points, NULL, target);
	set_record(inst, host, points);
}

static int check_addition(const struct instance *inst, json_object *mount, char **ret_target,
			  struct err *err)
{
	cleanup_mounts struct mounts one = { NULL, 0 }, all = { NULL, 0 };
	cleanup_json json_object *host = json_object_new_object();
	json_object *list = json_object_new_array();
	(void)json_object_array_add(list, json_object_get(mount));
	json_add(host, "Mounts", list);
	int rc = mounts_parse(host, &one, err);
	if (rc >= 0)
		rc = mounts_of(inst, &all, err);
	if (rc < 0)
		return rc;
	if (one.items[0].anonymous)
		return err_set(err, EINVAL,
			       "a volume for a container that is there already needs a name "
			       "(Source)");
	if (mounts_find(&all, one.items[0].target))
		return err_set(err, EEXIST, "something is mounted at %.128s already",
			       one.items[0].target);
	*ret_target = strdup(one.items[0].target);
	return *ret_target ? 0 : err_set(err, ENOMEM, "out of memory");
}

static void record_addition(struct instance *inst, json_object *mount)
{
	json_object *host = json_copy(inst->host_config), *list = json_get(host, "Mounts");
	if (!json_object_is_type(list, json_type_array)) {
		list = json_object_new_array();
		json_add(host, "Mounts", list);
	}
	(void)json_object_array_add(list, json_copy(mount));
	set_record(inst, host, json_object_get(inst->mount_points));
}

/* ---- a step ---- */

static void next(struct op *op);

static void fail(struct op *op, const struct err *err)
{
	struct err e = *err;
	op->pinned = false;
	/* The keeper's ENOENT is a file's, not the container's. */
	if (e.code == ENOENT)
		e.code = EINVAL;
	(void)err_prefix(&e, "cannot change the mounts of container %.12s", op->inst->id);
	op_finish(op, &e, NULL);
}

static void on_undone(void *arg, const struct err *err)
{
	struct op *op = arg;
	struct err e = ERR_INIT;
	(void)err; /* logged */
	(void)err_set(&e, (int)json_i64_or(op->body, "code", EIO), "%s",
		      json_str_or(op->body, "text", ""));
	fail(op, &e);
}

/* The container does not have what the record says. */
static void undo(struct op *op, const struct err *err)
{
	json_add_i64(op->body, "code", err->code);
	json_add_str(op->body, "text", err->text);
	restore(op);
	persist_save(op->inst, on_undone, op);
}

static void emit(struct op *op, const char *action, const struct mounts *m)
{
	const struct mount_point *p = mounts_find(m, json_str_or(op->body, "target", ""));
	if (p && p->kind == MOUNT_VOLUME && instance_is_running(op->inst))
		volume_emit_mount(op->inst, p, action);
}

static void step_over(struct op *op)
{
	op->stage++;
	next(op);
}

/* @op: of the keeper. */
static int call_keeper(struct op *op, const struct mount_point *p, const char *verb,
		       link_reply_fn *reply, struct err *err)
{
	if (!op->inst->link)
		return err_set(err, EBUSY, "its keeper has gone away");
	json_object *msg = json_object_new_object();
	json_add(msg, "mount", bundle_mount(p, op->inst->userns_base != 0));
	if (p->make_source && !strcmp(verb, "mount"))
		json_add_bool(msg, "make_source", true);
	link_call(op->inst->link, verb, msg, -1, reply, op);
	return 0;
}

/* ---- an addition ---- */

static void on_mounted(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	cleanup_mounts struct mounts m = { NULL, 0 };
	(void)reply;
	step_reached("mount.mounted");
	if (err) {
		undo(op, err);
		return;
	}
	if (mounts_of(op->inst, &m, NULL) == 0)
		emit(op, "mount", &m);
	step_over(op);
}

static void on_prepared(void *arg, const struct err *err, json_object *result)
{
	struct op *op = arg;
	cleanup_mounts struct mounts m = { NULL, 0 };
	struct err e = ERR_INIT;
	(void)result;
	if (err)
		e = *err;
	else if (state_next(op->inst, EVENT_UPDATE, &e) >= 0)
		(void)mounts_of(op->inst, &m, &e);
	if (!e.code && !instance_is_running(op->inst)) {
		step_over(op);
		return;
	}
	step_reached("mount.prepared");
	const struct mount_point *p = mounts_find(&m, json_str_or(op->body, "target", ""));
	if (e.code || !p || call_keeper(op, p, "mount", on_mounted, &e) < 0)
		undo(op, &e);
}

static void on_recorded(void *arg, const struct err *err)
{
	struct op *op = arg;
	step_reached("mount.recorded");
	if (err) {
		restore(op);
		fail(op, err);
	} else if (volumes_prepare(op->inst, false, on_prepared, op)) {
		on_prepared(op, NULL, NULL);
	}
}

static int begin_addition(struct op *op, json_object *mount, struct err *err)
{
	cleanup_free char *target = NULL;
	int rc = check_addition(op->inst, mount, &target, err);
	if (rc < 0)
		return rc;
	remember(op, target);
	record_addition(op->inst, mount);
	persist_save(op->inst, on_recorded, op);
	return 0;
}

/* ---- a removal ---- */

static void on_removed(void *arg, const struct err *err)
{
	struct op *op = arg;
	step_reached("mount.forgotten");
	if (err) {
		restore(op);
		fail(op, err);
		return;
	}
	step_over(op);
}

static void on_unmounted(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	cleanup_mounts struct mounts m = { NULL, 0 };
	(void)reply;
	step_reached("mount.unmounted");
	if (err) {
		fail(op, err);
		return;
	}
	if (mounts_of(op->inst, &m, NULL) == 0)
		emit(op, "unmount", &m);
	record_removal(op->inst, json_str_or(op->body, "target", ""));
	persist_save(op->inst, on_removed, op);
}

static int begin_removal(struct op *op, const char *path, struct err *err)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	cleanup_free char *target = NULL;
	int rc = mounts_clean_target(path, &target, err);
	if (rc >= 0)
		rc = mounts_of(op->inst, &m, err);
	if (rc < 0)
		return rc;
	const struct mount_point *p = mounts_find(&m, target);
	if (!p)
		return err_set(err, EINVAL, "%.128s: nothing of the user's is mounted there",
			       target);
	remember(op, target);
	if (instance_is_running(op->inst))
		return call_keeper(op, p, "unmount", on_unmounted, err);
	on_unmounted(op, NULL, NULL);
	return 0;
}

/* ---- the op ---- */

static void next(struct op *op)
{
	struct err e = ERR_INIT;
	json_object *step = step_of(op), *mount = json_get(step, "add");
	if (!step) {
		op->pinned = false;
		events_emit_instance(op->inst, "update", NULL);
		json_object *result = json_object_new_object();
		json_add(result, "Warnings", json_object_new_array());
		op_finish(op, NULL, result);
		return;
	}
	int rc = state_next(op->inst, EVENT_UPDATE, &e);
	if (rc >= 0)
		rc = mount ? begin_addition(op, mount, &e)
			   : begin_removal(op, json_str_or(step, "remove", ""), &e);
	if (rc < 0)
		fail(op, &e);
}

static void mounts_run(struct op *op)
{
	op->pinned = true;
	next(op);
}

static const struct op_type mounts_type = { .name = "mounts", .run = mounts_run };

static const struct field rows[] = {
	{ "Add", "--mount-add", FIELD_OBJS, DEFAULT_ARRAY },
	{ "Remove", "--mount-rm", FIELD_STRS, DEFAULT_ARRAY },
};

static json_object *make_steps(json_object *body)
{
	static const char *const keys[][2] = { { "Remove", "remove" }, { "Add", "add" } };
	json_object *steps = json_object_new_array();
	for (size_t k = 0; k < 2; k++) {
		json_object *list = json_get(body, keys[k][0]);
		for (size_t i = 0; i < json_len(list); i++) {
			json_object *step = json_object_new_object();
			json_add(step, keys[k][1],
				 json_object_get(json_object_array_get_idx(list, i)));
			(void)json_object_array_add(steps, step);
		}
	}
	return steps;
}

void instance_change_mounts(struct instance *inst, json_object *body, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	cleanup_json json_object *o = NULL, *steps = NULL;
	int rc = fields_check(rows, sizeof(rows) / sizeof(rows[0]), "", body, NULL, &o, &e);
	if (rc >= 0)
		steps = make_steps(o);
	if (rc >= 0 && !json_len(steps))
		(void)err_set(&e, EINVAL, "neither Add nor Remove says what to do");
	if (e.code) {
		later_done(inst->isolad, done, arg, &e, NULL);
		return;
	}
	struct op *op = op_new(inst, &mounts_type, done, arg);
	if (!op)
		return;
	op->body = json_object_new_object();
	json_add(op->body, "steps", json_object_get(steps));
	op_queue(op);
}
