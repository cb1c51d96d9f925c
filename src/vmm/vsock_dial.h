/* SPDX-License-Identifier: Apache-2.0 */
/* vsock_dial - what the keeper does for a jailed worker, for one that is run by hand: a
 * small process of its own, forked before the jail, that still sees paths and connects
 * to <prefix>_<port> when asked. It ends with the worker. */
#pragma once

#include "isola/err.h"

#include <stdint.h>
#include <uv.h>

struct vsock_dial;

/* @fd: a connected stream, owned by the callee, or -errno. */
typedef void vsock_dialled_fn(void *arg, uint64_t ticket, int fd);

/* Forks. @fn is called on the loop, once for each vsock_dial_port(). */
int vsock_dial_new(uv_loop_t *loop, const char *prefix, vsock_dialled_fn *fn, void *arg,
		   struct vsock_dial **ret, struct err *err);
/* 0, or -errno: -EAGAIN when too many wait already. */
int vsock_dial_port(struct vsock_dial *dial, uint32_t port, uint64_t ticket);
/* @fn is not called any more. */
void vsock_dial_free(struct vsock_dial *dial);
