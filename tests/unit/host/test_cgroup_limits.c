/* SPDX-License-Identifier: Apache-2.0 */
/* cgroup_limits, cgroup_resources - linux.resources as files to write. Pure; what
 * the kernel makes of them is in tests/priv/test_cgroup.c. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "host/cgroup_limits.h"
#include "isola/cgroup.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static json_object *parse(const char *text)
{
	json_object *o = NULL;
	struct err err = ERR_INIT;
	if (json_parse(text, strlen(text), "test", &o, &err) < 0)
		fail_msg("%s in %s", err.text, text);
	return o;
}

/* All files as "name=value" joined by "; ", "?" before those that may be missing,
 * "|name=value" for what is written in place of the one before. */
static void describe(const struct limits *l, char *ret, size_t size)
{
	size_t n = 0;
	*ret = '\0';
	for (size_t i = 0; i < l->n; i++) {
		const struct limit *x = &l->items[i];
		bool maybe = x->optional || x->kind == LIMIT_NONE;
		n += (size_t)snprintf(ret + n, size - n, "%s%s%s=%s", n ? "; " : "",
				      maybe ? "?" : "", x->file, x->value);
		if (x->alt_file)
			n += (size_t)snprintf(ret + n, size - n, "|%s=%s", x->alt_file,
					      x->alt_value);
	}
}

static void resources__become_files(void **state)
{
	(void)state;
	static const struct {
		const char *json, *files;
	} rows[] = {
		{ "{}", "" },
		{ "{\"memory\":{},\"cpu\":null,\"pids\":{}}", "" },
		{ "{\"memory\":{\"limit\":67108864}}", "memory.max=67108864" },
		{ "{\"memory\":{\"limit\":0,\"reservation\":0}}", "" },
		{ "{\"memory\":{\"limit\":-1}}", "?memory.swap.max=max; ?memory.max=max" },
		{ "{\"memory\":{\"limit\":100,\"swap\":300}}",
		  "memory.swap.max=200; memory.max=100" },
		{ "{\"memory\":{\"limit\":100,\"swap\":100}}",
		  "?memory.swap.max=0; memory.max=100" },
		{ "{\"memory\":{\"limit\":100,\"swap\":-1}}",
		  "?memory.swap.max=max; memory.max=100" },
		{ "{\"memory\":{\"limit\":-1,\"swap\":50}}",
		  "memory.swap.max=50; ?memory.max=max" },
		{ "{\"memory\":{\"reservation\":10}}", "memory.low=10" },
		{ "{\"memory\":{\"reservation\":-1}}", "?memory.low=0" },
		{ "{\"memory\":{\"kernel\":-1,\"kernelTCP\":0,\"disableOOMKiller\":false,"
		  "\"useHierarchy\":true}}",
		  "" },
		{ "{\"cpu\":{\"shares\":1024}}", "?cpu.weight=100" },
		{ "{\"cpu\":{\"shares\":0}}", "" },
		{ "{\"cpu\":{\"quota\":50000,\"period\":100000}}", "cpu.max=50000 100000" },
		{ "{\"cpu\":{\"quota\":50000}}", "cpu.max=50000" },
		{ "{\"cpu\":{\"period\":50000}}", "cpu.max=50000" },
		{ "{\"cpu\":{\"quota\":-1,\"period\":50000}}", "?cpu.max=max 50000" },
		{ "{\"cpu\":{\"quota\":5000,\"burst\":1000}}", "cpu.max.burst=1000; cpu.max=5000" },
		{ "{\"cpu\":{\"idle\":1}}", "cpu.idle=1" },
		{ "{\"cpu\":{\"idle\":0,\"shares\":2}}", "?cpu.idle=0; cpu.weight=1" },
		{ "{\"cpu\":{\"cpus\":\"0-1,3\",\"mems\":\"0\"}}",
		  "cpuset.cpus=0-1,3; cpuset.mems=0" },
		{ "{\"cpu\":{\"cpus\":\"\",\"realtimeRuntime\":0}}", "" },
		{ "{\"pids\":{\"limit\":10}}", "pids.max=10" },
		{ "{\"pids\":{\"limit\":0}}", "?pids.max=max" },
		{ "{\"pids\":{\"limit\":-1}}", "?pids.max=max" },
		{ "{\"blockIO\":{\"weight\":500}}", "io.bfq.weight=500|io.weight=4950" },
		{ "{\"blockIO\":{\"weight\":0,\"weightDevice\":[{\"major\":8,\"minor\":16,"
		  "\"weight\":10}]}}",
		  "io.bfq.weight=8:16 10|io.weight=8:16 1" },
		{ "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0,\"rate\":600}],"
		  "\"throttleWriteIOPSDevice\":[{\"major\":8,\"minor\":0,\"rate\":0}]}}",
		  "io.max=8:0 rbps=600; ?io.max=8:0 wiops=max" },
		{ "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":18446744073709551615}]}",
		  "hugetlb.2MB.max=18446744073709551615; ?hugetlb.2MB.rsvd.max=18446744073709551615" },
		{ "{\"rdma\":{\"mlx5_1\":{\"hcaHandles\":3,\"hcaObjects\":10}}}",
		  "rdma.max=mlx5_1 hca_handle=3 hca_object=10" },
		{ "{\"rdma\":{\"a\":{\"hcaObjects\":0}}}", "rdma.max=a hca_object=0" },
		{ "{\"network\":{\"classID\":0}}", "" },
		{ "{\"unified\":{\"memory.high\":\"max\",\"io.max\":\"8:0 rbps=1\\n8:1 wbps=2\\n\"},"
		  "\"pids\":{\"limit\":3}}",
		  "pids.max=3; memory.high=max; io.max=8:0 rbps=1; io.max=8:1 wbps=2" },
		{ "{\"unified\":{\"cgroup.max.depth\":\"3\"}}", "cgroup.max.depth=3" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_object *o = parse(rows[i].json);
		struct limits l = LIMITS_INIT;
		struct err err = ERR_INIT;
		char got[1024];
		if (limits_parse(o, &l, &err) < 0)
			fail_msg("%s: %s", rows[i].json, err.text);
		describe(&l, got, sizeof(got));
		if (strcmp(got, rows[i].files))
			fail_msg("%s:\n got  %s\n want %s", rows[i].json, got, rows[i].files);
		limits_fini(&l);
		json_object_put(o);
	}
}

