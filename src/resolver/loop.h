/* SPDX-License-Identifier: Apache-2.0 */
/* loop - isola-resolver's event loop: epoll(7), one event at a time, so that whoever is
 * called may free any other watch. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

struct loop {
	int epoll_fd;
	int64_t now_ms; /* CLOCK_MONOTONIC, of this turn */
};

struct watch {
	int fd; /* -1 = not watched; borrowed */
	void (*on_ready)(struct watch *w, uint32_t events);
};

int loop_init(struct loop *l);
int loop_add(struct loop *l, struct watch *w, uint32_t events);
void loop_change(struct loop *l, struct watch *w, uint32_t events);
void loop_remove(struct loop *l, struct watch *w);
/* Waits for at most @wait_ms (-1 = as long as it takes) and calls one. */
void loop_turn(struct loop *l, int wait_ms);
