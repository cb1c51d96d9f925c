/* SPDX-License-Identifier: Apache-2.0 */
/* update - what may change of a container that exists. */
#include "fixture.h"

#include "daemon/bundle_priv.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define CONTAINER "{'Image':'i','HostConfig':{'Memory':67108864,'CpuQuota':50000,'PidsLimit':10}}"

static int update_on(const char *controllers, const char *isolation, const char *container,
		     const char *body, json_object *warnings, json_object **ret, bool *ret_limits,
		     struct err *err)
{
	struct isolad *d = fixture_isolad();
	struct create_env env;
	fixture_env(&env, d, controllers);
	struct instance *inst = fixture_instance(d, "c", container);
	cleanup_json json_object *request = js(body);
	json_add_str(inst->host_config, "Isolation", isolation);
	int rc = create_update(&env, inst->host_config, request, warnings, ret, ret_limits, err);
	fixture_env_fini(&env);
	fixture_isolad_free(d);
	return rc;
}

static int update(const char *container, const char *body, json_object **ret, bool *ret_limits,
		  struct err *err)
{
	cleanup_json json_object *warnings = json_object_new_array();
	int rc = update_on(ALL_CONTROLLERS, "container", container, body, warnings, ret, ret_limits,
			   err);
	assert_int_equal(json_len(warnings), 0);
	return rc;
}

/* On a host without controllers; what was said before is not said again. */
static void update__lets_a_guest_enforce_limits(void **state)
{
	(void)state;
	cleanup_json json_object *warnings = json_object_new_array(), *next = NULL, *none = NULL;
	struct err err = ERR_INIT;
	bool limits = false;
	assert_int_equal(update_on("", "vm", CONTAINER, "{'Memory':33554432,'PidsLimit':7}",
				   warnings, &next, &limits, &err),
			 0);
	assert_true(limits);
	assert_int_equal(json_i64_or(next, "Memory", 0), 33554432);
	assert_int_equal(json_len(warnings), 1);
	assert_non_null(
		strstr(json_item_str(warnings, 0), "--memory 32m is enforced by the guest"));
	assert_int_equal(update_on("", "vm", CONTAINER, "{'NanoCpus':500000000}", warnings, &none,
				   &limits, &err),
			 -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "NanoCpus (--cpus): cannot enforce 0.50"));
	assert_int_equal(json_len(warnings), 1);
	err = (struct err)ERR_INIT;
	assert_int_equal(update_on("", "container", CONTAINER, "{'Memory':33554432}", warnings,
				   &none, &limits, &err),
			 -EOPNOTSUPP);
	assert_non_null(strstr(err.text, "Memory (--memory): cannot enforce 32m"));
}

static void update__changes_what_was_said(void **state)
{
	(void)state;
	static const struct {
		const char *body, *field, *want;
		bool limits;
		const char *resources;
	} rows[] = {
		{ "{}", "Memory", "67108864", false, NULL },
		/* The CLI sends every field. */
		{ "{'Memory':0,'CpuShares':0,'RestartPolicy':{'Name':''},'BlkioWeightDevice':null,"
		  "'Devices':[],'OomKillDisable':null,'PidsLimit':null}",
		  "PidsLimit", "10", false, NULL },
		{ "{'Memory':33554432}", "Memory", "33554432", true,
		  "{'memory':{'limit':33554432,'swap':134217728},'cpu':{'quota':50000},"
		  "'pids':{'limit':10}}" },
		{ "{'Memory':268435456,'MemorySwap':-1}", "MemorySwap", "-1", true,
		  "{'memory':{'limit':268435456,'swap':-1},'cpu':{'quota':50000},"
		  "'pids':{'limit':10}}" },
		{ "{'PidsLimit':0}", "PidsLimit", "-1", true,
		  "{'memory':{'limit':67108864,'swap':134217728},'cpu':{'quota':50000},"
		  "'pids':{'limit':-1}}" },
		{ "{'RestartPolicy':{'Name':'on-failure','MaximumRetryCount':2}}", "RestartPolicy",
		  "{'Name':'on-failure','MaximumRetryCount':2}", false, NULL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *next = NULL, *resources = NULL;
		struct err err = ERR_INIT;
		bool limits = false;
		if (update(CONTAINER, rows[i].body, &next, &limits, &err) < 0)
			fail_msg("%s: %s", rows[i].body, err.text);
		assert_string_equal(text_of(json_get(next, rows[i].field)), rows[i].want);
		assert_int_equal(limits, rows[i].limits);
		if (!limits)
			continue;
		assert_int_equal(bundle_limits(next, &resources, &err), 0);
		assert_json(resources, rows[i].resources);
	}
}

static void update__refuses_the_rest(void **state)
{
	(void)state;
	static const struct {
		const char *container, *body, *error;
	} rows[] = {
		{ CONTAINER, "[]", "the body must be a JSON object" },
		{ CONTAINER, "{'Privileged':true}",
		  "Privileged cannot be changed once a container exists" },
		{ CONTAINER, "{'Binds':['/a:/b']}",
		  "Binds cannot be changed once a container exists" },
		{ CONTAINER, "{'Speed':1}", "Speed is not a known field" },
		{ CONTAINER, "{'Memory':'1g'}", "Memory (--memory) must be a whole number" },
		{ CONTAINER, "{'Memory':268435456}",
		  "Memory limit should be smaller than already set memoryswap limit, update the "
		  "memoryswap at the same time" },
		{ CONTAINER, "{'NanoCpus':1000000000}",
		  "Conflicting options: Nano CPUs cannot be updated as CPU Quota or Period has "
		  "already been set" },
		{ "{'Image':'i','HostConfig':{'NanoCpus':1000000000}}", "{'CpuQuota':5000}",
		  "Conflicting options: CPU Quota and Period cannot be updated as NanoCPUs has "
		  "already been set" },
		{ "{'Image':'i','HostConfig':{'AutoRemove':true}}",
		  "{'RestartPolicy':{'Name':'always'}}",
		  "Restart policy cannot be updated because AutoRemove is enabled for the "
		  "container" },
		{ CONTAINER, "{'RestartPolicy':{'Name':'x'}}",
		  "RestartPolicy (--restart): invalid restart policy: unknown policy 'x'" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_object *next = NULL;
		struct err err = ERR_INIT;
		bool limits = false;
		assert_true(update(rows[i].container, rows[i].body, &next, &limits, &err) < 0);
		assert_null(next);
		assert_string_equal(err.text, rows[i].error);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(update__changes_what_was_said),
		cmocka_unit_test(update__lets_a_guest_enforce_limits),
		cmocka_unit_test(update__refuses_the_rest),
	};
	return cmocka_run_group_tests_name("update", tests, NULL, NULL);
}
