/* SPDX-License-Identifier: Apache-2.0 */
/* spec_process, spec_sched - the "process" object. */
#include "spec_doc.h"

#include "ctr/spec.h"
#include "isola/caps.h"
#include "isola/lsm.h"

#include <errno.h>
#include <linux/capability.h>
#include <stdio.h>
#include <sys/resource.h>

#define P(text) "{\"process\":{" text "}}"

static void process__has_defaults(void **state)
{
	(void)state;
	struct ctr_spec *s = good_spec("{}");
	const struct ctr_process *p = s->process;
	assert_int_equal(p->uid, 0);
	assert_int_equal(p->umask, -1);
	assert_int_equal(p->ioprio, -1);
	assert_null(p->user);
	assert_null(p->unknown_caps);
	assert_false(p->oom_score_adj_set);
	assert_false(p->scheduler.set);
	assert_null(p->env[0]);
	assert_int_equal(p->caps.bounding, 0);
	ctr_spec_free(s);
}

static void process__reads_everything(void **state)
{
	(void)state;
	struct ctr_spec *s =
		good_spec(P("\"terminal\":true,\"consoleSize\":{\"height\":25,\"width\":80},"
			    "\"user\":{\"uid\":1,\"gid\":2,\"umask\":63,\"additionalGids\":[5,6]},"
			    "\"args\":[\"a\",\"b\"],\"env\":[\"A=1\",\"B=\"],\"cwd\":\"/w\","
			    "\"rlimits\":[{\"type\":\"RLIMIT_NOFILE\",\"soft\":10,\"hard\":20},"
			    "{\"type\":\"RLIMIT_CORE\",\"soft\":0,\"hard\":18446744073709551615}],"
			    "\"noNewPrivileges\":true,\"oomScoreAdj\":-500,"
			    "\"scheduler\":{\"policy\":\"SCHED_BATCH\",\"nice\":5,"
			    "\"flags\":[\"SCHED_FLAG_RESET_ON_FORK\"]},"
			    "\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":4},"
			    "\"execCPUAffinity\":{\"initial\":\"7\",\"final\":\"0-3,7\"}"));
	const struct ctr_process *p = s->process;
	assert_true(ctr_process_terminal(p));
	assert_int_equal(p->rows, 25);
	assert_int_equal(p->columns, 80);
	assert_int_equal(p->uid, 1);
	assert_int_equal(p->gid, 2);
	assert_int_equal(p->umask, 077);
	assert_int_equal(p->n_groups, 2);
	assert_int_equal(p->groups[1], 6);
	assert_int_equal(p->n_args, 2);
	assert_string_equal(p->args[1], "b");
	assert_null(p->args[2]);
	assert_string_equal(p->env[1], "B=");
	assert_string_equal(p->cwd, "/w");
	assert_int_equal(p->n_rlimits, 2);
	assert_int_equal(p->rlimits[0].resource, RLIMIT_NOFILE);
	assert_int_equal(p->rlimits[0].soft, 10);
	assert_true(p->rlimits[1].hard == RLIM_INFINITY);
	assert_true(p->no_new_privileges);
	assert_true(p->oom_score_adj_set);
	assert_int_equal(p->oom_score_adj, -500);
	assert_true(p->scheduler.set);
	assert_int_equal(p->scheduler.policy, SCHED_BATCH);
	assert_int_equal(p->scheduler.nice, 5);
	assert_int_equal(p->scheduler.flags, 1);
	assert_int_equal(p->ioprio, 2 << 13 | 4);
	assert_int_equal(CPU_COUNT(p->affinity_initial), 1);
	assert_int_equal(CPU_COUNT(p->affinity_final), 5);
	assert_true(CPU_ISSET(7, p->affinity_final));
	ctr_spec_free(s);
}

static void process__ignores_the_size_of_no_terminal(void **state)
{
	(void)state;
	struct ctr_spec *s = good_spec(P("\"consoleSize\":{\"height\":-1}"));
	assert_int_equal(s->process->rows, 0);
	ctr_spec_free(s);
}

static void caps__are_what_can_be_granted(void **state)
{
	(void)state;
	struct ctr_spec *s = good_spec(P(
		"\"capabilities\":{\"bounding\":[\"CAP_CHOWN\",\"CAP_KILL\",\"CAP_FROB\",\"chown\"],"
		"\"effective\":[\"CAP_CHOWN\",\"CAP_SYS_ADMIN\"],"
		"\"permitted\":[\"CAP_CHOWN\",\"CAP_KILL\",\"CAP_FROB\"],"
		"\"inheritable\":[\"CAP_KILL\"],\"ambient\":[\"CAP_KILL\",\"CAP_CHOWN\"]}"));
	const struct ctr_caps *c = &s->process->caps;
	assert_int_equal(c->bounding, 1 << CAP_CHOWN | 1 << CAP_KILL);
	assert_int_equal(c->permitted, 1 << CAP_CHOWN | 1 << CAP_KILL);
	assert_int_equal(c->effective, 1 << CAP_CHOWN);
	assert_int_equal(c->inheritable, 1 << CAP_KILL);
	assert_int_equal(c->ambient, 1 << CAP_KILL);
	assert_string_equal(s->process->unknown_caps, "CAP_FROB chown CAP_CHOWN CAP_SYS_ADMIN");
	ctr_spec_free(s);
}

