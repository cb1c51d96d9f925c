/* SPDX-License-Identifier: Apache-2.0 */
/* profile - Docker's seccomp profiles: checked, and cut down to what applies. */
#include "fixture.h"

#include "daemon/capset.h"
#include "daemon/profile.h"
#include "isola/caps.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>

static char *quoted(const char *text)
{
	char *copy = strdup(text);
	assert_non_null(copy);
	for (char *p = copy; *p; p++)
		*p = *p == '\'' ? '"' : *p;
	return copy;
}

static void profile_convert__keeps_what_applies(void **state)
{
	(void)state;
	cleanup_free char *text = quoted(
		"{'defaultAction':'SCMP_ACT_ERRNO','defaultErrnoRet':1,'comment':'x',"
		"'archMap':[{'architecture':'SCMP_ARCH_X86_64','subArchitectures':"
		"['SCMP_ARCH_X86']},{'architecture':'SCMP_ARCH_AARCH64'}],'syscalls':["
		"{'names':['read','write'],'action':'SCMP_ACT_ALLOW','comment':'io'},"
		"{'names':['mount'],'action':'SCMP_ACT_ALLOW','includes':{'caps':"
		"['CAP_SYS_ADMIN']}},"
		"{'names':['chroot'],'action':'SCMP_ACT_ALLOW','includes':{'caps':"
		"['CAP_SYS_CHROOT']}},"
		"{'names':['clone'],'action':'SCMP_ACT_ALLOW','args':[{'index':0,'value':"
		"2114060288,'op':'SCMP_CMP_MASKED_EQ'}],'excludes':{'caps':['CAP_SYS_ADMIN']}},"
		"{'names':['ptrace'],'action':'SCMP_ACT_ALLOW','includes':{'minKernel':'4.8'}},"
		"{'names':['future'],'action':'SCMP_ACT_ALLOW','includes':{'minKernel':"
		"'99.0'}},"
		"{'names':['arm'],'action':'SCMP_ACT_ALLOW','includes':{'arches':['nowhere']}},"
		"{'name':'old','action':'SCMP_ACT_LOG','errnoRet':38}]}");
	cleanup_json json_object *o = NULL;
	struct err err = ERR_INIT;
	assert_int_equal(profile_check(text, &err), 0);
	assert_int_equal(profile_convert(text, capset_default(), &o, &err), 0);
	json_object_object_del(o, "architectures");
	assert_json(o, "{'defaultAction':'SCMP_ACT_ERRNO','defaultErrnoRet':1,'syscalls':["
		       "{'names':['read','write'],'action':'SCMP_ACT_ALLOW'},"
		       "{'names':['chroot'],'action':'SCMP_ACT_ALLOW'},"
		       "{'names':['clone'],'action':'SCMP_ACT_ALLOW','args':[{'index':0,'value':"
		       "2114060288,'valueTwo':0,'op':'SCMP_CMP_MASKED_EQ'}]},"
		       "{'names':['ptrace'],'action':'SCMP_ACT_ALLOW'},"
		       "{'names':['old'],'action':'SCMP_ACT_LOG','errnoRet':38}]}");
}

static void profile_check__names_the_place(void **state)
{
	(void)state;
	static const struct {
		const char *text, *error;
	} rows[] = {
		{ "{", "seccomp profile: malformed JSON near byte 1: unexpected end of data" },
		{ "{}", "seccomp: defaultAction is missing" },
		{ "{'defaultAction':'ALLOW'}", "seccomp: defaultAction: unknown action 'ALLOW'" },
		{ "{'defaultAction':'SCMP_ACT_LOG','syscalls':[{'names':['a']}]}",
		  "seccomp: syscalls: [0]: action is missing" },
		{ "{'defaultAction':'SCMP_ACT_LOG','syscalls':[{'action':'SCMP_ACT_LOG'}]}",
		  "seccomp: syscalls: [0]: exactly one of name and names is needed" },
		{ "{'defaultAction':'SCMP_ACT_LOG','syscalls':[{'names':['a'],'action':"
		  "'SCMP_ACT_LOG','args':[{'index':6,'op':'SCMP_CMP_EQ'}]}]}",
		  "seccomp: syscalls: [0]: args: index: 6 is not between 0 and 5" },
		{ "{'defaultAction':'SCMP_ACT_LOG','syscalls':[{'names':['a'],'action':"
		  "'SCMP_ACT_LOG','args':[{'index':1,'op':'=='}]}]}",
		  "seccomp: syscalls: [0]: args: op: unknown operator '=='" },
		{ "{'defaultAction':'SCMP_ACT_LOG','architectures':['a'],'archMap':[{}]}",
		  "seccomp: architectures and archMap exclude each other" },
		{ "{'defaultAction':'SCMP_ACT_LOG','listenerPath':'/x'}",
		  "seccomp: listenerPath is not supported yet" },
		{ "{'defaultAction':'SCMP_ACT_LOG','rules':[1]}",
		  "seccomp: rules is not a known field" },
		{ "{'defaultAction':'SCMP_ACT_LOG','syscalls':[{'names':['a'],'action':"
		  "'SCMP_ACT_LOG','includes':{'minKernel':'x'}}]}",
		  "seccomp: syscalls: [0]: includes: minKernel: 'x' is not like 4.8" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_free char *text = quoted(rows[i].text);
		struct err err = ERR_INIT;
		assert_true(profile_check(text, &err) < 0);
		assert_string_equal(err.text, rows[i].error);
	}
}

static void capset__is_docker_s_arithmetic(void **state)
{
	(void)state;
	const uint64_t raw = 1ull << 13, admin = 1ull << 21, chown = 1ull << 0;
	const struct {
		const char *host;
		uint64_t want;
	} rows[] = {
		{ "{}", capset_default() },
		{ "{'CapAdd':['CAP_NET_RAW']}", capset_default() | raw },
		{ "{'CapDrop':['CAP_CHOWN']}", capset_default() & ~chown },
		{ "{'CapDrop':['ALL']}", 0 },
		{ "{'CapDrop':['ALL'],'CapAdd':['CAP_NET_RAW']}", raw },
		{ "{'CapAdd':['ALL']}", caps_all() },
		{ "{'CapAdd':['ALL'],'CapDrop':['CAP_SYS_ADMIN']}", caps_all() & ~admin },
		{ "{'CapAdd':['CAP_CHOWN'],'CapDrop':['CAP_CHOWN']}", capset_default() },
		{ "{'Privileged':true,'CapDrop':['ALL']}", caps_all() },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *host = js(rows[i].host);
		assert_true(capset_of(host) == rows[i].want);
	}
	assert_int_equal(__builtin_popcountll(capset_default()), 12);
	assert_int_equal(capset_default() & raw, 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(profile_convert__keeps_what_applies),
		cmocka_unit_test(profile_check__names_the_place),
		cmocka_unit_test(capset__is_docker_s_arithmetic),
	};
	return cmocka_run_group_tests_name("profile", tests, NULL, NULL);
}
