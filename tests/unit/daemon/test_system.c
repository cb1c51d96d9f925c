/* SPDX-License-Identifier: Apache-2.0 */
/* system, stats - the keys that Docker's clients look for, and that what this
 * host lacks is said. The key lists are those of dockerd 20.10. */
#include "fixture.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static void assert_has(json_object *o, const char *const *keys, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (!json_object_object_get_ex(o, keys[i], NULL))
			fail_msg("%s is missing", keys[i]);
	}
}

#define ASSERT_HAS(o, ...)                                                                         \
	do {                                                                                       \
		static const char *const keys[] = { __VA_ARGS__ };                                 \
		assert_has(o, keys, sizeof(keys) / sizeof(keys[0]));                               \
	} while (0)

static void system_version__has_docker_s_keys(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	cleanup_json json_object *o = system_version(d);
	ASSERT_HAS(o, "Platform", "Components", "Version", "ApiVersion", "MinAPIVersion",
		   "GitCommit", "GoVersion", "Os", "Arch", "KernelVersion", "BuildTime");
	assert_string_equal(json_str_or(o, "ApiVersion", ""), "1.47");
	assert_string_equal(json_str_or(o, "MinAPIVersion", ""), "1.24");
	json_object *engine = json_object_array_get_idx(json_get(o, "Components"), 0);
	assert_string_equal(json_str_or(engine, "Name", ""), "Engine");
	ASSERT_HAS(json_get(engine, "Details"), "ApiVersion", "Arch", "BuildTime", "Experimental",
		   "GitCommit", "GoVersion", "KernelVersion", "MinAPIVersion", "Os");
	fixture_isolad_free(d);
}

static void system_info__has_docker_s_keys(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	cleanup_json json_object *o = system_info(d);
	ASSERT_HAS(o, "ID", "Containers", "ContainersRunning", "ContainersPaused",
		   "ContainersStopped", "Images", "Driver", "DriverStatus", "Plugins",
		   "MemoryLimit", "SwapLimit", "KernelMemory", "KernelMemoryTCP", "CpuCfsPeriod",
		   "CpuCfsQuota", "CPUShares", "CPUSet", "PidsLimit", "IPv4Forwarding",
		   "BridgeNfIptables", "BridgeNfIp6tables", "Debug", "NFd", "OomKillDisable",
		   "NGoroutines", "SystemTime", "LoggingDriver", "CgroupDriver", "CgroupVersion",
		   "NEventsListener", "KernelVersion", "OperatingSystem", "OSVersion", "OSType",
		   "Architecture", "IndexServerAddress", "RegistryConfig", "NCPU", "MemTotal",
		   "GenericResources", "DockerRootDir", "HttpProxy", "HttpsProxy", "NoProxy",
		   "Name", "Labels", "ExperimentalBuild", "ServerVersion", "Runtimes",
		   "DefaultRuntime", "Swarm", "LiveRestoreEnabled", "Isolation", "InitBinary",
		   "ContainerdCommit", "RuncCommit", "InitCommit", "SecurityOptions", "Warnings");
	assert_true(json_bool_or(o, "MemoryLimit", false));
	assert_json(json_get(o, "Warnings"), "[]");
	assert_true(json_i64_or(o, "MemTotal", 0) > 0);
	fixture_isolad_free(d);
}

static void system_info__tells_what_is_missing(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(d, "c", "{'Image':'i'}");
	inst->state = INSTANCE_PAUSED;
	d->place.controllers = (char *)(uintptr_t) "hugetlb cpuset";
	cleanup_json json_object *o = system_info(d);
	assert_false(json_bool_or(o, "MemoryLimit", true));
	assert_false(json_bool_or(o, "CpuCfsQuota", true));
	assert_true(json_bool_or(o, "CPUSet", false));
	assert_false(json_bool_or(o, "PidsLimit", true));
	assert_json(json_get(o, "Warnings"),
		    "['WARNING: No memory limit support','WARNING: No swap limit support',"
		    "'WARNING: No cpu limit support','WARNING: No pids limit support',"
		    "'WARNING: No io weight and throttle support']");
	assert_int_equal(json_i64_or(o, "Containers", 0), 1);
	assert_int_equal(json_i64_or(o, "ContainersPaused", 0), 1);
	assert_int_equal(json_i64_or(o, "ContainersStopped", -1), 0);
	inst->state = INSTANCE_EXITED;
	fixture_isolad_free(d);
}

static void stats__has_docker_s_keys(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(d, "c", "{'Image':'i'}");
	cleanup_json json_object *idle = stats_sample(inst, NULL, NULL, NULL);
	ASSERT_HAS(idle, "read", "preread", "pids_stats", "blkio_stats", "num_procs",
		   "storage_stats", "cpu_stats", "precpu_stats", "memory_stats", "name", "id");
	assert_string_equal(json_str_or(idle, "read", ""), "0001-01-01T00:00:00Z");
	assert_string_equal(json_str_or(idle, "name", ""), "/c");
	assert_null(json_get(idle, "isola"));
	/* It runs, but its cgroup tells nothing: zeros, and the names of what is missing. */
	inst->state = INSTANCE_RUNNING;
	cleanup_json json_object *first = stats_sample(inst, NULL, NULL, NULL);
	cleanup_json json_object *second = stats_sample(inst, first, NULL, NULL);
	ASSERT_HAS(json_get(first, "cpu_stats"), "cpu_usage", "system_cpu_usage", "online_cpus",
		   "throttling_data");
	assert_true(json_i64_or(json_get(first, "cpu_stats"), "system_cpu_usage", 0) > 0);
	assert_json(json_get(first, "memory_stats"), "{}");
	assert_json(json_get(json_get(first, "isola"), "missing"), "['cpu','memory','pids','io']");
	assert_true(
		json_object_equal(json_get(second, "precpu_stats"), json_get(first, "cpu_stats")));
	assert_string_equal(json_str_or(second, "preread", ""), json_str_or(first, "read", "x"));
	inst->state = INSTANCE_EXITED;
	fixture_isolad_free(d);
}

