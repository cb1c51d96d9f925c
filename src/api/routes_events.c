/* SPDX-License-Identifier: Apache-2.0 */
/* routes_events - the stream of events. Docker Engine API 1.47, "Monitor
 * events". isolad, loop thread. */
#include "conn.h"
#include "routes.h"

#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <string.h>

struct events {
	struct subscription *sub;
	struct exchange_timer *timer; /* for "until" */
	int64_t until_ns;             /* 0 = for ever */
	bool past_to_come;            /* "since", whose events were not sent yet */
	bool due;                     /* "until" is over */
};

/* The reference that the subscription held goes with it. */
static void stop(struct exchange *x)
{
	struct events *e = x->user;
	x->on_gone = NULL;
	exchange_timer_stop(&e->timer);
	if (e->sub) {
		events_unsubscribe(e->sub);
		e->sub = NULL;
		exchange_unref(x);
	}
}

/* Fields that Docker itself still repeats at the top for old clients. */
static json_object *with_legacy_fields(json_object *event)
{
	json_object *o = json_copy(event), *actor = json_get(event, "Actor");
	if (!o || strcmp(json_str_or(event, "Type", ""), "container") != 0)
		return o;
	if (!json_get(o, "status"))
		json_add_str(o, "status", json_str_or(event, "Action", ""));
	if (!json_get(o, "id"))
		json_add_str(o, "id", json_str_or(actor, "ID", ""));
	if (!json_get(o, "from"))
		json_add_str(o, "from", json_str_or(json_get(actor, "Attributes"), "image", ""));
	return o;
}

/* The past may come later than "until": the loop may be slow, its timers are not. */
static void end_if_due(struct exchange *x)
{
	struct events *e = x->user;
	if (!e->due || e->past_to_come)
		return;
	exchange_ref(x);
	stop(x);
	reply_end(x);
	exchange_unref(x);
}

static void on_event(void *arg, json_object *event)
{
	struct exchange *x = exchange_ref(arg);
	struct events *e = x->user;
	if (!event) {
		e->past_to_come = false;
		end_if_due(x);
	} else if (!e->until_ns || json_i64_or(event, "timeNano", 0) <= e->until_ns) {
		cleanup_json json_object *o = with_legacy_fields(event);
		if (o)
			reply_chunk_json(x, o);
	}
	exchange_unref(x);
}

static void on_until(struct exchange *x)
{
	struct events *e = x->user;
	e->due = true;
	exchange_timer_stop(&e->timer);
	end_if_due(x);
}

static void start_until(struct exchange *x, struct events *e)
{
	int64_t ms = (e->until_ns - num_now_ns()) / 1000000;
	e->timer = exchange_timer_start(x, ms > 0 ? (uint64_t)ms + 1 : 0, 0, on_until);
	if (!e->timer && x->conn) {
		stop(x);
		reply_end(x);
	}
}

void events_stream(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *filters = NULL;
	int64_t since_ns = 0, until_ns = 0;
	int rc = request_filters(x, &filters, &err);
	if (rc == 0)
		rc = request_time(x, "since", &since_ns, &err);
	/* 0 means to events_subscribe() that nobody asked. */
	const char *since = query_get(&x->query, "since");
	if (rc == 0 && since && *since && since_ns == 0)
		since_ns = 1;
	if (rc == 0)
		rc = request_time(x, "until", &until_ns, &err);
	if (rc == 0 && until_ns && until_ns < since_ns)
		rc = err_set(&err, EINVAL, "`since` time (%s) cannot be after `until` time (%s)",
			     query_get(&x->query, "since"), query_get(&x->query, "until"));
	struct events *e = rc == 0 ? calloc(1, sizeof(*e)) : NULL;
	if (e) {
		e->until_ns = until_ns;
		e->past_to_come = since_ns != 0;
		x->user = e;
		x->free_user = free;
		e->sub = events_subscribe(x->isolad, filters, since_ns, on_event, exchange_ref(x),
					  &err);
		if (!e->sub)
			exchange_unref(x);
	}
	if (!e || !e->sub) {
		if (!err.code)
			err_set(&err, ENOMEM, "out of memory");
		reply_err(x, &err);
		return;
	}
	x->on_gone = stop;
	reply_begin(x, 200, "application/json");
	if (until_ns)
		start_until(x, e);
}
