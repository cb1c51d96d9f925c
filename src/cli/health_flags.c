/* SPDX-License-Identifier: Apache-2.0 */
/* health_flags - the --health-... flags of run and create as Docker's Healthcheck. Runs
 * in ctrctl. */
#include "create_flags.h"

#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>

static const struct {
	const char *flag, *key;
} durations[] = {
	{ "health-interval", "Interval" },
	{ "health-timeout", "Timeout" },
	{ "health-start-period", "StartPeriod" },
	{ "health-start-interval", "StartInterval" },
};
#define DURATIONS (sizeof(durations) / sizeof(durations[0]))

static int add_duration(struct args *args, size_t i, json_object *check, struct err *err)
{
	const char *text = args_str(args, durations[i].flag, NULL);
	int64_t ns = 0;
	if (!text)
		return 0;
	if (num_parse_duration(text, &ns) < 0 || ns < 0)
		return err_set(err, EINVAL, "--%s: '%.64s' is no duration like 30s or 1m30s",
			       durations[i].flag, text);
	json_add_i64(check, durations[i].key, ns);
	return 0;
}

static json_object *new_test(const char *kind, const char *command)
{
	json_object *test = json_object_new_array();
	(void)json_object_array_add(test, json_object_new_string(kind));
	if (command)
		(void)json_object_array_add(test, json_object_new_string(command));
	return test;
}

int health_flags(struct args *args, json_object *config, struct err *err)
{
	cleanup_json json_object *check = json_object_new_object();
	const char *command = args_str(args, "health-cmd", NULL);
	if (command && *command)
		json_add(check, "Test", new_test("CMD-SHELL", command));
	for (size_t i = 0; i < DURATIONS; i++) {
		int rc = add_duration(args, i, check, err);
		if (rc < 0)
			return rc;
	}
	if (args_given(args, "health-retries")) {
		int64_t n = args_int(args, "health-retries", 0);
		if (n < 0)
			return err_set(err, EINVAL, "--health-retries cannot be negative");
		json_add_i64(check, "Retries", n);
	}
	bool any = json_object_object_length(check) > 0;
	if (args_bool(args, "no-healthcheck")) {
		if (any)
			return err_set(err, EINVAL,
				       "--no-healthcheck conflicts with --health-* options");
		json_add(check, "Test", new_test("NONE", NULL));
	} else if (!any) {
		return 0;
	}
	json_add(config, "Healthcheck", json_object_get(check));
	return 0;
}
