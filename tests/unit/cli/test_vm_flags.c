/* SPDX-License-Identifier: Apache-2.0 */
/* vm_flags - flags of vmctl run and update become the fields of their requests. */
#include <stdarg.h>
#include <stddef.h>
#include <setjmp.h>
#include <stdint.h>
#include <cmocka.h>

#include "cli/vm_flags.h"
#include "cli/vm_refused.h"
#include "cli/vm_verbs.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct flag *const run_groups[] = { flags_vm_run, flags_vm_create, flags_vm_live,
						 NULL };
static const struct flag *const update_groups[] = { flags_vm_live, flags_vm_update, NULL };
static const struct verb run = {
	.name = "run", .groups = run_groups, .max_args = -1, .stop_at_first_arg = true
};
static const struct verb update = { .name = "update", .groups = update_groups, .max_args = -1 };

static json_object *body_of(const struct verb *verb, const char *line, struct err *err)
{
	char copy[512], *argv[64], *save = NULL;
	int argc = 0;
	(void)snprintf(copy, sizeof(copy), "%s", line);
	for (char *p = strtok_r(copy, " ", &save); p; p = strtok_r(NULL, " ", &save))
		argv[argc++] = p;
	struct args args;
	if (args_parse(verb, vm_refused, argc, argv, &args, err) < 0)
		return NULL;
	json_object *body = verb == &run ? vm_config(&args, err) : vm_update(&args, err);
	args_fini(&args);
	return body;
}

/* @path: "Disks.0.Rate"; the field's JSON text. */
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

static void check(const struct verb *verb, const char *const (*rows)[3], size_t n)
{
	for (size_t i = 0; i < n; i++) {
		struct err err = ERR_INIT;
		cleanup_json json_object *body = body_of(verb, rows[i][0], &err);
		if (!body)
			fail_msg("\"%s\": %s", rows[i][0], err.text);
		if (strcmp(field(body, rows[i][1]), rows[i][2]) != 0)
			fail_msg("\"%s\": %s is %s, not %s", rows[i][0], rows[i][1],
				 field(body, rows[i][1]), rows[i][2]);
	}
}

static void vm_config__maps_flags(void **state)
{
	(void)state;
	static const char *const rows[][3] = {
		{ "-m 512m", "Memory.Size", "536870912" },
		{ "--hugepages 2M --prefault", "Memory.HugePages", "\"2M\"" },
		{ "--prefault", "Memory.Prefault", "true" },
		{ "--cpus 4", "Cpus.Count", "4" },
		{ "--cpus 4,threads=2", "Cpus.ThreadsPerCore", "2" },
		{ "--cpu-template host", "Cpus.Template", "\"host\"" },
		{ "--pin 0:1-2", "Cpus.Affinity", "[[0],[1,2]]" },
		{ "--pin 0::3", "Cpus.Affinity", "[[0],[],[3]]" },
		{ "--disk /a.img,ro --disk /b.img", "Disks.0.ReadOnly", "true" },
		{ "--disk /a.img,ro --disk /b.img", "Disks.1.Path", "\"/b.img\"" },
		{ "--net none", "Nets", "null" },
		{ "--net tap=tap0,mac=02:00:00:00:00:01", "Nets.0.Tap", "\"tap0\"" },
		{ "--net tap=tap0,rx-rate=1m", "Nets.0.RateRx.Bandwidth.Size", "1048576" },
		{ "--net socket=/run/p", "Nets.0.Socket", "\"/run/p\"" },
		{ "--net passt,mtu=1400", "Nets.0", "{\"Passt\":true,\"Mtu\":1400}" },
		{ "--net passt --net tap0", "Nets.1.Tap", "\"tap0\"" },
		{ "--vsock 7", "Vsock", "{\"Cid\":7}" },
		{ "--vsock /run/v", "Vsock", "{\"Path\":\"/run/v\"}" },
		{ "--vsock cid=5,path=/run/v", "Vsock", "{\"Cid\":5,\"Path\":\"/run/v\"}" },
		{ "--vsock none", "Vsock", "null" },
		{ "--share /srv/a:b:tag", "Shares.0",
		  "{\"Path\":\"/srv/a:b\",\"Tag\":\"tag\",\"ReadOnly\":false}" },
		{ "--share /srv:tag:ro", "Shares.0.ReadOnly", "true" },
		{ "--share socket=/run/fs,tag=t", "Shares.0",
		  "{\"Socket\":\"/run/fs\",\"Tag\":\"t\"}" },
		{ "--share volume=data,tag=t,ro", "Shares.0",
		  "{\"Volume\":\"data\",\"Tag\":\"t\",\"ReadOnly\":true}" },
		{ "--share tag=t,volume=data", "Shares.0", "{\"Tag\":\"t\",\"Volume\":\"data\"}" },
		{ "--pmem /a,id=x", "Pmem.0", "{\"Path\":\"/a\",\"Id\":\"x\"}" },
		{ "--pmem /a,ro", "Pmem.0", "{\"Path\":\"/a\",\"ReadOnly\":true}" },
		{ "--console id=c,rows=24", "Consoles.0", "{\"Id\":\"c\",\"Rows\":24}" },
		{ "--balloon 64m,reporting=false", "Balloon",
		  "{\"Size\":67108864,\"Reporting\":false}" },
		{ "--balloon none", "Balloon", "false" },
		{ "--rng none", "Rng", "false" },
		{ "--rng rate=1k", "Rng.Rate.Bandwidth.Size", "1024" },
		{ "--watchdog poweroff", "Watchdog", "{\"Action\":\"poweroff\"}" },
		{ "--debug-exit", "DebugExit", "true" },
		{ "--seccomp log", "Seccomp", "\"log\"" },
		{ "--label a=b -l c", "Labels", "{\"a\":\"b\",\"c\":\"\"}" },
		{ "--restart on-failure:3", "RestartPolicy",
		  "{\"Name\":\"on-failure\",\"MaximumRetryCount\":3}" },
		{ "--stop-timeout 5", "StopTimeout", "5" },
		{ "--limit-memory 1g", "Limits.Memory", "1073741824" },
		{ "--limit-cpus 1.5", "Limits.NanoCpus", "1500000000" },
		{ "--name x", "Limits", "null" },
		{ "-it", "Tty", "true" },
		{ "-it", "OpenStdin", "true" },
		{ "-i", "StdinOnce", "true" },
		{ "-it", "StdinOnce", "false" },
		{ "-di", "StdinOnce", "false" },
		{ "--rm", "AutoRemove", "true" },
	};
	check(&run, rows, sizeof(rows) / sizeof(rows[0]));
}

