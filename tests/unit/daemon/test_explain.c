/* SPDX-License-Identifier: Apache-2.0 */
/* explain - files of /proc as facts: what they look like, and what a payload can put into
 * them by its names. */
#include "fixture.h"

#include "daemon/explain.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <stdio.h>
#include <string.h>

static void mount_line__is_read(void **state)
{
	(void)state;
	static const struct {
		const char *line, *want;
	} rows[] = {
		{ "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue",
		  "{'Target':'/mnt2','Type':'ext3','Source':'/dev/root','Root':'/mnt1',"
		  "'Options':'rw,noatime','ReadOnly':false}" },
		{ "36 35 0:4 / /proc/sys ro,nosuid - proc proc rw",
		  "{'Target':'/proc/sys','Type':'proc','Source':'proc','Root':'/',"
		  "'Options':'ro,nosuid','ReadOnly':true}" },
		/* Escapes of the kernel; what a terminal would obey, and what is no UTF-8. */
		{ "1 2 0:1 / /a\\040b\\134c rw shared:1 master:2 - tmpfs x rw",
		  "{'Target':'/a b\\\\c','Type':'tmpfs','Source':'x','Root':'/','Options':'rw',"
		  "'ReadOnly':false}" },
		{ "1 2 0:1 / /\x1b[2J\\012x\xff rw - tmpfs none rw",
		  "{'Target':'/?[2J?x?','Type':'tmpfs','Source':'none','Root':'/','Options':'rw',"
		  "'ReadOnly':false}" },
		{ "1 2 0:1 / /x\\", NULL },
		{ "1 2 0:1 / /x rw shared:1", NULL },
		{ "1 2 0:1 / /x rw -", NULL },
		{ "-", NULL },
		{ "", NULL },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char line[256];
		(void)snprintf(line, sizeof(line), "%s", rows[i].line);
		cleanup_json json_object *o = explain_mount_line(line);
		if (rows[i].want)
			assert_json(o, rows[i].want);
		else
			assert_null(o);
	}
}

static void map__is_read(void **state)
{
	(void)state;
	static const char *const texts[][2] = {
		{ "         0    1048576      65536\n",
		  "[{'Inside':0,'Outside':1048576,'Size':65536}]" },
		{ "0 0 4294967295\n", "[{'Inside':0,'Outside':0,'Size':4294967295}]" },
		{ "0 1 2\n3 4 5\n",
		  "[{'Inside':0,'Outside':1,'Size':2},{'Inside':3,'Outside':4,'Size':5}]" },
		{ "", "[]" },
		{ "1 2", "[]" },
	};
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
		cleanup_json json_object *list = explain_map(texts[i][0]);
		assert_json(list, texts[i][1]);
	}
}

static void status__is_read(void **state)
{
	(void)state;
	cleanup_json json_object *o = json_object_new_object();
	cleanup_json json_object *empty = json_object_new_object();
	/* A name cannot pass for a line: the kernel escapes its line ends. */
	explain_status(o,
		       "Name:\tSeccomp:\\n0\nCapInh:\t0000000000000000\nCapPrm:\t0000000000000003\n"
		       "CapEff:\t0000000000000001\nCapBnd:\t0000000000000003\n"
		       "CapAmb:\t0000000000000000\nNoNewPrivs:\t1\nSeccomp:\t2\n"
		       "Seccomp_filters:\t3\n");
	assert_json(o, "{'Capabilities':{'Effective':['CAP_CHOWN'],"
		       "'Permitted':['CAP_CHOWN','CAP_DAC_OVERRIDE'],'Inheritable':[],"
		       "'Bounding':['CAP_CHOWN','CAP_DAC_OVERRIDE'],'Ambient':[]},"
		       "'NoNewPrivileges':true,'Seccomp':'filter','SeccompFilters':3}");
	explain_status(empty, "");
	assert_string_equal(json_str_or(empty, "Seccomp", ""), "none");
	assert_int_equal(json_len(json_get(json_get(empty, "Capabilities"), "Bounding")), 0);
}

static void stat__tells_kernel_threads(void **state)
{
	(void)state;
	assert_true(explain_is_kthread_stat(
		"77 (kvm-nx-lpage-re) S 2 0 0 0 -1 2129984 0 0 0 0 0 0 0 0 20 0 1 0 1 0 0"));
	assert_false(explain_is_kthread_stat("77 (sh) S 2 0 0 0 -1 4194304 0 0 0 0 0"));
	/* A name can have all of it, and blanks and brackets. */
	assert_false(explain_is_kthread_stat(
		"77 (a) S 2 0 0 0 -1 2129984) R 2 0 0 0 -1 4194304 0 0 0 0 0"));
	assert_false(explain_is_kthread_stat("77 (sh) S 2 0"));
	assert_false(explain_is_kthread_stat(""));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mount_line__is_read),
		cmocka_unit_test(map__is_read),
		cmocka_unit_test(status__is_read),
		cmocka_unit_test(stat__tells_kernel_threads),
	};
	return cmocka_run_group_tests_name("explain", tests, NULL, NULL);
}
