/* SPDX-License-Identifier: Apache-2.0 */
#include "fixture.h"
#include "daemon/health.h"

#include <string.h>

static void health_judge__follows_the_drawing(void **state)
{
	(void)state;
	/* Each letter a result: s success, f failure, e failure within the start period. */
	static const struct {
		const char *results;
		int64_t retries;
		enum health_status want;
		unsigned int streak;
	} rows[] = {
		{ "", 3, HEALTH_STARTING, 0 },         { "s", 3, HEALTH_HEALTHY, 0 },
		{ "ff", 3, HEALTH_STARTING, 2 },       { "fff", 3, HEALTH_UNHEALTHY, 3 },
		{ "f", 1, HEALTH_UNHEALTHY, 1 },       { "eeee", 3, HEALTH_STARTING, 0 },
		{ "eeeefff", 3, HEALTH_UNHEALTHY, 3 }, { "ees", 3, HEALTH_HEALTHY, 0 },
		{ "sff", 3, HEALTH_HEALTHY, 2 },       { "sfff", 3, HEALTH_UNHEALTHY, 3 },
		{ "sffsff", 3, HEALTH_HEALTHY, 2 },    { "ffffs", 3, HEALTH_HEALTHY, 0 },
		{ "fffff", 3, HEALTH_UNHEALTHY, 5 },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		enum health_status status = HEALTH_STARTING;
		unsigned int streak = 0;
		for (const char *p = rows[i].results; *p; p++)
			health_judge(&status, &streak, *p == 's', *p == 'e', rows[i].retries);
		if (status != rows[i].want || streak != rows[i].streak)
			fail_msg("%s: %s, %u", rows[i].results, health_name(status), streak);
	}
}

static void health_config_of__has_defaults(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct health_config c;
	struct instance *none = fixture_instance(d, "none", "{'Image':'i'}");
	struct instance *off = fixture_instance(
		d, "off", "{'Image':'i','Healthcheck':{'Test':['NONE'],'Retries':2}}");
	struct instance *on = fixture_instance(
		d, "on", "{'Image':'i','Healthcheck':{'Test':['CMD','x'],'Timeout':5000000}}");
	assert_false(health_config_of(none, &c));
	assert_false(health_config_of(off, &c));
	assert_true(health_config_of(on, &c));
	assert_int_equal(c.interval_ns, 30000000000);
	assert_int_equal(c.timeout_ns, 5000000);
	assert_int_equal(c.start_period_ns, 0);
	assert_int_equal(c.start_interval_ns, 5000000000);
	assert_int_equal(c.retries, 3);
	assert_int_equal(health_of(on), HEALTH_NONE);
	assert_null(health_view(on));
	fixture_isolad_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(health_judge__follows_the_drawing),
		cmocka_unit_test(health_config_of__has_defaults),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
