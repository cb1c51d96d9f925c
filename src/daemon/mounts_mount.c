/* SPDX-License-Identifier: Apache-2.0 */
/* mounts_mount - one object of HostConfig.Mounts (--mount): its rows of fields, and what
 * each Type takes. Pure text work in isolad, as mounts.c. API docs of Mount. */
#include "mounts.h"

#include "fields.h"
#include "project.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>

static int check_propagation(void *arg, const struct field *row, json_object *v, json_object **ret,
			     struct err *err)
{
	(void)row;
	struct mount_point *p = arg;
	const char *name = json_object_get_string(v);
	const char *propagation = mounts_propagation(name, strlen(name));
	if (!propagation)
		return err_set(err, EINVAL, "unknown propagation '%.32s'", name);
	p->propagation = propagation;
	*ret = json_object_get(v);
	return 0;
}

static const struct field bind_rows[] = {
	{ "Propagation", "bind-propagation", FIELD_STR, .check = check_propagation },
	{ "NonRecursive", "bind-recursive=disabled", FIELD_BOOL },
	{ "CreateMountpoint", NULL, FIELD_BOOL },
	{ "ReadOnlyNonRecursive", "bind-recursive=writable", FIELD_BOOL },
	{ "ReadOnlyForceRecursive", "bind-recursive=readonly", FIELD_BOOL },
};

/* [["noexec"], ["uid", "1000"]] -> ["noexec", "uid=1000"]; what the options are
 * worth is judged with all others in mounts_finish_tmpfs(). */
static int check_tmpfs_options(void *arg, const struct field *row, json_object *v,
			       json_object **ret, struct err *err)
{
	(void)arg;
	(void)row;
	cleanup_json json_object *out = json_object_new_array();
	for (size_t i = 0; i < json_len(v); i++) {
		json_object *pair = json_object_array_get_idx(v, i);
		size_t n = json_len(pair);
		const char *key = n ? json_item_str(pair, 0) : "";
		const char *value = n == 2 ? json_item_str(pair, 1) : "";
		if (n < 1 || n > 2 || !*key || strchr(key, ',') || strchr(value, ','))
			return err_set(err, EINVAL, "[%zu] must be [name] or [name, value]", i);
		cleanup_strbuf struct strbuf b = STRBUF_INIT;
		strbuf_printf(&b, "%s%s%s", key, n == 2 ? "=" : "", value);
		if (!strbuf_ok(&b) ||
		    json_object_array_add(out, json_object_new_string(b.text)) < 0)
			return err_set(err, ENOMEM, "out of memory");
	}
	*ret = take_ptr(out);
	return 0;
}

static const struct field tmpfs_rows[] = {
	{ "SizeBytes", "tmpfs-size", FIELD_INT, .min = 0, .max = INT64_MAX },
	{ "Mode", "tmpfs-mode", FIELD_INT, .min = 0, .max = 07777 },
	{ "Options", NULL, FIELD_ARRAY, .check = check_tmpfs_options },
};

static int check_consistency(void *arg, const struct field *row, json_object *v, json_object **ret,
			     struct err *err)
{
	(void)arg;
	(void)row;
	const char *name = json_object_get_string(v);
	if (strcmp(name, "default") && !mounts_is_hint(name, strlen(name)))
		return err_set(err, EINVAL, "unknown consistency '%.32s'", name);
	*ret = json_object_get(v);
	return 0;
}

static const struct field mount_rows[] = {
	{ "Type", "type", FIELD_STR },
	{ "Source", "source", FIELD_STR },
	{ "Target", "target", FIELD_STR },
	{ "ReadOnly", "readonly", FIELD_BOOL },
	{ "Consistency", "consistency", FIELD_STR, .check = check_consistency },
	{ "BindOptions", NULL, FIELD_OBJ },
	{ "TmpfsOptions", NULL, FIELD_OBJ },
	{ "VolumeOptions", NULL, FIELD_OBJ },
	{ "ImageOptions", NULL, FIELD_OBJ, .refuse = "yet: images can't be mounted" },
	{ "ClusterOptions", NULL, FIELD_OBJ, .refuse = "on a single host" },
};

