/* SPDX-License-Identifier: Apache-2.0 */
/* create_vm - the fields of a VmConfig (docs/openapi.json): rows, defaults, and what
 * several of them must agree on. Pure; in isolad. Every error names the field, down
 * to "Disks[1].Rate.Ops.Size". Whether files exist is the keeper's to see, at each
 * start: a host file system may hang. */
#include "create_priv.h"
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024ll
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define CPUS_MAX          255
#define MEMORY_MIN        MIB
#define MEMORY_MAX        (1024 * GIB)
#define MEMORY_DEFAULT    (128 * MIB)
#define CMDLINE_BYTES_MAX 2047 /* COMMAND_LINE_SIZE of x86 Linux */
#define RATE_MAX          (1024 * 1024 * GIB)
#define DISKS_MAX         18
#define OTHERS_MAX        8       /* of each other kind of device */
#define DEVICES_MAX       18      /* windows and interrupts of a machine */
#define DATA_BYTES_MAX    1398104 /* base64 of 1 MiB */
#define ID_BYTES_MAX      31

/* ---- checks of rows ---- */

static int check_path(void *arg, const struct field *row, json_object *v, json_object **ret,
		      struct err *err)
{
	(void)arg;
	(void)row;
	const char *path = json_object_get_string(v);
	if (*path != '/')
		return err_set(err, EINVAL, "'%.128s' must be an absolute path", path);
	if (strlen(path) >= PATH_MAX)
		return err_set(err, EINVAL, "longer than %d bytes", PATH_MAX - 1);
	*ret = json_object_get(v);
	return 0;
}

/* row->tag: "one|two". */
static int check_choice(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	const char *text = json_object_get_string(v);
	size_t n = strlen(text);
	for (const char *p = row->tag; *p; p += strcspn(p, "|"), p += *p == '|') {
		if (strcspn(p, "|") != n || memcmp(p, text, n))
			continue;
		*ret = json_object_get(v);
		return 0;
	}
	return err_set(err, EINVAL, "'%.32s' is not one of %s", text, row->tag);
}

static int check_cmdline(void *arg, const struct field *row, json_object *v, json_object **ret,
			 struct err *err)
{
	(void)arg;
	(void)row;
	const char *text = json_object_get_string(v);
	for (const char *p = text; *p; p++)
		if ((unsigned char)*p < ' ' || *p == 127)
			return err_set(err, EINVAL, "holds a control character");
	if (strlen(text) > CMDLINE_BYTES_MAX)
		return err_set(err, EINVAL, "longer than %d bytes", CMDLINE_BYTES_MAX);
	*ret = json_object_get(v);
	return 0;
}

/* "host", or an object, whose content the worker judges (docs/cpu-templates.md). */
static int check_template(void *arg, const struct field *row, json_object *v, json_object **ret,
			  struct err *err)
{
	(void)arg;
	(void)row;
	if (!json_object_is_type(v, json_type_object) &&
	    (!json_object_is_type(v, json_type_string) ||
	     strcmp(json_object_get_string(v), "host") != 0))
		return err_set(err, EINVAL, "must be \"host\" or a CPU template as an object");
	*ret = json_object_get(v);
	return 0;
}

/* For each vCPU a list of this host's CPUs. */
static int check_affinity(void *arg, const struct field *row, json_object *v, json_object **ret,
			  struct err *err)
{
	struct create *c = arg;
	(void)row;
	int64_t cpus = c->env->cpus();
	for (size_t i = 0; i < json_len(v); i++) {
		json_object *list = json_object_array_get_idx(v, i);
		if (!json_object_is_type(list, json_type_array))
			return err_set(err, EINVAL, "[%zu] must be an array of CPU numbers", i);
		for (size_t k = 0; k < json_len(list); k++) {
			json_object *n = json_object_array_get_idx(list, k);
			if (!json_object_is_type(n, json_type_int) ||
			    json_object_get_int64(n) < 0 || json_object_get_int64(n) >= cpus)
				return err_set(err, EINVAL,
					       "[%zu][%zu] is no CPU of this host (0-%lld)", i, k,
					       (long long)cpus - 1);
		}
	}
	*ret = json_object_get(v);
	return 0;
}

/* false, or an object that has rows of its own. */
static int check_device(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	if (!json_object_is_type(v, json_type_object) &&
	    (!json_object_is_type(v, json_type_boolean) || json_object_get_boolean(v)))
		return err_set(err, EINVAL, "must be an object, or false for none");
	*ret = json_object_get(v);
	return 0;
}

