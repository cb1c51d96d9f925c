/* SPDX-License-Identifier: Apache-2.0 */
/* oci_update - the verb update: new limits for a running container. */
#include "oci_state.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define RESOURCES_MAX (1 << 20)

enum value_kind { VALUE_NUMBER, VALUE_BYTES, VALUE_TEXT };

struct update_opts {
	const char *resources;
	const char *value[20]; /* by row of limits[] */
};

#define AT(i) (offsetof(struct update_opts, value) + (i) * sizeof(const char *))
#define ROW(i, name, metavar, help)                                                                \
	{                                                                                          \
		name, 0, OCI_TEXT, AT(i), metavar, help                                            \
	}

static const struct oci_opt update_options[] = {
	ROW(0, "memory", "BYTES", "memory limit (-1 = none)"),
	ROW(1, "memory-reservation", "BYTES", "soft memory limit"),
	ROW(2, "memory-swap", "BYTES", "memory and swap together (-1 = none)"),
	ROW(3, "cpu-period", "USEC", "length of a CPU period"),
	ROW(4, "cpu-quota", "USEC", "CPU time in a period (-1 = no limit)"),
	ROW(5, "cpu-share", "N", "relative CPU weight, 2 to 262144"),
	ROW(6, "cpu-burst", "USEC", "CPU time that may be saved up"),
	ROW(7, "cpu-idle", "0|1", "run only when nobody else wants the CPU"),
	ROW(8, "cpuset-cpus", "LIST", "CPUs to use (0-2,5)"),
	ROW(9, "cpuset-mems", "LIST", "memory nodes to use"),
	ROW(10, "pids-limit", "N", "most processes (-1 = no limit)"),
	ROW(11, "blkio-weight", "N", "relative I/O weight, 10 to 1000"),
	{ "resources", 'r', OCI_TEXT, offsetof(struct update_opts, resources), "FILE",
	  "read a linux.resources object from FILE, - for stdin; other options are refused" },
	{ NULL },
};

/* Where a row's value goes in linux.resources. */
static const struct {
	const char *object, *key;
	enum value_kind kind;
} limits[] = {
	[0] = { "memory", "limit", VALUE_BYTES }, [1] = { "memory", "reservation", VALUE_BYTES },
	[2] = { "memory", "swap", VALUE_BYTES },  [3] = { "cpu", "period", VALUE_NUMBER },
	[4] = { "cpu", "quota", VALUE_NUMBER },   [5] = { "cpu", "shares", VALUE_NUMBER },
	[6] = { "cpu", "burst", VALUE_NUMBER },   [7] = { "cpu", "idle", VALUE_NUMBER },
	[8] = { "cpu", "cpus", VALUE_TEXT },      [9] = { "cpu", "mems", VALUE_TEXT },
	[10] = { "pids", "limit", VALUE_NUMBER }, [11] = { "blockIO", "weight", VALUE_NUMBER },
};
#define N_LIMITS (sizeof(limits) / sizeof(limits[0]))

static json_object *parse_value(size_t i, const char *text, struct err *err)
{
	int64_t n;
	if (limits[i].kind == VALUE_TEXT)
		return json_object_new_string(text);
	int rc = limits[i].kind == VALUE_BYTES ? num_parse_size(text, true, &n)
					       : num_parse_i64(text, &n);
	if (rc == 0)
		return json_object_new_int64(n);
	(void)err_set(err, EINVAL, "--%s takes %s, not \"%s\"", update_options[i].name,
		      limits[i].kind == VALUE_BYTES ? "a size such as 64m" : "a number", text);
	return NULL;
}

static int from_options(const struct update_opts *o, json_object **ret, struct err *err)
{
	cleanup_json json_object *all = json_object_new_object();
	for (size_t i = 0; i < N_LIMITS; i++) {
		if (!o->value[i])
			continue;
		json_object *group = json_get(all, limits[i].object);
		json_object *value = parse_value(i, o->value[i], err);
		if (!value)
			return -EINVAL;
		if (!group) {
			group = json_object_new_object();
			json_add(all, limits[i].object, group);
		}
		json_add(group, limits[i].key, value);
	}
	if (json_object_object_length(all) == 0)
		return err_set(err, EINVAL, "update needs at least one new limit");
	*ret = json_object_get(all);
	return 0;
}

static int from_file(const struct update_opts *o, json_object **ret, struct err *err)
{
	for (size_t i = 0; i < N_LIMITS; i++)
		if (o->value[i])
			return err_set(err, EINVAL, "--resources and --%s exclude each other",
				       update_options[i].name);
	if (strcmp(o->resources, "-"))
		return json_read_file(AT_FDCWD, o->resources, RESOURCES_MAX, ret, err);
	cleanup_free char *text = malloc(RESOURCES_MAX);
	ssize_t n = text ? fd_read_all(0, text, RESOURCES_MAX) : -ENOMEM;
	if (n < 0 || n == RESOURCES_MAX)
		return err_rc(err, n < 0 ? (int)n : -EFBIG, "cannot read the resources");
	return json_parse(text, (size_t)n, "resources", ret, err);
}

static int run_update(struct oci *oci, void *opts, char **args, struct err *err)
{
	const struct update_opts *o = opts;
	cleanup_json json_object *resources = NULL;
	struct oci_box box = OCI_BOX_INIT;
	int rc = o->resources ? from_file(o, &resources, err) : from_options(o, &resources, err);
	if (rc == 0)
		rc = oci_box_open(oci, args[0], false, &box, err);
	if (rc == 0 && box.ctr.pidfd < 0)
		rc = err_set(err, ESRCH, "container not running: \"%s\"", args[0]);
	if (rc == 0)
		rc = ctr_update(&box.ctr, resources, err);
	oci_box_fini(&box);
	return rc;
}

const struct oci_verb oci_verbs_update[] = {
	{ .name = "update",
	  .args = "ID",
	  .min_args = 1,
	  .max_args = 1,
	  .help = "change the limits of a running container",
	  .examples = "  isola-oci update --memory 64m --pids-limit 100 web\n"
		      "  echo '{\"cpu\":{\"shares\":512}}' | isola-oci update -r - web\n",
	  .opts = update_options,
	  .opts_size = sizeof(struct update_opts),
	  .run = run_update },
	{ NULL },
};
