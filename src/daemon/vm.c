/* SPDX-License-Identifier: Apache-2.0 */
/* vm - what only VMs do: the buttons of a machine, live changes of its devices, what
 * their worker counts. The rest of their life is that of all instances (life.h).
 * isolad, loop thread. */
#include "isola/json.h"

#include "create.h"
#include "isolad.h"
#include "isolation.h"
#include "life.h"
#include "persist.h"
#include "vm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* ---- buttons ---- */

static const struct {
	const char *op, *event;
} buttons[] = {
	[VM_RESET] = { "reset", NULL }, /* the keeper tells when it has happened */
	[VM_POWERDOWN] = { "powerdown", "powerdown" },
	[VM_NMI] = { "nmi", "nmi" },
};

static void on_pressed(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	(void)reply;
	op->pinned = false;
	if (!err && buttons[op->stage].event)
		events_emit_instance(op->inst, buttons[op->stage].event, NULL);
	struct err e = ERR_INIT;
	if (err)
		e = *err;
	/* It has ended meanwhile. */
	if (e.code == ESRCH || e.code == ECONNRESET)
		(void)err_set(&e, EBUSY, "VM %s is not running", op->inst->id);
	op_finish(op, e.code ? &e : NULL, NULL);
}

static void press_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	if (state_next(inst, EVENT_PRESS, &e) >= 0 && !inst->link)
		(void)err_set(&e, EBUSY, "VM %s: its keeper has gone away", inst->id);
	if (e.code) {
		op_finish(op, &e, NULL);
		return;
	}
	op->pinned = true;
	link_call(inst->link, buttons[op->stage].op, NULL, -1, on_pressed, op);
}

static const struct op_type press_type = { .name = "press", .run = press_run };

void vm_press(struct instance *inst, enum vm_button button, op_done_fn *done, void *arg)
{
	struct op *op = op_new(inst, &press_type, done, arg);
	if (!op)
		return;
	op->stage = (int)button;
	/* A start is waited for; no op that takes its time is. */
	if (inst->state == INSTANCE_STARTING)
		op_queue(op);
	else
		op_aside(op);
}

/* ---- consoles ---- */

static bool has_console(const struct instance *inst, const char *id)
{
	json_object *list = json_get(inst->config, "Consoles");
	for (size_t i = 0; i < json_len(list); i++)
		if (!strcmp(json_str_or(json_object_array_get_idx(list, i), "Id", ""), id))
			return true;
	return false;
}

void vm_resize_console(struct instance *inst, const char *console, int h, int w, op_done_fn *done,
		       void *arg)
{
	struct err e = ERR_INIT;
	if (state_next(inst, EVENT_RESIZE, &e) < 0)
		;
	else if (!has_console(inst, console))
		(void)err_set(&e, ENOENT, "VM %s has no console %.64s", inst->id, console);
	else if (!inst->link)
		(void)err_set(&e, EBUSY, "VM %s: its keeper has gone away", inst->id);
	if (e.code) {
		later_done(inst->isolad, done, arg, &e, NULL);
		return;
	}
	json_object *msg = json_object_new_object(), *args = json_object_new_object();
	json_add_str(args, "id", console);
	json_add_i64(args, "rows", h);
	json_add_i64(args, "columns", w);
	json_add(msg, "args", args);
	link_call_done(inst->link, "console", msg, done, arg);
}

/* ---- counters ---- */

struct counters {
	op_done_fn *done;
	void *arg;
	struct isolad *isolad;
};

static void on_counters(void *arg, const struct err *err, json_object *reply)
{
	struct counters *c = arg;
	later_done(c->isolad, c->done, c->arg, err, json_object_get(json_get(reply, "stats")));
	free(c);
}

bool vm_has_counters(const struct instance *inst)
{
	return inst->kind == INSTANCE_VM || isolation_is_vm(inst->host_config);
}

void vm_counters(struct instance *inst, op_done_fn *done, void *arg)
{
	struct err e = ERR_INIT;
	struct counters *c = calloc(1, sizeof(*c));
	if (!c)
		(void)err_set(&e, ENOMEM, "out of memory");
	else if (!instance_is_running(inst) || !inst->link)
		(void)err_set(&e, EBUSY, "%s %s is not running", instance_noun(inst->kind),
			      inst->id);
	if (e.code) {
		free(c);
		later_done(inst->isolad, done, arg, &e, NULL);
		return;
	}
	*c = (struct counters){ done, arg, inst->isolad };
	link_call(inst->link, "stats", NULL, -1, on_counters, c);
}

/* ---- update ---- */

