/* SPDX-License-Identifier: Apache-2.0 */
/* mounts - Binds, Mounts and Tmpfs as one list, and their errors. */
#include "fixture.h"

#include "daemon/mounts.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/lsm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static void mounts__read_all_forms(void **state)
{
	(void)state;
	static const struct {
		const char *host, *want;
	} rows[] = {
		{ "{'Binds':['/a:/b']}", "/a>/b rw rec rprivate make listed" },
		{ "{'Binds':['/a/../x//y/:/b/./c/']}", "/x/y>/b/c rw rec rprivate make listed" },
		{ "{'Binds':['/a:/b:ro,rshared,nocopy,cached']}",
		  "/a>/b ro rec rshared make listed" },
		{ "{'Binds':['/sys:/sys:ro,noidmap']}",
		  "/sys>/sys ro rec rprivate make unmapped listed" },
		{ "{'Mounts':[{'Type':'bind','Source':'/a','Target':'/b','ReadOnly':true}]}",
		  "/a>/b ro rec rprivate listed" },
		{ "{'Mounts':[{'Type':'bind','Source':'/a','Target':'/b','Consistency':'cached',"
		  "'BindOptions':{'Propagation':'slave','NonRecursive':true,"
		  "'CreateMountpoint':true}}]}",
		  "/a>/b rw one slave make listed" },
		{ "{'Tmpfs':{'/t':''}}", "-(nosuid,nodev,noexec)>/t rw" },
		{ "{'Tmpfs':{'/t':'defaults,size=1g,exec,ro'}}",
		  "-(nosuid,nodev,noexec,size=1g,exec,ro)>/t ro" },
		{ "{'Mounts':[{'Type':'tmpfs','Target':'/t','ReadOnly':true,'TmpfsOptions':"
		  "{'SizeBytes':10,'Mode':448,'Options':[['exec'],['uid','3']]}}]}",
		  "-(nosuid,nodev,noexec,ro,size=10,mode=700,exec,uid=3)>/t ro listed" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *host = js(rows[i].host);
		cleanup_mounts struct mounts m = { NULL, 0 };
		struct err err = ERR_INIT;
		char got[512];
		if (mounts_parse(host, &m, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(m.n, 1);
		const struct mount_point *p = &m.items[0];
		bool bind = p->kind == MOUNT_BIND;
		(void)snprintf(got, sizeof(got), "%s%s%s%s>%s %s%s%s%s%s%s%s",
			       bind ? p->source : "-", bind ? "" : "(", bind ? "" : p->tmpfs,
			       bind ? "" : ")", p->target, p->read_only ? "ro" : "rw",
			       !bind          ? ""
			       : p->recursive ? " rec"
					      : " one",
			       bind ? " " : "", bind ? p->propagation : "",
			       p->make_source ? " make" : "", p->unmapped ? " unmapped" : "",
			       p->listed ? " listed" : "");
		assert_string_equal(got, rows[i].want);
	}
}

static void mounts__come_parents_first(void **state)
{
	(void)state;
	cleanup_json json_object *host =
		js("{'Binds':['/1:/a/b/c','/2:/a'],'Tmpfs':{'/a/b':''},'Mounts':"
		   "[{'Type':'tmpfs','Target':'/'},{'Type':'tmpfs','Target':'/ab'}]}");
	json_object_array_del_idx(json_get(host, "Mounts"), 0, 1);
	cleanup_mounts struct mounts m = { NULL, 0 };
	assert_int_equal(mounts_parse(host, &m, NULL), 0);
	static const char *const want[] = { "/a", "/a/b", "/a/b/c", "/ab" };
	assert_int_equal(m.n, 4);
	for (size_t i = 0; i < 4; i++)
		assert_string_equal(m.items[i].target, want[i]);
	assert_ptr_equal(mounts_find(&m, "/a/b"), &m.items[1]);
	assert_null(mounts_find(&m, "/b"));
}

#define V "HostConfig.Binds (-v) "
#define M "HostConfig.Mounts[0] (--mount): "

static void mounts__refuse(void **state)
{
	(void)state;
	static const struct {
		const char *host;
		int code;
		const char *error;
	} rows[] = {
		{ "{'Binds':['/a']}", EOPNOTSUPP,
		  V "'/a': an anonymous volume is not supported yet: name a host folder (/host:/a) "
		    "or use --tmpfs" },
		{ "{'Binds':['data:/b']}", EOPNOTSUPP,
		  V "'data:/b': named volumes are not supported yet ('data' is no absolute path)" },
		{ "{'Binds':['/a:/b:ro:x']}", EINVAL,
		  V "'/a:/b:ro:x': invalid volume specification: expected "
		    "source:target[:options]" },
		{ "{'Binds':[':/b']}", EINVAL,
		  V "':/b': invalid volume specification: the source is empty" },
		{ "{'Binds':['/a:']}", EINVAL,
		  V "'/a:': the mount target '' must be an absolute path" },
		{ "{'Binds':['/a:b']}", EINVAL,
		  V "'/a:b': the mount target 'b' must be an absolute path" },
		{ "{'Binds':['/a:/']}", EINVAL, V "'/a:/': the mount target can't be '/'" },
		{ "{'Binds':['/a:/x/..']}", EINVAL, V "'/a:/x/..': the mount target can't be '/'" },
		{ "{'Binds':['/a:/b:rox']}", EINVAL, V "'/a:/b:rox': unknown mount option 'rox'" },
		{ "{'Binds':['/a:/b','/c:/b/']}", EINVAL, "Duplicate mount point: /b" },
		{ "{'Binds':['/a:/b'],'Tmpfs':{'/b':''}}", EINVAL, "Duplicate mount point: /b" },
		{ "{'Tmpfs':{'t':''}}", EINVAL,
		  "HostConfig.Tmpfs (--tmpfs) 't': the mount target 't' must be an absolute path" },
		{ "{'Tmpfs':{'/t':'size'}}", EINVAL,
		  "HostConfig.Tmpfs (--tmpfs) '/t': unknown tmpfs option 'size'" },
		{ "{'Tmpfs':{'/t':'bind'}}", EINVAL,
		  "HostConfig.Tmpfs (--tmpfs) '/t': unknown tmpfs option 'bind'" },
		{ "{'Mounts':[{}]}", EINVAL, M "the mount target '' must be an absolute path" },
		{ "{'Mounts':[{'Target':'/b'}]}", EINVAL, M "unknown Type ''" },
		{ "{'Mounts':[{'Type':'volume','Source':'v','Target':'/b'}]}", EOPNOTSUPP,
		  M "Type volume is not supported yet: only bind and tmpfs are" },
		{ "{'Mounts':[{'Type':'bind','Target':'/b'}]}", EINVAL, M "Source is missing" },
		{ "{'Mounts':[{'Type':'bind','Source':'a','Target':'/b'}]}", EINVAL,
		  M "the source 'a' must be an absolute path" },
		{ "{'Mounts':[{'Type':'tmpfs','Source':'/a','Target':'/b'}]}", EINVAL,
		  M "Source must not be given for Type tmpfs" },
		{ "{'Mounts':[{'Type':'bind','Source':'/a','Target':'/b','BindOptions':"
		  "{'Propagation':'wild'}}]}",
		  EINVAL,
		  M "BindOptions.Propagation (bind-propagation): unknown propagation 'wild'" },
		{ "{'Mounts':[{'Type':'bind','Source':'/a','Target':'/b','TmpfsOptions':"
		  "{'SizeBytes':1}}]}",
		  EINVAL, M "TmpfsOptions don't go with Type bind" },
		{ "{'Mounts':[{'Type':'tmpfs','Target':'/b','TmpfsOptions':{'SizeBytes':-1}}]}",
		  EINVAL,
		  M "TmpfsOptions.SizeBytes (tmpfs-size): -1 is not between 0 and "
		    "9223372036854775807" },
		{ "{'Mounts':[{'Type':'tmpfs','Target':'/b','TmpfsOptions':{'Options':[['a','b',"
		  "'c']]}}]}",
		  EINVAL, M "TmpfsOptions.Options: [0] must be [name] or [name, value]" },
		{ "{'Mounts':[{'Type':'bind','Source':'/a','Target':'/b','VolumeOptions':"
		  "{'NoCopy':true}}]}",
		  EOPNOTSUPP, M "VolumeOptions is not supported yet: there are no volumes" },
		{ "{'Mounts':[{'Type':'bind','Source':'/a','Target':'/b','Selinux':'z'}]}", EINVAL,
		  M "Selinux is not a known field" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *host = js(rows[i].host);
		struct mounts m = { NULL, 0 };
		struct err err = ERR_INIT;
		assert_true(mounts_parse(host, &m, &err) < 0);
		assert_string_equal(err.text, rows[i].error);
		assert_int_equal(err.code, rows[i].code);
		assert_null(m.items);
	}
}

static void mounts__relabel_only_where_nothing_is_to_do(void **state)
{
	(void)state;
	cleanup_json json_object *host = js("{'Binds':['/a:/b:z']}");
	cleanup_mounts struct mounts m = { NULL, 0 };
	struct err err = ERR_INIT;
	int rc = mounts_parse(host, &m, &err);
	assert_int_equal(rc, lsm_has_selinux() ? -EOPNOTSUPP : 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mounts__read_all_forms),
		cmocka_unit_test(mounts__come_parents_first),
		cmocka_unit_test(mounts__refuse),
		cmocka_unit_test(mounts__relabel_only_where_nothing_is_to_do),
	};
	return cmocka_run_group_tests_name("mounts", tests, NULL, NULL);
}
