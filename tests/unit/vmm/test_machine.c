/* SPDX-License-Identifier: Apache-2.0 */
/* test_machine - the machine file: what is taken, and what is refused by which name. */
#include "vmm/machine.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/vmm.h"

#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static json_object *parse_text(const char *text)
{
	struct err err = ERR_INIT;
	json_object *doc = NULL;
	if (json_parse(text, strlen(text), "test", &doc, &err) < 0)
		fail_msg("%s", err.text);
	return doc;
}

/* The smallest document, with @more members behind it. */
static json_object *doc_with(const char *more)
{
	char text[4096];
	(void)snprintf(text, sizeof(text),
		       "{\"version\":1,\"id\":\"vm\",\"kvm\":{\"fd\":5},"
		       "\"memory\":{\"size\":134217728},\"boot\":{\"kernel\":{\"fd\":6}}%s%s}",
		       *more ? "," : "", more);
	return parse_text(text);
}

static void assert_taken(json_object *doc, bool paths, struct machine *m)
{
	struct err err = ERR_INIT;
	if (machine_parse(doc, paths, m, &err) < 0)
		fail_msg("%s", err.text);
}

/* That it is refused, and that the text has @word in it. */
static void assert_refused(json_object *doc, bool paths, const char *word)
{
	struct err err = ERR_INIT;
	struct machine m = { .cpus = 77 };
	assert_int_equal(machine_parse(doc, paths, &m, &err), -EINVAL);
	assert_int_equal(m.cpus, 77); /* untouched */
	if (!strstr(err.text, word))
		fail_msg("\"%s\" is not in: %s", word, err.text);
}

static void parse__smallest_document_has_defaults(void **state)
{
	(void)state;
	struct machine m;
	assert_taken(doc_with(""), false, &m);
	assert_string_equal(m.id, "vm");
	assert_int_equal(m.kvm.fd, 5);
	assert_int_equal(m.kernel.fd, 6);
	assert_int_equal(m.initrd.fd, -1);
	assert_null(m.initrd.path);
	assert_string_equal(m.cmdline, "");
	assert_string_equal(m.seccomp, "kill");
	assert_int_equal(m.cpus, 1);
	assert_int_equal(m.threads_per_core, 1);
	assert_int_equal(m.cores_per_socket, 1);
	assert_int_equal(m.memory.size_bytes, 134217728);
	assert_int_equal(m.memory.page_bytes, 4096);
	assert_false(m.memory.shared || m.memory.thp || m.memory.prefault || m.memory.merge);
	assert_false(m.debug_exit || m.jail);
	assert_null(m.vmgenid);
	assert_true(m.fds[5] && m.fds[6] && !m.fds[7]);
	machine_fini(&m);
}

static void parse__takes_all_of_ours(void **state)
{
	(void)state;
	struct machine m;
	assert_taken(
		parse_text("{\"version\":1,\"id\":\"a.b_c-D9\",\"kvm\":{\"fd\":7},"
			   "\"cpus\":{\"count\":8,\"threads_per_core\":2,\"cores_per_socket\":2,"
			   "\"template\":\"host\",\"affinity\":[[0,1],[1023]]},"
			   "\"memory\":{\"size\":1073741824,\"shared\":true,\"hugepages\":\"2M\","
			   "\"thp\":true,\"prefault\":true,\"merge\":false},"
			   "\"boot\":{\"kernel\":{\"fd\":8},\"initrd\":{\"fd\":1023},"
			   "\"cmdline\":\"quiet\"},"
			   "\"serial\":{\"input\":false},\"seccomp\":\"log\","
			   "\"vmgenid\":\"01234567-89ab-cdef-0123-456789ABCDEF\","
			   "\"debug_exit\":true,\"jail\":{\"uid\":100000,\"gid\":100001}}"),
		false, &m);
	assert_int_equal(m.cpus, 8);
	assert_int_equal(m.threads_per_core, 2);
	assert_int_equal(m.cores_per_socket, 2);
	assert_int_equal(json_len(m.affinity), 2);
	assert_int_equal(m.memory.page_bytes, 2 << 20);
	assert_true(m.memory.shared && m.memory.thp && m.memory.prefault && !m.memory.merge);
	assert_int_equal(m.initrd.fd, 1023);
	assert_string_equal(m.cmdline, "quiet");
	assert_string_equal(m.seccomp, "log");
	assert_true(m.jail && m.debug_exit);
	assert_int_equal(m.uid, 100000);
	assert_int_equal(m.gid, 100001);
	machine_fini(&m);
}