/* Ids of devices, and tags: words that can stand in a message and a file name. */
static int check_word(const char *text, size_t max, struct err *err)
{
	size_t n = strlen(text);
	for (const char *p = text; *p; p++)
		if (!isalnum((unsigned char)*p) && !strchr("-_.", *p))
			return err_set(err, EINVAL, "'%.64s' may hold letters, digits, -, _ and .",
				       text);
	if (n > max)
		return err_set(err, EINVAL, "longer than %zu characters", max);
	return 0;
}

/* row->tag: the most characters. */
static int check_id(void *arg, const struct field *row, json_object *v, json_object **ret,
		    struct err *err)
{
	(void)arg;
	const char *text = json_object_get_string(v);
	int rc = check_word(text, row->tag ? (size_t)atoi(row->tag) : ID_BYTES_MAX, err);
	if (rc == 0)
		*ret = json_object_get(v);
	return rc;
}

static int check_mac(void *arg, const struct field *row, json_object *v, json_object **ret,
		     struct err *err)
{
	(void)arg;
	(void)row;
	const char *text = json_object_get_string(v);
	unsigned int b[6];
	int end = 0;
	if (strlen(text) != 17 ||
	    sscanf(text, "%2x:%2x:%2x:%2x:%2x:%2x%n", &b[0], &b[1], &b[2], &b[3], &b[4], &b[5],
		   &end) != 6 ||
	    end != 17)
		return err_set(err, EINVAL, "'%.32s' is no MAC address like 02:00:00:00:00:01",
			       text);
	if (b[0] & 1)
		return err_set(err, EINVAL, "'%s' is a group address", text);
	*ret = json_object_get(v);
	return 0;
}

static int check_network(void *arg, const struct field *row, json_object *v, json_object **ret,
			 struct err *err)
{
	const char *mode = json_object_get_string(v);
	if (!strcmp(mode, "host") || !strncmp(mode, "container:", 10))
		return err_set(err, EINVAL,
			       "%.64s: a guest has network devices of its own; use the name of a "
			       "network, or none",
			       mode);
	if (strcmp(mode, "default") != 0)
		return create_network(arg, row, v, ret, err);
	*ret = json_object_new_string("bridge");
	return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int check_uuid(void *arg, const struct field *row, json_object *v, json_object **ret,
		      struct err *err)
{
	(void)arg;
	(void)row;
	const char *text = json_object_get_string(v);
	bool good = strlen(text) == 36;
	for (size_t i = 0; good && i < 36; i++)
		good = i == 8 || i == 13 || i == 18 || i == 23 ? text[i] == '-'
							       : isxdigit((unsigned char)text[i]);
	if (!good)
		return err_set(err, EINVAL, "'%.64s' is no UUID", text);
	*ret = json_object_get(v);
	return 0;
}

static int check_base64(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	const char *text = json_object_get_string(v);
	size_t n = strlen(text), digits = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
						       "abcdefghijklmnopqrstuvwxyz0123456789+/");
	if (n % 4 || n - digits > 2 || strspn(text + digits, "=") != n - digits)
		return err_set(err, EINVAL, "is no base64");
	if (n > DATA_BYTES_MAX)
		return err_set(err, EINVAL, "more than 1 MiB");
	*ret = json_object_get(v);
	return 0;
}

/* -1: none. */
static int check_limit_memory(void *arg, const struct field *row, json_object *v, json_object **ret,
			      struct err *err)
{
	if (json_object_get_int64(v) != -1)
		return create_memory(arg, row, v, ret, err);
	*ret = json_object_get(v);
	return 0;
}

/* ---- rows ---- */

#define CHOICE(words) .tag = (words), .check = check_choice
#define ABSENT_OBJ    FIELD_OBJ, DEFAULT_ABSENT

