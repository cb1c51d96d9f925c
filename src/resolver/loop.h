/* SPDX-License-Identifier: Apache-2.0 */
/* loop - isola-resolver's event loop: epoll(7), one event at a time, so that whoever is
 * called may free any other watch. */
#pragma once

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct loop {
	int epoll_fd;
	int64_t now_ms;        /* CLOCK_MONOTONIC, of this turn */
	struct watch *resting; /* see loop_accept() */
	int64_t wake_ms;       /* theirs */
};

struct watch {
	int fd; /* -1 = not watched; borrowed */
	void (*on_ready)(struct watch *w, uint32_t events);
	struct watch *next_resting;
};

int loop_init(struct loop *l);
int loop_add(struct loop *l, struct watch *w, uint32_t events);
void loop_change(struct loop *l, struct watch *w, uint32_t events);
void loop_remove(struct loop *l, struct watch *w);
/* Accepts a connection at the listening socket of @w; owned, -errno when there is none. When
 * there is one and it cannot be had (EMFILE and its like), the socket is not looked at for a
 * while: it would be ready again at once, and again. */
int loop_accept(struct loop *l, struct watch *w, struct sockaddr *ret_from, socklen_t *size);
/* Waits for at most @wait_ms (-1 = as long as it takes) and calls one. */
void loop_turn(struct loop *l, int wait_ms);
