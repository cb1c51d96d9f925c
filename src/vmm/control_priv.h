/* SPDX-License-Identifier: Apache-2.0 */
/* control_priv - what control.c and control_ask.c share. isola-vmm, loop. */
#pragma once

#include "isola/list.h"

#include "control.h"
#include "request.h"
#include "vm.h"

#define CONTROL_OUT_MAX  256 /* messages that wait for a slow keeper */
#define CONTROL_ASKS_MAX 128

struct control {
	struct vm *vm;
	int sock;
	uv_poll_t poll;
	struct list out; /* messages in order */
	unsigned int n_out;
	struct list asks; /* questions without an answer yet */
	unsigned int n_asks;
	int64_t next_ask;
	enum request_phase phase;
	bool busy; /* with a pause: further requests wait */
	int64_t busy_seq;
	bool gone; /* the keeper */
	bool deaf; /* what it sends is no messages: not read any more */
};

/* Sends or queues; @msg is taken. -EAGAIN when the queue is full, -EPIPE. */
int control_send(struct control *c, json_object *msg);
/* The answer @r to an earlier question; @fd is taken (-1: none). */
void control_answered(struct control *c, const struct request *r, int fd);
/* Nobody will answer any more. */
void control_cancel_asks(struct control *c);
