/* SPDX-License-Identifier: Apache-2.0 */
/* loop - isola-keeper's event loop: epoll(7), a handful of timers, and a moment
 * of quiet at which memory is given back. One thread, no allocation of its own
 * but one scratch buffer that lives only while bytes flow. */
#pragma once

#include "isola/err.h"
#include "isola/list.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/epoll.h>

/* What is watched. Embedded in its owner, who gets at himself by container_of.
 * @events as registered; 0 while watched means: hang-ups and errors only. */
struct source {
	int fd; /* borrowed: the owner closes it, after loop_unwatch() */
	bool watched;
	uint32_t events;
	void (*on_event)(struct source *src, uint32_t events);
};

struct timer {
	struct list node; /* linked while it runs */
	int64_t at_ms;
	void (*on_time)(struct timer *timer);
};

#define LOOP_BATCH         16
#define LOOP_SCRATCH_BYTES (64 * 1024)
/* Room in front of the scratch bytes, for a header put there by the user. */
#define LOOP_HEADROOM 8

struct loop {
	int epoll_fd;
	bool stopped;
	bool busy; /* something happened since the last moment of quiet */
	struct list timers;
	struct epoll_event batch[LOOP_BATCH];
	int n_batch;
	char *scratch;
	/* Called once after each spell of activity, when nothing happened for
	 * LOOP_QUIET_MS. May be NULL. */
	void (*on_quiet)(struct loop *loop);
};

#define LOOP_QUIET_MS 200

int loop_init(struct loop *loop, struct err *err);
void loop_fini(struct loop *loop);

/* Begins to watch @src, or changes what is watched for. 0 or -errno. */
int loop_watch(struct loop *loop, struct source *src, uint32_t events);
/* No event of @src is delivered any more, not even one already fetched, so its
 * owner may free it at once. Fine when it is not watched. */
void loop_unwatch(struct loop *loop, struct source *src);

/* (Re)starts @timer (zeroed before first use); it fires once. */
void loop_timer(struct loop *loop, struct timer *timer, int64_t after_ms);
void loop_timer_stop(struct timer *timer);

/* LOOP_SCRATCH_BYTES that live until control returns to the loop, with
 * LOOP_HEADROOM bytes in front; NULL when memory is out. Shared by all: use it
 * within one call-back only. */
char *loop_scratch(struct loop *loop);

/* Runs until loop_stop(). 0, or -errno when epoll itself fails. */
int loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

/* Monotonic milliseconds. */
int64_t loop_now_ms(void);
