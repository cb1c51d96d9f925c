/* SPDX-License-Identifier: Apache-2.0 */
/* op - see op.h. isolad, loop thread. */
#include "op.h"

#include "isolad.h"
#include "life.h"

#include <errno.h>
#include <stdlib.h>

struct op *op_new(struct instance *inst, const struct op_type *type, op_done_fn *done, void *arg)
{
	struct op *op = calloc(1, sizeof(*op));
	if (!op) {
		struct err e = ERR_INIT;
		(void)err_set(&e, ENOMEM, "out of memory");
		later_done(inst->isolad, done, arg, &e, NULL);
		return NULL;
	}
	list_init(&op->node);
	op->type = type;
	op->inst = inst;
	op->done = done;
	op->arg = arg;
	return op;
}

struct op *op_current(const struct instance *inst)
{
	if (list_is_empty(&inst->ops))
		return NULL;
	struct op *op = container_of(inst->ops.next, struct op, node);
	return op->running ? op : NULL;
}

/* A loop, no recursion: an op may finish while it begins, and a client may queue
 * any number of them. The one call that is active does the work of all. */
static void pump(struct instance *inst)
{
	while (!list_is_empty(&inst->ops)) {
		struct op *op = container_of(inst->ops.next, struct op, node);
		if (op->running)
			return;
		op->running = true;
		op->type->run(op);
	}
}

void op_queue(struct op *op)
{
	struct instance *inst = op->inst;
	bool idle = list_is_empty(&inst->ops);
	list_add_tail(&inst->ops, &op->node);
	if (idle)
		pump(inst);
}

void op_aside(struct op *op)
{
	op->aside = true;
	op->running = true;
	list_add_tail(&life_of(op->inst)->asides, &op->node);
	op->type->run(op);
}

static void op_free(struct op *op)
{
	list_del(&op->node);
	timer_stop(&op->timer);
	json_object_put(op->body);
	json_object_put(op->warnings);
	free(op->name);
	free(op);
}

/* The instance is freed by such a call, too, and therefore behind this one. */
static void pump_later(void *arg)
{
	pump(arg);
}

void op_finish(struct op *op, const struct err *err, json_object *result)
{
	struct instance *inst = op->inst;
	bool was_queued = !op->aside;
	if (!err && op->type->event)
		events_emit_instance(inst, op->type->event, NULL);
	later_done(inst->isolad, op->done, op->arg, err, result);
	op_free(op);
	if (was_queued && !list_is_empty(&inst->ops))
		later_call(inst->isolad, pump_later, inst);
}

void op_wake(struct instance *inst, enum op_wake why)
{
	list_for_each_safe (node, &life_of(inst)->asides) {
		struct op *op = container_of(node, struct op, node);
		if (op->type->wake)
			op->type->wake(op, why);
	}
	struct op *op = op_current(inst);
	if (op && op->type->wake)
		op->type->wake(op, why);
}

static void fail_list(struct isolad *d, struct list *ops, const struct err *err)
{
	list_for_each_safe (node, ops) {
		struct op *op = container_of(node, struct op, node);
		if (op->pinned)
			continue;
		later_done(d, op->done, op->arg, err, NULL);
		op_free(op);
	}
}

void op_fail_all(struct instance *inst, const struct err *err)
{
	fail_list(inst->isolad, &inst->ops, err);
	fail_list(inst->isolad, &life_of(inst)->asides, err);
}
