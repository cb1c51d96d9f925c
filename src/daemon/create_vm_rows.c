/* SPDX-License-Identifier: Apache-2.0 */
/* create_vm_rows - the fields of a VmConfig (docs/openapi.json), a row each, and the
 * checks of one field. Pure; in isolad. Whether files exist is the keeper's to see, at
 * each start: a host file system may hang. */
#include "create_vm.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "isola/mac.h"

#include <ctype.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define KIB 1024ll
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

#define CPUS_MAX       255
#define MEMORY_MIN     MIB
#define MEMORY_MAX     (1024 * GIB)
#define RATE_MAX       (1024 * 1024 * GIB)
#define DATA_BYTES_MAX 1398104 /* base64 of 1 MiB */
#define ID_BYTES_MAX   31

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

/* Of a volume, which is made when it is missing. */
static int check_volume(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	const char *name = json_object_get_string(v);
	if (!id_is_name(name))
		return err_set(err, EINVAL,
			       "'%.64s' is no volume's name: only [a-zA-Z0-9][a-zA-Z0-9_.-] (two "
			       "at least) are allowed",
			       name);
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
	uint8_t mac[MAC_BYTES];
	int rc = mac_parse(text, mac);
	if (rc == -EADDRNOTAVAIL)
		return err_set(err, EINVAL, "%s is no address of one device", text);
	if (rc < 0)
		return err_set(err, EINVAL, "'%.32s' is no MAC address like 02:00:00:00:00:01",
			       text);
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
	{ "Volume", NULL, FIELD_STR, DEFAULT_ABSENT, .check = check_volume },
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

#define ROWS(rows) rows, sizeof(rows) / sizeof(rows[0])

static const struct {
	const char *key;
	const struct field *rows;
	size_t n;
} tables[] = {
	{ "", ROWS(top_rows) },          { "Cpus", ROWS(cpu_rows) },
	{ "Memory", ROWS(memory_rows) }, { "Disks", ROWS(disk_rows) },
	{ "Nets", ROWS(net_rows) },      { "Shares", ROWS(share_rows) },
	{ "Pmem", ROWS(pmem_rows) },     { "Consoles", ROWS(console_rows) },
	{ "Vsock", ROWS(vsock_rows) },   { "Balloon", ROWS(balloon_rows) },
	{ "Rng", ROWS(rng_rows) },       { "Watchdog", ROWS(watchdog_rows) },
	{ "Limits", ROWS(limit_rows) },  { "Rate", ROWS(rate_rows) },
	{ "Bucket", ROWS(bucket_rows) },
};

int create_vm_fields(const char *key, const char *prefix, json_object *in, struct create *c,
		     json_object **ret, struct err *err)
{
	size_t i = 0;
	while (strcmp(tables[i].key, key) != 0)
		i++;
	return fields_check(tables[i].rows, tables[i].n, prefix, in, c, ret, err);
}
