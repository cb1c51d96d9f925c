/* SPDX-License-Identifier: Apache-2.0 */
/* create_host - the rows of Docker's HostConfig, all of them to API 1.47, and
 * the checks that belong to no larger family. Pure, in isolad. */
#include "create_priv.h"
#include "project.h"
#include "secrets.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

/* ---- logs ---- */

static int check_log_option(const char *key, const char *value, struct err *err)
{
	int64_t v;
	if (!strcmp(key, "max-size")) {
		if (num_parse_size(value, 1, &v) < 0 || v == 0)
			return err_set(err, EINVAL, "max-size '%.32s' is no size like 10m", value);
		return 0;
	}
	if (!strcmp(key, "max-file")) {
		if (num_parse_range(value, 1, 1000, &v) < 0)
			return err_set(err, EINVAL, "max-file '%.32s' is not between 1 and 1000",
				       value);
		return 0;
	}
	return err_set(err, EOPNOTSUPP,
		       "unknown log opt '%.64s' for json-file log driver: only max-size and "
		       "max-file are supported",
		       key);
}

static int check_log_options(const char *type, json_object *options, struct err *err)
{
	if (!options)
		return 0;
	json_object_object_foreach (options, key, v) {
		if (strcmp(type, "json-file") != 0)
			return err_set(err, EINVAL, "log driver %s takes no options, not '%.64s'",
				       type, key);
		int rc = check_log_option(key, v ? json_object_get_string(v) : "", err);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static void default_log_option(json_object *options, const char *key, int64_t value)
{
	if (json_get(options, key))
		return;
	char text[32];
	(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	json_add_str(options, key, text);
}

/* Logs are bounded unless the user says otherwise, and inspect shows how. */
static int complete_log(const struct create *c, const char *type, json_object *options,
			json_object **ret, struct err *err)
{
	cleanup_json json_object *out = json_object_new_object();
	json_object *all = json_object_new_object();
	if (!out || !all) {
		json_object_put(all);
		return err_set(err, ENOMEM, "out of memory");
	}
	json_add_str(out, "Type", type);
	json_add(out, "Config", all);
	if (options) {
		json_object_object_foreach (options, key, v)
			json_add(all, key, json_object_get(v));
	}
	if (!strcmp(type, "json-file")) {
		default_log_option(all, "max-size", c->env->config->default_log_max_size);
		default_log_option(all, "max-file", c->env->config->default_log_max_file);
	}
	*ret = take_ptr(out);
	return 0;
}

int create_log_config(void *arg, const struct field *row, json_object *v, json_object **ret,
		      struct err *err)
{
	(void)row;
	static const struct field rows[] = {
		{ "Type", "--log-driver", FIELD_STR, DEFAULT_EMPTY },
		{ "Config", "--log-opt", FIELD_MAP, DEFAULT_OBJECT },
	};
	const struct create *c = arg;
	cleanup_json json_object *log = NULL;
	int rc = fields_check(rows, 2, "", v, NULL, &log, err);
	if (rc < 0)
		return rc;
	const char *type = json_str_or(log, "Type", "");
	if (!*type)
		type = c->env->config->default_log_driver;
	if (strcmp(type, "json-file") != 0 && strcmp(type, "none") != 0)
		return err_set(err, EOPNOTSUPP,
			       "log driver '%.32s' is not supported: only json-file and none are",
			       type);
	json_object *options = json_get(log, "Config");
	rc = check_log_options(type, options, err);
	return rc < 0 ? rc : complete_log(c, type, options, ret, err);
}

/* ---- restart policy ---- */

int create_restart(void *arg, const struct field *row, json_object *v, json_object **ret,
		   struct err *err)
{
	(void)arg;
	(void)row;
	static const struct field rows[] = {
		{ "Name", NULL, FIELD_STR, DEFAULT_EMPTY },
		{ "MaximumRetryCount", NULL, FIELD_INT, DEFAULT_0, .min = INT32_MIN,
		  .max = INT32_MAX },
	};
	static const char *const names[] = { "", "no", "always", "unless-stopped", "on-failure" };
	cleanup_json json_object *policy = NULL;
	int rc = fields_check(rows, 2, "", v, NULL, &policy, err);
	if (rc < 0)
		return rc;
	const char *name = json_str_or(policy, "Name", "");
	int64_t retries = json_i64_or(policy, "MaximumRetryCount", 0);
	size_t i = 0, n = sizeof(names) / sizeof(names[0]);
	while (i < n && strcmp(names[i], name) != 0)
		i++;
	if (i == n)
		return err_set(err, EINVAL, "invalid restart policy: unknown policy '%.32s'", name);
	if (retries < 0)
		return err_set(err, EINVAL,
			       "invalid restart policy: maximum retry count cannot be negative");
	if (retries && strcmp(name, "on-failure") != 0)
		return err_set(err, EINVAL,
			       "invalid restart policy: maximum retry count can only be used with "
			       "'on-failure'");
	if (!*name)
		json_add_str(policy, "Name", "no");
	*ret = take_ptr(policy);
	return 0;
}

/* ---- namespaces ---- */

/* "container:REF" -> "container:<id>", so that a rename changes nothing. */
static int resolve_container(const struct create *c, const char *ref, json_object **ret,
			     struct err *err)
{
	struct instance *other = NULL;
	char text[sizeof("container:") + ID_SIZE];
	int rc = c->env->find(c->env->find_arg, ref, &other, err);
	if (rc < 0)
		return rc;
	(void)snprintf(text, sizeof(text), "container:%s", other->id);
	*ret = json_object_new_string(text);
	return *ret ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* Whether the "|"-separated @list holds @word. */
static bool list_has(const char *list, const char *word)
{
	size_t n = strlen(word);
	for (const char *p = list; p; p = strchr(p, '|')) {
		p += *p == '|';
		if (strcspn(p, "|") == n && !memcmp(p, word, n))
			return true;
	}
	return false;
}

/* row->tag lists the plain modes; "container:" in it allows to join another. */
int create_namespace(void *arg, const struct field *row, json_object *v, json_object **ret,
		     struct err *err)
{
	const char *mode = json_object_get_string(v);
	if (list_has(row->tag, mode)) {
		*ret = json_object_get(v);
		return 0;
	}
	if (!strncmp(mode, "container:", 10)) {
		if (list_has(row->tag, "container:"))
			return resolve_container(arg, mode + 10, ret, err);
		return err_set(err, EOPNOTSUPP, "container:… is not supported yet");
	}
	return err_set(err, EINVAL, "invalid mode: '%.64s'", mode);
}

int create_network(void *arg, const struct field *row, json_object *v, json_object **ret,
		   struct err *err)
{
	(void)row;
	const char *mode = json_object_get_string(v);
	if (!strncmp(mode, "container:", 10))
		return resolve_container(arg, mode + 10, ret, err);
	if (!id_is_name(mode))
		return err_set(err, EINVAL, "'%.64s' is no name of a network", mode);
	*ret = strcmp(mode, "default") ? json_object_get(v) : NULL;
	return 0;
}

static int check_runtime(void *arg, const struct field *row, json_object *v, json_object **ret,
			 struct err *err)
{
	(void)arg;
	(void)row;
	const char *name = json_object_get_string(v);
	/* runc and its shim are what clients of Docker name when they mean nothing by it. */
	if (!strcmp(name, "runc") || !strcmp(name, "io.containerd.runc.v2"))
		return 0;
	if (!strcmp(name, "vm") || !strcmp(name, "ctr")) {
		*ret = json_object_get(v);
		return 0;
	}
	return err_set(err, EINVAL, "unknown or invalid runtime name: %.64s (ctr and vm are)",
		       name);
}

static int check_isolation(void *arg, const struct field *row, json_object *v, json_object **ret,
			   struct err *err)
{
	(void)arg;
	(void)row;
	const char *name = json_object_get_string(v);
	static const char *const names[] = { "container", "vm", "auto" };
	for (size_t i = 0; i < 3; i++)
		if (!strcmp(name, names[i]))
			*ret = json_object_get(v);
	if (*ret || !strcmp(name, "default"))
		return 0;
	return err_set(err, EINVAL, "invalid isolation: '%.32s' (container, vm or auto)", name);
}

/* ---- names and addresses ---- */

static bool is_address(const char *text)
{
	unsigned char buf[sizeof(struct in6_addr)];
	return inet_pton(AF_INET, text, buf) == 1 || inet_pton(AF_INET6, text, buf) == 1;
}

static int check_dns(void *arg, const struct field *row, json_object *v, json_object **ret,
		     struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		if (!is_address(json_item_str(v, i)))
			return err_set(err, EINVAL, "'%.64s' is not an IP address",
				       json_item_str(v, i));
	}
	*ret = json_object_get(v);
	return 0;
}

static bool is_word(const char *text)
{
	for (const char *p = text; *p; p++) {
		if (!isgraph((unsigned char)*p))
			return false;
	}
	return *text;
}

/* Each goes into one line of resolv.conf. */
static int check_words(void *arg, const struct field *row, json_object *v, json_object **ret,
		       struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		if (!is_word(json_item_str(v, i)))
			return err_set(err, EINVAL, "'%.64s' must be one word",
				       json_item_str(v, i));
	}
	*ret = json_object_get(v);
	return 0;
}

static int check_extra_hosts(void *arg, const struct field *row, json_object *v, json_object **ret,
			     struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		char name[256], address[64];
		int rc = create_split_host(json_item_str(v, i), name, sizeof(name), address,
					   sizeof(address), err);
		if (rc < 0)
			return rc;
	}
	*ret = json_object_get(v);
	return 0;
}

/* "name:address" or "name=address"; IPv6 may stand in brackets. */
int create_split_host(const char *text, char *ret_name, size_t name_size, char *ret_address,
		      size_t address_size, struct err *err)
{
	size_t n = strcspn(text, ":=");
	const char *address = text + n + (text[n] != '\0');
	size_t len = strlen(address);
	if (n == 0 || n >= name_size || !len || len >= address_size)
		return err_set(err, EINVAL, "bad format for add-host: '%.128s'", text);
	(void)snprintf(ret_name, name_size, "%.*s", (int)n, text);
	if (!is_word(ret_name) || *ret_name == '#')
		return err_set(err, EINVAL, "bad name in add-host: '%.128s'", ret_name);
	if (!strcmp(address, "host-gateway")) {
		(void)snprintf(ret_address, address_size, "%s", address);
		return 0;
	}
	bool brackets = *address == '[' && address[len - 1] == ']';
	(void)snprintf(ret_address, address_size, "%.*s", (int)(len - (brackets ? 2 : 0)),
		       address + brackets);
	if (!is_address(ret_address))
		return err_set(err, EINVAL, "invalid IP address in add-host: '%.64s'", address);
	return 0;
}

/* GroupAdd: numbers only, as names live in the image. */
static int check_groups(void *arg, const struct field *row, json_object *v, json_object **ret,
			struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		int64_t gid;
		if (num_parse_range(json_item_str(v, i), 0, (int64_t)UINT32_MAX - 1, &gid) < 0)
			return err_set(err, EOPNOTSUPP,
				       "'%.64s': group names are not supported yet, give the "
				       "group's number",
				       json_item_str(v, i));
	}
	*ret = json_object_get(v);
	return 0;
}

