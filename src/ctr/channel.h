/* SPDX-License-Identifier: Apache-2.0 */
/* channel - what a parent and the init it cloned say while a container is made.
 *
 * A close-on-exec SOCK_SEQPACKET pair. Init answers with one final message,
 * CHAN_READY or CHAN_ERROR; after CHAN_START, end of stream means that the
 * payload has been executed. Both ends are our own code, but init has joined
 * the container's namespaces, so the parent bounds and checks what it reads. */
#pragma once

#include "isola/err.h"

#include <stddef.h>
#include <stdint.h>

enum chan_type {
	/* init -> parent */
	CHAN_ERROR = 1, /* code, text: the end */
	CHAN_CHILD,     /* + pidfd; value = pid: a helper cloned the real init */
	CHAN_HOOKS,     /* run the prestart and createRuntime hooks now */
	CHAN_CONSOLE,   /* + the terminal's master */
	CHAN_LISTENER,  /* + seccomp's notify descriptor */
	CHAN_READY,     /* waits for CHAN_START, or at the gate */
	CHAN_GOES_ON,   /* answer to CHAN_LET_GO */
	/* parent -> init */
	CHAN_MAPPED, /* the id maps are written */
	CHAN_TREES,  /* + detached mounts, in the order both sides know */
	CHAN_HOOKS_DONE,
	CHAN_LET_GO, /* do not die with your parent any more */
	CHAN_START,  /* run the payload */
};

struct chan_msg {
	int32_t type;
	int32_t value;
	char text[ERR_TEXT_BYTES];
};

#define CHAN_FDS_MAX 4

/* 0 or -errno. */
int chan_pair(int ret_fds[2]);

/* Sends one message with @n_fds descriptors (borrowed). 0 or -errno; -EPIPE
 * when the other side is gone (no SIGPIPE). */
int chan_send(int sock, enum chan_type type, int value, const int *fds, size_t n_fds);

/* CHAN_ERROR with @err's code and text. */
int chan_send_error(int sock, const struct err *err);

/* Receives one message and at most @max_fds descriptors (owned by the caller,
 * close-on-exec). 1, 0 at end of stream, -EPROTO for anything malformed. */
int chan_recv(int sock, struct chan_msg *ret, int *ret_fds, size_t max_fds, size_t *ret_n_fds);

/* Receives and demands @type. CHAN_ERROR becomes its error; end of stream is
 * -EPIPE. No descriptors. */
int chan_expect(int sock, enum chan_type type, struct err *err);