static const struct field top_rows[] = {
	{ "Kernel", "--kernel", FIELD_STR, DEFAULT_EMPTY, .check = check_path },
	{ "Initrd", "--initrd", FIELD_STR, DEFAULT_EMPTY, .check = check_path },
	{ "Cmdline", "--cmdline", FIELD_STR, DEFAULT_EMPTY, .check = check_cmdline },
	{ "CmdlineDefaults", NULL, FIELD_BOOL, DEFAULT_TRUE, .only_null = true },
	{ "Cpus", "--cpus", FIELD_OBJ, DEFAULT_OBJECT },
	{ "Memory", "--memory", FIELD_OBJ, DEFAULT_OBJECT },
	{ "Disks", "--disk", FIELD_OBJS, DEFAULT_ARRAY },
	{ "Nets", "--net", FIELD_OBJS, DEFAULT_ARRAY, .only_null = true },
	{ "NetworkMode", "--network", FIELD_STR, DEFAULT_EMPTY, .check = check_network },
	{ "NetworkQueues", "--network-queues", FIELD_INT, DEFAULT_0, .min = 1, .max = 16 },
	{ "NetworkingConfig", "--ip", FIELD_OBJ, DEFAULT_ABSENT },
	{ "MacAddress", "--mac-address", FIELD_STR, DEFAULT_EMPTY },
	{ "PortBindings", "-p", FIELD_OBJ, DEFAULT_OBJECT, .only_null = true,
	  .check = create_port_bindings },
	{ "Shares", "--share", FIELD_OBJS, DEFAULT_ARRAY, .only_null = true },
	{ "Pmem", "--pmem", FIELD_OBJS, DEFAULT_ARRAY, .only_null = true },
	{ "Consoles", "--console", FIELD_OBJS, DEFAULT_ARRAY, .only_null = true },
	{ "Vsock", "--vsock", FIELD_OBJ, DEFAULT_NULL, .only_null = true },
	{ "Balloon", "--balloon", FIELD_ANY, DEFAULT_OBJECT, .only_null = true,
	  .check = check_device },
	{ "Rng", NULL, FIELD_ANY, DEFAULT_OBJECT, .only_null = true, .check = check_device },
	{ "Watchdog", "--watchdog", FIELD_OBJ, DEFAULT_NULL, .only_null = true },
	{ "VmGenId", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_uuid },
	{ "DebugExit", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "Seccomp", "--seccomp", FIELD_STR, DEFAULT_EMPTY, CHOICE("kill|log|off") },
	{ "Tty", "--tty", FIELD_BOOL, DEFAULT_FALSE },
	{ "OpenStdin", "--interactive", FIELD_BOOL, DEFAULT_FALSE },
	{ "StdinOnce", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "StopTimeout", "--stop-timeout", FIELD_INT, DEFAULT_NULL, .only_null = true, .min = -1,
	  .max = INT32_MAX },
	{ "AutoRemove", "--rm", FIELD_BOOL, DEFAULT_FALSE },
	{ "RestartPolicy", "--restart", FIELD_OBJ, DEFAULT_NULL, .only_null = true,
	  .check = create_restart },
	{ "LogConfig", "--log-driver", FIELD_OBJ, DEFAULT_NULL, .only_null = true,
	  .check = create_log_config },
	{ "Labels", "--label", FIELD_MAP, DEFAULT_OBJECT },
	{ "Limits", NULL, FIELD_OBJ, DEFAULT_OBJECT },
};

static const struct field cpu_rows[] = {
	{ "Count", "--cpus", FIELD_INT, DEFAULT_0, .min = 1, .max = CPUS_MAX },
	{ "ThreadsPerCore", NULL, FIELD_INT, DEFAULT_0, .min = 1, .max = 2 },
	{ "CoresPerSocket", NULL, FIELD_INT, DEFAULT_0, .min = 1, .max = CPUS_MAX },
	{ "Template", "--cpu-template", FIELD_ANY, DEFAULT_NULL, .check = check_template },
	{ "Affinity", "--affinity", FIELD_ARRAY, DEFAULT_ARRAY, .check = check_affinity },
};

/* An update may give an empty list: no pinning. */
const struct field create_vm_affinity_row = { "Affinity",        "--affinity",
					      FIELD_ARRAY,       DEFAULT_ABSENT,
					      .only_null = true, .check = check_affinity };

static const struct field memory_rows[] = {
	{ "Size", "--memory", FIELD_INT, DEFAULT_0, .min = MEMORY_MIN, .max = MEMORY_MAX },
	{ "HugePages", "--hugepages", FIELD_STR, DEFAULT_EMPTY, CHOICE("none|2M|1G") },
	{ "Shared", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "Thp", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "Prefault", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "Merge", NULL, FIELD_BOOL, DEFAULT_FALSE },
};

