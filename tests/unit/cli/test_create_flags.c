/* SPDX-License-Identifier: Apache-2.0 */
/* create_flags - flags of run become fields of Docker's create request. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/create_flags.h"
#include "cli/verbs.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct flag *const groups[] = { flags_run, flags_create, flags_resources, NULL };
static const struct verb run = {
	.name = "run", .groups = groups, .min_args = 1, .max_args = -1, .stop_at_first_arg = true
};

/* Splits @line at spaces and makes the body; NULL with @err. */
static json_object *body_of(const char *line, struct err *err)
{
	char copy[512], *argv[64], *save = NULL;
	int argc = 0;
	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save))
		argv[argc++] = p;
	struct args args;
	if (args_parse(&run, ctr_refused, argc, argv, &args, err) < 0)
		return NULL;
	json_object *body = create_body(&args, err);
	args_fini(&args);
	return body;
}

/* @path: "HostConfig.Memory"; the field's JSON text. */
static const char *field(json_object *body, const char *path)
{
	char copy[128], *save = NULL;
	(void)snprintf(copy, sizeof(copy), "%s", path);
	json_object *o = body;
	for (char *p = strtok_r(copy, ".", &save); p && o; p = strtok_r(NULL, ".", &save))
		o = json_object_is_type(o, json_type_array)
			    ? json_object_array_get_idx(o, (size_t)atoi(p))
			    : json_get(o, p);
	return json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
							 JSON_C_TO_STRING_NOSLASHESCAPE);
}

