/* SPDX-License-Identifier: Apache-2.0 */
/* op - one thing that a user or a policy wants of an instance. The ops of an
 * instance run one after another; each ends in op_finish(), which answers the
 * requester and lets the next one begin. Loop thread.
 *
 * An op that waits for its instance is woken; it always checks the state again. */
#pragma once

#include "isola/daemon.h"
#include "timer.h"

enum op_wake {
	OP_WAKE_ENDED, /* the payload's end was recorded */
	OP_WAKE_OVER,  /* keeper and cgroup are gone, too: a new run may begin */
	OP_WAKE_HURRY, /* somebody wants the instance gone now */
};

struct op;

struct op_type {
	const char *name;
	const char *event; /* emitted when it worked; may be NULL */
	void (*run)(struct op *op);
	void (*wake)(struct op *op, enum op_wake why); /* NULL: nothing to wait for */
	bool no_policy;  /* while it runs, the end of the payload is its business */
	bool no_removal; /* nor is a --rm instance removed */
};

struct op {
	struct list node; /* in inst->ops, where the first one runs, or life's asides */
	const struct op_type *type;
	struct instance *inst;
	op_done_fn *done; /* NULL: nobody asked */
	void *arg;
	bool running, aside, internal;
	bool pinned; /* a job in the thread pool will come back with it */

	/* Of some types. */
	int stage;
	/* start.c */
	bool preparing;        /* something of what a start needs is being seen to */
	unsigned int prepared; /* so many of it are there (start.c) */
	bool spawned;          /* a keeper works for it */
	struct timer *timer;
	int signal, timeout_s;
	bool force;
	bool volumes; /* anonymous ones go, too */
	char *name;
	json_object *body;
	json_object *warnings; /* of its answer; NULL: none */
};

/* NULL with memory out, after @done was set off with ENOMEM. */
struct op *op_new(struct instance *inst, const struct op_type *type, op_done_fn *done, void *arg);

/* Behind those that wait; runs at once when there is none. */
void op_queue(struct op *op);
/* Beside those that run: for what must get through to a busy instance. */
void op_aside(struct op *op);

/* @err NULL = success; @result (may be NULL) is taken. Frees @op. */
void op_finish(struct op *op, const struct err *err, json_object *result);

/* The running one, or NULL. */
struct op *op_current(const struct instance *inst);
/* Wakes the running one and those beside it. */
void op_wake(struct instance *inst, enum op_wake why);
/* Fails all ops of @inst with @err, but a pinned one, which ends by itself. */
void op_fail_all(struct instance *inst, const struct err *err);
