/* SPDX-License-Identifier: Apache-2.0 */
/* config - see config.h. What is kept is a row in a table. Foreign JSON: runs in
 * isola-image's jail. */
#include "config.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "isola/num.h"
#include "store.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

/* Most of it becomes a record, which isolad keeps in memory. */
#define CONFIG_VALUES_MAX 20000

/* Copies member @key of @from to @to, checked; absent (null) ones stay away. */
typedef int copy_fn(json_object *from, const char *key, json_object *to, struct err *err);

struct row {
	const char *key;
	copy_fn *copy;
};

static bool has_nul(json_object *s)
{
	return strlen(json_object_get_string(s)) != (size_t)json_object_get_string_len(s);
}

static int copy_str(json_object *from, const char *key, json_object *to, struct err *err)
{
	const char *v = NULL;
	int rc = json_get_str(from, key, &v, err);
	if (rc > 0)
		json_add_str(to, key, v);
	return rc;
}

static int copy_strv(json_object *from, const char *key, json_object *to, struct err *err)
{
	json_object *v = NULL;
	int rc = json_get_strv(from, key, &v, err);
	if (rc > 0)
		json_add(to, key, json_copy(v));
	return rc;
}

/* Old Docker wrote a command of one word as a string. */
static int copy_command(json_object *from, const char *key, json_object *to, struct err *err)
{
	json_object *v = json_get(from, key);
	if (!json_object_is_type(v, json_type_string))
		return copy_strv(from, key, to, err);
	if (has_nul(v))
		return err_set(err, EINVAL, "%s must not hold a NUL byte", key);
	json_object *a = json_object_new_array();
	(void)json_object_array_add(a, json_object_new_string(json_object_get_string(v)));
	json_add(to, key, a);
	return 1;
}

static int copy_i64(json_object *from, const char *key, json_object *to, struct err *err)
{
	int64_t v = 0;
	int rc = json_get_i64(from, key, &v, err);
	if (rc > 0)
		json_add_i64(to, key, v);
	return rc;
}

static int copy_bool(json_object *from, const char *key, json_object *to, struct err *err)
{
	bool v = false;
	int rc = json_get_bool(from, key, &v, err);
	if (rc > 0)
		json_add_bool(to, key, v);
	return rc;
}

static int copy_map(json_object *from, const char *key, json_object *to, struct err *err)
{
	json_object *v = NULL;
	int rc = json_get_obj(from, key, &v, err);
	if (rc <= 0)
		return rc;
	json_object *map = json_object_new_object();
	json_add(to, key, map);
	json_object_object_foreach (v, name, text) {
		if (!json_object_is_type(text, json_type_string) || has_nul(text))
			return err_set(err, EINVAL, "%s must hold strings", key);
		json_add_str(map, name, json_object_get_string(text));
	}
	return 1;
}

/* {"80/tcp": {}}: only the keys say something. */
static int copy_set(json_object *from, const char *key, json_object *to, struct err *err)
{
	json_object *v = NULL;
	int rc = json_get_obj(from, key, &v, err);
	if (rc <= 0)
		return rc;
	json_object *set = json_object_new_object();
	json_add(to, key, set);
	json_object_object_foreach (v, name, value) {
		if (value && !json_object_is_type(value, json_type_object))
			return err_set(err, EINVAL, "%s must hold empty objects", key);
		if (!*name)
			return err_set(err, EINVAL, "%s holds an empty key", key);
		json_add(set, name, json_object_new_object());
	}
	return 1;
}

/* "created": RFC 3339 -> created_ns; the zero time counts as none. */
static int copy_created(json_object *from, const char *key, json_object *to, struct err *err)
{
	const char *text = NULL;
	int64_t ns = 0;
	int rc = json_get_str(from, key, &text, err);
	if (rc < 0)
		return rc;
	if (rc > 0 && *text && strncmp(text, "0001-01-01T", 11) != 0 &&
	    num_parse_time(text, &ns) < 0)
		return err_set(err, EINVAL, "%s is no RFC 3339 time", key);
	json_add_i64(to, "created_ns", ns);
	return 1;
}

