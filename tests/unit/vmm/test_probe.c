/* SPDX-License-Identifier: Apache-2.0 */
/* test_probe - the probe's guest in its memory, and, where there is a /dev/kvm, what it
 * finds out: each case ends one way or the other, within its time. */
#include "vmm/probe.h"

#include "isola/fd.h"
#include "isola/json.h"

#include "vmm/cpu_broken.h"
#include "vmm/cpu_cpuid.h"
#include "vmm/machine.h"
#include "vmm/probe_guest.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

static int open_kvm(void)
{
	int fd = open("/dev/kvm", O_RDWR | O_CLOEXEC);
	if (fd < 0)
		print_message("skipped: /dev/kvm may not be opened here\n");
	return fd;
}

static void cases__are_well_formed(void **state)
{
	(void)state;
	for (size_t i = 0; i < probe_n_cases; i++) {
		const struct probe_case *c = &probe_cases[i];
		size_t index = 0;
		assert_ptr_equal(probe_find(c->name, &index), c);
		assert_int_equal(index, i);
		assert_true(c->size > 0 && c->size <= sizeof(c->code));
		assert_true(!c->feature || cpuid_feature(c->feature));
		assert_true(c->vector < 32 && c->at <= (int)c->size);
	}
	assert_null(probe_find("no such case", NULL));
}

static void guest__has_handlers_for_every_vector(void **state)
{
	uint8_t *memory = malloc(GUEST_BYTES);
	(void)state;
	assert_non_null(memory);
	uint64_t end = guest_write(memory, probe_find("int3", NULL));
	assert_int_equal(end, GUEST_CODE + 1);
	assert_int_equal(memory[GUEST_CODE], 0xcc);
	for (unsigned int v = 0; v < 32; v++) {
		uint16_t offset;
		memcpy(&offset, memory + 0x5000 + v * 16, 2);
		/* With an error code pushed by the processor (8, 10-14 ...) one push less. */
		bool pushes =
			(v >= 10 && v <= 14) || v == 8 || v == 17 || v == 21 || v == 29 || v == 30;
		const uint8_t *stub = memory + offset + (pushes ? 0 : 2);
		assert_int_equal(stub[0], 0x6a);
		assert_int_equal(stub[1], v);
		assert_int_equal(stub[2], 0xe9);
	}
	free(memory);
}

static uint64_t now_ms(void)
{
	struct timespec ts;
	(void)clock_gettime(CLOCK_MONOTONIC, &ts);
	return (uint64_t)ts.tv_sec * 1000 + (uint64_t)ts.tv_nsec / 1000000;
}

static void every_case__ends(void **state)
{
	struct err err = ERR_INIT;
	cleanup_fd int kvm_fd = open_kvm();
	(void)state;
	if (kvm_fd < 0)
		skip();
	struct cpuid *cpuid = calloc(1, sizeof(*cpuid));
	struct probe_result *r = calloc(probe_n_cases, sizeof(*r));
	assert_true(cpuid && r);
	assert_int_equal(cpuid_supported(kvm_fd, cpuid, &err), 0);
	uint64_t start = now_ms();
	if (probe_run(kvm_fd, cpuid, NULL, r, &err) < 0)
		fail_msg("%s", err.text);
	assert_true(now_ms() - start < probe_n_cases * PROBE_LIMIT_MS + 20000);
	for (size_t i = 0; i < probe_n_cases; i++) {
		print_message("%s: %d %s\n", probe_cases[i].name, (int)r[i].outcome, r[i].text);
		assert_true(r[i].outcome <= PROBE_MISSING);
		assert_int_equal(r[i].outcome == PROBE_WORKS, r[i].text[0] == '\0');
	}
	/* These work on each KVM, in software too. */
	size_t index = 0;
	(void)probe_find("cpuid", &index);
	assert_int_equal(r[index].outcome, PROBE_WORKS);
	(void)probe_find("ud2", &index);
	assert_int_equal(r[index].outcome, PROBE_WORKS);
	free(cpuid);
	free(r);
}

