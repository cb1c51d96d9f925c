/* SPDX-License-Identifier: Apache-2.0 */
/* control - the worker's end of the protocol with its keeper (isola/vmm.h).
 * isola-vmm, loop thread. */
#pragma once

#include "isola/err.h"

#include <stdint.h>

struct control;
struct vm;
struct vm_exit;

/* @sock: one end of a wire_pair(), taken on success. */
int control_new(struct vm *vm, int sock, struct control **ret, struct err *err);
/* Requests are read from now on. */
void control_start(struct control *control);
/* Unanswered questions are cancelled, before the devices that asked them are freed.
 * Its handle still needs a turn of the loop. NULL is fine. */
void control_free(struct control *control);

/* Events. */
void control_hello(struct control *control);
void control_running(struct control *control, uint64_t first_run_us, uint64_t cpu_us);
void control_warn(struct control *control, const char *text);
/* The last one: waits a second at most for a keeper that does not read. @code: errno
 * of a start-error, or 0. */
void control_exit(struct control *control, const struct vm_exit *exit, int code);

/* @fd: the stream, owned by the callee, or -errno. */
typedef void control_connected_fn(void *arg, int fd);

/* Asks the keeper for a stream connected to <vsock socket>_<@port> ("ask": "connect").
 * @fn is called exactly once if 0 is returned, always from the loop and never from in
 * here: with the stream; with the keeper's errno (-ECONNREFUSED when nobody listens);
 * with -ECANCELED when the link ends. -errno: could not be asked (-EAGAIN: the link is
 * full). */
int control_ask_connect(struct control *control, uint32_t port, control_connected_fn *fn,
			void *arg);