static void user_text__has_a_grammar(void **state)
{
	(void)state;
	static const char *const good[] = { "0",   "1000",     "root",       "root:root",
					    "1:2", "www-data", "a.b_c:d",    "user$",
					    "1x",  "_apt:0",   "4294967294", "nobody:4294967294" };
	static const char *const bad[] = {
		"1:",    ":1",   ":",   "01",         "1:01",
		"-1",    "-x",   "a b", "4294967295", "99999999999999999999",
		"a:b:c", "a/b",  "a$b", "\\u00e4",    "1 ",
		"$",     "a\\n", "+1",  "0x10:-1",    "root:"
	};
	char text[200];
	for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
		(void)snprintf(text, sizeof(text), P("\"user\":{\"org.isola.user\":\"%s\"}"),
			       good[i]);
		struct ctr_spec *s = good_spec(text);
		assert_string_equal(s->process->user, good[i]);
		ctr_spec_free(s);
	}
	for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
		(void)snprintf(text, sizeof(text), P("\"user\":{\"org.isola.user\":\"%s\"}"),
			       bad[i]);
		json_object *doc = spec_doc(text);
		struct ctr_spec *s = NULL;
		struct err err = ERR_INIT;
		if (ctr_spec_parse(doc, &s, &err) >= 0)
			fail_msg("%s: accepted", bad[i]);
		if (strncmp(err.text, "process.user.org.isola.user: ", 29))
			fail_msg("%s: %s", bad[i], err.text);
		json_object_put(doc);
	}
}

static void process__names_what_is_wrong(void **state)
{
	(void)state;
	static const struct bad_row rows[] = {
		{ P("\"args\":null"), "process.args: is missing: what shall run?" },
		{ P("\"args\":[]"), "process.args: is missing: what shall run?" },
		{ P("\"args\":\"sh\""), "process.args: must be an array of strings" },
		{ P("\"args\":[\"a\",null]"), "process.args[1]: must be a string" },
		{ P("\"args\":[\"a\\u0000\"]"), "process.args[0]: must not hold a NUL byte" },
		{ P("\"cwd\":null"), "process.cwd: is missing" },
		{ P("\"cwd\":\"rel\""), "process.cwd: must be an absolute path, not \"rel\"" },
		{ P("\"env\":[\"A=1\",\"B\"]"), "process.env[1]: must be NAME=value, not \"B\"" },
		{ P("\"env\":[\"=x\"]"), "process.env[0]: must be NAME=value, not \"=x\"" },
		{ P("\"terminal\":1"), "process.terminal: must be true or false" },
		{ P("\"terminal\":true,\"consoleSize\":{\"height\":1}"),
		  "process.consoleSize.width: is missing" },
		{ P("\"terminal\":true,\"consoleSize\":{\"height\":65536,\"width\":1}"),
		  "process.consoleSize.height: must be 0 to 65535" },
		{ P("\"user\":{\"uid\":4294967295}"), "process.user.uid: must be 0 to 4294967294" },
		{ P("\"user\":{\"gid\":-1}"), "process.user.gid: must be 0 to 4294967294" },
		{ P("\"user\":{\"uid\":\"0\"}"), "process.user.uid: must be a whole number" },
		{ P("\"user\":{\"uid\":1.5}"), "process.user.uid: must be a whole number" },
		{ P("\"user\":{\"umask\":512}"), "process.user.umask: must be 0 to 511" },
		{ P("\"user\":{\"additionalGids\":[1,-2]}"),
		  "process.user.additionalGids[1]: must be a group id" },
		{ P("\"user\":\"root\""), "process.user: must be an object" },
		{ P("\"capabilities\":[]"), "process.capabilities: must be an object" },
		{ P("\"capabilities\":{\"ambient\":[1]}"),
		  "process.capabilities.ambient[0]: must be a string" },
		{ P("\"rlimits\":[{\"type\":\"RLIMIT_FOO\",\"soft\":1,\"hard\":1}]"),
		  "process.rlimits[0].type: unknown limit \"RLIMIT_FOO\"" },
		{ P("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"hard\":1}]"),
		  "process.rlimits[0].soft: is missing" },
		{ P("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":2,\"hard\":1}]"),
		  "process.rlimits[0].soft: is above the hard limit" },
		{ P("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":-1,\"hard\":1}]"),
		  "process.rlimits[0].soft: must not be negative" },
		{ P("\"rlimits\":[{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1},"
		    "{\"type\":\"RLIMIT_CPU\",\"soft\":1,\"hard\":1}]"),
		  "process.rlimits[1].type: RLIMIT_CPU is listed twice" },
		{ P("\"oomScoreAdj\":1001"), "process.oomScoreAdj: must be -1000 to 1000" },
		{ P("\"noNewPrivileges\":\"yes\""),
		  "process.noNewPrivileges: must be true or false" },
		{ P("\"scheduler\":{}"), "process.scheduler.policy: is missing" },
		{ P("\"scheduler\":{\"policy\":\"SCHED_ISO\"}"),
		  "process.scheduler.policy: Linux has no SCHED_ISO" },
		{ P("\"scheduler\":{\"policy\":\"SCHED_FOO\"}"),
		  "process.scheduler.policy: unknown policy \"SCHED_FOO\"" },
		{ P("\"scheduler\":{\"policy\":\"SCHED_FIFO\"}"),
		  "process.scheduler.priority: must be 1 to 99 for SCHED_FIFO and SCHED_RR" },
		{ P("\"scheduler\":{\"policy\":\"SCHED_FIFO\",\"priority\":1,\"nice\":1}"),
		  "process.scheduler.nice: is for SCHED_OTHER and SCHED_BATCH only" },
		{ P("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"priority\":1}"),
		  "process.scheduler.priority: is for SCHED_FIFO and SCHED_RR only" },
		{ P("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"runtime\":1}"),
		  "process.scheduler.runtime: is for SCHED_DEADLINE only" },
		{ P("\"scheduler\":{\"policy\":\"SCHED_DEADLINE\",\"runtime\":9,\"deadline\":8}"),
		  "process.scheduler.runtime: SCHED_DEADLINE needs 0 < runtime <= deadline <= period" },
		{ P("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"flags\":[\"SCHED_FLAG_X\"]}"),
		  "process.scheduler.flags[0]: unknown flag \"SCHED_FLAG_X\"" },
		{ P("\"scheduler\":{\"policy\":\"SCHED_OTHER\",\"flags\":[\"SCHED_FLAG_UTIL_CLAMP_MIN\"]}"),
		  "process.scheduler.flags[0]: SCHED_FLAG_UTIL_CLAMP_MIN is not supported" },
		{ P("\"ioPriority\":{\"class\":\"IOPRIO_CLASS_BE\",\"priority\":8}"),
		  "process.ioPriority.priority: must be 0 to 7" },
		{ P("\"ioPriority\":{\"class\":\"BE\"}"),
		  "process.ioPriority.class: unknown class \"BE\"" },
		{ P("\"execCPUAffinity\":{\"initial\":\"3-1\"}"),
		  "process.execCPUAffinity.initial: \"3-1\" is no list of CPUs like \"0-3,7\"" },
		{ P("\"execCPUAffinity\":{\"final\":\"1,\"}"),
		  "process.execCPUAffinity.final: \"1,\" is no list of CPUs like \"0-3,7\"" },
		{ P("\"execCPUAffinity\":{\"final\":\"1024\"}"),
		  "process.execCPUAffinity.final: \"1024\" is no list of CPUs like \"0-3,7\"" },
	};
	CHECK_BAD(rows);
}

