/* SPDX-License-Identifier: Apache-2.0 */
/* restart - whether and when an instance begins again. */
#include "desk.h"

#include "daemon/restart.h"

#include <errno.h>
#include <string.h>

static void restart_policy_parse__takes_dockers_forms(void **state)
{
	(void)state;
	static const struct {
		const char *text;
		int rc;
		enum restart_mode mode;
		unsigned int max;
		const char *says;
	} rows[] = {
		{ "{}", 0, RESTART_NO, 0 },
		{ "{'RestartPolicy':null}", 0, RESTART_NO, 0 },
		{ "{'RestartPolicy':{'Name':''}}", 0, RESTART_NO, 0 },
		{ "{'RestartPolicy':{'Name':'no'}}", 0, RESTART_NO, 0 },
		{ "{'RestartPolicy':{'Name':'always'}}", 0, RESTART_ALWAYS, 0 },
		{ "{'RestartPolicy':{'Name':'unless-stopped'}}", 0, RESTART_UNLESS_STOPPED, 0 },
		{ "{'RestartPolicy':{'Name':'on-failure','MaximumRetryCount':3}}", 0,
		  RESTART_ON_FAILURE, 3 },
		{ "{'RestartPolicy':{'Name':'sometimes'}}", -EINVAL, 0, 0, "sometimes" },
		{ "{'RestartPolicy':{'Name':1}}", -EINVAL, 0, 0, "Name" },
		{ "{'RestartPolicy':[]}", -EINVAL, 0, 0, "RestartPolicy" },
		{ "{'RestartPolicy':{'Name':'always','MaximumRetryCount':3}}", -EINVAL, 0, 0,
		  "MaximumRetryCount" },
		{ "{'RestartPolicy':{'Name':'on-failure','MaximumRetryCount':-1}}", -EINVAL, 0, 0,
		  "MaximumRetryCount" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err e = ERR_INIT;
		enum restart_mode mode = RESTART_NO;
		unsigned int max = 0;
		json_object *o = desk_json(rows[i].text);
		int rc = restart_policy_parse(o, &mode, &max, &e);
		json_object_put(o);
		if (rc != rows[i].rc || mode != rows[i].mode || max != rows[i].max ||
		    (rows[i].says && !strstr(e.text, rows[i].says)))
			fail_msg("row %zu: %d \"%s\"", i, rc, e.text);
	}
}

static void restart_wanted__asks_policy_and_user(void **state)
{
	(void)state;
	static const struct {
		enum restart_mode mode;
		unsigned int max, count;
		int exit_code;
		bool stopped, wanted, wanted_at_start;
	} rows[] = {
		{ RESTART_NO, 0, 0, 1, false, false, false },
		{ RESTART_ALWAYS, 0, 0, 0, false, true, true },
		{ RESTART_ALWAYS, 0, 99, 1, false, true, true },
		{ RESTART_ALWAYS, 0, 0, 0, true, false, true },
		{ RESTART_UNLESS_STOPPED, 0, 0, 0, false, true, true },
		{ RESTART_UNLESS_STOPPED, 0, 0, 0, true, false, false },
		{ RESTART_ON_FAILURE, 0, 99, 1, false, true, false },
		{ RESTART_ON_FAILURE, 0, 0, 0, false, false, false },
		{ RESTART_ON_FAILURE, 2, 1, 1, false, true, false },
		{ RESTART_ON_FAILURE, 2, 2, 1, false, false, false },
		{ RESTART_ON_FAILURE, 2, 0, 1, true, false, false },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct instance inst = { .restart_mode = rows[i].mode,
					 .restart_max = rows[i].max,
					 .restart_count = rows[i].count,
					 .exit_code = rows[i].exit_code,
					 .manually_stopped = rows[i].stopped,
					 .started_ns = 1 };
		assert_int_equal(restart_wanted(&inst), rows[i].wanted);
		assert_int_equal(restart_wanted_at_start(&inst), rows[i].wanted_at_start);
		/* What never ran is not begun by itself. */
		inst.started_ns = 0;
		assert_false(restart_wanted_at_start(&inst));
	}
}

static void restart_backoff__doubles_to_a_minute_and_recovers(void **state)
{
	(void)state;
	struct instance inst = { .started_ns = 1, .finished_ns = 2 };
	unsigned int want = 100;
	for (int i = 0; i < 12; i++) {
		assert_int_equal(restart_backoff(&inst), want);
		want = want * 2 > 60000 ? 60000 : want * 2;
	}
	assert_int_equal(restart_backoff(&inst), 60000);
	inst.finished_ns = inst.started_ns + 10000000000LL;
	assert_int_equal(restart_backoff(&inst), 100);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(restart_policy_parse__takes_dockers_forms),
		cmocka_unit_test(restart_wanted__asks_policy_and_user),
		cmocka_unit_test(restart_backoff__doubles_to_a_minute_and_recovers),
	};
	return cmocka_run_group_tests_name("restart", tests, NULL, NULL);
}
