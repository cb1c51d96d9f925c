/* SPDX-License-Identifier: Apache-2.0 */
/* guest_link - the host's side of isola/guest.h: connections, hellos, frames, requests.
 * No policy: what a guest is asked for is its user's.
 *
 * The guest is hostile. Whatever it sends is bounded, known, expected and in order, or
 * on_broken() is called with a sentence, once, and nothing more is heard of it.
 *
 *   guest_link.c   connections and frames, what the guest says by itself
 *   guest_call.c   requests, their answers, and the processes they make
 *   guest_greet.c  connections until they have said hello */
#pragma once

#include "isola/err.h"
#include "isola/guest.h"
#include "isola/list.h"
#include "isola/tlv.h"

#include "loop.h"

#include <stdbool.h>

struct guest_link;

/* Call-backs; none may call guest_link_fini(), all others are fine. */
struct guest_link_ops {
	/* @release: of the kernel; borrowed. */
	void (*on_ready)(struct guest_link *l, const char *release, uint64_t boot_us);
	/* A stream of a process that was asked for, before the answer to that. @fd: a stream
	 * socket, non-blocking, taken. */
	void (*on_stream)(struct guest_link *l, uint64_t process, enum guest_stream stream, int fd);
	/* Of a process that was started. @status: as of wait(2). */
	void (*on_exited)(struct guest_link *l, uint64_t process, int status, uint64_t oom_kills);
	/* Printable, but not to be believed; a guest that says too much is not heard. */
	void (*on_notice)(struct guest_link *l, const char *text);
	/* One more process of the container was killed for want of memory. */
	void (*on_oom)(struct guest_link *l, uint64_t kills);
	/* -EPROTO: it broke the protocol; -EPIPE: its control connection ended. Calls that
	 * wait were answered with ESRCH before. */
	void (*on_broken)(struct guest_link *l, const struct err *err);
};

struct guest_link {
	struct loop *loop;
	const struct guest_link_ops *ops;
	struct source control; /* fd -1: not yet, or not any more */
	bool ready, broken;
	struct list greets, calls, processes;
	size_t n_greets, n_calls, n_processes;
	uint64_t seq;
	struct timer timer;     /* the next call or hello that is too late */
	unsigned int n_notices; /* and kills; only some a minute are told of */
	int64_t notices_since_ms;

	/* The frame that is being read. */
	uint8_t head[GUEST_FRAME_BYTES];
	size_t got; /* of head and body together */
	uint8_t *body;
	/* What the guest does not read yet. */
	uint8_t *out;
	size_t out_size;
};

void guest_link_init(struct guest_link *l, struct loop *loop, const struct guest_link_ops *ops);
/* Closes all; calls that wait are answered with ESRCH. */
void guest_link_fini(struct guest_link *l);

/* The guest connects to GUEST_PORT: returns the worker's end of a new connection, or
 * -errno. */
int guest_link_connect(struct guest_link *l, struct err *err);

/* @body: the answer's fields, borrowed; @err NULL: it worked. */
typedef void guest_reply_fn(void *arg, const uint8_t *body, size_t size, const struct err *err);

/* Asks for @type with the fields in @body (borrowed; NULL: none). @reply is called once,
 * and never from within; with ETIMEDOUT after @within_ms. A process that is made after
 * that is killed, and nothing is told of it. -EBUSY: too many requests or processes;
 * -ESRCH: there is no guest (yet). For GUEST_RUN, _EXEC, _COPY, _MOUNT and _UNMOUNT @body
 * begins with GF_PROCESS and has GF_STREAMS. */
int guest_link_call(struct guest_link *l, enum guest_type type, const struct tlv_writer *body,
		    int64_t within_ms, guest_reply_fn *reply, void *arg, struct err *err);
/* Whoever asked with @arg is not there any more: its @reply is never called, and a process
 * that it asked for is killed. */
void guest_link_forget(struct guest_link *l, const void *arg);

/* GUEST_SHUTDOWN, which has no answer. 0 or -errno. */
int guest_link_shutdown(struct guest_link *l, struct err *err);

/* ---- between the files of the link ---- */

/* -EPROTO (or @code) with a sentence; ends the link. Returns -EPROTO. */
int guest_link_break(struct guest_link *l, int code, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));
int guest_link_control(struct guest_link *l, int fd);
int guest_link_send(struct guest_link *l, enum guest_type type, uint64_t seq, const void *body,
		    size_t size, struct err *err);
void guest_link_set_timer(struct guest_link *l);

/* Reads the hellos that are there; all of them, before a frame that relies on them. */
void guest_greet_all(struct guest_link *l);
int64_t guest_greet_next_ms(const struct guest_link *l); /* INT64_MAX: none */
void guest_greet_on_time(struct guest_link *l);
void guest_greet_end(struct guest_link *l);

int guest_call_answer(struct guest_link *l, uint64_t seq, const uint8_t *body, size_t size);
int guest_call_exited(struct guest_link *l, const uint8_t *body, size_t size);
/* Takes @fd. */
void guest_call_stream(struct guest_link *l, uint64_t process, unsigned int stream, int fd);
int64_t guest_call_next_ms(const struct guest_link *l);
void guest_call_on_time(struct guest_link *l);
void guest_call_end(struct guest_link *l);