static void only_named_cases__are_run(void **state)
{
	static const char *const names[] = { "cpuid", NULL };
	struct err err = ERR_INIT;
	cleanup_fd int kvm_fd = open_kvm();
	(void)state;
	if (kvm_fd < 0)
		skip();
	struct cpuid *cpuid = calloc(1, sizeof(*cpuid));
	struct probe_result *r = calloc(probe_n_cases, sizeof(*r));
	assert_true(cpuid && r);
	memset(r, 0x77, probe_n_cases * sizeof(*r));
	assert_int_equal(cpuid_supported(kvm_fd, cpuid, &err), 0);
	assert_int_equal(probe_run(kvm_fd, cpuid, names, r, &err), 0);
	size_t index = 0;
	(void)probe_find("cpuid", &index);
	for (size_t i = 0; i < probe_n_cases; i++)
		assert_int_equal(r[i].text[0], i == index ? 0 : 0x77);
	free(cpuid);
	free(r);
}

static void report__says_whether_linux_runs(void **state)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *doc = NULL;
	cleanup_fd int kvm_fd = open_kvm();
	(void)state;
	if (kvm_fd < 0)
		skip();
	if (probe_report("/dev/kvm", &doc, &err) < 0)
		fail_msg("%s", err.text);
	json_object *checks = json_get(doc, "checks");
	bool all = true;
	assert_true(json_len(checks) >= probe_n_cases);
	for (size_t i = 0; i < json_len(checks); i++) {
		json_object *c = json_object_array_get_idx(checks, i);
		assert_int_not_equal(strlen(json_str_or(c, "name", "")), 0);
		assert_int_not_equal(strlen(json_str_or(c, "text", "")), 0);
		if (!json_bool_or(c, "ok", true)) {
			assert_int_not_equal(strlen(json_str_or(c, "fix", "")), 0);
			all = all && !json_bool_or(c, "needed", true);
		}
	}
	assert_int_equal(json_bool_or(doc, "linux", !all), all);
	assert_true(all || json_len(json_get(doc, "broken")) > 0);
}

static void report__names_what_it_cannot_open(void **state)
{
	struct err err = ERR_INIT;
	json_object *doc = NULL;
	(void)state;
	assert_true(probe_report("/nonexistent/kvm", &doc, &err) < 0);
	assert_non_null(strstr(err.text, "/nonexistent/kvm"));
	assert_null(doc);
}

/* ---- what is told in place of a probe ---- */

static void broken_report__is_of_a_software_kvm(void **state)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *doc = NULL;
	char text[BROKEN_KVM_TEXT];
	cleanup_fd int kvm_fd = open_kvm();
	(void)state;
	if (kvm_fd < 0)
		skip();
	if (broken_report("/dev/kvm", &doc, &err) < 0)
		fail_msg("%s", err.text);
	json_object *list = json_get(doc, "broken");
	assert_true(!list || probe_is_software());
	if (list)
		assert_string_equal(json_str_or(doc, "broken_kvm", ""),
				    broken_kvm(kvm_fd, text, sizeof(text)));
	else
		assert_int_equal(json_object_object_length(doc), 0);
}

static void broken_report__names_what_it_cannot_open(void **state)
{
	struct err err = ERR_INIT;
	json_object *doc = NULL;
	(void)state;
	assert_true(broken_report("/nonexistent/kvm", &doc, &err) < 0);
	assert_non_null(strstr(err.text, "/nonexistent/kvm"));
	assert_null(doc);
}

static void broken_told__is_only_what_is_of_this_kvm(void **state)
{
	char text[BROKEN_KVM_TEXT];
	cleanup_fd int one = open("/dev/zero", O_RDWR | O_CLOEXEC);
	cleanup_fd int other = open("/dev/null", O_RDWR | O_CLOEXEC);
	cleanup_json json_object *list = json_object_new_array();
	struct machine m = { .cpu_broken = list };
	(void)state;
	assert_true(one >= 0 && other >= 0);
	assert_ptr_equal(broken_told(one, &m), list); /* by hand: of any */
	m.cpu_broken_kvm = broken_kvm(one, text, sizeof(text));
	assert_ptr_equal(broken_told(one, &m), list);
	assert_null(broken_told(other, &m));
	m.cpu_broken_kvm = "";
	assert_null(broken_told(one, &m));
	m = (struct machine){ 0 };
	assert_null(broken_told(one, &m));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(cases__are_well_formed),
		cmocka_unit_test(guest__has_handlers_for_every_vector),
		cmocka_unit_test(every_case__ends),
		cmocka_unit_test(only_named_cases__are_run),
		cmocka_unit_test(report__says_whether_linux_runs),
		cmocka_unit_test(report__names_what_it_cannot_open),
		cmocka_unit_test(broken_report__is_of_a_software_kvm),
		cmocka_unit_test(broken_report__names_what_it_cannot_open),
		cmocka_unit_test(broken_told__is_only_what_is_of_this_kvm),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
