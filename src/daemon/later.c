/* SPDX-License-Identifier: Apache-2.0 */
/* later - see later.h. isolad, loop thread. libuv runs a turn as timers, idle,
 * prepare, poll, check: the queue is emptied in the check phase, and while it
 * holds something an idle handle keeps the poll from waiting. */
#include "later.h"

#include "isolad.h"

#include <stdlib.h>

struct call {
	struct list node;
	op_done_fn *done; /* either this */
	later_fn *fn;     /* or this */
	void *arg;
	json_object *result;
	bool failed;
	struct err err[]; /* one, when failed */
};

static void run(struct call *call)
{
	list_del(&call->node);
	if (call->fn)
		call->fn(call->arg);
	else
		call->done(call->arg, call->failed ? call->err : NULL, call->result);
	json_object_put(call->result);
	free(call);
}

static void on_check(uv_check_t *handle)
{
	struct later *l = handle->data;
	while (!list_is_empty(&l->queue))
		run(container_of(l->queue.next, struct call, node));
	(void)uv_idle_stop(&l->idle);
}

static void on_idle(uv_idle_t *handle)
{
	(void)handle;
}

int later_init(struct later *l, uv_loop_t *loop)
{
	list_init(&l->queue);
	(void)uv_check_init(loop, &l->check);
	(void)uv_idle_init(loop, &l->idle);
	l->check.data = l;
	(void)uv_check_start(&l->check, on_check);
	uv_unref((uv_handle_t *)&l->check);
	return 0;
}

void later_fini(struct later *l)
{
	on_check(&l->check);
	uv_close((uv_handle_t *)&l->check, NULL);
	uv_close((uv_handle_t *)&l->idle, NULL);
}

static void push(struct isolad *d, struct call *call)
{
	list_add_tail(&d->later.queue, &call->node);
	(void)uv_idle_start(&d->later.idle, on_idle);
}

static struct call *call_new(size_t extra)
{
	struct call *call = calloc(1, sizeof(*call) + extra);
	if (!call)
		abort(); /* see later.h */
	return call;
}

void later_done(struct isolad *d, op_done_fn *done, void *arg, const struct err *err,
		json_object *result)
{
	if (!done) {
		json_object_put(result);
		return;
	}
	struct call *call = call_new(err ? sizeof(*err) : 0);
	call->done = done;
	call->arg = arg;
	call->result = result;
	call->failed = err != NULL;
	if (err)
		call->err[0] = *err;
	push(d, call);
}

void later_call(struct isolad *d, later_fn *fn, void *arg)
{
	struct call *call = call_new(0);
	call->fn = fn;
	call->arg = arg;
	push(d, call);
}
