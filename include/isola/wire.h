/* SPDX-License-Identifier: Apache-2.0 */
/* wire - messages between our own processes: one JSON object, and descriptors,
 * per SOCK_SEQPACKET packet on a Unix socket.
 *
 * The kernel keeps packets whole and ordered and cleans up descriptors in
 * flight. Both sides treat the other as foreign: size, depth and number of
 * descriptors are bounded, and anything malformed is -EPROTO. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stddef.h>

#define WIRE_BYTES_MAX (128 * 1024)
#define WIRE_FDS_MAX   4

/* A connected, close-on-exec SOCK_SEQPACKET pair with buffers that hold at
 * least one largest message. 0 or -errno. */
int wire_pair(int ret_fds[2], struct err *err);

/* Sends @msg and @n_fds descriptors (borrowed). Never waits when the socket is
 * non-blocking (-EAGAIN). -EPIPE/-ECONNRESET when the peer is gone (no
 * SIGPIPE), -EMSGSIZE when too long. */
int wire_send(int sock, json_object *msg, const int *fds, size_t n_fds, struct err *err);

/* Receives one message. Returns 1 with @ret_msg (owned) and the descriptors
 * (owned, close-on-exec, @ret_n_fds of them), 0 at end of stream, -EAGAIN when
 * non-blocking and nothing is there, -EPROTO for anything malformed (any
 * descriptors that came are closed), else -errno. */
int wire_recv(int sock, json_object **ret_msg, int ret_fds[WIRE_FDS_MAX], size_t *ret_n_fds,
	      struct err *err);
