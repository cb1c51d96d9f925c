/* SPDX-License-Identifier: Apache-2.0 */
/* spec_linux, spec_ns, spec_sysctl - the "linux" object. */
#include "spec_doc.h"

#include "ctr/spec.h"

#include <errno.h>
#include <stdio.h>
#include <sys/personality.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define L(text) "{\"linux\":{" text "}}"

static void namespaces__have_three_modes(void **state)
{
	(void)state;
	struct ctr_spec *s = good_spec(L("\"namespaces\":[{\"type\":\"mount\",\"path\":\"\"},"
					 "{\"type\":\"network\",\"path\":\"/run/netns/a\"},"
					 "{\"type\":\"time\"},{\"type\":\"cgroup\"}]"));
	assert_int_equal(s->ns[CTR_NS_MOUNT].mode, CTR_NS_NEW);
	assert_int_equal(s->ns[CTR_NS_NET].mode, CTR_NS_JOIN);
	assert_string_equal(s->ns[CTR_NS_NET].path, "/run/netns/a");
	assert_int_equal(s->ns[CTR_NS_PID].mode, CTR_NS_HOST);
	assert_true(ctr_spec_has_new(s, CTR_NS_TIME));
	assert_false(ctr_spec_has_new(s, CTR_NS_NET));
	assert_int_equal(ctr_spec_clone_flags(s), CLONE_NEWNS | CLONE_NEWCGROUP | 0x80);
	ctr_spec_free(s);
}

static void mappings__are_read(void **state)
{
	(void)state;
	struct ctr_spec *s = good_spec(
		L("\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\"}],"
		  "\"uidMappings\":[{\"containerID\":0,\"hostID\":100000,\"size\":65536},"
		  "{\"containerID\":65536,\"hostID\":1,\"size\":1}],"
		  "\"gidMappings\":[{\"containerID\":0,\"hostID\":4294967294,\"size\":1}]"));
	assert_int_equal(s->uid_maps.n, 2);
	assert_int_equal(s->uid_maps.items[0].size, 65536);
	assert_int_equal(s->gid_maps.items[0].host_id, 4294967294);
	ctr_spec_free(s);
}

/* In a child that is nobody in particular. */
static void mappings__default_to_oneself(void **state)
{
	(void)state;
	int status = 0;
	pid_t pid = fork();
	if (pid == 0) {
		if (geteuid() == 0 &&
		    (setresgid(1234, 1234, 1234) < 0 || setresuid(1234, 1234, 1234) < 0))
			_exit(77);
		struct ctr_spec *s =
			good_spec(L("\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\"}]"));
		const struct ctr_idmap *u = s->uid_maps.items, *g = s->gid_maps.items;
		_exit(s->uid_maps.n == 1 && u->container_id == 0 && u->host_id == geteuid() &&
				      u->size == 1 && s->gid_maps.n == 1 && g->host_id == getegid()
			      ? 0
			      : 1);
	}
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status == 77 << 8)
		skip();
	assert_int_equal(status, 0);
}

static void time_offsets__are_read(void **state)
{
	(void)state;
	struct ctr_spec *s = good_spec(
		L("\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"time\"}],\"timeOffsets\":"
		  "{\"monotonic\":{\"secs\":-5,\"nanosecs\":7},\"boottime\":{}}"));
	assert_int_equal(s->n_time_offsets, 2);
	assert_string_equal(s->time_offsets[0].clock, "monotonic");
	assert_int_equal(s->time_offsets[0].secs, -5);
	assert_int_equal(s->time_offsets[0].nanosecs, 7);
	assert_int_equal(s->time_offsets[1].secs, 0);
	ctr_spec_free(s);
}

