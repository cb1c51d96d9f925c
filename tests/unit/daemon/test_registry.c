/* SPDX-License-Identifier: Apache-2.0 */
/* registry - finding instances, and names that are taken once. */
#include "desk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static struct instance *with_id(struct isolad *d, const char *name, char first, char rest)
{
	struct instance *inst = desk_instance(d, name, NULL);
	memset(inst->id, rest, ID_SIZE - 1);
	inst->id[0] = first;
	return inst;
}

static void registry_find__knows_names_ids_and_prefixes(void **state)
{
	struct isolad *d = *state;
	struct instance *a = with_id(d, "web", 'a', '1'), *b = with_id(d, "db", 'b', '1');
	assert_ptr_equal(registry_find(d, INSTANCE_CONTAINER, "web", NULL), a);
	assert_ptr_equal(registry_find(d, INSTANCE_CONTAINER, "/db", NULL), b);
	assert_ptr_equal(registry_find(d, INSTANCE_CONTAINER, a->id, NULL), a);
	assert_ptr_equal(registry_find(d, INSTANCE_CONTAINER, "a", NULL), a);
	assert_ptr_equal(registry_find(d, INSTANCE_CONTAINER, "b111", NULL), b);
	assert_ptr_equal(registry_by_id(d, b->id), b);
}

static void registry_find__says_why_not(void **state)
{
	struct isolad *d = *state;
	(void)with_id(d, "web", 'a', '1');
	(void)with_id(d, "db", 'a', '2');
	static const struct {
		const char *ref;
		int code;
		const char *says;
	} rows[] = {
		{ "nope", ENOENT, "No such container: nope" },
		{ "c", ENOENT, "No such container: c" },
		{ "", ENOENT, "No such container" },
		{ "/", ENOENT, "No such container" },
		{ "a", EINVAL, "Multiple IDs found" },
		{ "../x", ENOENT, "No such container" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = ERR_INIT;
		assert_null(registry_find(d, INSTANCE_CONTAINER, rows[i].ref, &e));
		assert_int_equal(e.code, rows[i].code);
		assert_non_null(strstr(e.text, rows[i].says));
	}
}

static void registry_find__prefers_a_full_id_then_a_name(void **state)
{
	struct isolad *d = *state;
	struct instance *a = with_id(d, "web", 'a', 'b');
	/* A name that is a prefix of another's id, and one that is its whole id. */
	struct instance *b = with_id(d, "ab", 'c', 'c');
	struct instance *c = with_id(d, a->id, 'd', 'd');
	assert_ptr_equal(registry_find(d, INSTANCE_CONTAINER, "ab", NULL), b);
	assert_ptr_equal(registry_find(d, INSTANCE_CONTAINER, a->id, NULL), a);
	assert_ptr_equal(registry_find(d, INSTANCE_CONTAINER, "d", NULL), c);
}

static void registry_add__refuses_a_taken_name(void **state)
{
	struct isolad *d = *state;
	struct instance *a = desk_instance(d, "web", NULL), *b = instance_new(d, NULL);
	struct err e = ERR_INIT;
	b->name = strdup("web");
	assert_int_equal(registry_add(d, b, &e), -EEXIST);
	assert_non_null(strstr(e.text, "Conflict. The container name \"/web\" is already in use"));
	assert_non_null(strstr(e.text, a->id));
	instance_free(b);
	assert_int_equal(d->registry.n, 1);
}

static void registry_rename__checks_grammar_and_conflict(void **state)
{
	struct isolad *d = *state;
	struct instance *a = desk_instance(d, "web", NULL);
	(void)desk_instance(d, "db", NULL);
	static const struct {
		const char *name;
		int rc;
	} rows[] = {
		{ "", -EINVAL },   { "/", -EINVAL },  { "a b", -EINVAL },  { "web", -EINVAL },
		{ "db", -EEXIST }, { "-x", -EINVAL }, { "../x", -EINVAL }, { "/www", 0 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(registry_rename(a, rows[i].name, NULL), rows[i].rc);
	assert_string_equal(a->name, "www");
}

static void registry_make_name__makes_a_free_one(void **state)
{
	struct isolad *d = *state;
	for (int i = 0; i < 200; i++) {
		struct instance *inst = instance_new(d, NULL);
		assert_int_equal(registry_make_name(inst, NULL), 0);
		assert_int_equal(registry_add(d, inst, NULL), 0);
	}
	assert_int_equal(d->registry.n, 200);
}

static void instance_apply_host_config__refuses_rm_with_restart(void **state)
{
	struct isolad *d = *state;
	struct instance *inst = desk_instance(d, "web", "{'AutoRemove':true}");
	assert_true(inst->auto_remove);
	json_object_put(inst->host_config);
	inst->host_config = desk_json("{'AutoRemove':true,'RestartPolicy':{'Name':'always'}}");
	assert_int_equal(instance_apply_host_config(inst, NULL), -EINVAL);
}

#define CASE(f) cmocka_unit_test_setup_teardown(f, desk_setup, desk_teardown)

int main(void)
{
	const struct CMUnitTest tests[] = {
		CASE(registry_find__knows_names_ids_and_prefixes),
		CASE(registry_find__says_why_not),
		CASE(registry_find__prefers_a_full_id_then_a_name),
		CASE(registry_add__refuses_a_taken_name),
		CASE(registry_rename__checks_grammar_and_conflict),
		CASE(registry_make_name__makes_a_free_one),
		CASE(instance_apply_host_config__refuses_rm_with_restart),
	};
	return cmocka_run_group_tests_name("registry", tests, NULL, NULL);
}