static const struct field disk_rows[] = {
	{ "Id", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_id },
	{ "Path", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_path },
	{ "Data", NULL, FIELD_STR, DEFAULT_ABSENT, .check = check_base64 },
	{ "ReadOnly", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "Format", NULL, FIELD_STR, DEFAULT_EMPTY, CHOICE("raw") },
	{ "Cache", NULL, FIELD_STR, DEFAULT_EMPTY, CHOICE("writeback|writethrough|none|unsafe") },
	{ "Engine", NULL, FIELD_STR, DEFAULT_EMPTY, CHOICE("auto|io_uring|sync") },
	{ "Serial", NULL, FIELD_STR, DEFAULT_EMPTY, .tag = "20", /* VIRTIO_BLK_ID_BYTES */
	  .check = check_id },
	{ "Queues", NULL, FIELD_INT, DEFAULT_0, .min = 1, .max = 16 },
	{ "Discard", NULL, FIELD_BOOL, DEFAULT_TRUE, .only_null = true },
	{ "Rate", NULL, ABSENT_OBJ },
};

static const struct field net_rows[] = {
	{ "Id", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_id },
	{ "Tap", NULL, FIELD_STR, DEFAULT_EMPTY, .tag = "15", /* IFNAMSIZ - 1 */
	  .check = check_id },
	{ "Socket", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_path },
	{ "Passt", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "Mac", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_mac },
	{ "Mtu", NULL, FIELD_INT, DEFAULT_0, .min = 68, .max = 65535 },
	{ "Queues", NULL, FIELD_INT, DEFAULT_0, .min = 1, .max = 16 },
	{ "Offload", NULL, FIELD_BOOL, DEFAULT_TRUE, .only_null = true },
	{ "RateRx", NULL, ABSENT_OBJ },
	{ "RateTx", NULL, ABSENT_OBJ },
};

static const struct field share_rows[] = {
	{ "Tag", NULL, FIELD_STR, DEFAULT_EMPTY, .tag = "36", /* virtio 1.2, 5.11.4 */
	  .check = check_id },
	{ "Path", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_path },
	{ "Socket", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_path },
	{ "ReadOnly", NULL, FIELD_BOOL, DEFAULT_FALSE },
	{ "Queues", NULL, FIELD_INT, DEFAULT_0, .min = 1, .max = 8 },
};

static const struct field pmem_rows[] = {
	{ "Id", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_id },
	{ "Path", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_path },
	{ "ReadOnly", NULL, FIELD_BOOL, DEFAULT_TRUE, .only_null = true },
};

static const struct field console_rows[] = {
	{ "Id", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_id },
	{ "Socket", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_path },
	{ "Rows", NULL, FIELD_INT, DEFAULT_0, .min = 0, .max = 65535 },
	{ "Columns", NULL, FIELD_INT, DEFAULT_0, .min = 0, .max = 65535 },
};

static const struct field vsock_rows[] = {
	{ "Cid", NULL, FIELD_INT, DEFAULT_0, .min = 3, .max = UINT32_MAX - 1ll },
	{ "Path", NULL, FIELD_STR, DEFAULT_EMPTY, .check = check_path },
};

static const struct field balloon_rows[] = {
	{ "Size", "--balloon", FIELD_INT, DEFAULT_0, .min = 0, .max = MEMORY_MAX },
	{ "DeflateOnOom", NULL, FIELD_BOOL, DEFAULT_TRUE, .only_null = true },
	{ "Reporting", NULL, FIELD_BOOL, DEFAULT_TRUE, .only_null = true },
	{ "StatsMs", NULL, FIELD_INT, DEFAULT_0, .min = 100, .max = 3600000 },
};

static const struct field rng_rows[] = { { "Rate", NULL, ABSENT_OBJ } };

static const struct field watchdog_rows[] = {
	{ "Action", NULL, FIELD_STR, DEFAULT_EMPTY, CHOICE("reset|poweroff|none") },
};

static const struct field limit_rows[] = {
	{ "Memory", NULL, FIELD_INT, DEFAULT_0, .tag = "memory", .check = check_limit_memory },
	{ "NanoCpus", NULL, FIELD_INT, DEFAULT_0, .tag = "cpu", .check = create_nano_cpus },
	{ "CpuShares", NULL, FIELD_INT, DEFAULT_0, .min = 2, .max = 262144, .tag = "cpu",
	  .check = create_limit },
	{ "CpusetCpus", NULL, FIELD_STR, DEFAULT_EMPTY, .check = create_cpuset },
	{ "CpusetMems", NULL, FIELD_STR, DEFAULT_EMPTY, .check = create_cpuset },
	{ "PidsLimit", NULL, FIELD_INT, DEFAULT_NULL, .tag = "pids", .check = create_pids },
	{ "BlkioWeight", NULL, FIELD_INT, DEFAULT_0, .min = 10, .max = 1000, .tag = "io",
	  .check = create_limit },
};