#define COUNT(rows) (sizeof(rows) / sizeof((rows)[0]))

/* The options of another type ask for nothing here. */
static int refuse_strangers(json_object *mount, const char *type, const char *own, struct err *err)
{
	static const char *const keys[] = { "BindOptions", "VolumeOptions", "TmpfsOptions" };
	for (size_t i = 0; i < COUNT(keys); i++)
		if (strcmp(keys[i], own) != 0 && !json_is_zero(json_get(mount, keys[i])))
			return err_set(err, EINVAL, "%s don't go with Type %s", keys[i], type);
	return 0;
}

/* Relative, and nothing but names: what it leads to is opened without links. */
static int check_subpath(void *arg, const struct field *row, json_object *v, json_object **ret,
			 struct err *err)
{
	(void)arg;
	(void)row;
	const char *path = json_object_get_string(v);
	if (*path == '/')
		return err_set(err, EINVAL, "'%.128s' must be relative to the volume", path);
	for (const char *p = path; *p;) {
		size_t len = strcspn(p, "/");
		if (len == 2 && !memcmp(p, "..", 2))
			return err_set(err, EINVAL, "'%.128s' must not hold '..'", path);
		p += len;
		p += *p == '/';
	}
	if (strlen(path) >= PATH_MAX)
		return err_set(err, EINVAL, "is too long");
	*ret = json_object_get(v);
	return 0;
}

static int check_driver_options(void *arg, const struct field *row, json_object *v,
				json_object **ret, struct err *err)
{
	(void)row;
	int rc = project_size(v, &((struct mount_point *)arg)->size_bytes, err);
	if (rc == 0)
		*ret = json_object_get(v);
	return rc;
}

static int check_driver(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)row;
	static const struct field rows[] = {
		{ "Name", "volume-driver", FIELD_STR },
		{ "Options", "volume-opt", FIELD_MAP, .check = check_driver_options },
	};
	int rc = fields_check(rows, COUNT(rows), "", v, arg, ret, err);
	if (rc < 0)
		return rc;
	const char *name = json_str_or(*ret, "Name", "");
	if (!*name || !strcmp(name, "local"))
		return 0;
	rc = err_set(err, EOPNOTSUPP, "driver '%.64s' is not supported: only local is", name);
	json_object_put(*ret);
	*ret = NULL;
	return rc;
}

static const struct field volume_rows[] = {
	{ "NoCopy", "volume-nocopy", FIELD_BOOL },
	{ "Labels", "volume-label", FIELD_MAP },
	{ "DriverConfig", "volume-driver", FIELD_OBJ, .check = check_driver },
	{ "Subpath", "volume-subpath", FIELD_STR, .check = check_subpath },
};

static int parse_volume_mount(json_object *mount, struct mount_point *p, struct err *err)
{
	cleanup_json json_object *options = NULL;
	int rc = fields_check(volume_rows, COUNT(volume_rows), "VolumeOptions.",
			      json_get(mount, "VolumeOptions"), p, &options, err);
	if (rc >= 0)
		rc = refuse_strangers(mount, "volume", "VolumeOptions", err);
	if (rc < 0)
		return rc;
	const char *name = json_str_or(mount, "Source", "");
	const char *subpath = json_str_or(options, "Subpath", "");
	p->kind = MOUNT_VOLUME;
	p->read_only = json_bool_or(mount, "ReadOnly", false);
	p->no_copy = json_bool_or(options, "NoCopy", false);
	p->anonymous = !*name;
	p->labels = json_object_get(json_get(options, "Labels"));
	if (*subpath && !*name)
		return err_set(err, EINVAL,
			       "VolumeOptions.Subpath (volume-subpath) needs a Source");
	if (*subpath && !(p->subpath = strdup(subpath)))
		return err_set(err, ENOMEM, "out of memory");
	return *name ? mounts_set_volume(p, name, err) : 0;
}

