/* SPDX-License-Identifier: Apache-2.0 */
/* keepspec - see keepspec.h. */
#include "keepspec.h"

#include "isola/json.h"
#include "isola/keeper.h"

#include <errno.h>
#include <string.h>

#define LOG_FILES_MAX 1000
#define BOOT_MS_MAX   (60 * 60 * 1000)
#define CPUS_MAX      4096

int keepspec_only(json_object *o, const char *const *known, const char *what, struct err *err)
{
	json_object_object_foreach (o, key, value) {
		(void)value;
		const char *const *k = known;
		while (*k && strcmp(*k, key))
			k++;
		if (!*k)
			return err_set(err, EINVAL, "%s: unknown field \"%.64s\"", what, key);
	}
	return 0;
}

static int get_path(json_object *o, const char *key, const char **ret, struct err *err)
{
	const char *path = NULL;
	int rc = json_get_str(o, key, &path, err);
	if (rc <= 0)
		return rc;
	if (path[0] != '/')
		return err_set(err, EINVAL, "%s must be an absolute path", key);
	*ret = path;
	return 1;
}

/* Like get_path(), but it must be there. */
static int need_path(json_object *o, const char *key, const char **ret, struct err *err)
{
	int rc = get_path(o, key, ret, err);
	return rc == 0 ? err_set(err, EINVAL, "%s is missing", key) : rc;
}

static int parse_overlay(json_object *o, struct keepspec *s, struct err *err)
{
	static const char *const known[] = { "lower", "upper", "work", "volatile", NULL };
	if (keepspec_only(o, known, "overlay", err) < 0 ||
	    json_get_strv(o, "lower", &s->lower, err) < 0 ||
	    get_path(o, "upper", &s->upper, err) < 0 || get_path(o, "work", &s->work, err) < 0 ||
	    json_get_bool(o, "volatile", &s->volatile_upper, err) < 0)
		return err_prefix(err, "overlay");
	size_t n = json_len(s->lower);
	if (n < 1 || n > KEEPSPEC_LOWER_MAX)
		return err_set(err, EINVAL, "overlay.lower must have 1 to %d folders, not %zu",
			       KEEPSPEC_LOWER_MAX, n);
	for (size_t i = 0; i < n; i++)
		if (json_item_str(s->lower, i)[0] != '/')
			return err_set(err, EINVAL, "overlay.lower[%zu] must be an absolute path",
				       i);
	if (!s->upper != !s->work)
		return err_set(err, EINVAL, "overlay.upper and overlay.work need each other");
	return 0;
}

int keepspec_log_limits(json_object *log, struct jlog_limits *limits, struct err *err)
{
	int64_t size = limits->max_size, files = limits->max_files;
	if (json_get_i64(log, "max_size", &size, err) < 0 ||
	    json_get_i64(log, "max_files", &files, err) < 0)
		return err_prefix(err, "log");
	if (files < 1 || files > LOG_FILES_MAX)
		return err_set(err, EINVAL, "log.max_files must be 1 to %d", LOG_FILES_MAX);
	limits->max_size = size;
	limits->max_files = (unsigned int)files;
	return 0;
}

static int parse_log(json_object *o, struct keepspec *s, struct err *err)
{
	static const char *const known[] = { "driver",    "path",  "max_size",
					     "max_files", "attrs", NULL };
	const char *driver = "json-file";
	if (keepspec_only(o, known, "log", err) < 0)
		return -EINVAL;
	if (json_get_str(o, "driver", &driver, err) < 0 ||
	    json_get_obj(o, "attrs", &s->log_attrs, err) < 0)
		return err_prefix(err, "log");
	if (keepspec_log_limits(o, &s->log_limits, err) < 0)
		return -EINVAL;
	if (!strcmp(driver, "none"))
		return 0;
	if (strcmp(driver, "json-file"))
		return err_set(err, EINVAL, "log.driver \"%.64s\" is unknown", driver);
	return need_path(o, "path", &s->log_path, err) < 0 ? err_prefix(err, "log") : 0;
}

static int parse_make_dirs(json_object *o, struct keepspec *s, struct err *err)
{
	int rc = json_get_strv(o, "make_dirs", &s->make_dirs, err);
	for (size_t i = 0; rc > 0 && i < json_len(s->make_dirs); i++)
		if (json_item_str(s->make_dirs, i)[0] != '/')
			return err_set(err, EINVAL, "make_dirs[%zu] must be an absolute path", i);
	return rc;
}

static int parse_console_size(json_object *o, struct keepspec *s, struct err *err)
{
	json_object *size = NULL;
	int rc = json_get_arr(o, "console_size", &size, err);
	if (rc <= 0)
		return rc;
	int64_t v[2] = { -1, -1 };
	for (size_t i = 0; i < 2 && json_len(size) == 2; i++) {
		json_object *item = json_object_array_get_idx(size, i);
		if (json_object_is_type(item, json_type_int))
			v[i] = json_object_get_int64(item);
	}
	if (v[0] < 0 || v[1] < 0 || v[0] > UINT16_MAX || v[1] > UINT16_MAX)
		return err_set(err, EINVAL, "console_size must be [rows, columns]");
	s->rows = (unsigned int)v[0];
	s->columns = (unsigned int)v[1];
	return 1;
}

static int parse_flags(json_object *o, struct keepspec *s, struct err *err)
{
	const struct {
		const char *key;
		bool *ret;
	} flags[] = {
		{ "stdin", &s->keeps_stdin },
		{ "stdin_once", &s->stdin_once },
		{ "tty", &s->tty },
		{ "reaper", &s->reaper },
	};
	for (size_t i = 0; i < sizeof(flags) / sizeof(flags[0]); i++)
		if (json_get_bool(o, flags[i].key, flags[i].ret, err) < 0)
			return -EINVAL;
	return 0;
}

