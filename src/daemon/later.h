/* SPDX-License-Identifier: Apache-2.0 */
/* later - calls that must not happen before the current one returns.
 *
 * They run at the end of the same loop iteration (after the poll phase), so a
 * deferred answer costs no extra system call. Loop thread. */
#pragma once

#include "isola/daemon.h"

struct later {
	uv_check_t check;
	uv_idle_t idle; /* active only while something waits: no poll may block */
	struct list queue;
};

int later_init(struct later *l, uv_loop_t *loop);
/* Runs what waits, then closes the handles. */
void later_fini(struct later *l);

/* @done gets a copy of @err (NULL = success) and @result, which is taken. When
 * memory is out, isolad aborts: an answer must never be lost, and isolad can
 * die at any time without harm to the payloads. */
void later_done(struct isolad *d, op_done_fn *done, void *arg, const struct err *err,
		json_object *result);

typedef void later_fn(void *arg);
void later_call(struct isolad *d, later_fn *fn, void *arg);