static void resources__name_what_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *json;
		int rc;
		const char *error;
	} rows[] = {
		{ "[]", -EINVAL, "resources: must be an object" },
		{ "{\"memory\":[]}", -EINVAL, "resources.memory: must be an object" },
		{ "{\"memory\":{\"limit\":\"64m\"}}", -EINVAL,
		  "resources.memory.limit: must be a whole number" },
		{ "{\"memory\":{\"limit\":-2}}", -EINVAL,
		  "resources.memory.limit: must be -1 to 9223372036854775807" },
		{ "{\"memory\":{\"limit\":9223372036854775808}}", -EINVAL,
		  "resources.memory.limit: must be -1 to 9223372036854775807" },
		{ "{\"memory\":{\"swap\":5}}", -EINVAL,
		  "resources.memory.swap: needs memory.limit, as it counts memory and swap" },
		{ "{\"memory\":{\"swap\":5,\"limit\":6}}", -EINVAL,
		  "resources.memory.swap: must not be below memory.limit, as it counts both" },
		{ "{\"memory\":{\"kernel\":5}}", -EOPNOTSUPP,
		  "resources.memory.kernel: cgroup v2 counts kernel memory in the memory limit" },
		{ "{\"memory\":{\"swappiness\":0}}", -EOPNOTSUPP,
		  "resources.memory.swappiness: cgroup v2 has none for a cgroup" },
		{ "{\"memory\":{\"disableOOMKiller\":true}}", -EOPNOTSUPP,
		  "resources.memory.disableOOMKiller: cgroup v2 cannot do that" },
		{ "{\"memory\":{\"useHierarchy\":false}}", -EOPNOTSUPP,
		  "resources.memory.useHierarchy: cgroup v2 is always hierarchical" },
		{ "{\"memory\":{\"checkBeforeUpdate\":1}}", -EINVAL,
		  "resources.memory.checkBeforeUpdate: must be true or false" },
		{ "{\"cpu\":{\"quota\":999}}", -EINVAL,
		  "resources.cpu.quota: must be at least 1000 us, or -1" },
		{ "{\"cpu\":{\"quota\":5000,\"period\":999}}", -EINVAL,
		  "resources.cpu.period: must be 1000 to 1000000 us" },
		{ "{\"cpu\":{\"quota\":5000,\"burst\":6000}}", -EINVAL,
		  "resources.cpu.burst: must not be above cpu.quota" },
		{ "{\"cpu\":{\"idle\":2}}", -EINVAL, "resources.cpu.idle: must be 0 to 1" },
		{ "{\"cpu\":{\"idle\":1,\"shares\":5}}", -EINVAL,
		  "resources.cpu.idle: 1 and cpu.shares exclude each other" },
		{ "{\"cpu\":{\"realtimeRuntime\":5}}", -EOPNOTSUPP,
		  "resources.cpu.realtimeRuntime: cgroup v2 has no real-time limits" },
		{ "{\"cpu\":{\"cpus\":\"0-\"}}", -EINVAL,
		  "resources.cpu.cpus: \"0-\" is no list like \"0-3,7\"" },
		{ "{\"cpu\":{\"mems\":\"0\\n1\"}}", -EINVAL,
		  "resources.cpu.mems: \"0\n1\" is no list like \"0-3,7\"" },
		{ "{\"cpu\":{\"cpus\":7}}", -EINVAL, "resources.cpu.cpus: must be a string" },
		{ "{\"pids\":{\"limit\":1.5}}", -EINVAL,
		  "resources.pids.limit: must be a whole number" },
		{ "{\"blockIO\":{\"weight\":5}}", -EINVAL,
		  "resources.blockIO.weight: must be 10 to 1000" },
		{ "{\"blockIO\":{\"leafWeight\":5}}", -EOPNOTSUPP,
		  "resources.blockIO.leafWeight: cgroup v2 has no leaf weights" },
		{ "{\"blockIO\":{\"weightDevice\":[{\"major\":8,\"minor\":0}]}}", -EINVAL,
		  "resources.blockIO.weightDevice[0].weight: is missing" },
		{ "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"rate\":1}]}}", -EINVAL,
		  "resources.blockIO.throttleReadBpsDevice[0].minor: is missing" },
		{ "{\"blockIO\":{\"throttleReadBpsDevice\":[{\"major\":8,\"minor\":0}]}}", -EINVAL,
		  "resources.blockIO.throttleReadBpsDevice[0].rate: is missing" },
		{ "{\"blockIO\":{\"throttleWriteBpsDevice\":[1]}}", -EINVAL,
		  "resources.blockIO.throttleWriteBpsDevice[0]: must be an object" },
		{ "{\"hugepageLimits\":[{\"pageSize\":\"../x\",\"limit\":1}]}", -EINVAL,
		  "resources.hugepageLimits[0].pageSize: must be like \"2MB\"" },
		{ "{\"hugepageLimits\":[{\"pageSize\":\"2M\",\"limit\":1}]}", -EINVAL,
		  "resources.hugepageLimits[0].pageSize: must be like \"2MB\"" },
		{ "{\"hugepageLimits\":[{\"pageSize\":\"2MB\",\"limit\":-1}]}", -EINVAL,
		  "resources.hugepageLimits[0].limit: must be a number of bytes" },
		{ "{\"hugepageLimits\":{}}", -EINVAL,
		  "resources.hugepageLimits: must be an array" },
		{ "{\"rdma\":{\"a b\":{\"hcaHandles\":1}}}", -EINVAL,
		  "resources.rdma: \"a b\" is no name of a device" },
		{ "{\"rdma\":{\"a\":{}}}", -EINVAL,
		  "resources.rdma.a: needs hcaHandles or hcaObjects" },
		{ "{\"network\":{\"classID\":1}}", -EOPNOTSUPP,
		  "resources.network.classID: cgroup v2 has no net_cls" },
		{ "{\"network\":{\"priorities\":[{}]}}", -EOPNOTSUPP,
		  "resources.network.priorities: cgroup v2 has no net_prio" },
		{ "{\"unified\":{\"cgroup.procs\":\"1\"}}", -EINVAL,
		  "resources.unified: \"cgroup.procs\" is no file that limits" },
		{ "{\"unified\":{\"cgroup.kill\":\"1\"}}", -EINVAL,
		  "resources.unified: \"cgroup.kill\" is no file that limits" },
		{ "{\"unified\":{\"../memory.max\":\"1\"}}", -EINVAL,
		  "resources.unified: \"../memory.max\" is no file that limits" },
		{ "{\"unified\":{\"memory..max\":\"1\"}}", -EINVAL,
		  "resources.unified: \"memory..max\" is no file that limits" },
		{ "{\"unified\":{\".memory\":\"1\"}}", -EINVAL,
		  "resources.unified: \".memory\" is no file that limits" },
		{ "{\"unified\":{\"memory\":\"1\"}}", -EINVAL,
		  "resources.unified: \"memory\" is no file that limits" },
		{ "{\"unified\":{\"memory.\":\"1\"}}", -EINVAL,
		  "resources.unified: \"memory.\" is no file that limits" },
		{ "{\"unified\":{\"memory.max\":1}}", -EINVAL,
		  "resources.unified.memory.max: must be a string of printable lines" },
		{ "{\"unified\":{\"memory.max\":\"\"}}", -EINVAL,
		  "resources.unified.memory.max: must be a string of printable lines" },
		{ "{\"unified\":{\"memory.max\":\"a\\u0001\"}}", -EINVAL,
		  "resources.unified.memory.max: must be a string of printable lines" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		json_object *o = parse(rows[i].json);
		struct err err = ERR_INIT;
		int rc = cgroup_resources_check(o, &err);
		if (rc != rows[i].rc || strcmp(err.text, rows[i].error))
			fail_msg("%s: %d\n got  %s\n want %s", rows[i].json, rc, err.text,
				 rows[i].error);
		json_object_put(o);
	}
}

