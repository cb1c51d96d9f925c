/* SPDX-License-Identifier: Apache-2.0 */
/* record - an instance on disk and back, also when somebody edited it. */
#include "desk.h"

#include "isola/json.h"
#include "daemon/images_priv.h"
#include "daemon/record.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static struct images no_images;

static struct instance *sample(struct isolad *d)
{
	d->images = &no_images;
	no_images.d = d;
	struct instance *inst = desk_instance(
		d, "web", "{'RestartPolicy':{'Name':'on-failure','MaximumRetryCount':4}}");
	inst->state = INSTANCE_EXITED;
	inst->created_ns = 11;
	inst->started_ns = 12;
	inst->finished_ns = 13;
	inst->exit_code = 137;
	inst->oom_killed = true;
	inst->error = strdup("it \"died\"");
	inst->restart_count = 3;
	inst->manually_stopped = true;
	inst->userns_base = 65536;
	inst->guest_root = GUEST_ROOT_EROFS;
	inst->guest_root_auto = true;
	return inst;
}

static json_object *document(const struct instance *inst)
{
	size_t size = 0;
	char *text = record_text(inst, &size);
	json_object *doc = NULL;
	assert_non_null(text);
	assert_int_equal(json_parse(text, size, "record", &doc, NULL), 0);
	free(text);
	return doc;
}

static void record__round_trips(void **state)
{
	struct isolad *d = *state;
	struct instance *a = sample(d), *b = NULL;
	json_object *doc = document(a);
	assert_int_equal(record_load(d, a->id, doc, &b, NULL), 0);
	json_object_put(doc);
	assert_string_equal(b->id, a->id);
	assert_string_equal(b->name, "web");
	assert_string_equal(b->image_ref, "box:latest");
	assert_string_equal(b->error, a->error);
	assert_int_equal(b->state, INSTANCE_EXITED);
	assert_int_equal(b->created_ns, 11);
	assert_int_equal(b->started_ns, 12);
	assert_int_equal(b->finished_ns, 13);
	assert_int_equal(b->exit_code, 137);
	assert_true(b->oom_killed && b->manually_stopped);
	assert_int_equal(b->restart_count, 3);
	assert_int_equal(b->restart_mode, RESTART_ON_FAILURE);
	assert_int_equal(b->restart_max, 4);
	assert_int_equal(b->userns_base, 65536);
	assert_int_equal(b->guest_root, GUEST_ROOT_EROFS);
	assert_true(b->guest_root_auto);
	assert_true(json_object_equal(a->config, b->config));
	assert_true(json_object_equal(a->host_config, b->host_config));
	instance_free(b);
}

static void record_text__writes_no_state_in_between(void **state)
{
	struct instance *inst = sample(*state);
	static const struct {
		enum instance_state state;
		int64_t started_ns;
		const char *text;
	} rows[] = {
		{ INSTANCE_STARTING, 0, "created" },
		{ INSTANCE_STARTING, 1, "exited" },
		{ INSTANCE_RESTARTING, 1, "restarting" },
		{ INSTANCE_PAUSED, 1, "paused" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		inst->state = rows[i].state;
		inst->started_ns = rows[i].started_ns;
		json_object *doc = document(inst);
		assert_string_equal(json_str_or(doc, "state", ""), rows[i].text);
		json_object_put(doc);
	}
}

static void record_load__refuses_what_was_spoilt(void **state)
{
	struct isolad *d = *state;
	struct instance *a = sample(d);
	static const struct {
		const char *key, *value;
	} rows[] = {
		{ "version", "2" },
		{ "version", "null" },
		{ "id", "'abc'" },
		{ "name", "'../x'" },
		{ "name", "null" },
		{ "name", "7" },
		{ "kind", "'vm'" },
		{ "state", "'flying'" },
		{ "config", "[]" },
		{ "host_config", "null" },
		{ "image", "'x'" },
		{ "exit_code", "256" },
		{ "exit_code", "'0'" },
		{ "restart_count", "-1" },
		{ "userns_base", "-1" },
		{ "userns_base", "4294967296" },
		{ "started_ns", "1e30" },
		{ "oom_killed", "1" },
		{ "host_config", "{'AutoRemove':3}" },
		{ "guest_root", "'nfs'" },
		{ "guest_root", "1" },
		{ "guest_root_auto", "'yes'" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct instance *b = NULL;
		struct err e = ERR_INIT;
		json_object *doc = document(a);
		json_object *box = json_object_new_array();
		char text[64] = "[";
		(void)strcat(strcat(text, rows[i].value), "]");
		json_object_put(box);
		box = desk_json(text);
		json_add(doc, rows[i].key, json_object_get(json_object_array_get_idx(box, 0)));
		int rc = record_load(d, a->id, doc, &b, &e);
		if (rc != -EINVAL || !*e.text || b)
			fail_msg("%s = %s: %d \"%s\"", rows[i].key, rows[i].value, rc, e.text);
		json_object_put(box);
		json_object_put(doc);
	}
	/* A range that a refused record names is not given back by it. */
	uint32_t base;
	assert_int_equal(uidrange_take(&d->uidrange, &base, NULL), 0);
	assert_int_equal(base, 65536);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_setup, desk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(record__round_trips),
		CASE(record_text__writes_no_state_in_between),
		CASE(record_load__refuses_what_was_spoilt),
	};
	return cmocka_run_group_tests_name("record", tests, NULL, NULL);
}
