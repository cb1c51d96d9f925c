/* SPDX-License-Identifier: Apache-2.0 */
/* create_health - a ContainerConfig's Healthcheck: its check, and what the image adds.
 * isolad, loop thread. */
#include "isola/json.h"

#include "create_priv.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>

#define MS_NS 1000000LL

/* Numbers of a Healthcheck; 0, or not there: the image's, or the default. */
static const struct {
	const char *key;
	int64_t min, max;
	const char *unit;
} numbers[] = {
	{ "Interval", MS_NS, INT64_MAX - MS_NS, "ns (1 ms)" },
	{ "Timeout", MS_NS, INT64_MAX - MS_NS, "ns (1 ms)" },
	{ "StartPeriod", MS_NS, INT64_MAX - MS_NS, "ns (1 ms)" },
	{ "StartInterval", MS_NS, INT64_MAX - MS_NS, "ns (1 ms)" },
	{ "Retries", 1, INT32_MAX, "retry" },
};
#define NUMBERS (sizeof(numbers) / sizeof(numbers[0]))

static int check_test(json_object *test, struct err *err)
{
	const char *kind = json_len(test) ? json_item_str(test, 0) : "NONE";
	size_t n = json_len(test);
	if (!strcmp(kind, "NONE"))
		return n > 1 ? err_set(err, EINVAL, "Test: nothing may follow NONE") : 0;
	if (!strcmp(kind, "CMD-SHELL"))
		return n != 2 ? err_set(err, EINVAL, "Test: CMD-SHELL takes one command line") : 0;
	if (!strcmp(kind, "CMD"))
		return n < 2 || !*json_item_str(test, 1)
			       ? err_set(err, EINVAL, "Test: CMD needs a command")
			       : 0;
	return err_set(err, EINVAL, "Test: '%.32s' is none of CMD, CMD-SHELL and NONE", kind);
}

int create_check_health(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	json_object *test = NULL;
	int rc = json_get_strv(v, "Test", &test, err);
	if (rc >= 0)
		rc = check_test(test, err);
	for (size_t i = 0; rc >= 0 && i < NUMBERS; i++) {
		int64_t n = 0;
		rc = json_get_i64(v, numbers[i].key, &n, err);
		if (rc > 0 && n && (n < numbers[i].min || n > numbers[i].max))
			return err_set(err, EINVAL,
				       "%s: %" PRId64 " is out of range; it is at least %" PRId64
				       " %s",
				       numbers[i].key, n, numbers[i].min, numbers[i].unit);
	}
	if (rc < 0)
		return rc;
	json_object_object_foreach (v, key, item) {
		bool known = !strcmp(key, "Test");
		(void)item;
		for (size_t i = 0; i < NUMBERS; i++)
			known = known || !strcmp(key, numbers[i].key);
		if (!known)
			return err_set(err, EINVAL, "unknown field %.64s", key);
	}
	*ret = json_object_get(v);
	return 0;
}

/* What @user leaves out is the image's. Owned. */
json_object *create_merge_health(json_object *user, json_object *image)
{
	json_object *out = json_object_new_object();
	json_object *const parts[] = { image, user };
	for (size_t i = 0; i < 2; i++) {
		if (!json_object_is_type(parts[i], json_type_object))
			continue;
		json_object_object_foreach (parts[i], key, v) {
			if (!json_is_zero(v))
				json_add(out, key, json_object_get(v));
		}
	}
	return out;
}
