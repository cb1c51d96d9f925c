/* SPDX-License-Identifier: Apache-2.0 */
/* timer - a libuv timer that holds a reference on its exchange, for answers
 * that go on (stats) or end by themselves (events until). isolad, loop thread. */
#include "conn.h"
#include "exchange.h"
#include "server.h"

#include <stdlib.h>

struct exchange_timer {
	uv_timer_t timer;
	struct exchange *x;
	struct api_server *server;
	exchange_tick_fn *tick;
};

static void on_closed(uv_handle_t *handle)
{
	struct exchange_timer *t = container_of((uv_timer_t *)handle, struct exchange_timer, timer);
	struct api_server *server = t->server;
	exchange_unref(t->x);
	free(t);
	server_handle_closed(server);
}

static void on_tick(uv_timer_t *timer)
{
	struct exchange_timer *t = container_of(timer, struct exchange_timer, timer);
	t->tick(t->x);
}

struct exchange_timer *exchange_timer_start(struct exchange *x, uint64_t after_ms,
					    uint64_t repeat_ms, exchange_tick_fn *tick)
{
	struct exchange_timer *t = x->conn ? malloc(sizeof(*t)) : NULL;
	if (!t)
		return NULL;
	t->x = exchange_ref(x);
	t->server = x->conn->server;
	t->tick = tick;
	server_handle_opened(t->server);
	(void)uv_timer_init(t->server->loop, &t->timer);
	/* The loop's clock may lag behind by the time this turn took. */
	uv_update_time(t->server->loop);
	(void)uv_timer_start(&t->timer, on_tick, after_ms, repeat_ms);
	return t;
}

void exchange_timer_stop(struct exchange_timer **timer)
{
	if (*timer)
		uv_close((uv_handle_t *)&(*timer)->timer, on_closed);
	*timer = NULL;
}
