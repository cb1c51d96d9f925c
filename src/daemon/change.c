/* SPDX-License-Identifier: Apache-2.0 */
/* change - rename, update and resize. isolad, loop thread. */
#include "isola/fd.h"
#include "isola/json.h"

#include "create.h"
#include "guests.h"
#include "isolad.h"
#include "isolation.h"
#include "life.h"
#include "persist.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void on_saved(void *arg, const struct err *err)
{
	struct op *op = arg;
	op->pinned = false;
	json_object *result = op->body;
	op->body = NULL;
	op_finish(op, err, result);
}

/* op->body is the result. */
static void save_and_finish(struct op *op)
{
	op->pinned = true;
	persist_save(op->inst, on_saved, op);
}

void change_save_and_finish(struct op *op)
{
	json_object_put(op->body);
	op->body = json_object_new_object();
	json_add(op->body, "Warnings",
		 op->warnings ? take_ptr(op->warnings) : json_object_new_array());
	save_and_finish(op);
}

/* ---- rename ---- */

/* op->name: the old name by now. What could not be saved did not happen: the old
 * record is still the one on the disk. */
static void on_renamed(void *arg, const struct err *err)
{
	struct op *op = arg;
	if (err) {
		(void)registry_rename(op->inst, op->name, NULL);
	} else {
		json_object *attrs = json_object_new_object();
		char with_slash[300];
		(void)snprintf(with_slash, sizeof(with_slash), "/%s", op->name);
		json_add_str(attrs, "oldName", with_slash);
		events_emit_instance(op->inst, "rename", attrs);
		resolver_update(op->inst);
	}
	on_saved(op, err);
}

static void rename_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	char *old = strdup(inst->name);
	int rc = old ? state_next(inst, EVENT_RENAME, &e) : err_set(&e, ENOMEM, "out of memory");
	if (rc >= 0)
		rc = registry_rename(inst, op->name, &e);
	if (rc < 0) {
		free(old);
		op_finish(op, &e, NULL);
		return;
	}
	free(op->name);
	op->name = old;
	op->pinned = true;
	persist_save(inst, on_renamed, op);
}

static const struct op_type rename_type = { .name = "rename", .run = rename_run };

void instance_rename(struct instance *inst, const char *name, op_done_fn *done, void *arg)
{
	struct op *op = op_new(inst, &rename_type, done, arg);
	if (!op)
		return;
	op->name = strdup(name);
	if (!op->name)
		abort(); /* see later.h */
	op_queue(op);
}

/* ---- update ---- */

/* op->body: the new HostConfig, to become the instance's. */
static void update_take(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	json_object *old = inst->host_config;
	inst->host_config = op->body;
	op->body = NULL;
	if (instance_apply_host_config(inst, &e) < 0) {
		json_object_put(inst->host_config);
		inst->host_config = old;
		op_finish(op, &e, NULL);
		return;
	}
	json_object_put(old);
	events_emit_instance(inst, "update", NULL);
	change_save_and_finish(op);
}

static void on_updated(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	(void)reply;
	op->pinned = false;
	if (!err) {
		update_take(op);
		return;
	}
	struct err e = *err;
	/* The keeper's ENOENT is a file's, not the container's. */
	if (e.code == ENOENT)
		e.code = EIO;
	(void)err_prefix(&e, "cannot update %s %s", instance_noun(op->inst->kind), op->inst->id);
	op_finish(op, &e, NULL);
}

/* @resources: taken. */
static int update_message(const struct instance *inst, json_object *host_config,
			  json_object *resources, json_object **ret, struct err *err)
{
	if (isolation_is_vm(inst->host_config)) {
		json_object_put(resources);
		return guest_update_message(inst, host_config, ret, err);
	}
	*ret = json_object_new_object();
	json_add(*ret, "resources", resources);
	return 0;
}

static void update_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	json_object *host_config = NULL, *resources = NULL;
	if (publish_is_asked(op->body)) {
		publish_update_run(op);
		return;
	}
	if (inst->kind == INSTANCE_VM) {
		vm_update_run(op);
		return;
	}
	int rc = state_next(inst, EVENT_UPDATE, &e);
	op->warnings = json_object_new_array();
	if (rc >= 0)
		rc = update_check(inst, op->body, op->warnings, &host_config, &resources, &e);
	bool limits = resources != NULL;
	json_object *msg = NULL;
	if (rc >= 0 && limits)
		rc = update_message(inst, host_config, resources, &msg, &e);
	if (rc < 0) {
		json_object_put(host_config);
		op_finish(op, &e, NULL);
		return;
	}
	json_object_put(op->body);
	op->body = host_config;
	if (limits && instance_is_running(inst) && inst->link) {
		op->pinned = true;
		link_call(inst->link, "update", msg, -1, on_updated, op);
		return;
	}
	json_object_put(msg);
	update_take(op);
}

static const struct op_type update_type = { .name = "update", .run = update_run };

void instance_update(struct instance *inst, json_object *body, op_done_fn *done, void *arg)
{
	struct op *op = op_new(inst, &update_type, done, arg);
	if (!op)
		return;
	op->body = json_object_get(body);
	op_queue(op);
}

/* ---- resize ---- */

void instance_resize(struct instance *inst, int h, int w, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	if (state_next(inst, EVENT_RESIZE, &e) >= 0 && !inst->link)
		(void)err_set(&e, EBUSY, "%s %s: its keeper has gone away",
			      instance_noun(inst->kind), inst->id);
	if (e.code) {
		later_done(inst->isolad, done, arg, &e, NULL);
		return;
	}
	json_object *msg = json_object_new_object();
	json_add_i64(msg, "h", h);
	json_add_i64(msg, "w", w);
	link_call_done(inst->link, "resize", msg, done, arg);
	char height[16], width[16];
	(void)snprintf(height, sizeof(height), "%d", h);
	(void)snprintf(width, sizeof(width), "%d", w);
	json_object *attrs = json_object_new_object();
	json_add_str(attrs, "height", height);
	json_add_str(attrs, "width", width);
	events_emit_instance(inst, "resize", attrs);
}
