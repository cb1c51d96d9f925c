/* SPDX-License-Identifier: Apache-2.0 */
/* vhost_user - the front end of vhost-user (QEMU's docs/interop/vhost-user.rst): a
 * device's queues served by another process, which maps the guest's memory.
 *
 * The back end is foreign: each answer must be to the question, of the right size and
 * in time, or the connection is dead, and stays so. Descriptors that come with one are
 * never taken. Questions wait for their answer, at most timeout_ms. Loop thread. */
#pragma once

#include "isola/err.h"

#include "memory.h"
#include "virtq.h"

#include <stdbool.h>
#include <stdint.h>

/* The first questions wait for a program that is still being started, beside which nothing
 * runs yet; one that ends says so by its socket. Later ones hold up the whole VM. */
#define VHOST_USER_GREET_MS   30000
#define VHOST_USER_TIMEOUT_MS 6000

struct vhost_user {
	int sock; /* borrowed */
	int timeout_ms;
	uint64_t features; /* of virtio, that it offers */
	uint64_t protocol; /* agreed on */
	bool has_protocol, dead;
};

/* Who it is and what it can, with at least @n_queues queues. */
int vhost_user_greet(struct vhost_user *u, unsigned int n_queues, struct err *err);
/* What the driver negotiated, and the guest's shared memory. */
int vhost_user_set_up(struct vhost_user *u, uint64_t features, const struct memory *memory,
		      struct err *err);
/* Gives it ring @index, to go on at @base. Borrows the descriptors. */
int vhost_user_start_ring(struct vhost_user *u, unsigned int index, const struct virtq *q,
			  uint16_t base, int kick_fd, int call_fd, struct err *err);
/* Takes the ring back: when it returns, a back end that keeps to the rules has finished
 * what it had begun. */
int vhost_user_stop_ring(struct vhost_user *u, unsigned int index, uint16_t *ret_base,
			 struct err *err);