static int parse_bind_mount(json_object *mount, struct mount_point *p, struct err *err)
{
	cleanup_json json_object *options = NULL;
	int rc = fields_check(bind_rows, COUNT(bind_rows), "BindOptions.",
			      json_get(mount, "BindOptions"), p, &options, err);
	if (rc < 0)
		return rc;
	rc = refuse_strangers(mount, "bind", "BindOptions", err);
	if (rc < 0)
		return rc;
	const char *source = json_str_or(mount, "Source", "");
	if (!*source)
		return err_set(err, EINVAL, "Source is missing");
	p->kind = MOUNT_BIND;
	p->read_only = json_bool_or(mount, "ReadOnly", false);
	p->recursive = !json_bool_or(options, "NonRecursive", false);
	p->make_source = json_bool_or(options, "CreateMountpoint", false);
	p->shallow_read_only = json_bool_or(options, "ReadOnlyNonRecursive", false);
	if (!p->read_only &&
	    (p->shallow_read_only || json_bool_or(options, "ReadOnlyForceRecursive", false)))
		return err_set(err, EINVAL,
			       "bind-recursive=writable and readonly (ReadOnlyNonRecursive, "
			       "ReadOnlyForceRecursive) need readonly (ReadOnly)");
	if (p->shallow_read_only && json_bool_or(options, "ReadOnlyForceRecursive", false))
		return err_set(
			err, EINVAL,
			"ReadOnlyForceRecursive and ReadOnlyNonRecursive exclude each other");
	return mounts_clean(source, &p->source, "source", err);
}

static int parse_tmpfs_mount(json_object *mount, struct mount_point *p, struct err *err)
{
	cleanup_json json_object *options = NULL;
	int rc = fields_check(tmpfs_rows, COUNT(tmpfs_rows), "TmpfsOptions.",
			      json_get(mount, "TmpfsOptions"), p, &options, err);
	if (rc < 0)
		return rc;
	if (*json_str_or(mount, "Source", ""))
		return err_set(err, EINVAL, "Source must not be given for Type tmpfs");
	rc = refuse_strangers(mount, "tmpfs", "TmpfsOptions", err);
	if (rc < 0)
		return rc;
	int64_t size = json_i64_or(options, "SizeBytes", 0), mode = json_i64_or(options, "Mode", 0);
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	strbuf_puts(&b, json_bool_or(mount, "ReadOnly", false) ? "ro" : "");
	if (size)
		strbuf_printf(&b, "%ssize=%lld", b.len ? "," : "", (long long)size);
	if (mode)
		strbuf_printf(&b, "%smode=%llo", b.len ? "," : "", (unsigned long long)mode);
	json_object *more = json_get(options, "Options");
	for (size_t i = 0; i < json_len(more); i++)
		strbuf_printf(&b, "%s%s", b.len ? "," : "", json_item_str(more, i));
	free(p->mode);
	p->mode = strbuf_take(&b);
	return p->mode ? mounts_finish_tmpfs(p, err) : err_set(err, ENOMEM, "out of memory");
}

int mounts_parse_mount(json_object *raw, struct mount_point *p, struct err *err)
{
	cleanup_json json_object *mount = NULL;
	int rc = fields_check(mount_rows, COUNT(mount_rows), "", raw, p, &mount, err);
	if (rc < 0)
		return rc;
	p->mode = strdup("");
	p->listed = true;
	if (!p->mode)
		return err_set(err, ENOMEM, "out of memory");
	rc = mounts_clean_target(json_str_or(mount, "Target", ""), &p->target, err);
	if (rc < 0)
		return rc;
	const char *type = json_str_or(mount, "Type", "");
	if (!strcmp(type, "bind"))
		return parse_bind_mount(mount, p, err);
	if (!strcmp(type, "tmpfs"))
		return parse_tmpfs_mount(mount, p, err);
	if (!strcmp(type, "volume"))
		return parse_volume_mount(mount, p, err);
	if (!strcmp(type, "image") || !strcmp(type, "cluster") || !strcmp(type, "npipe"))
		return err_set(err, EOPNOTSUPP,
			       "Type %s is not supported: only bind, volume and tmpfs are", type);
	return err_set(err, EINVAL, "unknown Type '%.32s'", type);
}