static const struct field rate_rows[] = {
	{ "Bandwidth", NULL, ABSENT_OBJ },
	{ "Ops", NULL, ABSENT_OBJ },
};

static const struct field bucket_rows[] = {
	{ "Size", NULL, FIELD_INT, DEFAULT_0, .min = 1, .max = RATE_MAX },
	{ "RefillMs", NULL, FIELD_INT, DEFAULT_0, .min = 1, .max = 3600000 },
	{ "Burst", NULL, FIELD_INT, DEFAULT_ABSENT, .min = 0, .max = RATE_MAX },
};

/* ---- rates ---- */

static int check_bucket(json_object *rate, const char *key, const char *prefix, struct err *err)
{
	json_object *in = json_get(rate, key), *out = NULL;
	char inner[160];
	if (!in)
		return 0;
	(void)snprintf(inner, sizeof(inner), "%s%s.", prefix, key);
	int rc = fields_check(bucket_rows, 3, inner, in, NULL, &out, err);
	if (rc < 0)
		return rc;
	const char *missing = !json_i64_or(out, "Size", 0)       ? "Size"
			      : !json_i64_or(out, "RefillMs", 0) ? "RefillMs"
								 : NULL;
	json_add(rate, key, out);
	return missing ? err_set(err, EINVAL, "%s%s is missing", inner, missing) : 0;
}

/* Replaces item[key], if it is there, by what the rows make of it. */
int create_vm_rate(json_object *item, const char *key, const char *prefix, struct err *err)
{
	json_object *in = json_get(item, key), *out = NULL;
	char inner[128];
	if (!in)
		return 0;
	(void)snprintf(inner, sizeof(inner), "%s%s.", prefix, key);
	int rc = fields_check(rate_rows, 2, inner, in, NULL, &out, err);
	if (rc < 0)
		return rc;
	json_add(item, key, out);
	rc = check_bucket(out, "Bandwidth", inner, err);
	return rc < 0 ? rc : check_bucket(out, "Ops", inner, err);
}

/* ---- what a part's fields must agree on, and their defaults ---- */

static void default_str(json_object *o, const char *key, const char *value)
{
	if (!*json_str_or(o, key, ""))
		json_add_str(o, key, value);
}

static void default_i64(json_object *o, const char *key, int64_t value)
{
	if (!json_i64_or(o, key, 0))
		json_add_i64(o, key, value);
}

/* "vda" ... "vdz", or "net0" ... */
static void default_id(json_object *o, const char *stem, size_t i)
{
	char id[32];
	if (!strcmp(stem, "vd"))
		(void)snprintf(id, sizeof(id), "vd%c", (char)('a' + i));
	else
		(void)snprintf(id, sizeof(id), "%s%zu", stem, i);
	default_str(o, "Id", id);
}

/* Exactly one of two fields. */
static int one_of(json_object *o, const char *a, const char *b, const char *prefix, struct err *err)
{
	bool has_a = *json_str_or(o, a, ""), has_b = *json_str_or(o, b, "");
	if (has_a != has_b)
		return 0;
	return err_set(err, EINVAL,
		       has_a ? "%s%s and %s%s exclude each other" : "%s%s or %s%s is missing",
		       prefix, a, prefix, b);
}

static int complete_cpus(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	default_i64(o, "Count", 1);
	default_i64(o, "ThreadsPerCore", 1);
	if (!json_get(o, "Template"))
		json_add_str(o, "Template", "host");
	int64_t n = json_i64_or(o, "Count", 1), threads = json_i64_or(o, "ThreadsPerCore", 1);
	int64_t cores = json_i64_or(o, "CoresPerSocket", 0);
	if (n % (threads * (cores ? cores : 1)))
		return err_set(err, EINVAL,
			       "%sCount: %lld is no multiple of ThreadsPerCore times "
			       "CoresPerSocket (%lld)",
			       prefix, (long long)n, (long long)(threads * (cores ? cores : 1)));
	if (json_len(json_get(o, "Affinity")) > (size_t)n)
		return err_set(err, EINVAL, "%sAffinity has more rows than there are vCPUs (%lld)",
			       prefix, (long long)n);
	return 0;
}

