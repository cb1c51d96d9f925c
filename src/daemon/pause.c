/* SPDX-License-Identifier: Apache-2.0 */
/* pause - pause and unpause: the keeper freezes the cgroup. isolad, loop thread. */
#include "isola/json.h"

#include "guest_sync.h"
#include "isolad.h"
#include "life.h"
#include "persist.h"

#include <errno.h>

static void on_frozen(void *arg, const struct err *err, json_object *reply)
{
	struct op *op = arg;
	struct instance *inst = op->inst;
	(void)reply;
	op->pinned = false;
	struct err e = ERR_INIT;
	if (err) {
		e = *err;
		(void)err_prefix(&e, "cannot %s %s %s",
				 op->stage == EVENT_PAUSED ? "pause" : "resume",
				 instance_noun(inst->kind), inst->name);
	} else {
		/* It may have ended meanwhile. */
		(void)state_apply(inst, (enum instance_event)op->stage, &e);
	}
	if (!e.code && !inst->auto_remove)
		persist_save(inst, NULL, NULL);
	op_finish(op, e.code ? &e : NULL, NULL);
}

static bool may_freeze(struct op *op, enum instance_event question, struct err *err)
{
	struct instance *inst = op->inst;
	if (state_next(inst, question, err) >= 0 && !inst->link)
		(void)err_set(err, EBUSY, "%s %s: its keeper has gone away",
			      instance_noun(inst->kind), inst->id);
	return !err->code;
}

/* @held: thawed by the keeper should isolad die. */
static void freeze(struct op *op, enum instance_event question, enum instance_event answer,
		   bool held)
{
	struct instance *inst = op->inst;
	struct err e = ERR_INIT;
	op->pinned = false;
	if (!may_freeze(op, question, &e)) {
		op_finish(op, &e, NULL);
		return;
	}
	op->stage = (int)answer;
	op->pinned = true;
	json_object *msg = json_object_new_object();
	json_add_bool(msg, "frozen", answer == EVENT_PAUSED);
	if (held)
		json_add_bool(msg, "held", true);
	link_call(inst->link, "freeze", msg, -1, on_frozen, op);
}

static void pause_run(struct op *op)
{
	freeze(op, EVENT_PAUSE, EVENT_PAUSED, false);
}

static void on_synced(void *arg, const struct err *err)
{
	struct op *op = arg;
	if (!err) {
		freeze(op, EVENT_PAUSE, EVENT_PAUSED, true);
		return;
	}
	op->pinned = false;
	op_finish(op, err, NULL);
}

/* Somebody is about to read its files; paused, a guest can no longer be asked for them. */
static void hold_run(struct op *op)
{
	struct err e = ERR_INIT;
	op->pinned = true;
	if (!may_freeze(op, EVENT_PAUSE, &e) || !guest_sync(op->inst, on_synced, op))
		freeze(op, EVENT_PAUSE, EVENT_PAUSED, true);
}

static void unpause_run(struct op *op)
{
	freeze(op, EVENT_UNPAUSE, EVENT_UNPAUSED, false);
}

/* A VM is resumed: there is no word "unpause" among its verbs. */
static const struct op_type resume_type = { .name = "resume",
					    .event = "resume",
					    .run = unpause_run };
static const struct op_type pause_type = { .name = "pause", .event = "pause", .run = pause_run };
static const struct op_type hold_type = { .name = "pause", .event = "pause", .run = hold_run };
static const struct op_type unpause_type = { .name = "unpause",
					     .event = "unpause",
					     .run = unpause_run };

void instance_pause(struct instance *inst, op_done_fn *done, void *arg)
{
	struct op *op = op_new(inst, &pause_type, done, arg);
	if (op)
		op_queue(op);
}

void instance_hold(struct instance *inst, op_done_fn *done, void *arg)
{
	struct op *op = op_new(inst, &hold_type, done, arg);
	if (op)
		op_queue(op);
}

void instance_unpause(struct instance *inst, op_done_fn *done, void *arg)
{
	bool vm = inst->kind == INSTANCE_VM;
	struct op *op = op_new(inst, vm ? &resume_type : &unpause_type, done, arg);
	if (op)
		op_queue(op);
}
