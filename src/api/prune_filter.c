/* SPDX-License-Identifier: Apache-2.0 */
/* prune_filter - see prune_filter.h. */
#include "prune_filter.h"

#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <string.h>

bool labels_have(json_object *labels, const char *want)
{
	const char *equals = strchr(want, '=');
	char key[256];
	size_t n = equals ? (size_t)(equals - want) : strlen(want);
	if (n >= sizeof(key))
		return false;
	memcpy(key, want, n);
	key[n] = '\0';
	const char *value = json_str_or(labels, key, NULL);
	return value && (!equals || !strcmp(value, equals + 1));
}

/* A time, or an age as a Go duration ("24h"). */
static int parse_until(const char *text, int64_t *ret_ns, struct err *err)
{
	int64_t age;
	if (num_parse_time(text, ret_ns) == 0)
		return 0;
	if (num_parse_duration(text, &age) < 0)
		return err_set(err, EINVAL, "invalid filter until: \"%s\" is no time or duration",
			       text);
	*ret_ns = num_now_ns() - age;
	return 0;
}

int prune_fits(json_object *labels, int64_t created_ns, json_object *filters, struct err *err)
{
	bool all = true;
	int64_t until;
	if (!filters)
		return 1;
	json_object_object_foreach (filters, key, values) {
		for (size_t i = 0; i < json_len(values); i++) {
			const char *v = json_item_str(values, i);
			if (!strcmp(key, "label")) {
				all = all && labels_have(labels, v);
			} else if (!strcmp(key, "label!")) {
				all = all && !labels_have(labels, v);
			} else if (!strcmp(key, "until")) {
				if (parse_until(v, &until, err) < 0)
					return -EINVAL;
				all = all && created_ns < until;
			} else {
				return err_set(err, EINVAL, "invalid filter '%s'", key);
			}
		}
	}
	return all;
}