/* The values that runc's formula gives. */
static void cpu_shares__become_weights(void **state)
{
	(void)state;
	static const struct {
		uint64_t shares, weight;
	} rows[] = { { 0, 0 },         { 1, 1 },          { 2, 1 },          { 10, 4 },
		     { 102, 17 },      { 512, 59 },       { 1024, 100 },     { 2048, 174 },
		     { 102400, 4429 }, { 262144, 10000 }, { 9999999, 10000 } };
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_int_equal(limits_cpu_weight(rows[i].shares), rows[i].weight);
	assert_int_equal(limits_io_weight(10), 1);
	assert_int_equal(limits_io_weight(1000), 10000);
}

static void wanted__lists_each_controller_once(void **state)
{
	(void)state;
	char want[CGROUP_WANT_BYTES];
	json_object *o = parse("{\"memory\":{\"limit\":5,\"reservation\":5},\"cpu\":{\"shares\":5,"
			       "\"cpus\":\"0\"},\"unified\":{\"misc.max\":\"x 1\","
			       "\"cgroup.max.depth\":\"2\"}}");
	cgroup_wanted(o, want);
	assert_string_equal(want, "memory cpu cpuset misc");
	json_object_put(o);
	cgroup_wanted(NULL, want);
	assert_string_equal(want, "");
}

static void unified__is_bounded(void **state)
{
	(void)state;
	json_object *o = json_object_new_object(), *map = json_object_new_object();
	json_add(o, "unified", map);
	for (int i = 0; i < 513; i++) {
		char key[32];
		(void)snprintf(key, sizeof(key), "misc.k%d", i);
		json_add_str(map, key, "1");
	}
	struct err err = ERR_INIT;
	assert_int_equal(cgroup_resources_check(o, &err), -EINVAL);
	assert_string_equal(err.text, "resources.unified: has more than 512 keys");
	json_object_put(o);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(resources__become_files),
		cmocka_unit_test(resources__name_what_is_wrong),
		cmocka_unit_test(cpu_shares__become_weights),
		cmocka_unit_test(wanted__lists_each_controller_once),
		cmocka_unit_test(unified__is_bounded),
	};
	return cmocka_run_group_tests_name("cgroup_limits", tests, NULL, NULL);
}
