/* SPDX-License-Identifier: Apache-2.0 */
/* loop - see loop.h. Level-triggered epoll(7). */
#include "loop.h"

#include "isola/fd.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <time.h>

int64_t loop_now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

int loop_init(struct loop *loop, struct err *err)
{
	*loop = (struct loop){ .epoll_fd = epoll_create1(EPOLL_CLOEXEC) };
	list_init(&loop->timers);
	return loop->epoll_fd < 0 ? err_sys(err, "cannot make an epoll instance") : 0;
}

void loop_fini(struct loop *loop)
{
	fd_close(&loop->epoll_fd);
	free(loop->scratch);
	loop->scratch = NULL;
}

int loop_watch(struct loop *loop, struct source *src, uint32_t events)
{
	if (src->watched && src->events == events)
		return 0;
	struct epoll_event ev = { .events = events, .data.ptr = src };
	int op = src->watched ? EPOLL_CTL_MOD : EPOLL_CTL_ADD;
	if (epoll_ctl(loop->epoll_fd, op, src->fd, &ev) < 0)
		return -errno;
	src->watched = true;
	src->events = events;
	return 0;
}

void loop_unwatch(struct loop *loop, struct source *src)
{
	if (!src->watched)
		return;
	(void)epoll_ctl(loop->epoll_fd, EPOLL_CTL_DEL, src->fd, NULL);
	src->watched = false;
	for (int i = 0; i < loop->n_batch; i++)
		if (loop->batch[i].data.ptr == src)
			loop->batch[i].data.ptr = NULL;
}

void loop_timer(struct loop *loop, struct timer *timer, int64_t after_ms)
{
	loop_timer_stop(timer);
	timer->at_ms = loop_now_ms() + after_ms;
	list_add_tail(&loop->timers, &timer->node);
}

void loop_timer_stop(struct timer *timer)
{
	if (timer->node.next)
		list_del(&timer->node);
	timer->node.next = NULL;
}

char *loop_scratch(struct loop *loop)
{
	if (!loop->scratch)
		loop->scratch = malloc(LOOP_HEADROOM + LOOP_SCRATCH_BYTES);
	return loop->scratch ? loop->scratch + LOOP_HEADROOM : NULL;
}

/* Milliseconds to the next timer, -1 without one. */
static int next_timeout(const struct loop *loop)
{
	int64_t now = 0, best = INT64_MAX;
	list_for_each (n, &loop->timers) {
		const struct timer *t = container_of(n, struct timer, node);
		if (now == 0)
			now = loop_now_ms();
		if (t->at_ms - now < best)
			best = t->at_ms - now;
	}
	if (best == INT64_MAX)
		return -1;
	return best < 0 ? 0 : best > INT_MAX ? INT_MAX : (int)best;
}

static void fire_timers(struct loop *loop)
{
	if (list_is_empty(&loop->timers))
		return;
	int64_t now = loop_now_ms();
	bool fired;
	/* A timer's function may stop others: begin anew after each. */
	do {
		fired = false;
		list_for_each (n, &loop->timers) {
			struct timer *t = container_of(n, struct timer, node);
			if (t->at_ms > now)
				continue;
			loop_timer_stop(t);
			t->on_time(t);
			fired = true;
			break;
		}
	} while (fired && !loop->stopped);
}

static void dispatch(struct loop *loop)
{
	for (int i = 0; i < loop->n_batch && !loop->stopped; i++) {
		struct source *src = loop->batch[i].data.ptr;
		if (src)
			src->on_event(src, loop->batch[i].events);
	}
	loop->n_batch = 0;
}

static void quiet(struct loop *loop)
{
	loop->busy = false;
	free(loop->scratch);
	loop->scratch = NULL;
	if (loop->on_quiet)
		loop->on_quiet(loop);
}

int loop_run(struct loop *loop)
{
	loop->busy = true;
	while (!loop->stopped) {
		int timeout = next_timeout(loop);
		bool to_quiet = loop->busy && (timeout < 0 || timeout > LOOP_QUIET_MS);
		int n = epoll_wait(loop->epoll_fd, loop->batch, LOOP_BATCH,
				   to_quiet ? LOOP_QUIET_MS : timeout);
		if (n < 0 && errno != EINTR)
			return -errno;
		if (n == 0 && to_quiet)
			quiet(loop);
		if (n > 0) {
			loop->busy = true;
			loop->n_batch = n;
			dispatch(loop);
		}
		fire_timers(loop);
	}
	return 0;
}

void loop_stop(struct loop *loop)
{
	loop->stopped = true;
}