static int parse_root(json_object *o, struct keepspec *s, struct err *err)
{
	static const char *const known[] = { "type", "layer", NULL };
	const char *type = json_str_or(o, "type", "");
	if (keepspec_only(o, known, "root", err) < 0)
		return -EINVAL;
	if (!strcmp(type, "virtiofs"))
		return 0;
	if (strcmp(type, "erofs"))
		return err_set(err, EINVAL, "root.type \"%.32s\" is unknown", type);
	if (s->lower)
		return err_set(err, EINVAL, "overlay is the guest's when root.type is \"erofs\"");
	return need_path(o, "layer", &s->layer, err) < 0 ? err_prefix(err, "root") : 0;
}

static int parse_guest(json_object *o, struct keepspec *s, struct err *err)
{
	json_object *root = NULL;
	if (json_get_arr(o, "links", &s->links, err) < 0 ||
	    json_get_i64(o, "boot_ms", &s->boot_ms, err) < 0 ||
	    json_get_i64(o, "cpus", &s->cpus, err) < 0 || json_get_obj(o, "root", &root, err) < 0)
		return -EINVAL;
	if (root && parse_root(root, s, err) < 0)
		return -EINVAL;
	if (s->cpus < 1 || s->cpus > CPUS_MAX)
		return err_set(err, EINVAL, "cpus must be 1 to %d", CPUS_MAX);
	if (s->boot_ms < 1 || s->boot_ms > BOOT_MS_MAX)
		return err_set(err, EINVAL, "boot_ms must be 1 to %d", BOOT_MS_MAX);
	return 0;
}

static int parse(json_object *o, struct keepspec *s, struct err *err)
{
	/* What a container has, and what a VM. */
	static const char *const known[][20] = {
		{ "version", "id", "kind", "cgroup", "overlay", "log", "stdin", "stdin_once", "tty",
		  "console_size", "reaper", "seccomp_cache", "make_dirs", NULL },
		{ "version", "id", "kind", "cgroup", "log", "stdin", "stdin_once", "tty",
		  "console_size", "resources", "vmm", NULL },
		{ "version",   "id",         "kind", "cgroup",       "overlay", "log",
		  "stdin",     "stdin_once", "tty",  "console_size", "reaper",  "seccomp_cache",
		  "make_dirs", "resources",  "vmm",  "links",        "boot_ms", "root",
		  "cpus",      NULL },
	};
	static const char *const kinds[] = { "container", "vm", "guest" };
	if (!json_object_is_type(o, json_type_object))
		return err_set(err, EINVAL, "it must be an object");
	int64_t version = json_i64_or(o, "version", 0);
	if (version != KEEPER_VERSION)
		return err_set(err, EPROTO, "version %lld is not known to this isola-keeper (%d)",
			       (long long)version, KEEPER_VERSION);
	const char *kind = json_str_or(o, "kind", "");
	while (s->kind < KEEP_KINDS && strcmp(kind, kinds[s->kind]))
		s->kind++;
	if (s->kind == KEEP_KINDS)
		return err_set(err, EINVAL, "kind \"%.32s\" is not known to this isola-keeper",
			       kind);
	if (keepspec_only(o, known[s->kind], "it", err) < 0)
		return -EINVAL;
	s->id = json_str_or(o, "id", "");
	if (!id_is_container_id(s->id) || strlen(s->id) >= ID_SIZE)
		return err_set(err, EINVAL, "id \"%.80s\" is no instance id", s->id);
	json_object *overlay = NULL, *log = NULL;
	if (need_path(o, "cgroup", &s->cgroup, err) < 0 ||
	    get_path(o, "seccomp_cache", &s->seccomp_cache, err) < 0 ||
	    json_get_obj(o, "overlay", &overlay, err) < 0 ||
	    json_get_obj(o, "log", &log, err) < 0 || parse_console_size(o, s, err) < 0 ||
	    parse_make_dirs(o, s, err) < 0 || parse_flags(o, s, err) < 0)
		return -EINVAL;
	if (overlay && parse_overlay(overlay, s, err) < 0)
		return -EINVAL;
	if (s->kind != KEEP_CONTAINER && (need_path(o, "vmm", &s->vmm, err) < 0 ||
					  json_get_obj(o, "resources", &s->resources, err) < 0))
		return -EINVAL;
	if (s->kind == KEEP_GUEST && parse_guest(o, s, err) < 0)
		return -EINVAL;
	return log ? parse_log(log, s, err) : 0;
}

int keepspec_parse(json_object *doc, struct keepspec *ret, struct err *err)
{
	struct keepspec s = { .doc = doc,
			      .boot_ms = 30000,
			      .cpus = 1,
			      .log_limits = { .max_size = 10485760, .max_files = 3 } };
	int rc = parse(doc, &s, err);
	if (rc < 0) {
		keepspec_fini(&s);
		(void)err_prefix(err, "keeper.json");
		return rc;
	}
	*ret = s;
	return 0;
}

void keepspec_shrink(struct keepspec *spec)
{
	json_object_put(spec->doc);
	spec->doc = spec->lower = spec->log_attrs = spec->make_dirs = spec->resources =
		spec->links = NULL;
	spec->id = spec->cgroup = spec->upper = spec->work = NULL;
	spec->log_path = spec->seccomp_cache = spec->vmm = spec->layer = NULL;
}

void keepspec_fini(struct keepspec *spec)
{
	json_object_put(spec->doc);
	*spec = (struct keepspec){ .doc = NULL };
}
