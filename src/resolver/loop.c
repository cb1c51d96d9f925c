/* SPDX-License-Identifier: Apache-2.0 */
/* loop - see loop.h. isola-resolver. */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

static int64_t now_ms(void)
{
	struct timespec t;
	(void)clock_gettime(CLOCK_MONOTONIC, &t);
	return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int loop_init(struct loop *l)
{
	l->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	l->now_ms = now_ms();
	return l->epoll_fd < 0 ? -errno : 0;
}

int loop_add(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };
	return epoll_ctl(l->epoll_fd, EPOLL_CTL_ADD, w->fd, &e) < 0 ? -errno : 0;
}

void loop_change(struct loop *l, struct watch *w, uint32_t events)
{
	struct epoll_event e = { .events = events, .data.ptr = w };
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_MOD, w->fd, &e);
}

void loop_remove(struct loop *l, struct watch *w)
{
	if (w->fd >= 0)
		(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
}

void loop_turn(struct loop *l, int wait_ms)
{
	struct epoll_event e;
	int n = epoll_wait(l->epoll_fd, &e, 1, wait_ms);
	if (n < 0 && errno != EINTR)
		abort();
	l->now_ms = now_ms();
	if (n == 1) {
		struct watch *w = e.data.ptr;
		w->on_ready(w, e.events);
	}
}