/* op->body: {"config", "calls"}; op->stage: the call under way. */
static void update_next(struct op *op);

static void update_take(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	json_object *old = inst->config;
	inst->config = json_object_get(json_get(op->body, "config"));
	json_object_put(inst->host_config);
	inst->host_config = json_object_get(inst->config);
	if (instance_apply_host_config(inst, &e) < 0) {
		json_object_put(inst->config);
		json_object_put(inst->host_config);
		inst->config = old;
		inst->host_config = json_object_get(old);
		op_finish(op, &e, NULL);
		return;
	}
	json_object_put(old);
	events_emit_instance(inst, "update", NULL);
	change_save_and_finish(op);
}

static const char *call_name(json_object *call)
{
	return json_str_or(json_get(call, "args"), "id", json_str_or(call, "op", ""));
}

static void send_call(struct op *op, json_object *call, link_reply_fn *done)
{
	json_object *msg = json_object_new_object();
	if (json_get(call, "args"))
		json_add(msg, "args", json_object_get(json_get(call, "args")));
	if (json_get(call, "resources"))
		json_add(msg, "resources", json_object_get(json_get(call, "resources")));
	op->pinned = true;
	link_call(op->inst->link, json_str_or(call, "op", ""), msg, -1, done, op);
}

static json_object *call_at(struct op *op)
{
	return json_object_array_get_idx(json_get(op->body, "calls"), (size_t)op->stage);
}

/* Ends with the error that stopped it; @err: why what is left to undo stays done. */
static void update_fail(struct op *op, const struct err *err)
{
	struct err e = ERR_INIT;
	const char *text = json_str_or(op->body, "error", "");
	int code = (int)json_i64_or(op->body, "code", EIO);
	if (err)
		(void)err_set(&e, code, "%s; until the next start %s stays changed: %s", text,
			      call_name(call_at(op)), err->text);
	else
		(void)err_set(&e, code, "%s", text);
	op_finish(op, &e, NULL);
}

static void undo_next(struct op *op);

static void on_undone(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	(void)reply;
	op->pinned = false;
	if (err)
		update_fail(op, err);
	else
		undo_next(op);
}

/* Backwards from the call in front of the one that failed. */
static void undo_next(struct op *op)
{
	if (op->stage == 0 || !instance_is_running(op->inst) || !op->inst->link) {
		update_fail(op, NULL);
		return;
	}
	op->stage--;
	send_call(op, json_get(call_at(op), "undo"), on_undone);
}

static void on_call_done(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	(void)reply;
	op->pinned = false;
	if (!err) {
		op->stage++;
		update_next(op);
		return;
	}
	struct err e = *err;
	(void)err_prefix(&e, "cannot update VM %s: %s", op->inst->id, call_name(call_at(op)));
	/* The keeper's ENOENT is a file's, not the VM's. */
	json_add_i64(op->body, "code", e.code == ENOENT ? EIO : e.code);
	json_add_str(op->body, "error", e.text);
	undo_next(op);
}

/* One after the other, so that a refusal names what was refused; then those before it
 * are undone. */
static void update_next(struct op *op)
{
	struct instance *inst = op->inst;
	json_object *calls = json_get(op->body, "calls");
	if (!instance_is_running(inst) || !inst->link || (size_t)op->stage >= json_len(calls))
		update_take(op);
	else
		send_call(op, call_at(op), on_call_done);
}

/* A disk grows only under a running VM: else there is nobody to grow it, and the
 * next start looks at its size anyway. */
static int check_phase(struct instance *inst, json_object *calls, struct err *err)
{
	for (size_t i = 0; i < json_len(calls); i++) {
		json_object *args = json_get(json_object_array_get_idx(calls, i), "args");
		if (json_bool_or(args, "resize", false) && !instance_is_running(inst))
			return err_set(err, EBUSY,
				       "VM %s is not running: disk %s can be resized only while "
				       "it is",
				       inst->id, json_str_or(args, "id", ""));
	}
	return 0;
}

void vm_update_run(struct op *op)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	json_object *config = NULL, *calls = NULL;
	int rc = state_next(inst, EVENT_UPDATE, &e);
	if (rc >= 0)
		rc = vm_update_check(inst, op->body, &config, &calls, &e);
	if (rc >= 0)
		rc = check_phase(inst, calls, &e);
	if (rc < 0) {
		json_object_put(config);
		json_object_put(calls);
		op_finish(op, &e, NULL);
		return;
	}
	json_object_put(op->body);
	op->body = json_object_new_object();
	json_add(op->body, "config", config);
	json_add(op->body, "calls", calls);
	op->stage = 0;
	update_next(op);
}
