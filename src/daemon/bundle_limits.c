/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_limits - a HostConfig's limits as OCI linux.resources (runtime-spec
 * config-linux.md, "Control groups"). In isolad; stats device nodes, else pure. */
#include "bundle_priv.h"

#include "isola/json.h"

#include <errno.h>
#include <sys/sysmacros.h>

#define PERIOD_US 100000

struct limit_row {
	const char *from, *group, *to;
};

/* Zero means "nothing said" in Docker's struct, so it is left out. */
static const struct limit_row plain[] = {
	{ "Memory", "memory", "limit" },
	{ "MemorySwap", "memory", "swap" },
	{ "MemoryReservation", "memory", "reservation" },
	{ "CpuShares", "cpu", "shares" },
	{ "CpuQuota", "cpu", "quota" },
	{ "CpuPeriod", "cpu", "period" },
	{ "CpusetCpus", "cpu", "cpus" },
	{ "CpusetMems", "cpu", "mems" },
	{ "PidsLimit", "pids", "limit" },
	{ "BlkioWeight", "blockIO", "weight" },
};

static const struct limit_row devices[] = {
	{ "BlkioWeightDevice", "Weight", "weightDevice" },
	{ "BlkioDeviceReadBps", "Rate", "throttleReadBpsDevice" },
	{ "BlkioDeviceWriteBps", "Rate", "throttleWriteBpsDevice" },
	{ "BlkioDeviceReadIOps", "Rate", "throttleReadIOPSDevice" },
	{ "BlkioDeviceWriteIOps", "Rate", "throttleWriteIOPSDevice" },
};

static json_object *group(json_object *resources, const char *name)
{
	json_object *g = json_get(resources, name);
	if (!g) {
		g = json_object_new_object();
		json_add(resources, name, g);
	}
	return g;
}

static bool is_said(json_object *v)
{
	return json_object_is_type(v, json_type_string) ? json_object_get_string_len(v) > 0
							: json_object_get_int64(v) != 0;
}

static void add_cpus(json_object *host, json_object *resources)
{
	int64_t nano = json_i64_or(host, "NanoCpus", 0);
	if (!nano)
		return;
	json_object *cpu = group(resources, "cpu");
	json_add_i64(cpu, "quota", nano / (1000000000 / PERIOD_US));
	json_add_i64(cpu, "period", PERIOD_US);
}

static int add_device_limits(json_object *resources, json_object *items,
			     const struct limit_row *row, struct err *err)
{
	json_object *out = json_object_new_array();
	json_add(group(resources, "blockIO"), row->to, out);
	for (size_t i = 0; i < json_len(items); i++) {
		json_object *item = json_object_array_get_idx(items, i);
		const char *path = json_str_or(item, "Path", "");
		struct stat st;
		if (stat(path, &st) < 0)
			return err_sys(err, "HostConfig.%s[%zu]: cannot look at %s", row->from, i,
				       path);
		if (!S_ISBLK(st.st_mode))
			return err_set(err, EINVAL, "HostConfig.%s[%zu]: %s is no block device",
				       row->from, i, path);
		json_object *o = json_object_new_object();
		json_add_i64(o, "major", major(st.st_rdev));
		json_add_i64(o, "minor", minor(st.st_rdev));
		json_add_i64(o, row->group[0] == 'W' ? "weight" : "rate",
			     json_i64_or(item, row->group, 0));
		(void)json_object_array_add(out, o);
	}
	return 0;
}

int bundle_limits(json_object *host, json_object **ret, struct err *err)
{
	json_object *resources = json_object_new_object();
	if (!resources)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		json_object *v = json_get(host, plain[i].from);
		if (v && is_said(v))
			json_add(group(resources, plain[i].group), plain[i].to, json_object_get(v));
	}
	add_cpus(host, resources);
	for (size_t i = 0; i < sizeof(devices) / sizeof(devices[0]); i++) {
		json_object *items = json_get(host, devices[i].from);
		int rc =
			json_len(items) ? add_device_limits(resources, items, &devices[i], err) : 0;
		if (rc < 0) {
			json_object_put(resources);
			return rc;
		}
	}
	*ret = resources;
	return 0;
}