static int check_console_size(void *arg, const struct field *row, json_object *v, json_object **ret,
			      struct err *err)
{
	(void)arg;
	(void)row;
	for (size_t i = 0; i < json_len(v); i++) {
		int64_t n = json_object_get_int64(json_object_array_get_idx(v, i));
		if (n < 0 || n > UINT16_MAX || json_len(v) != 2)
			return err_set(err, EINVAL, "must be [height, width]");
	}
	*ret = json_object_get(v);
	return 0;
}

static int check_volume_driver(void *arg, const struct field *row, json_object *v,
			       json_object **ret, struct err *err)
{
	(void)arg;
	(void)row;
	const char *name = json_object_get_string(v);
	if (strcmp(name, "local") != 0)
		return err_set(err, EOPNOTSUPP, "'%.64s' is not supported: only local is", name);
	*ret = json_object_get(v);
	return 0;
}

#define NOT_ON_LINUX .refuse = "on Linux"

/* In Docker's order, so that inspect reads alike. */
static const struct field rows[] = {
	{ "Binds", "-v", FIELD_STRS, DEFAULT_NULL },
	{ "ContainerIDFile", "--cidfile", FIELD_STR, DEFAULT_EMPTY },
	{ "LogConfig", "--log-driver", FIELD_OBJ, DEFAULT_NULL, .only_null = true,
	  .check = create_log_config },
	{ "NetworkMode", "--network", FIELD_STR, DEFAULT_EMPTY, .check = create_network },
	/* {"80/tcp": [{"HostPort": ""}]} says something: any port of the host. */
	{ "PortBindings", "-p", FIELD_OBJ, DEFAULT_OBJECT, .only_null = true,
	  .check = create_port_bindings },
	{ "RestartPolicy", "--restart", FIELD_OBJ, DEFAULT_NULL, .only_null = true,
	  .check = create_restart },
	{ "AutoRemove", "--rm", FIELD_BOOL, DEFAULT_FALSE },
	{ "VolumeDriver", "--volume-driver", FIELD_STR, DEFAULT_EMPTY,
	  .check = check_volume_driver },
	{ "VolumesFrom", "--volumes-from", FIELD_STRS, DEFAULT_NULL },
	{ "ConsoleSize", NULL, FIELD_INTS, DEFAULT_ARRAY, .check = check_console_size },
	{ "Annotations", "--annotation", FIELD_MAP, DEFAULT_ABSENT },
	{ "CapAdd", "--cap-add", FIELD_STRS, DEFAULT_NULL, .check = create_caps },
	{ "CapDrop", "--cap-drop", FIELD_STRS, DEFAULT_NULL, .check = create_caps },
	{ "CgroupnsMode", "--cgroupns", FIELD_STR, DEFAULT_EMPTY, .tag = "host|private",
	  .check = create_namespace },
	{ "Dns", "--dns", FIELD_STRS, DEFAULT_ARRAY, .check = check_dns },
	{ "DnsOptions", "--dns-option", FIELD_STRS, DEFAULT_ARRAY, .check = check_words },
	{ "DnsSearch", "--dns-search", FIELD_STRS, DEFAULT_ARRAY, .check = check_words },
	{ "ExtraHosts", "--add-host", FIELD_STRS, DEFAULT_NULL, .check = check_extra_hosts },
	{ "GroupAdd", "--group-add", FIELD_STRS, DEFAULT_NULL, .check = check_groups },
	{ "IpcMode", "--ipc", FIELD_STR, DEFAULT_EMPTY, .tag = "none|private|shareable|host",
	  .check = create_namespace },
	{ "Cgroup", NULL, FIELD_STR, DEFAULT_EMPTY, .refuse = "" },
	{ "Links", "--link", FIELD_STRS, DEFAULT_NULL, .refuse = "yet" },
	{ "OomScoreAdj", "--oom-score-adj", FIELD_INT, DEFAULT_0, .min = -1000, .max = 1000 },
	{ "PidMode", "--pid", FIELD_STR, DEFAULT_EMPTY,
	  .tag = "host|container:", .check = create_namespace },
	{ "Privileged", "--privileged", FIELD_BOOL, DEFAULT_FALSE },
	{ "PublishAllPorts", "-P", FIELD_BOOL, DEFAULT_FALSE },
	{ "ReadonlyRootfs", "--read-only", FIELD_BOOL, DEFAULT_FALSE },
	{ "SecurityOpt", "--security-opt", FIELD_STRS, DEFAULT_NULL, .check = create_security_opt },
	{ "StorageOpt", "--storage-opt", FIELD_MAP, DEFAULT_ABSENT, .check = create_storage_opt },
	{ "Tmpfs", "--tmpfs", FIELD_MAP, DEFAULT_ABSENT },
	{ "UTSMode", "--uts", FIELD_STR, DEFAULT_EMPTY, .tag = "host", .check = create_namespace },
	{ "UsernsMode", "--userns", FIELD_STR, DEFAULT_EMPTY, .check = create_userns_mode },
	{ "ShmSize", "--shm-size", FIELD_INT, DEFAULT_0, .min = 0, .max = INT64_MAX },
	{ "Sysctls", "--sysctl", FIELD_MAP, DEFAULT_ABSENT, .check = create_sysctls },
	{ "Runtime", "--runtime", FIELD_STR, DEFAULT_EMPTY, .check = check_runtime },
	{ "Isolation", "--isolation", FIELD_STR, DEFAULT_EMPTY, .check = check_isolation },
	{ "CpuShares", "--cpu-shares", FIELD_INT, DEFAULT_0, .min = 2, .max = 262144, .tag = "cpu",
	  .check = create_limit },
	{ "Memory", "--memory", FIELD_INT, DEFAULT_0, .tag = "memory", .check = create_memory },
	{ "NanoCpus", "--cpus", FIELD_INT, DEFAULT_0, .tag = "cpu", .check = create_nano_cpus },
	{ "CgroupParent", "--cgroup-parent", FIELD_STR, DEFAULT_EMPTY,
	  .refuse = ": isolad's --cgroup decides for all" },
	{ "BlkioWeight", "--blkio-weight", FIELD_INT, DEFAULT_0, .min = 10, .max = 1000,
	  .tag = "io", .check = create_limit },
	{ "BlkioWeightDevice", "--blkio-weight-device", FIELD_OBJS, DEFAULT_ARRAY, .tag = "io",
	  .check = create_weight_devices },
	{ "BlkioDeviceReadBps", "--device-read-bps", FIELD_OBJS, DEFAULT_ARRAY, .tag = "io",
	  .check = create_throttle },
	{ "BlkioDeviceWriteBps", "--device-write-bps", FIELD_OBJS, DEFAULT_ARRAY, .tag = "io",
	  .check = create_throttle },
	{ "BlkioDeviceReadIOps", "--device-read-iops", FIELD_OBJS, DEFAULT_ARRAY, .tag = "io",
	  .check = create_throttle },
	{ "BlkioDeviceWriteIOps", "--device-write-iops", FIELD_OBJS, DEFAULT_ARRAY, .tag = "io",
	  .check = create_throttle },
	{ "CpuPeriod", "--cpu-period", FIELD_INT, DEFAULT_0, .min = 1000, .max = 1000000,
	  .tag = "cpu", .check = create_limit },
	{ "CpuQuota", "--cpu-quota", FIELD_INT, DEFAULT_0, .tag = "cpu", .check = create_quota },
	{ "CpuRealtimePeriod", "--cpu-rt-period", FIELD_INT, DEFAULT_0,
	  .refuse = ": cgroup v2 has no real-time groups" },
	{ "CpuRealtimeRuntime", "--cpu-rt-runtime", FIELD_INT, DEFAULT_0,
	  .refuse = ": cgroup v2 has no real-time groups" },
	{ "CpusetCpus", "--cpuset-cpus", FIELD_STR, DEFAULT_EMPTY, .check = create_cpuset },
	{ "CpusetMems", "--cpuset-mems", FIELD_STR, DEFAULT_EMPTY, .check = create_cpuset },
	{ "Devices", "--device", FIELD_OBJS, DEFAULT_ARRAY, .check = create_devices },
	{ "DeviceCgroupRules", "--device-cgroup-rule", FIELD_STRS, DEFAULT_NULL,
	  .check = create_device_rules },
	{ "DeviceRequests", "--gpus", FIELD_OBJS, DEFAULT_NULL, .refuse = "yet" },
	{ "KernelMemory", "--kernel-memory", FIELD_INT, DEFAULT_0,
	  .refuse = ": cgroup v2 counts it in --memory" },
	{ "KernelMemoryTCP", NULL, FIELD_INT, DEFAULT_0,
	  .refuse = ": cgroup v2 has no such limit" },
	{ "MemoryReservation", "--memory-reservation", FIELD_INT, DEFAULT_0, .tag = "memory",
	  .check = create_memory },
	{ "MemorySwap", "--memory-swap", FIELD_INT, DEFAULT_0, .tag = "memory",
	  .check = create_swap },
	{ "MemorySwappiness", "--memory-swappiness", FIELD_INT, DEFAULT_NULL, .only_null = true,
	  .check = create_swappiness },
	{ "OomKillDisable", "--oom-kill-disable", FIELD_BOOL, DEFAULT_FALSE,
	  .refuse = ": cgroup v2 can't" },
	{ "PidsLimit", "--pids-limit", FIELD_INT, DEFAULT_NULL, .tag = "pids",
	  .check = create_pids },
	{ "Ulimits", "--ulimit", FIELD_OBJS, DEFAULT_ARRAY, .check = create_ulimits },
	{ "CpuCount", NULL, FIELD_INT, DEFAULT_0, NOT_ON_LINUX },
	{ "CpuPercent", NULL, FIELD_INT, DEFAULT_0, NOT_ON_LINUX },
	{ "IOMaximumIOps", NULL, FIELD_INT, DEFAULT_0, NOT_ON_LINUX },
	{ "IOMaximumBandwidth", NULL, FIELD_INT, DEFAULT_0, NOT_ON_LINUX },
	{ "DiskQuota", NULL, FIELD_INT, DEFAULT_ABSENT, NOT_ON_LINUX },
	{ "Mounts", "--mount", FIELD_OBJS, DEFAULT_ABSENT },
	{ "Secrets", "--secret", FIELD_OBJS, DEFAULT_ABSENT, .check = create_secrets },
	{ "Configs", "--config", FIELD_OBJS, DEFAULT_ABSENT, .check = create_secrets },
	{ "MaskedPaths", NULL, FIELD_STRS, DEFAULT_NULL, .only_null = true, .check = create_paths },
	{ "ReadonlyPaths", NULL, FIELD_STRS, DEFAULT_NULL, .only_null = true,
	  .check = create_paths },
	{ "Init", "--init", FIELD_BOOL, DEFAULT_ABSENT, .only_null = true },
};

const struct field_table create_host_fields = { rows, sizeof(rows) / sizeof(rows[0]) };
