/* SPDX-License-Identifier: Apache-2.0 */
/* turn - see turn.h. An idle handle runs before the loop waits and keeps it from
 * waiting while it is active: no system call, and every descriptor is looked at
 * between two turns. */
#include "turn.h"

#include <stddef.h>

static void on_idle(uv_idle_t *idle)
{
	struct turn *turn = (struct turn *)(void *)((char *)idle - offsetof(struct turn, idle));
	uint64_t now = turn->waiting;
	turn->waiting = 0;
	for (unsigned int i = 0; now; i++, now >>= 1)
		if (now & 1)
			turn->fn(turn, i);
	if (!turn->waiting)
		(void)uv_idle_stop(idle);
}

int turn_init(struct turn *turn, uv_loop_t *loop, void (*fn)(struct turn *, unsigned int))
{
	turn->waiting = 0;
	turn->fn = fn;
	return uv_idle_init(loop, &turn->idle);
}

void turn_again(struct turn *turn, unsigned int index)
{
	turn->waiting |= 1ULL << index;
	if (!uv_is_active((uv_handle_t *)&turn->idle))
		(void)uv_idle_start(&turn->idle, on_idle);
}

void turn_forget(struct turn *turn)
{
	turn->waiting = 0;
	(void)uv_idle_stop(&turn->idle);
}