static void devices__are_read(void **state)
{
	(void)state;
	struct ctr_spec *s = good_spec(
		L("\"devices\":[{\"path\":\"/dev/fuse\",\"type\":\"c\",\"major\":10,\"minor\":229,"
		  "\"fileMode\":432,\"uid\":3,\"gid\":4},{\"path\":\"/dev/sda\",\"type\":\"b\","
		  "\"major\":8,\"minor\":0,\"fileMode\":24960},{\"path\":\"/p\",\"type\":\"p\"},"
		  "{\"path\":\"/u\",\"type\":\"u\",\"major\":1,\"minor\":3}]"));
	assert_int_equal(s->n_devices, 4);
	assert_int_equal(s->devices[0].mode, S_IFCHR | 0660);
	assert_int_equal(s->devices[0].minor, 229);
	assert_int_equal(s->devices[0].uid, 3);
	assert_int_equal(s->devices[1].mode, S_IFBLK | 0600);
	assert_int_equal(s->devices[2].mode, S_IFIFO | 0666);
	assert_int_equal(s->devices[3].mode, S_IFCHR | 0666);
	ctr_spec_free(s);
}

/* Who gives no rules, but a process that can make nodes, gets ours. */
static void devices__are_guarded_without_rules(void **state)
{
	(void)state;
#define MKNOD "\"process\":{\"capabilities\":{\"bounding\":[\"CAP_MKNOD\"]}}"
#define NODES                                                                                      \
	"\"devices\":[{\"path\":\"/f\",\"type\":\"c\",\"major\":10,\"minor\":229},"                \
	"{\"path\":\"/p\",\"type\":\"p\"}]"
	static const struct {
		const char *more;
		const char *rules;
	} rows[] = {
		{ "{}", NULL },
		{ L("\"resources\":{\"devices\":[]}"), NULL },
		{ "{" MKNOD "}", "[]" },
		{ "{" MKNOD ",\"linux\":{" NODES ",\"resources\":{\"devices\":[]}}}",
		  "[{\"allow\":true,\"type\":\"c\",\"major\":10,\"minor\":229}]" },
		{ "{" MKNOD ",\"linux\":{\"resources\":{\"devices\":[{\"allow\":true}]}}}",
		  "[{\"allow\":true}]" },
		{ "{" MKNOD ",\"linux\":{\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"user\"}],"
		  "\"uidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}],"
		  "\"gidMappings\":[{\"containerID\":0,\"hostID\":1,\"size\":1}]}}",
		  NULL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct ctr_spec *s = good_spec(rows[i].more);
		if (rows[i].rules)
			assert_string_equal(json_object_to_json_string_ext(s->resources_devices,
									   JSON_C_TO_STRING_PLAIN),
					    rows[i].rules);
		else
			assert_null(s->resources_devices);
		ctr_spec_free(s);
	}
}

static void sysctls__become_paths(void **state)
{
	(void)state;
	static const struct {
		const char *key, *path;
	} rows[] = {
		{ "net.ipv4.ip_forward", "net/ipv4/ip_forward" },
		{ "net/ipv4/conf/eth0.1/mtu", "net/ipv4/conf/eth0.1/mtu" },
		{ "net.ipv4.conf.eth0/1.mtu", "net/ipv4/conf/eth0.1/mtu" },
		{ "kernel.shm_rmid_forced", "kernel/shm_rmid_forced" },
		{ "fs.mqueue.msg_max", "fs/mqueue/msg_max" },
		{ "kernel.domainname", "kernel/domainname" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[200];
		(void)snprintf(text, sizeof(text), L("\"sysctl\":{\"%s\":\"1\"}"), rows[i].key);
		struct ctr_spec *s = good_spec(text);
		assert_string_equal(s->sysctls[0].path, rows[i].path);
		assert_string_equal(s->sysctls[0].value, "1");
		ctr_spec_free(s);
	}
}

static void linux__reads_the_rest(void **state)
{
	(void)state;
	struct ctr_spec *s = good_spec(
		L("\"cgroupsPath\":\"/a/b..c\",\"resources\":{\"pids\":{\"limit\":5},"
		  "\"devices\":[{\"allow\":false}]},\"rootfsPropagation\":\"slave\","
		  "\"seccomp\":{\"defaultAction\":\"SCMP_ACT_ALLOW\"},"
		  "\"maskedPaths\":[\"/proc/kcore\"],\"readonlyPaths\":[\"/proc/sys\",\"/b\"],"
		  "\"personality\":{\"domain\":\"LINUX32\",\"flags\":[]},\"mountLabel\":\"\""));
	assert_string_equal(s->cgroups_path, "/a/b..c");
	assert_non_null(s->resources);
	assert_int_equal(json_len(s->resources_devices), 1);
	assert_int_equal(s->rootfs_propagation, MS_SLAVE);
	assert_non_null(s->seccomp);
	assert_int_equal(s->n_masked_paths, 1);
	assert_string_equal(s->readonly_paths[1], "/b");
	assert_true(s->personality_set);
	assert_int_equal(s->personality, PER_LINUX32);
	assert_null(s->mount_label);
	ctr_spec_free(s);
}

static void linux__names_what_is_wrong(void **state)
{
	(void)state;
	static const struct bad_row rows[] = {
		{ L("\"namespaces\":[{\"type\":\"mount\"},{},{\"type\":\"foo\"}]"),
		  "linux.namespaces[1].type: is missing" },
		{ L("\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"pid\"},{\"type\":\"foo\"}]"),
		  "linux.namespaces[2].type: unknown namespace \"foo\"" },
		{ L("\"namespaces\":[{\"type\":\"mount\"},{\"type\":\"mount\"}]"),
		  "linux.namespaces[1].type: \"mount\" is listed twice" },
		{ L("\"namespaces\":[{\"type\":\"pid\",\"path\":\"a\"}]"),
		  "linux.namespaces[0].path: must be an absolute path, not \"a\"" },
		{ L("\"uidMappings\":[{\"containerID\":0,\"hostID\":1}]"),
		  "linux.uidMappings[0].size: is missing" },
		{ L("\"uidMappings\":[{\"containerID\":0,\"hostID\":4294967290,\"size\":6}]"),
		  "linux.uidMappings[0].size: reaches beyond the last id" },
		{ L("\"uidMappings\":[{\"containerID\":4294967295,\"hostID\":0,\"size\":1}]"),
		  "linux.uidMappings[0].containerID: must be 0 to 4294967294" },
		{ L("\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":10},"
		    "{\"containerID\":9,\"hostID\":50,\"size\":10}]"),
		  "linux.gidMappings: items 0 and 1 overlap" },
		{ L("\"gidMappings\":[{\"containerID\":0,\"hostID\":0,\"size\":10},"
		    "{\"containerID\":10,\"hostID\":9,\"size\":10}]"),
		  "linux.gidMappings: items 0 and 1 overlap" },
		{ L("\"timeOffsets\":{\"realtime\":{}}"),
		  "linux.timeOffsets.realtime: unknown clock: it must be monotonic or boottime" },
		{ L("\"timeOffsets\":{\"boottime\":{\"nanosecs\":1000000000}}"),
		  "linux.timeOffsets.boottime.nanosecs: must be 0 to 999999999" },
		{ L("\"timeOffsets\":{\"boottime\":1}"),
		  "linux.timeOffsets.boottime: must be an object" },
		{ L("\"devices\":[{\"type\":\"c\",\"major\":1,\"minor\":1}]"),
		  "linux.devices[0].path: is missing" },
		{ L("\"devices\":[{\"path\":\"/x\",\"type\":\"x\"}]"),
		  "linux.devices[0].type: unknown type of device \"x\"" },
		{ L("\"devices\":[{\"path\":\"/x\",\"type\":\"c\",\"major\":1}]"),
		  "linux.devices[0].minor: is missing" },
		{ L("\"devices\":[{\"path\":\"/x\",\"type\":\"c\",\"major\":4096,\"minor\":0}]"),
		  "linux.devices[0].major: must be 0 to 4095" },
		{ L("\"devices\":[{\"path\":\"/x\",\"type\":\"c\",\"major\":1,\"minor\":0,"
		    "\"fileMode\":24960}]"),
		  "linux.devices[0].fileMode: must be permission bits only" },
		{ L("\"cgroupsPath\":\"/a/../b\""), "linux.cgroupsPath: must not hold \"..\"" },
		{ L("\"cgroupsPath\":\"..\""), "linux.cgroupsPath: must not hold \"..\"" },
		{ L("\"resources\":[]"), "linux.resources: must be an object" },
		{ L("\"resources\":{\"memory\":{\"limit\":\"1\"}}"),
		  "linux.resources.memory.limit: must be a whole number" },
		{ L("\"resources\":{\"devices\":[{\"allow\":true,\"access\":\"x\"}]}"),
		  "linux.resources.devices[0].access: must be made of r, w, m" },
		{ L("\"resources\":{\"devices\":{}}"),
		  "linux.resources.devices: must be an array" },
		{ L("\"rootfsPropagation\":\"foo\""),
		  "linux.rootfsPropagation: unknown propagation \"foo\"" },
		{ L("\"seccomp\":[]"), "linux.seccomp: must be an object" },
		{ L("\"maskedPaths\":[\"/a\",\"b\"]"),
		  "linux.maskedPaths[1]: must be an absolute path, not \"b\"" },
		{ L("\"readonlyPaths\":[null]"), "linux.readonlyPaths[0]: must be a string" },
		{ L("\"personality\":{\"domain\":\"BSD\"}"),
		  "linux.personality.domain: unknown domain \"BSD\"" },
		{ L("\"personality\":{\"domain\":\"LINUX\",\"flags\":[\"x\"]}"),
		  "linux.personality.flags: no flag is known" },
		{ L("\"intelRdt\":{\"closID\":\"x\"}"), "linux.intelRdt: is not supported" },
		{ L("\"netDevices\":{\"eth0\":{}}"), "linux.netDevices: is not supported" },
		{ L("\"memoryPolicy\":{\"mode\":\"MPOL_BIND\"}"),
		  "linux.memoryPolicy: is not supported" },
		{ L("\"sysctl\":{\"net.ipv4.x\":1}"), "linux.sysctl.net.ipv4.x: must be a string" },
		{ L("\"sysctl\":{\"net/../kernel/panic\":\"1\"}"),
		  "linux.sysctl.net/../kernel/panic: is no name of a sysctl" },
		{ L("\"sysctl\":{\"net.//.kernel.panic\":\"1\"}"),
		  "linux.sysctl.net.//.kernel.panic: is no name of a sysctl" },
		{ L("\"sysctl\":{\"/net/core\":\"1\"}"),
		  "linux.sysctl./net/core: is no name of a sysctl" },
		{ L("\"sysctl\":{\"net..core\":\"1\"}"),
		  "linux.sysctl.net..core: is no name of a sysctl" },
		{ L("\"sysctl\":{\"\":\"1\"}"), "linux.sysctl.: is no name of a sysctl" },
		{ L("\"sysctl\":{\"net\":\"1\"}"),
		  "linux.sysctl.net: belongs to no namespace: it would change the host" },
		{ L("\"sysctl\":{\"kernel.semx\":\"1\"}"),
		  "linux.sysctl.kernel.semx: belongs to no namespace: it would change the host" },
	};
	CHECK_BAD(rows);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(namespaces__have_three_modes),
		cmocka_unit_test(mappings__are_read),
		cmocka_unit_test(mappings__default_to_oneself),
		cmocka_unit_test(time_offsets__are_read),
		cmocka_unit_test(devices__are_read),
		cmocka_unit_test(devices__are_guarded_without_rules),
		cmocka_unit_test(sysctls__become_paths),
		cmocka_unit_test(linux__reads_the_rest),
		cmocka_unit_test(linux__names_what_is_wrong),
	};
	return cmocka_run_group_tests_name("spec_linux", tests, NULL, NULL);
}