static void parse__names_the_field(void **state)
{
	(void)state;
	static const struct {
		const char *more, *word;
	} rows[] = {
		{ "\"colour\":1", "colour" },
		{ "\"cpus\":3", "cpus: must be an object" },
		{ "\"cpus\":{\"broken_kvm\":\"1\"}", "cpus.broken_kvm" },
		{ "\"cpus\":{\"broken\":[],\"broken_kvm\":1}", "broken_kvm must be" },
		{ "\"cpus\":{\"cuont\":1}", "cpus.cuont" },
		{ "\"cpus\":{\"count\":0}", "cpus.count: 0 is less than 1" },
		{ "\"cpus\":{\"count\":256}", "cpus.count: 256 is more than 255" },
		{ "\"cpus\":{\"count\":\"2\"}", "count must be a whole number" },
		{ "\"cpus\":{\"count\":3,\"threads_per_core\":2}", "cpus.count" },
		{ "\"cpus\":{\"count\":1,\"threads_per_core\":2}", "cpus.count" },
		{ "\"cpus\":{\"threads_per_core\":3}", "cpus.threads_per_core" },
		{ "\"cpus\":{\"count\":4,\"cores_per_socket\":3}", "cpus.count" },
		{ "\"cpus\":{\"affinity\":[[0],[1]]}", "cpus.affinity: has 2 lists for 1" },
		{ "\"cpus\":{\"affinity\":[[]]}", "cpus.affinity[0]" },
		{ "\"cpus\":{\"affinity\":[[0,-1]]}", "cpus.affinity[0]: [1]" },
		{ "\"cpus\":{\"affinity\":[[1024]]}", "cpus.affinity[0]: [0]" },
		{ "\"cpus\":{\"template\":\"nonsense\"}", "cpus.template" },
		{ "\"cpus\":{\"template\":7}", "cpus.template" },
		{ "\"seccomp\":\"maybe\"", "seccomp: \"maybe\" is none of: kill, log, off" },
		{ "\"vmgenid\":\"01234567-89ab-cdef-0123-456789ABCDE\"", "vmgenid" },
		{ "\"vmgenid\":\"01234567-89ab-cdef-0123-456789ABCDEF0\"", "vmgenid" },
		{ "\"vmgenid\":\"g1234567-89ab-cdef-0123-456789ABCDEF\"", "vmgenid" },
		{ "\"debug_exit\":1", "debug_exit must be true or false" },
		{ "\"jail\":{\"uid\":0,\"gid\":1}", "jail.uid" },
		{ "\"jail\":{\"uid\":1,\"gid\":0}", "jail.gid" },
		{ "\"jail\":{\"uid\":4294967295,\"gid\":1}", "jail.uid" },
		{ "\"jail\":{\"uid\":1}", "jail: needs uid and gid" },
		{ "\"jail\":{\"gid\":1}", "jail: needs uid and gid" },
		{ "\"jail\":{}", "jail: needs uid and gid" },
		{ "\"jail\":{\"uid\":1,\"gid\":1,\"root\":1}", "jail.root" },
		{ "\"serial\":{\"speed\":9600}", "speed" },
		{ "\"serial\":{\"input\":1}", "input" },
		{ "\"nets\":{}", "nets: must be a list" },
		{ "\"nets\":[7]", "nets[0]: must be an object" },
		{ "\"nets\":[{}]", "nets[0]" },
		{ "\"balloon\":true", "balloon: must be an object or false" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_refused(doc_with(rows[i].more), false, rows[i].word);
}

static void parse__names_what_is_missing_or_out_of_range(void **state)
{
	(void)state;
	static const struct {
		const char *text, *word;
	} rows[] = {
		{ "7", "must be an object" },
		{ "[]", "must be an object" },
		{ "{}", "version: must be 1" },
		{ "{\"version\":2}", "version: must be 1" },
		{ "{\"version\":\"1\"}", "version" },
		{ "{\"version\":1}", "id: is missing" },
		{ "{\"version\":1,\"id\":\"\"}", "id: must be 1 to 63" },
		{ "{\"version\":1,\"id\":\"a/b\"}", "id: must be 1 to 63" },
		{ "{\"version\":1,\"id\":\"a\\nb\"}", "id: must be 1 to 63" },
		{ "{\"version\":1,\"id\":\"vm\"}", "kvm: is missing" },
		{ "{\"version\":1,\"id\":\"vm\",\"kvm\":{\"fd\":5}}", "memory: is missing" },
		{ "{\"version\":1,\"id\":\"vm\",\"kvm\":{\"fd\":5},\"memory\":{}}",
		  "memory.size: is missing" },
		{ "{\"version\":1,\"id\":\"vm\",\"kvm\":{\"fd\":5},\"memory\":{\"size\":1048576}}",
		  "boot: is missing" },
		{ "{\"version\":1,\"id\":\"vm\",\"kvm\":{\"fd\":5},\"memory\":{\"size\":1048576},"
		  "\"boot\":{}}",
		  "boot.kernel: is missing" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		assert_refused(parse_text(rows[i].text), false, rows[i].word);
}

static void parse__checks_memory(void **state)
{
	(void)state;
	static const struct {
		const char *memory, *word;
	} rows[] = {
		{ "{\"size\":0}", "memory.size" },
		{ "{\"size\":-1}", "memory.size" },
		{ "{\"size\":1048575}", "memory.size" },
		{ "{\"size\":1099511627777}", "memory.size" },
		{ "{\"size\":9223372036854775807}", "memory.size" },
		{ "{\"size\":18446744073709551615}", "size is out of range" },
		{ "{\"size\":1e9}", "size must be a whole number" },
		{ "{\"size\":1048577}", "no whole number" },
		{ "{\"size\":1048576,\"hugepages\":\"2M\"}", "memory: " },
		{ "{\"size\":134217728,\"hugepages\":\"4M\"}", "memory.hugepages" },
		{ "{\"size\":134217728,\"merge\":true,\"shared\":true}", "merged" },
		{ "{\"size\":134217728,\"thp\":\"yes\"}", "thp" },
		{ "{\"size\":134217728,\"swap\":true}", "memory.swap" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512];
		(void)snprintf(text, sizeof(text),
			       "{\"version\":1,\"id\":\"vm\",\"kvm\":{\"fd\":5},\"memory\":%s,"
			       "\"boot\":{\"kernel\":{\"fd\":6}}}",
			       rows[i].memory);
		assert_refused(parse_text(text), false, rows[i].word);
	}
}

static void parse__paths_only_by_hand(void **state)
{
	(void)state;
	static const char text[] = "{\"version\":1,\"id\":\"vm\",\"memory\":{\"size\":1048576},"
				   "\"boot\":{\"kernel\":{\"path\":\"/boot/k\"}}}";
	struct machine m;
	assert_refused(parse_text(text), false, "boot: kernel: path: only with --config");
	assert_taken(parse_text(text), true, &m);
	assert_string_equal(m.kvm.path, "/dev/kvm");
	assert_string_equal(m.kernel.path, "/boot/k");
	machine_fini(&m);
}

static void parse__a_descriptor_has_one_owner(void **state)
{
	(void)state;
	static const struct {
		const char *boot, *word;
	} rows[] = {
		{ "{\"kernel\":{\"fd\":5}}", "fd: 5 is named twice" },
		{ "{\"kernel\":{\"fd\":6},\"initrd\":{\"fd\":6}}", "fd: 6 is named twice" },
		{ "{\"kernel\":{\"fd\":4}}", "fd: 4 is no descriptor" },
		{ "{\"kernel\":{\"fd\":-1}}", "fd: -1 is no descriptor" },
		{ "{\"kernel\":{\"fd\":1024}}", "fd: 1024 is no descriptor" },
		{ "{\"kernel\":{\"fd\":9223372036854775807}}", "is no descriptor" },
		{ "{\"kernel\":{\"fd\":\"6\"}}", "fd must be a whole number" },
		{ "{\"kernel\":{}}", "either \"fd\" or \"path\"" },
		{ "{\"kernel\":{\"fd\":6,\"mode\":1}}", "kernel.mode" },
		{ "{\"kernel\":6}", "kernel: must be an object" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512];
		(void)snprintf(text, sizeof(text),
			       "{\"version\":1,\"id\":\"vm\",\"kvm\":{\"fd\":5},"
			       "\"memory\":{\"size\":1048576},\"boot\":%s}",
			       rows[i].boot);
		assert_refused(parse_text(text), false, rows[i].word);
	}
}

static void parse__refuses_odd_paths(void **state)
{
	(void)state;
	static const char *const rows[][2] = {
		{ "{\"path\":\"boot/k\"}", "is not absolute" },
		{ "{\"path\":\"\"}", "is not absolute" },
		{ "{\"path\":\"/a\",\"fd\":9}", "either" },
		{ "{\"path\":7}", "path must be a string" },
		{ "{\"path\":\"/a\\u0000b\"}", "NUL" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char text[512];
		(void)snprintf(text, sizeof(text),
			       "{\"version\":1,\"id\":\"vm\",\"memory\":{\"size\":1048576},"
			       "\"boot\":{\"kernel\":%s}}",
			       rows[i][0]);
		assert_refused(parse_text(text), true, rows[i][1]);
	}
}

static void parse__refuses_a_long_command_line(void **state)
{
	(void)state;
	for (size_t n = MACHINE_CMDLINE_MAX; n <= MACHINE_CMDLINE_MAX + 1; n++) {
		char line[MACHINE_CMDLINE_MAX + 2] = "";
		char text[4096];
		memset(line, 'a', n);
		(void)snprintf(text, sizeof(text),
			       "{\"version\":1,\"id\":\"vm\",\"kvm\":{\"fd\":5},"
			       "\"memory\":{\"size\":1048576},\"boot\":{\"kernel\":{\"fd\":6},"
			       "\"cmdline\":\"%s\"}}",
			       line);
		struct machine m;
		if (n > MACHINE_CMDLINE_MAX) {
			assert_refused(parse_text(text), false, "boot.cmdline");
			break;
		}
		assert_taken(parse_text(text), false, &m);
		machine_fini(&m);
	}
}

static void parse__ids_are_unique_and_devices_limited(void **state)
{
	(void)state;
	char many[4096] = "\"nets\":[", more[128];
	/* whatever their kinds */
	assert_refused(doc_with("\"nets\":[{\"id\":\"a\",\"tap\":{\"fd\":10}}],"
				"\"consoles\":[{\"id\":\"a\",\"source\":{\"fd\":11}}]"),
		       false, "id: \"a\" is taken");
	assert_refused(doc_with("\"consoles\":[{\"id\":\"a b\",\"source\":{\"fd\":10}}]"), false,
		       "id");
	for (int i = 0; i < 19; i++) {
		(void)snprintf(more, sizeof(more), "%s{\"id\":\"c%d\",\"tap\":{\"fd\":%d}}",
			       i ? "," : "", i, 10 + i);
		strcat(many, more);
	}
	strcat(many, "]");
	assert_refused(doc_with(many), false, "nets: a VM has at most 18");
}

static void source__is_read_and_opened(void **state)
{
	(void)state;
	cleanup_json json_object *o =
		parse_text("{\"a\":{\"path\":\"/dev/null\"},\"b\":{\"path\":\"/nonexistent/x\"},"
			   "\"c\":{\"fd\":1000},\"d\":null}");
	struct source s = { .fd = 3 };
	struct err err = ERR_INIT;
	assert_int_equal(source_get(o, "z", &s, &err), 0);
	assert_int_equal(source_get(o, "d", &s, &err), 0);
	assert_int_equal(s.fd, 3);
	assert_int_equal(source_get(o, "a", &s, &err), 1);
	int fd = source_open(&s, O_RDWR, &err);
	assert_true(fd >= 0);
	assert_int_equal(fcntl(fd, F_GETFD), FD_CLOEXEC);
	/* a descriptor becomes ours as it is */
	struct source own = { .fd = fd };
	assert_int_equal(source_open(&own, O_RDWR, &err), fd);
	fd_close(&fd);
	assert_int_equal(source_get(o, "b", &s, &err), 1);
	assert_int_equal(source_open(&s, O_RDWR, &err), -ENOENT);
	assert_non_null(strstr(err.text, "/nonexistent/x"));
	assert_int_equal(source_get(o, "c", &s, &err), 1);
	assert_int_equal(source_open(&s, O_RDWR, &err), -EBADF);
	assert_non_null(strstr(err.text, "descriptor 1000"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(parse__smallest_document_has_defaults),
		cmocka_unit_test(parse__takes_all_of_ours),
		cmocka_unit_test(parse__names_the_field),
		cmocka_unit_test(parse__names_what_is_missing_or_out_of_range),
		cmocka_unit_test(parse__checks_memory),
		cmocka_unit_test(parse__paths_only_by_hand),
		cmocka_unit_test(parse__a_descriptor_has_one_owner),
		cmocka_unit_test(parse__refuses_odd_paths),
		cmocka_unit_test(parse__refuses_a_long_command_line),
		cmocka_unit_test(parse__ids_are_unique_and_devices_limited),
		cmocka_unit_test(source__is_read_and_opened),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
