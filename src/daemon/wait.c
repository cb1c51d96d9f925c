/* SPDX-License-Identifier: Apache-2.0 */
/* wait - see wait.h. Engine API, POST /containers/{id}/wait. isolad, loop thread. */
#include "wait.h"

#include "isola/json.h"
#include "isolad.h"

#include <errno.h>
#include <stdlib.h>

struct waiter {
	struct list node; /* in inst->waiters */
	struct isolad *isolad;
	enum wait_condition until;
	op_done_fn *done; /* NULL: cancelled */
	void *arg;
	struct err err;
	json_object *result;
};

/* From a later turn, so that it may still be cancelled until then. */
static void answer_now(void *arg)
{
	struct waiter *w = arg;
	if (w->done)
		w->done(w->arg, w->err.code ? &w->err : NULL, w->result);
	json_object_put(w->result);
	free(w);
}

static void answer(struct waiter *w)
{
	list_del(&w->node);
	later_call(w->isolad, answer_now, w);
}

static void answer_exit(struct waiter *w, struct instance *inst)
{
	w->result = json_object_new_object();
	json_add_i64(w->result, "StatusCode", inst->exit_code);
	if (inst->reason)
		json_add_str(w->result, "Reason", inst->reason);
	if (inst->error) {
		json_object *error = json_object_new_object();
		json_add_str(error, "Message", inst->error);
		json_add(w->result, "Error", error);
	}
	answer(w);
}

static bool is_over(const struct instance *inst)
{
	return !instance_is_running(inst) && inst->state != INSTANCE_STARTING &&
	       inst->state != INSTANCE_RESTARTING;
}

struct waiter *instance_wait(struct instance *inst, enum wait_condition until, op_done_fn *done,
			     void *arg)
{
	struct waiter *w = calloc(1, sizeof(*w));
	if (!w)
		abort(); /* see later.h */
	*w = (struct waiter){ .isolad = inst->isolad, .until = until, .done = done, .arg = arg };
	list_add_tail(&inst->waiters, &w->node);
	if (until == WAIT_NOT_RUNNING && is_over(inst))
		answer_exit(w, inst);
	return w;
}

void instance_wait_cancel(struct waiter *w)
{
	bool queued = !list_is_empty(&w->node);
	w->done = NULL;
	list_del(&w->node);
	/* Else answer_now() comes yet and frees it. */
	if (queued)
		free(w);
}

void wait_on_exit(struct instance *inst)
{
	list_for_each_safe (node, &inst->waiters) {
		struct waiter *w = container_of(node, struct waiter, node);
		if (w->until != WAIT_REMOVED)
			answer_exit(w, inst);
	}
}

void wait_on_removed(struct instance *inst)
{
	list_for_each_safe (node, &inst->waiters)
		answer_exit(container_of(node, struct waiter, node), inst);
}

void wait_fail_all(struct instance *inst, const struct err *err)
{
	list_for_each_safe (node, &inst->waiters) {
		struct waiter *w = container_of(node, struct waiter, node);
		w->err = *err;
		answer(w);
	}
}