static void labels__need_their_module(void **state)
{
	(void)state;
	ctr_spec_free(good_spec(P("\"apparmorProfile\":\"\",\"selinuxLabel\":\"\"")));
	if (!lsm_has_apparmor()) {
		static const struct bad_row rows[] = {
			{ P("\"apparmorProfile\":\"x\""),
			  "process.apparmorProfile: cannot apply \"x\": "
			  "this host runs no AppArmor" },
		};
		CHECK_BAD(rows);
	}
	if (!lsm_has_selinux()) {
		static const struct bad_row rows[] = {
			{ P("\"selinuxLabel\":\"x\""),
			  "process.selinuxLabel: cannot apply \"x\": this host runs no SELinux" },
			{ "{\"linux\":{\"mountLabel\":\"x\"}}",
			  "linux.mountLabel: cannot apply \"x\": this host runs no SELinux" },
		};
		CHECK_BAD(rows);
	}
}

static void process__parses_alone(void **state)
{
	(void)state;
	struct ctr_process *p = NULL;
	struct err err = ERR_INIT;
	json_object *doc = parse_json("{\"args\":[\"x\"],\"cwd\":\"/\",\"terminal\":true}");
	assert_int_equal(ctr_process_parse(doc, &p, &err), 0);
	json_object_put(doc);
	assert_string_equal(p->args[0], "x");
	assert_true(ctr_process_terminal(p));
	ctr_process_free(p);
	ctr_process_free(NULL);
	doc = parse_json("{\"args\":[\"x\"],\"cwd\":\"\"}");
	assert_int_equal(ctr_process_parse(doc, &p, &err), -EINVAL);
	assert_string_equal(err.text, "process.cwd: is missing");
	json_object_put(doc);
	assert_int_equal(ctr_process_parse(NULL, &p, &err), -EINVAL);
	assert_string_equal(err.text, "process: must be an object");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(process__has_defaults),
		cmocka_unit_test(process__reads_everything),
		cmocka_unit_test(process__ignores_the_size_of_no_terminal),
		cmocka_unit_test(caps__are_what_can_be_granted),
		cmocka_unit_test(user_text__has_a_grammar),
		cmocka_unit_test(process__names_what_is_wrong),
		cmocka_unit_test(labels__need_their_module),
		cmocka_unit_test(process__parses_alone),
	};
	return cmocka_run_group_tests_name("spec_process", tests, NULL, NULL);
}
