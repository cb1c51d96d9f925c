/* SPDX-License-Identifier: Apache-2.0 */
/* keepspec - keeper.json; exitrec - exit.json. */
#include "fixture.h"

#include "keeper/exitrec.h"
#include "keeper/keepspec.h"

#include "isola/json.h"

#define ID         "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
#define HEAD       "\"version\":1,\"id\":\"" ID "\",\"kind\":\"container\",\"cgroup\":\"/c\""
#define GUEST_HEAD "\"version\":1,\"id\":\"a\",\"kind\":\"guest\",\"cgroup\":\"/c\",\"vmm\":\"/v\""
#define VM_HEAD    "\"version\":1,\"id\":\"" ID "\",\"kind\":\"vm\",\"cgroup\":\"/c\""

static json_object *doc(const char *text)
{
	json_object *o = NULL;
	struct err err = ERR_INIT;
	if (json_parse(text, strlen(text), "text", &o, &err) < 0)
		fail_msg("%s: %s", text, err.text);
	return o;
}

static void keepspec_parse__reads_all_fields(void **state)
{
	(void)state;
	struct keepspec s;
	struct err err = ERR_INIT;
	if (keepspec_parse(
		    doc("{" HEAD ",\"overlay\":{\"lower\":[\"/a\",\"/b\"],\"upper\":\"/u\","
			"\"work\":\"/w\",\"volatile\":true},\"log\":{\"driver\":\"json-file\","
			"\"path\":\"/l\",\"max_size\":5,\"max_files\":2,\"attrs\":{\"k\":\"v\"}},"
			"\"stdin\":true,\"stdin_once\":true,\"tty\":true,\"console_size\":[24,80],"
			"\"reaper\":true,\"seccomp_cache\":\"/s\",\"make_dirs\":[\"/a/b\"]}"),
		    &s, &err) < 0)
		fail_msg("%s", err.text);
	assert_string_equal(s.id, ID);
	assert_string_equal(s.cgroup, "/c");
	assert_int_equal(json_len(s.lower), 2);
	assert_string_equal(s.upper, "/u");
	assert_string_equal(s.work, "/w");
	assert_string_equal(s.log_path, "/l");
	assert_string_equal(s.seccomp_cache, "/s");
	assert_int_equal(json_len(s.make_dirs), 1);
	assert_int_equal(s.log_limits.max_size, 5);
	assert_int_equal(s.log_limits.max_files, 2);
	assert_non_null(s.log_attrs);
	assert_true(s.volatile_upper && s.keeps_stdin && s.stdin_once && s.tty && s.reaper);
	assert_int_equal(s.rows, 24);
	assert_int_equal(s.columns, 80);
	keepspec_shrink(&s);
	assert_null(s.lower);
	assert_true(s.tty);
	keepspec_fini(&s);
}

static void keepspec_parse__has_defaults(void **state)
{
	(void)state;
	struct keepspec s;
	assert_int_equal(keepspec_parse(doc("{" HEAD "}"), &s, NULL), 0);
	assert_null(s.log_path);
	assert_null(s.lower);
	assert_false(s.tty || s.keeps_stdin || s.stdin_once || s.reaper);
	keepspec_fini(&s);
	assert_int_equal(keepspec_parse(doc("{" HEAD ",\"log\":{\"path\":\"/l\"}}"), &s, NULL), 0);
	assert_int_equal(s.log_limits.max_size, 10485760);
	assert_int_equal(s.log_limits.max_files, 3);
	keepspec_fini(&s);
	assert_int_equal(
		keepspec_parse(doc("{" HEAD ",\"log\":{\"driver\":\"none\",\"path\":\"/l\"}}"), &s,
			       NULL),
		0);
	assert_null(s.log_path);
	keepspec_fini(&s);
	assert_int_equal(keepspec_parse(doc("{" GUEST_HEAD "}"), &s, NULL), 0);
	assert_int_equal(s.cpus, 1);
	keepspec_fini(&s);
	assert_int_equal(keepspec_parse(doc("{" GUEST_HEAD ",\"cpus\":3}"), &s, NULL), 0);
	assert_int_equal(s.cpus, 3);
	keepspec_fini(&s);
}

