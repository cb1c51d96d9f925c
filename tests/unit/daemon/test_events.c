/* SPDX-License-Identifier: Apache-2.0 */
/* events - the ring, those who listen, and Docker's filters. */
#include "desk.h"

#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct heard {
	unsigned int n, past; /* past: how often it heard that the past is over */
	char last[64];
	struct subscription *cancel; /* to be ended by the first event */
};

static void on_event(void *arg, json_object *event)
{
	struct heard *h = arg;
	if (!event) {
		h->past++;
		return;
	}
	h->n++;
	(void)snprintf(h->last, sizeof(h->last), "%s", json_str_or(event, "Action", ""));
	if (h->cancel)
		events_unsubscribe(h->cancel);
	h->cancel = NULL;
}

static void events_emit__has_dockers_shape(void **state)
{
	struct isolad *d = *state;
	struct instance *inst = desk_instance(d, "web", NULL);
	json_object *extra = json_object_new_object();
	json_add_str(extra, "exitCode", "3");
	events_emit_instance(inst, "die", extra);
	json_object *event = desk_json(d->events.ring[0]);
	json_object *actor = json_get(event, "Actor"), *attrs = json_get(actor, "Attributes");
	assert_string_equal(json_str_or(event, "Type", ""), "container");
	assert_string_equal(json_str_or(event, "Action", ""), "die");
	assert_string_equal(json_str_or(event, "status", ""), "die");
	assert_string_equal(json_str_or(event, "id", ""), inst->id);
	assert_string_equal(json_str_or(event, "from", ""), "box:latest");
	assert_string_equal(json_str_or(event, "scope", ""), "local");
	assert_string_equal(json_str_or(actor, "ID", ""), inst->id);
	assert_string_equal(json_str_or(attrs, "name", ""), "web");
	assert_string_equal(json_str_or(attrs, "image", ""), "box:latest");
	assert_string_equal(json_str_or(attrs, "tier", ""), "web");
	assert_string_equal(json_str_or(attrs, "exitCode", ""), "3");
	assert_int_equal(json_i64_or(event, "time", 0),
			 json_i64_or(event, "timeNano", 0) / 1000000000);
	json_object_put(event);
}

static void events_subscribe__replays_since_then_goes_on(void **state)
{
	struct isolad *d = *state;
	struct instance *inst = desk_instance(d, "web", NULL);
	struct heard old = { 0 }, fresh = { 0 };
	for (int i = 0; i < 300; i++)
		events_emit_instance(inst, "start", NULL);
	struct subscription *a = events_subscribe(d, NULL, 1, on_event, &old, NULL);
	struct subscription *b = events_subscribe(d, NULL, 0, on_event, &fresh, NULL);
	events_emit_instance(inst, "die", NULL);
	assert_int_equal(old.n, 0);
	assert_int_equal(fresh.n, 1);
	desk_turn(d);
	assert_int_equal(old.n, EVENTS_RING);
	assert_string_equal(old.last, "die");
	assert_int_equal(old.past, 1);
	assert_int_equal(fresh.past, 0);
	events_emit_instance(inst, "stop", NULL);
	assert_int_equal(old.n, EVENTS_RING + 1);
	assert_int_equal(fresh.n, 2);
	events_unsubscribe(a);
	events_unsubscribe(b);
	events_emit_instance(inst, "stop", NULL);
	assert_int_equal(fresh.n, 2);
	struct subscription *c =
		events_subscribe(d, NULL, num_now_ns() + 1000000000, on_event, &fresh, NULL);
	desk_turn(d);
	assert_int_equal(fresh.n, 2);
	events_unsubscribe(c);
}

static void events_unsubscribe__may_come_from_an_event(void **state)
{
	struct isolad *d = *state;
	struct instance *inst = desk_instance(d, "web", NULL);
	struct heard a = { 0 }, b = { 0 };
	struct subscription *sa = events_subscribe(d, NULL, 0, on_event, &a, NULL);
	struct subscription *sb = events_subscribe(d, NULL, 0, on_event, &b, NULL);
	/* The first ends the second, which has not heard of it yet. */
	a.cancel = sb;
	events_emit_instance(inst, "start", NULL);
	assert_int_equal(b.n, 0);
	a.cancel = sa;
	events_emit_instance(inst, "start", NULL);
	events_emit_instance(inst, "start", NULL);
	assert_int_equal(a.n, 2);
	desk_turn(d);
}

static const struct {
	const char *filters;
	int match; /* of "exec_start: ls" by container web, or -errno */
} rows[] = {
	{ "{}", 1 },
	{ "{'type':['container']}", 1 },
	{ "{'type':['image']}", 0 },
	{ "{'type':['image','container']}", 1 },
	{ "{'type':{'container':true}}", 1 },
	{ "{'type':{'image':true}}", 0 },
	{ "{'event':['exec_start']}", 1 },
	{ "{'event':['exec_start: ls']}", 1 },
	{ "{'event':['exec']}", 0 },
	{ "{'event':['die','exec_start']}", 1 },
	{ "{'container':['web']}", 1 },
	{ "{'container':['/web']}", 1 },
	{ "{'container':['we']}", 0 },
	{ "{'container':['']}", 0 },
	{ "{'image':['box']}", 1 },
	{ "{'image':['box:latest']}", 1 },
	{ "{'image':['bo']}", 0 },
	{ "{'label':['tier']}", 1 },
	{ "{'label':['tier=web']}", 1 },
	{ "{'label':['tier=db']}", 0 },
	{ "{'label':['tier=web','nope']}", 0 },
	{ "{'scope':['local']}", 1 },
	{ "{'volume':['x']}", 0 },
	{ "{'daemon':['x']}", 0 },
	{ "{'type':['container'],'event':['die']}", 0 },
	{ "{'type':[]}", 1 },
	{ "{'nonsense':['x']}", -EINVAL },
	{ "{'type':'container'}", -EINVAL },
	{ "{'type':[1]}", -EINVAL },
	{ "[]", -EINVAL },
};

static void events_match__knows_dockers_filters(void **state)
{
	struct isolad *d = *state;
	events_emit_instance(desk_instance(d, "web", NULL), "exec_start: ls", NULL);
	json_object *event = desk_json(d->events.ring[0]);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_object *filters = desk_json(rows[i].filters);
		int got = events_check(filters, NULL);
		if (got == 0)
			got = events_match(event, filters);
		if (got != rows[i].match)
			fail_msg("%s: %d", rows[i].filters, got);
		json_object_put(filters);
	}
	json_object_put(event);
}

static void events_subscribe__names_a_wrong_filter(void **state)
{
	struct err e = ERR_INIT;
	json_object *filters = desk_json("{'nonsense':['x']}");
	assert_null(events_subscribe(*state, filters, 0, on_event, NULL, &e));
	assert_int_equal(e.code, EINVAL);
	assert_non_null(strstr(e.text, "nonsense"));
	json_object_put(filters);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_setup, desk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(events_emit__has_dockers_shape),
		CASE(events_subscribe__replays_since_then_goes_on),
		CASE(events_unsubscribe__may_come_from_an_event),
		CASE(events_match__knows_dockers_filters),
		CASE(events_subscribe__names_a_wrong_filter),
	};
	return cmocka_run_group_tests_name("events", tests, NULL, NULL);
}