static int complete_memory(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	default_i64(o, "Size", MEMORY_DEFAULT);
	default_str(o, "HugePages", "none");
	const char *pages = json_str_or(o, "HugePages", "");
	int64_t size = json_i64_or(o, "Size", 0);
	int64_t page = !strcmp(pages, "1G") ? GIB : !strcmp(pages, "2M") ? 2 * MIB : 4 * KIB;
	if (size % page)
		return err_set(err, EINVAL, "%sSize: %lld is no multiple of %lld, a page's size",
			       prefix, (long long)size, (long long)page);
	if (page > 4 * KIB && (json_bool_or(o, "Thp", false) || json_bool_or(o, "Merge", false)))
		return err_set(err, EINVAL, "%sThp and %sMerge do not go with %sHugePages", prefix,
			       prefix, prefix);
	return 0;
}

static int complete_disk(json_object *o, size_t i, const char *prefix, struct err *err)
{
	int rc = one_of(o, "Path", "Data", prefix, err);
	if (rc < 0)
		return rc;
	default_id(o, "vd", i);
	default_str(o, "Format", "raw");
	default_str(o, "Cache", "writeback");
	default_str(o, "Engine", "auto");
	default_i64(o, "Queues", 1);
	if (json_get(o, "Data"))
		json_add_bool(o, "ReadOnly", true);
	if (json_get(o, "Data") && !strcmp(json_str_or(o, "Cache", ""), "none"))
		return err_set(err, EINVAL, "%sCache: none does not go with %sData", prefix,
			       prefix);
	return create_vm_rate(o, "Rate", prefix, err);
}

static int complete_net(json_object *o, size_t i, const char *prefix, struct err *err)
{
	bool passt = json_bool_or(o, "Passt", false), tap = *json_str_or(o, "Tap", "");
	if (passt && (tap || *json_str_or(o, "Socket", "")))
		return err_set(err, EINVAL, "%sPasst goes with neither %sTap nor %sSocket", prefix,
			       prefix, prefix);
	int rc = passt ? 0 : one_of(o, "Tap", "Socket", prefix, err);
	if (rc < 0)
		return rc;
	default_id(o, "net", i);
	default_i64(o, "Queues", 1);
	if (!tap && json_i64_or(o, "Queues", 1) > 1)
		return err_set(err, EINVAL, "%sQueues: a socket has one", prefix);
	rc = create_vm_rate(o, "RateRx", prefix, err);
	return rc < 0 ? rc : create_vm_rate(o, "RateTx", prefix, err);
}

static int complete_share(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	if (!*json_str_or(o, "Tag", ""))
		return err_set(err, EINVAL, "%sTag is missing", prefix);
	default_i64(o, "Queues", 1);
	if (*json_str_or(o, "Socket", "") && json_bool_or(o, "ReadOnly", false))
		return err_set(err, EINVAL, "%sReadOnly is for whoever serves %sSocket to say",
			       prefix, prefix);
	return one_of(o, "Path", "Socket", prefix, err);
}

static int complete_pmem(json_object *o, size_t i, const char *prefix, struct err *err)
{
	default_id(o, "pmem", i);
	if (!*json_str_or(o, "Path", ""))
		return err_set(err, EINVAL, "%sPath is missing", prefix);
	if (!json_bool_or(o, "ReadOnly", true))
		return err_set(err, EINVAL,
			       "%sReadOnly: pmem is for images that nobody writes; use a disk",
			       prefix);
	return 0;
}

static int complete_console(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)prefix;
	(void)err;
	default_id(o, "console", i);
	return 0;
}

static int complete_vsock(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	(void)prefix;
	(void)err;
	default_i64(o, "Cid", 3);
	return 0;
}

static int complete_rng(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	return create_vm_rate(o, "Rate", prefix, err);
}

static int complete_watchdog(json_object *o, size_t i, const char *prefix, struct err *err)
{
	(void)i;
	(void)prefix;
	(void)err;
	default_str(o, "Action", "reset");
	return 0;
}

#define ROWS(rows) rows, sizeof(rows) / sizeof(rows[0])

/* @complete gets what the rows made of it; @prefix ends with a dot. */
static const struct part {
	const char *key;
	const struct field *rows;
	size_t n_rows;
	size_t max; /* items of an array; 0: one object */
	int (*complete)(json_object *o, size_t i, const char *prefix, struct err *err);
	const char *id; /* field that no two devices share */
} parts[] = {
	{ "Cpus", ROWS(cpu_rows), 0, complete_cpus, NULL },
	{ "Memory", ROWS(memory_rows), 0, complete_memory, NULL },
	{ "Disks", ROWS(disk_rows), DISKS_MAX, complete_disk, "Id" },
	{ "Nets", ROWS(net_rows), OTHERS_MAX, complete_net, "Id" },
	{ "Shares", ROWS(share_rows), OTHERS_MAX, complete_share, "Tag" },
	{ "Pmem", ROWS(pmem_rows), OTHERS_MAX, complete_pmem, "Id" },
	{ "Consoles", ROWS(console_rows), OTHERS_MAX, complete_console, "Id" },
	{ "Vsock", ROWS(vsock_rows), 0, complete_vsock, NULL },
	{ "Balloon", ROWS(balloon_rows), 0, NULL, NULL },
	{ "Rng", ROWS(rng_rows), 0, complete_rng, NULL },
	{ "Watchdog", ROWS(watchdog_rows), 0, complete_watchdog, NULL },
	{ "Limits", ROWS(limit_rows), 0, NULL, NULL },
};
#define N_PARTS (sizeof(parts) / sizeof(parts[0]))

