/* SPDX-License-Identifier: Apache-2.0 */
/* filter - see filter.h. Pure. */
#include "filter.h"

#include "isola/json.h"

#include <errno.h>
#include <regex.h>
#include <string.h>

#define PATTERN_MAX 256

static bool is_well_formed(json_object *v)
{
	if (json_object_is_type(v, json_type_array)) {
		for (size_t i = 0; i < json_len(v); i++)
			if (!json_object_is_type(json_object_array_get_idx(v, i), json_type_string))
				return false;
		return true;
	}
	return json_object_is_type(v, json_type_object);
}

static bool is_known(const char *key, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(key, keys[i]))
			return true;
	return false;
}

int filter_check(json_object *filters, const char *const *keys, size_t n, struct err *err)
{
	if (!filters)
		return 0;
	if (!json_object_is_type(filters, json_type_object))
		return err_set(err, EINVAL, "filters must be an object");
	json_object_object_foreach (filters, key, v) {
		if (!is_known(key, keys, n))
			return err_set(err, EINVAL, "invalid filter '%.64s'", key);
		if (!is_well_formed(v))
			return err_set(err, EINVAL, "filter '%s' must be an array of strings", key);
	}
	return 0;
}

int filter_value(json_object *filters, const char *key, size_t i, const char **ret)
{
	json_object *v = json_get(filters, key);
	if (json_object_is_type(v, json_type_array)) {
		if (i >= json_len(v))
			return 0;
		*ret = json_item_str(v, i);
		return 1;
	}
	if (!json_object_is_type(v, json_type_object))
		return 0;
	json_object_object_foreach (v, name, flag) {
		(void)flag;
		if (i-- > 0)
			continue;
		*ret = name;
		return 1;
	}
	return 0;
}

bool filter_any(json_object *filters, const char *key, bool (*is)(const char *value, void *arg),
		void *arg)
{
	const char *value;
	size_t i = 0;
	for (; filter_value(filters, key, i, &value) > 0; i++)
		if (is(value, arg))
			return true;
	return i == 0;
}

bool filter_all(json_object *filters, const char *key, bool (*is)(const char *value, void *arg),
		void *arg)
{
	const char *value;
	for (size_t i = 0; filter_value(filters, key, i, &value) > 0; i++)
		if (!is(value, arg))
			return false;
	return true;
}

bool filter_label(const char *value, void *labels)
{
	const char *eq = strchr(value, '=');
	if (!eq)
		return json_get(labels, value) != NULL;
	char name[256];
	size_t n = (size_t)(eq - value);
	if (n >= sizeof(name))
		return false;
	memcpy(name, value, n);
	name[n] = '\0';
	const char *have = json_str_or(labels, name, NULL);
	return have && !strcmp(have, eq + 1);
}

int filter_pattern(const char *pattern, const char *text)
{
	regex_t re;
	if (strlen(pattern) > PATTERN_MAX || regcomp(&re, pattern, REG_EXTENDED | REG_NOSUB) != 0)
		return -EINVAL;
	int hit = text && regexec(&re, text, 0, NULL, 0) == 0;
	regfree(&re);
	return hit;
}
