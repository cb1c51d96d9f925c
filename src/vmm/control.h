/* SPDX-License-Identifier: Apache-2.0 */
/* control - the worker's end of the protocol with its keeper (isola/vmm.h).
 * isola-vmm, loop thread. */
#pragma once

#include <stdint.h>

struct control;

/* @fd: the stream, owned by the callee, or -errno. */
typedef void control_connected_fn(void *arg, int fd);

/* Asks the keeper for a stream connected to <vsock socket>_<@port> ("ask": "connect").
 * @fn is called exactly once if 0 is returned, always from the loop and never from in
 * here: with the stream; with the keeper's errno (-ECONNREFUSED when nobody listens);
 * with -ECANCELED when the link ends. -errno: could not be asked (-EAGAIN: the link is
 * full). */
int control_ask_connect(struct control *control, uint32_t port, control_connected_fn *fn,
			void *arg);