static int copy_rows(const struct row *rows, json_object *from, json_object *to, struct err *err)
{
	for (; rows->key; rows++) {
		int rc = rows->copy(from, rows->key, to, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int copy_health(json_object *from, const char *key, json_object *to, struct err *err)
{
	static const struct row rows[] = {
		{ "Test", copy_strv },
		{ "Interval", copy_i64 },
		{ "Timeout", copy_i64 },
		{ "StartPeriod", copy_i64 },
		{ "StartInterval", copy_i64 },
		{ "Retries", copy_i64 },
		{ NULL, NULL },
	};
	json_object *v = NULL;
	int rc = json_get_obj(from, key, &v, err);
	if (rc <= 0)
		return rc;
	json_object *health = json_object_new_object();
	json_add(to, key, health);
	rc = copy_rows(rows, v, health, err);
	return rc < 0 ? err_prefix(err, "%s", key) : 1;
}

static int copy_config(json_object *from, const char *key, json_object *to, struct err *err)
{
	static const struct row rows[] = {
		{ "User", copy_str },
		{ "Env", copy_strv },
		{ "Entrypoint", copy_command },
		{ "Cmd", copy_command },
		{ "WorkingDir", copy_str },
		{ "Labels", copy_map },
		{ "ExposedPorts", copy_set },
		{ "Volumes", copy_set },
		{ "StopSignal", copy_str },
		{ "Healthcheck", copy_health },
		{ "Shell", copy_strv },
		{ "OnBuild", copy_strv },
		{ NULL, NULL },
	};
	json_object *v = NULL;
	int rc = json_get_obj(from, key, &v, err);
	if (rc < 0)
		return rc;
	json_object *config = json_object_new_object();
	json_add(to, key, config);
	rc = rc > 0 ? copy_rows(rows, v, config, err) : 0;
	return rc < 0 ? err_prefix(err, "%s", key) : 1;
}

static int copy_history(json_object *from, const char *key, json_object *to, struct err *err)
{
	static const struct row rows[] = {
		{ "created", copy_created }, { "created_by", copy_str },   { "comment", copy_str },
		{ "author", copy_str },      { "empty_layer", copy_bool }, { NULL, NULL },
	};
	json_object *v = NULL;
	int rc = json_get_arr(from, key, &v, err);
	if (rc < 0)
		return rc;
	json_object *list = json_object_new_array();
	json_add(to, key, list);
	for (size_t i = 0; i < json_len(v); i++) {
		json_object *item = json_object_array_get_idx(v, i);
		json_object *copy = json_object_new_object();
		(void)json_object_array_add(list, copy);
		if (!json_object_is_type(item, json_type_object))
			return err_set(err, EINVAL, "%s[%zu] must be an object", key, i);
		rc = copy_rows(rows, item, copy, err);
		if (rc < 0)
			return err_prefix(err, "%s[%zu]", key, i);
	}
	return 1;
}

static int copy_rootfs(json_object *from, const char *key, json_object *to, struct err *err)
{
	json_object *rootfs = NULL, *ids = NULL;
	int rc = json_get_obj(from, key, &rootfs, err);
	if (rc == 0)
		return err_set(err, EINVAL, "%s is missing", key);
	if (rc > 0 && strcmp(json_str_or(rootfs, "type", "layers"), "layers") != 0)
		return err_set(err, EINVAL, "rootfs.type is not \"layers\"");
	if (rc > 0)
		rc = json_get_strv(rootfs, "diff_ids", &ids, err);
	if (rc < 0)
		return err_prefix(err, "%s", key);
	if (json_len(ids) > STORE_LAYERS_MAX)
		return err_set(err, EFBIG, "the image has %zu layers; %d can be stacked",
			       json_len(ids), STORE_LAYERS_MAX);
	for (size_t i = 0; i < json_len(ids); i++)
		if (!id_is_digest(json_item_str(ids, i)))
			return err_set(err, EINVAL,
				       "rootfs.diff_ids[%zu] is not sha256:<64 hex digits>", i);
	json_add(to, "diff_ids", ids ? json_copy(ids) : json_object_new_array());
	return 1;
}

static int copy_os(json_object *from, const char *key, json_object *to, struct err *err)
{
	const char *os = "linux";
	int rc = json_get_str(from, key, &os, err);
	if (rc < 0)
		return rc;
	if (*os && strcmp(os, "linux") != 0)
		return err_set(err, EINVAL, "the image is for the system \"%.50s\", not for linux",
			       os);
	json_add_str(to, key, "linux");
	return 1;
}

int config_parse(const char *text, size_t size, json_object **ret, struct err *err)
{
	static const struct row rows[] = {
		{ "created", copy_created }, { "architecture", copy_str },
		{ "os", copy_os },           { "variant", copy_str },
		{ "author", copy_str },      { "comment", copy_str },
		{ "rootfs", copy_rootfs },   { "history", copy_history },
		{ "config", copy_config },   { NULL, NULL },
	};
	cleanup_json json_object *doc = NULL, *record = json_object_new_object();
	int rc = json_parse_max(text, size, "image config", CONFIG_VALUES_MAX, &doc, err);
	if (rc < 0)
		return rc;
	if (!json_object_is_type(doc, json_type_object))
		return err_set(err, EINVAL, "image config: not a JSON object");
	rc = copy_rows(rows, doc, record, err);
	if (rc < 0)
		return err_prefix(err, "image config");
	*ret = take_ptr(record);
	return 0;
}