static void keepspec_parse__knows_a_guests_root(void **state)
{
	(void)state;
	struct keepspec s;
	assert_int_equal(
		keepspec_parse(doc("{" GUEST_HEAD ",\"root\":{\"type\":\"virtiofs\"}}"), &s, NULL),
		0);
	assert_null(s.layer);
	keepspec_fini(&s);
	assert_int_equal(keepspec_parse(doc("{" GUEST_HEAD ",\"root\":{\"type\":\"erofs\","
					    "\"layer\":\"/l\"}}"),
					&s, NULL),
			 0);
	assert_string_equal(s.layer, "/l");
	keepspec_shrink(&s);
	assert_null(s.layer);
	keepspec_fini(&s);
}

static void keepspec_parse__names_what_is_wrong(void **state)
{
	(void)state;
	static const struct {
		const char *text, *why;
	} rows[] = {
		{ "[]", "an object" },
		{ "{}", "version 0" },
		{ "{\"version\":2}", "version 2" },
		{ "{" HEAD ",\"more\":1}", "\"more\"" },
		{ "{\"version\":1,\"kind\":\"zone\"}", "kind \"zone\"" },
		{ "{" HEAD ",\"vmm\":\"/v\"}", "\"vmm\"" },
		{ "{" VM_HEAD "}", "vmm is missing" },
		{ "{" VM_HEAD ",\"vmm\":\"v\"}", "vmm must be" },
		{ "{" VM_HEAD ",\"vmm\":\"/v\",\"resources\":1}", "resources must be" },
		{ "{" VM_HEAD ",\"vmm\":\"/v\",\"overlay\":{}}", "\"overlay\"" },
		{ "{" VM_HEAD ",\"vmm\":\"/v\",\"reaper\":true}", "\"reaper\"" },
		{ "{" VM_HEAD ",\"vmm\":\"/v\",\"cpus\":1}", "\"cpus\"" },
		{ "{" GUEST_HEAD ",\"cpus\":0}", "cpus must be 1 to 4096" },
		{ "{" GUEST_HEAD ",\"cpus\":4097}", "cpus must be 1 to 4096" },
		{ "{" GUEST_HEAD ",\"cpus\":\"2\"}", "cpus" },
		{ "{" GUEST_HEAD ",\"boot_ms\":0}", "boot_ms must be 1 to" },
		{ "{\"version\":1,\"kind\":\"container\",\"id\":\"..\"}", "id \"..\"" },
		{ "{\"version\":1,\"kind\":\"container\",\"id\":\"a\"}", "cgroup is missing" },
		{ "{\"version\":1,\"kind\":\"container\",\"id\":\"a\",\"cgroup\":\"c\"}",
		  "cgroup" },
		{ "{" HEAD ",\"root\":{}}", "\"root\"" },
		{ "{" GUEST_HEAD ",\"root\":{\"type\":\"ext4\"}}", "root.type" },
		{ "{" GUEST_HEAD ",\"root\":{\"type\":\"erofs\"}}", "layer is missing" },
		{ "{" GUEST_HEAD ",\"root\":{\"type\":\"erofs\",\"layer\":\"l\"}}",
		  "layer must be" },
		{ "{" GUEST_HEAD ",\"root\":{\"type\":\"erofs\",\"of\":1}}", "\"of\"" },
		{ "{" GUEST_HEAD ",\"overlay\":{\"lower\":[\"/a\"]},"
		  "\"root\":{\"type\":\"erofs\",\"layer\":\"/l\"}}",
		  "overlay is the guest's" },
		{ "{" HEAD ",\"overlay\":{}}", "overlay.lower" },
		{ "{" HEAD ",\"overlay\":{\"lower\":[\"a\"]}}", "overlay.lower[0]" },
		{ "{" HEAD ",\"overlay\":{\"lower\":[\"/a\"],\"upper\":\"/u\"}}", "overlay.work" },
		{ "{" HEAD ",\"overlay\":{\"lower\":[\"/a\"],\"size\":1}}", "\"size\"" },
		{ "{" HEAD ",\"log\":{\"driver\":\"syslog\"}}", "\"syslog\"" },
		{ "{" HEAD ",\"log\":{}}", "path is missing" },
		{ "{" HEAD ",\"log\":{\"path\":\"/l\",\"max_files\":0}}", "log.max_files" },
		{ "{" HEAD ",\"log\":{\"path\":\"/l\",\"max_size\":\"1m\"}}", "max_size" },
		{ "{" HEAD ",\"console_size\":[1]}", "console_size" },
		{ "{" HEAD ",\"console_size\":[1,70000]}", "console_size" },
		{ "{" HEAD ",\"console_size\":[\"1\",2]}", "console_size" },
		{ "{" HEAD ",\"tty\":1}", "tty must be" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct keepspec s;
		struct err err = ERR_INIT;
		assert_true(keepspec_parse(doc(rows[i].text), &s, &err) < 0);
		if (!strstr(err.text, rows[i].why) || strncmp(err.text, "keeper.json: ", 13))
			fail_msg("%s: \"%s\" does not say \"%s\"", rows[i].text, err.text,
				 rows[i].why);
	}
}

static void exitrec__codes_are_a_shells(void **state)
{
	(void)state;
	struct exitrec rec = { 0 };
	exitrec_set_status(&rec, 7 << 8);
	assert_int_equal(rec.exit_code, 7);
	assert_int_equal(rec.signal, 0);
	exitrec_set_status(&rec, 9);
	assert_int_equal(rec.exit_code, 137);
	assert_int_equal(rec.signal, 9);
	exitrec_set_status(&rec, 11 | 0x80); /* with a core */
	assert_int_equal(rec.exit_code, 139);
	assert_int_equal(exitrec_code_of_errno(ENOENT, 128), 127);
	assert_int_equal(exitrec_code_of_errno(EACCES, 128), 126);
	assert_int_equal(exitrec_code_of_errno(ENOEXEC, 128), 126);
	assert_int_equal(exitrec_code_of_errno(ENOMEM, 128), 128);
}

static void exitrec_write__is_keeper_exit(void **state)
{
	(void)state;
	struct exitrec rec = { .pid = 12, .started_ns = 3, .finished_ns = 4, .oom = true };
	exitrec_set_status(&rec, 9);
	exitrec_set_error(&rec, 128, "it broke");
	/* More than are remembered: the latest stay, oldest first. */
	for (int i = 0; i < EXITREC_EXECS + 10; i++) {
		char id[16];
		(void)snprintf(id, sizeof(id), "e%d", i);
		exitrec_add_exec(&rec, id, i % 256);
	}
	cleanup_fd int dir = open(folder, O_PATH | O_DIRECTORY | O_CLOEXEC);
	assert_int_equal(exitrec_write(&rec, dir, NULL), 0);
	exitrec_fini(&rec);
	cleanup_json json_object *o = NULL;
	assert_int_equal(json_read_file(dir, "exit.json", 1 << 20, &o, NULL), 0);
	assert_int_equal(json_i64_or(o, "exit_code", -1), 128);
	assert_int_equal(json_i64_or(o, "signal", -1), 9);
	assert_int_equal(json_i64_or(o, "pid", -1), 12);
	assert_int_equal(json_i64_or(o, "started_ns", -1), 3);
	assert_int_equal(json_i64_or(o, "finished_ns", -1), 4);
	assert_true(json_bool_or(o, "oom", false));
	assert_string_equal(json_str_or(o, "error", ""), "it broke");
	json_object *execs = json_get(o, "execs");
	assert_int_equal(json_len(execs), EXITREC_EXECS);
	assert_string_equal(json_str_or(json_object_array_get_idx(execs, 0), "exec", ""), "e10");
	assert_int_equal(
		json_i64_or(json_object_array_get_idx(execs, EXITREC_EXECS - 1), "exit_code", -1),
		EXITREC_EXECS + 9);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(keepspec_parse__reads_all_fields),
		cmocka_unit_test(keepspec_parse__has_defaults),
		cmocka_unit_test(keepspec_parse__knows_a_guests_root),
		cmocka_unit_test(keepspec_parse__names_what_is_wrong),
		cmocka_unit_test(exitrec__codes_are_a_shells),
		cmocka_unit_test_setup_teardown(exitrec_write__is_keeper_exit, make_folder,
						remove_folder),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