static int check_item(struct create *c, const struct part *part, json_object *in, size_t i,
		      json_object **ret, struct err *err)
{
	char prefix[64];
	cleanup_json json_object *out = NULL;
	if (part->max)
		(void)snprintf(prefix, sizeof(prefix), "%s[%zu].", part->key, i);
	else
		(void)snprintf(prefix, sizeof(prefix), "%s.", part->key);
	int rc = fields_check(part->rows, part->n_rows, prefix, in, c, &out, err);
	if (rc >= 0 && part->complete)
		rc = part->complete(out, i, prefix, err);
	if (rc < 0)
		return rc;
	*ret = take_ptr(out);
	return 0;
}

static int check_array(struct create *c, const struct part *part, json_object *in,
		       json_object **ret, struct err *err)
{
	if (json_len(in) > part->max)
		return err_set(err, EINVAL, "%s: at most %zu", part->key, part->max);
	cleanup_json json_object *list = json_object_new_array();
	for (size_t i = 0; i < json_len(in); i++) {
		json_object *item = NULL;
		int rc = check_item(c, part, json_object_array_get_idx(in, i), i, &item, err);
		if (rc < 0)
			return rc;
		if (!list || json_object_array_add(list, item) < 0) {
			json_object_put(item);
			return err_set(err, ENOMEM, "out of memory");
		}
	}
	*ret = take_ptr(list);
	return 0;
}

/* Replaces each part by what its rows make of it. */
static int check_parts(struct create *c, json_object *config, struct err *err)
{
	for (size_t i = 0; i < N_PARTS; i++) {
		json_object *in = json_get(config, parts[i].key), *out = NULL;
		if (!in || json_object_is_type(in, json_type_boolean))
			continue;
		int rc = parts[i].max ? check_array(c, &parts[i], in, &out, err)
				      : check_item(c, &parts[i], in, 0, &out, err);
		if (rc < 0)
			return rc;
		json_add(config, parts[i].key, out);
	}
	return 0;
}

int create_vm_limits(struct create *c, json_object *in, json_object **ret, struct err *err)
{
	return fields_check(ROWS(limit_rows), "Limits.", in, c, ret, err);
}

/* ---- rules among parts ---- */

static int ids_agree(json_object *config, struct err *err)
{
	cleanup_json json_object *seen = json_object_new_object();
	for (size_t p = 0; p < N_PARTS; p++) {
		json_object *list = parts[p].id ? json_get(config, parts[p].key) : NULL;
		for (size_t i = 0; i < json_len(list); i++) {
			const char *id =
				json_str_or(json_object_array_get_idx(list, i), parts[p].id, "");
			if (json_get(seen, id))
				return err_set(err, EINVAL, "%s[%zu].%s: %s is another device's",
					       parts[p].key, i, parts[p].id, id);
			json_add_bool(seen, id, true);
		}
	}
	return 0;
}

/* Each takes a place of its own on the bus; all consoles are one device. */
static int count_devices(json_object *config, struct err *err)
{
	static const char *const lists[] = { "Disks", "Nets", "Shares", "Pmem" };
	size_t n = 0;
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++)
		n += json_len(json_get(config, lists[i]));
	n += strcmp(json_str_or(config, "NetworkMode", "none"), "none") != 0;
	n += json_len(json_get(config, "Consoles")) > 0;
	n += json_get(config, "Vsock") != NULL;
	n += json_object_is_type(json_get(config, "Balloon"), json_type_object);
	n += json_object_is_type(json_get(config, "Rng"), json_type_object);
	if (n <= DEVICES_MAX)
		return 0;
	return err_set(
		err, EINVAL,
		"%zu devices (Disks, NetworkMode, Nets, Shares, Pmem, Consoles, Vsock, Balloon, Rng) are "
		"more than the %d that a VM has room for",
		n, DEVICES_MAX);
}