static void create_body__maps_flags(void **state)
{
	(void)state;
	(void)setenv("ISOLA_TEST_PASSED", "on", 1);
	static const char *const rows[][3] = {
		{ "img a b", "Cmd", "[\"a\",\"b\"]" },
		{ "img", "Cmd", "null" },
		{ "--entrypoint sh img -c x", "Entrypoint", "[\"sh\"]" },
		{ "--entrypoint sh img -c x", "Cmd", "[\"-c\",\"x\"]" },
		{ "-it img", "Tty", "true" },
		{ "-it img", "StdinOnce", "true" },
		{ "-di img", "StdinOnce", "false" },
		{ "-di img", "OpenStdin", "true" },
		{ "-e A=1 -e ISOLA_TEST_PASSED -e ISOLA_TEST_NOT_SET img", "Env",
		  "[\"A=1\",\"ISOLA_TEST_PASSED=on\"]" },
		{ "-m 64m img", "HostConfig.Memory", "67108864" },
		{ "--memory-swap -1 img", "HostConfig.MemorySwap", "-1" },
		{ "--cpus 1.5 img", "HostConfig.NanoCpus", "1500000000" },
		{ "--pids-limit 20 img", "HostConfig.PidsLimit", "20" },
		{ "--restart on-failure:3 img", "HostConfig.RestartPolicy",
		  "{\"Name\":\"on-failure\",\"MaximumRetryCount\":3}" },
		{ "--ulimit nofile=10:20 img", "HostConfig.Ulimits.0",
		  "{\"Name\":\"nofile\",\"Soft\":10,\"Hard\":20}" },
		{ "--ulimit core=0 img", "HostConfig.Ulimits.0.Hard", "0" },
		{ "--device /dev/fuse:rw img", "HostConfig.Devices.0",
		  "{\"PathOnHost\":\"/dev/fuse\",\"PathInContainer\":\"/dev/fuse\","
		  "\"CgroupPermissions\":\"rw\"}" },
		{ "--device /dev/a:/dev/b:r img", "HostConfig.Devices.0.PathInContainer",
		  "\"/dev/b\"" },
		{ "--device-read-bps /dev/sda:1m img", "HostConfig.BlkioDeviceReadBps.0",
		  "{\"Path\":\"/dev/sda\",\"Rate\":1048576}" },
		{ "-v /a:/b:ro img", "HostConfig.Binds", "[\"/a:/b:ro\"]" },
		{ "--mount type=bind,src=/a,dst=/b,readonly img", "HostConfig.Mounts.0",
		  "{\"Type\":\"bind\",\"Source\":\"/a\",\"Target\":\"/b\",\"ReadOnly\":true}" },
		{ "--mount type=tmpfs,dst=/t,tmpfs-size=1m,tmpfs-mode=1777 img",
		  "HostConfig.Mounts.0.TmpfsOptions", "{\"SizeBytes\":1048576,\"Mode\":1023}" },
		{ "--tmpfs /run:size=1m img", "HostConfig.Tmpfs", "{\"/run\":\"size=1m\"}" },
		{ "--cap-drop ALL --cap-add CHOWN img", "HostConfig.CapAdd", "[\"CHOWN\"]" },
		{ "--network host img", "HostConfig.NetworkMode", "\"host\"" },
		{ "-p 127.0.0.1:8080:80 img", "HostConfig.PortBindings",
		  "{\"80/tcp\":[{\"HostIp\":\"127.0.0.1\",\"HostPort\":\"8080\"}]}" },
		{ "-p 1-2:3-4/udp img", "HostConfig.PortBindings",
		  "{\"3/udp\":[{\"HostIp\":\"\",\"HostPort\":\"1\"}],"
		  "\"4/udp\":[{\"HostIp\":\"\",\"HostPort\":\"2\"}]}" },
		{ "-p 80 -p 1-9:80 img", "HostConfig.PortBindings",
		  "{\"80/tcp\":[{\"HostIp\":\"\",\"HostPort\":\"\"},"
		  "{\"HostIp\":\"\",\"HostPort\":\"1-9\"}]}" },
		{ "--expose 5-6 img", "ExposedPorts", "{\"5/tcp\":{},\"6/tcp\":{}}" },
		{ "--network lan --ip 10.0.0.7 img", "NetworkingConfig.EndpointsConfig",
		  "{\"lan\":{\"IPAMConfig\":{\"IPv4Address\":\"10.0.0.7\"}}}" },
		{ "-P --mac-address 02:00:00:00:00:01 img", "MacAddress", "\"02:00:00:00:00:01\"" },
		{ "--log-opt max-size=1m img", "HostConfig.LogConfig.Config",
		  "{\"max-size\":\"1m\"}" },
		{ "-l a=b -l c img", "Labels", "{\"a\":\"b\",\"c\":\"\"}" },
		{ "--sysctl net.x=1 img", "HostConfig.Sysctls", "{\"net.x\":\"1\"}" },
		{ "--rm --read-only --init img", "HostConfig.AutoRemove", "true" },
		{ "--stop-timeout 3 img", "StopTimeout", "3" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		cleanup_json json_object *body = body_of(rows[i][0], &err);
		if (!body)
			fail_msg("%s: %s", rows[i][0], err.text);
		assert_string_equal(field(body, rows[i][1]), rows[i][2]);
	}
}

static void create_body__names_the_bad_flag(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "--cpus x img", "--cpus" },
		{ "--ulimit nofile img", "--ulimit" },
		{ "--restart on-failure:x img", "--restart" },
		{ "--mount foo=bar img", "foo" },
		{ "--mount type=bind,src=/a img", "target" },
		{ "--mount type=tmpfs,dst=/t,tmpfs-mode=9 img", "tmpfs-mode" },
		{ "--env-file /nonexistent img", "--env-file" },
		{ "--device-read-bps /dev/sda img", "--device-read-bps" },
		{ "--security-opt seccomp=/nonexistent img", "--security-opt" },
		{ "--publish 80:x img", "--publish" },
		{ "--publish 1-2:3-5 img", "different size" },
		{ "--expose http img", "--expose" },
		{ "-e =x img", "--env" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		assert_null(body_of(rows[i][0], &err));
		if (!strstr(err.text, rows[i][1]))
			fail_msg("%s: %s", rows[i][0], err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create_body__maps_flags),
		cmocka_unit_test(create_body__names_the_bad_flag),
	};
	return cmocka_run_group_tests_name("create_flags", tests, NULL, NULL);
}
