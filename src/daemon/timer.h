/* SPDX-License-Identifier: Apache-2.0 */
/* timer - one-shot timers that live only while they are needed, so that an idle
 * isolad has none. Loop thread. */
#pragma once

#include <stdint.h>

struct isolad;
struct timer;
typedef void timer_fn(void *arg);

/* Calls @fn once, @ms from now, unless stopped before. NULL with memory out.
 * The owner calls timer_stop() in any case, in @fn at the latest. */
struct timer *timer_start(struct isolad *d, uint64_t ms, timer_fn *fn, void *arg);
/* The loop may end without it. */
void timer_let_end(struct timer *timer);
/* Milliseconds until it fires; 0 when it did. */
uint64_t timer_left(const struct timer *timer);
/* Stops and frees *@timer and makes it NULL; NULL inside is fine. */
void timer_stop(struct timer **timer);
