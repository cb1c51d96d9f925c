/* SPDX-License-Identifier: Apache-2.0 */
/* timer - see timer.h. isolad, loop thread. */
#include "timer.h"

#include "isolad.h"

#include <stdlib.h>

struct timer {
	uv_timer_t handle;
	timer_fn *fn;
	void *arg;
};

static void on_timer(uv_timer_t *handle)
{
	struct timer *timer = container_of(handle, struct timer, handle);
	timer->fn(timer->arg);
}

struct timer *timer_start(struct isolad *d, uint64_t ms, timer_fn *fn, void *arg)
{
	struct timer *timer = calloc(1, sizeof(*timer));
	if (!timer)
		return NULL;
	timer->fn = fn;
	timer->arg = arg;
	(void)uv_timer_init(&d->loop, &timer->handle);
	/* Timers count from the loop's cached time, which a long callback leaves
	 * behind. */
	uv_update_time(&d->loop);
	(void)uv_timer_start(&timer->handle, on_timer, ms, 0);
	return timer;
}

void timer_let_end(struct timer *timer)
{
	uv_unref((uv_handle_t *)&timer->handle);
}

uint64_t timer_left(const struct timer *timer)
{
	return uv_timer_get_due_in(&timer->handle);
}

static void on_closed(uv_handle_t *handle)
{
	free(container_of(handle, struct timer, handle));
}

void timer_stop(struct timer **timer)
{
	if (*timer)
		uv_close((uv_handle_t *)&(*timer)->handle, on_closed);
	*timer = NULL;
}