static void stats__of_a_guest_are_its_own(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(d, "c", "{'Image':'i'}");
	inst->state = INSTANCE_RUNNING;
	cleanup_json json_object *guest = js(
		"{'memory.current':1000,'anon':600,'usage_usec':7,'pids.current':3,'pids.max':9}");
	cleanup_json json_object *nothing = json_object_new_object();
	cleanup_json json_object *s = stats_sample(inst, NULL, guest, NULL);
	assert_json(json_get(s, "pids_stats"), "{'current':3,'limit':9}");
	assert_json(json_get(json_get(json_get(s, "cpu_stats"), "cpu_usage"), "total_usage"),
		    "7000");
	/* 256 MiB of RAM, without a limit of the cgroup's. */
	assert_json(json_get(s, "memory_stats"),
		    "{'usage':1000,'stats':{'anon':600},'limit':268435456}");
	assert_json(json_get(json_get(s, "isola"), "missing"), "['io']");
	assert_json(json_get(json_get(s, "isola"), "host"), "{}");
	/* It does not answer: the host's numbers are not put in its place. */
	cleanup_json json_object *silent = stats_sample(inst, NULL, nothing, NULL);
	assert_json(json_get(json_get(silent, "isola"), "missing"), "['cpu','memory','pids','io']");
	inst->state = INSTANCE_EXITED;
	fixture_isolad_free(d);
}

/* Time of one of this host's CPUs by its kernel's count (proc(5), /proc/stat), which on a busy
 * virtual machine is not that of any clock. */
static int64_t host_cpu_ns(void)
{
	char text[512] = "";
	int64_t sum = 0;
	cleanup_fd int fd = open("/proc/stat", O_RDONLY | O_CLOEXEC);
	assert_true(read(fd, text, sizeof(text) - 1) > 0);
	char *at = text + strlen("cpu");
	for (int i = 0; i < 8; i++)
		sum += (int64_t)strtoull(at, &at, 10);
	return sum * (1000000000 / sysconf(_SC_CLK_TCK)) / get_nprocs();
}

/* What Docker's clients take for the time that went by, for one CPU. */
static int64_t elapsed_ns(json_object *s)
{
	json_object *now = json_get(s, "cpu_stats"), *pre = json_get(s, "precpu_stats");
	return (json_i64_or(now, "system_cpu_usage", 0) - json_i64_or(pre, "system_cpu_usage", 0)) /
	       json_i64_or(now, "online_cpus", 1);
}

/* A sample with @from_cpus, then one with @cpus: the time between, for one CPU, is the
 * host's, so that usage / system_cpu_usage * online_cpus is 1 for one CPU that is busy. */
static void check_elapsed(struct instance *inst, int64_t from_cpus, int64_t cpus)
{
	/* Counts of iowait may go back by a little. */
	const int64_t some_ticks = 3 * (1000000000 / sysconf(_SC_CLK_TCK));
	cleanup_json json_object *before = js("{'usage_usec':1000000}");
	cleanup_json json_object *after = js("{'usage_usec':1300000}");
	json_add_i64(inst->host_config, "NanoCpus", from_cpus * 1000000000);
	int64_t outer = host_cpu_ns();
	cleanup_json json_object *first = stats_sample(inst, NULL, before, NULL);
	int64_t inner = host_cpu_ns();
	usleep(300 * 1000);
	json_add_i64(inst->host_config, "NanoCpus", cpus * 1000000000);
	inner = host_cpu_ns() - inner;
	cleanup_json json_object *second = stats_sample(inst, first, after, NULL);
	outer = host_cpu_ns() - outer;
	assert_int_equal(json_i64_or(json_get(second, "cpu_stats"), "online_cpus", 0), cpus);
	assert_int_equal(json_i64_or(json_get(second, "precpu_stats"), "online_cpus", 0), cpus);
	assert_int_equal(json_i64_or(json_get(first, "cpu_stats"), "online_cpus", 0), from_cpus);
	if (elapsed_ns(second) < inner - some_ticks || elapsed_ns(second) > outer + some_ticks)
		fail_msg("%lld CPUs, then %lld: %lld ns of %lld to %lld", (long long)from_cpus,
			 (long long)cpus, (long long)elapsed_ns(second), (long long)inner,
			 (long long)outer);
}

static void stats__of_a_guest_are_percent_of_its_cpus(void **state)
{
	(void)state;
	static const int64_t cpus[][2] = { { 1, 1 }, { 3, 3 }, { 1, 4 }, { 4, 1 } };
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(d, "c", "{'Image':'i'}");
	inst->state = INSTANCE_RUNNING;
	for (size_t i = 0; i < sizeof(cpus) / sizeof(cpus[0]); i++)
		check_elapsed(inst, cpus[i][0], cpus[i][1]);
	inst->state = INSTANCE_EXITED;
	fixture_isolad_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(system_version__has_docker_s_keys),
		cmocka_unit_test(system_info__has_docker_s_keys),
		cmocka_unit_test(system_info__tells_what_is_missing),
		cmocka_unit_test(stats__has_docker_s_keys),
		cmocka_unit_test(stats__of_a_guest_are_its_own),
		cmocka_unit_test(stats__of_a_guest_are_percent_of_its_cpus),
	};
	return cmocka_run_group_tests_name("system", tests, NULL, NULL);
}