static bool is_endpoint_id(const char *id)
{
	return !strncmp(id, "eth", 3) && id[3] && strspn(id + 3, "0123456789") == strlen(id + 3);
}

/* Which networks there are is known in endpoints_create(). */
static int network_agrees(json_object *config, struct err *err)
{
	const char *mode = json_str_or(config, "NetworkMode", "none");
	json_object *nets = json_get(config, "Nets");
	for (size_t i = 0; i < json_len(nets); i++)
		if (is_endpoint_id(json_str_or(json_object_array_get_idx(nets, i), "Id", "")))
			return err_set(err, EINVAL,
				       "Nets[%zu].Id: eth0, eth1... are those of NetworkMode "
				       "(--network) and network connect",
				       i);
	int rc = create_check_networking(json_get(config, "NetworkingConfig"), mode, err);
	if (rc < 0 || strcmp(mode, "none") != 0)
		return rc;
	if (!json_is_zero(json_get(config, "PortBindings")))
		return err_set(err, EINVAL,
			       "PortBindings (-p): nothing can be published without a NetworkMode "
			       "(--network)");
	if (*json_str_or(config, "MacAddress", ""))
		return err_set(err, EINVAL,
			       "MacAddress (--mac-address) goes with a NetworkMode (--network)");
	return 0;
}

static int check_length(json_object *config, struct err *err)
{
	cleanup_free char *cmdline = vm_cmdline(config);
	if (!cmdline)
		return err_set(err, ENOMEM, "out of memory");
	if (strlen(cmdline) <= CMDLINE_BYTES_MAX)
		return 0;
	return err_set(err, EINVAL,
		       "Cmdline (--cmdline): with the defaults in front of it longer than %d bytes "
		       "(CmdlineDefaults false leaves them out)",
		       CMDLINE_BYTES_MAX);
}

int create_vm_agree(json_object *config, struct err *err)
{
	json_object *memory = json_get(config, "Memory"), *balloon = json_get(config, "Balloon");
	int64_t size = json_i64_or(memory, "Size", 0);
	int64_t limit = json_i64_or(json_get(config, "Limits"), "Memory", 0);
	if (!*json_str_or(config, "Kernel", ""))
		return err_set(err, EINVAL, "Kernel (--kernel) is missing");
	if (json_bool_or(config, "AutoRemove", false) &&
	    strcmp(json_str_or(json_get(config, "RestartPolicy"), "Name", "no"), "no") != 0)
		return err_set(
			err, EINVAL,
			"AutoRemove (--rm) and RestartPolicy (--restart) exclude each other");
	if (json_i64_or(balloon, "Size", 0) > size)
		return err_set(err, EINVAL,
			       "Balloon.Size (--balloon): more than Memory.Size (%lld)",
			       (long long)size);
	if (limit > 0 && limit < size)
		return err_set(err, EINVAL,
			       "Limits.Memory: less than Memory.Size (%lld); the guest would be "
			       "killed for using what it has",
			       (long long)size);
	if (json_len(json_get(config, "Shares")))
		json_add_bool(memory, "Shared", true);
	if (json_bool_or(memory, "Shared", false) && json_bool_or(memory, "Merge", false))
		return err_set(
			err, EINVAL,
			"Memory.Merge does not go with shared memory (Memory.Shared, Shares)");
	int rc = check_length(config, err);
	if (rc == 0)
		rc = network_agrees(config, err);
	if (rc == 0)
		rc = count_devices(config, err);
	return rc < 0 ? rc : ids_agree(config, err);
}

int create_vm_normalise(const struct create_env *env, json_object *body, json_object *warnings,
			json_object **ret, struct err *err)
{
	struct create c = { .env = env, .warnings = warnings };
	cleanup_json json_object *config = NULL;
	if (!json_object_is_type(body, json_type_object))
		return err_set(err, EINVAL, "the body must be a JSON object");
	int rc = fields_check(ROWS(top_rows), "", body, &c, &config, err);
	if (rc >= 0)
		rc = check_parts(&c, config, err);
	if (rc < 0)
		return rc;
	default_str(config, "Seccomp", "kill");
	default_str(config, "NetworkMode", "none");
	default_i64(config, "NetworkQueues", 1);
	create_complete_restart(config);
	rc = create_complete_log_config(&c, config, err);
	if (rc >= 0)
		rc = create_vm_agree(config, err);
	if (rc < 0)
		return rc;
	*ret = take_ptr(config);
	return 0;
}
