/* SPDX-License-Identifier: Apache-2.0 */
/* loop - see loop.h. isola-resolver. */
#include "loop.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <time.h>

#define REST_MS 250

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
	struct watch **at = &l->resting;
	if (w->fd < 0)
		return;
	(void)epoll_ctl(l->epoll_fd, EPOLL_CTL_DEL, w->fd, NULL);
	while (*at && *at != w)
		at = &(*at)->next_resting;
	if (*at)
		*at = w->next_resting;
}

/* ---- sockets that rest ---- */

static void rest(struct loop *l, struct watch *w)
{
	if (!l->resting)
		l->wake_ms = l->now_ms + REST_MS;
	w->next_resting = l->resting;
	l->resting = w;
	loop_change(l, w, 0);
}

static void wake(struct loop *l)
{
	struct watch *w = l->now_ms >= l->wake_ms ? l->resting : NULL;
	if (w)
		l->resting = NULL;
	for (; w; w = w->next_resting)
		loop_change(l, w, EPOLLIN);
}

int loop_accept(struct loop *l, struct watch *w, struct sockaddr *ret_from, socklen_t *size)
{
	int fd = accept4(w->fd, ret_from, size, SOCK_CLOEXEC | SOCK_NONBLOCK);
	int rc = fd < 0 ? -errno : fd;
	if (rc == -EMFILE || rc == -ENFILE || rc == -ENOBUFS || rc == -ENOMEM)
		rest(l, w);
	return rc;
}

void loop_turn(struct loop *l, int wait_ms)
{
	struct epoll_event e;
	if (l->resting && (wait_ms < 0 || wait_ms > REST_MS))
		wait_ms = REST_MS;
	int n = epoll_wait(l->epoll_fd, &e, 1, wait_ms);
	if (n < 0 && errno != EINTR)
		abort();
	l->now_ms = now_ms();
	wake(l);
	if (n == 1) {
		struct watch *w = e.data.ptr;
		w->on_ready(w, e.events);
	}
}