static void vm_update__maps_flags(void **state)
{
	(void)state;
	static const char *const rows[][3] = {
		{ "--balloon 1m vm", "Balloon", "{\"Size\":1048576}" },
		{ "--pin 0 vm", "Cpus.Affinity", "[[0]]" },
		{ "--disk vda,iops=10 vm", "Disks.0.Rate.Ops.Size", "10" },
		{ "--disk vda,rate=0 vm", "Disks.0", "{\"Id\":\"vda\",\"Rate\":{}}" },
		{ "--disk vda,size=1g vm", "Disks.0.Size", "1073741824" },
		{ "--disk vda,resize vm", "Disks.0.Resize", "true" },
		{ "--net net0,tx-pps=5 vm", "Nets.0.RateTx.Ops.Size", "5" },
		{ "--restart always vm", "RestartPolicy.Name", "\"always\"" },
		{ "--balloon 1m vm", "Disks", "null" },
	};
	check(&update, rows, sizeof(rows) / sizeof(rows[0]));
}

static void vm_config__names_the_flag_that_is_wrong(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "--cpus x", "--cpus: \"x\" is no value for count" },
		{ "--net mtu=9", "--net mtu=9: give it one of passt, a tap device" },
		{ "--net tap=a,socket=/b", "give it one of passt" },
		{ "--net tap0,passt", "--net tap0,passt: give it one of passt" },
		{ "--net passt=no", "\"no\" is no value for passt" },
		{ "--net passt=false", "give it one of passt" },
		{ "--pmem /a,rw", "--pmem /a,rw: pmem is read-only" },
		{ "--pmem /a --pmem /b,ro=false", "--pmem /b,ro=false: pmem is read-only" },
		{ "--net none --net tap=a", "goes with no other" },
		{ "--share /srv", "--share /srv: want dir:tag" },
		{ "--share :x", "want dir:tag" },
		{ "--pin a", "no list of CPUs" },
		{ "--cpu-template nope",
		  "--cpu-template nope: there is no such template; known are: host" },
		{ "--cpu-template=", "there is no such template" },
		{ "--cpu-template ./nope.json", "--cpu-template" },
		{ "-p 80:x", "--publish (-p)" },
		{ "--volume /a:/b", "share a folder with --share" },
		{ "--nonsense", "unknown flag: --nonsense" },
		{ "--memory much", "--memory takes a size" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct err err = ERR_INIT;
		cleanup_json json_object *body = body_of(&run, rows[i][0], &err);
		if (rows[i][1] && (body || !strstr(err.text, rows[i][1])))
			fail_msg("\"%s\": %s", rows[i][0], err.text);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(vm_config__maps_flags),
		cmocka_unit_test(vm_update__maps_flags),
		cmocka_unit_test(vm_config__names_the_flag_that_is_wrong),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
