/* SPDX-License-Identifier: Apache-2.0 */
/* turn - work of a device's queues that is to go on later in this round of the
 * loop, or in the next: what came in together is answered together, and a busy
 * queue leaves room for the others. Loop thread. isola-vmm. */
#pragma once

#include <stdint.h>
#include <uv.h>

/* Embedded in a device; the owner closes @idle and may use idle.data. */
struct turn {
	uv_idle_t idle;
	uint64_t waiting; /* a bit for each queue */
	void (*fn)(struct turn *turn, unsigned int index);
};

/* @fn is called for each queue whose turn has come. -errno of libuv. */
int turn_init(struct turn *turn, uv_loop_t *loop, void (*fn)(struct turn *, unsigned int));
/* Queue @index (below 64) wants a turn: before the loop waits again. */
void turn_again(struct turn *turn, unsigned int index);
/* Nobody wants one any more. */
void turn_forget(struct turn *turn);
