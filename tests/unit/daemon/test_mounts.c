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
		{ "{'Mounts':[{'Type':'bind','Source':'/a','Target':'/b','ReadOnly':true,"
		  "'BindOptions':{'ReadOnlyForceRecursive':true}}]}",
		  "/a>/b ro rec rprivate listed" },
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

static void mounts__read_volumes(void **state)
{
	(void)state;
	static const struct {
		const char *host, *want;
	} rows[] = {
		{ "{'Binds':['data:/b']}", "data/->/b rw" },
		{ "{'Binds':['data:/b:ro,nocopy']}", "data/->/b ro nocopy" },
		{ "{'Binds':['/b']}", "-/->/b rw anonymous" },
		{ "{'Mounts':[{'Type':'volume','Target':'/b'}]}", "-/->/b rw anonymous" },
		{ "{'Mounts':[{'Type':'volume','Source':'data','Target':'/b','ReadOnly':true,"
		  "'VolumeOptions':{'NoCopy':true,'Subpath':'a/b','Labels':{'k':'v'},"
		  "'DriverConfig':{'Name':'local'}}}]}",
		  "data/a/b>/b ro nocopy k=v" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *host = js(rows[i].host);
		cleanup_mounts struct mounts m = { NULL, 0 };
		struct err err = ERR_INIT;
		char got[256];
		if (mounts_parse(host, &m, &err) < 0)
			fail_msg("%s", err.text);
		assert_int_equal(m.n, 1);
		const struct mount_point *p = &m.items[0];
		assert_int_equal(p->kind, MOUNT_VOLUME);
		assert_true(p->listed && !p->source);
		(void)snprintf(got, sizeof(got), "%s/%s>%s %s%s%s%s%s", p->volume ? p->volume : "-",
			       p->subpath ? p->subpath : "-", p->target, p->read_only ? "ro" : "rw",
			       p->no_copy ? " nocopy" : "", p->anonymous ? " anonymous" : "",
			       json_get(p->labels, "k") ? " k=" : "",
			       json_str_or(p->labels, "k", ""));
		assert_string_equal(got, rows[i].want);
	}
}

static int find_donor(void *arg, const char *ref, struct instance **ret, struct err *err)
{
	*ret = arg;
	return strcmp(ref, "donor") ? err_set(err, ENOENT, "No such container: %s", ref) : 0;
}

static void settle(struct instance *inst, struct instance *donor)
{
	struct err err = ERR_INIT;
	if (mounts_settle(inst->config, inst->host_config, find_donor, donor, &inst->mount_points,
			  &err) < 0)
		fail_msg("%s", err.text);
}

static void free_parts(struct instance *inst)
{
	json_object_put(inst->config);
	json_object_put(inst->host_config);
	json_object_put(inst->mount_points);
}

/* "/b=data" and so on; names of anonymous ones are "?". */
static void list(const struct instance *inst, char *ret, size_t size)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	struct err err = ERR_INIT;
	size_t at = 0;
	if (mounts_of(inst, &m, &err) < 0)
		fail_msg("%s", err.text);
	*ret = '\0';
	for (size_t i = 0; i < m.n; i++) {
		const struct mount_point *p = &m.items[i];
		at += (size_t)snprintf(ret + at, size - at, "%s%s=%s%s", i ? " " : "", p->target,
				       p->kind == MOUNT_TMPFS  ? "tmpfs"
				       : p->kind == MOUNT_BIND ? p->source
				       : p->anonymous          ? "?"
							       : p->volume,
				       p->read_only ? ":ro" : "");
		if (p->kind == MOUNT_VOLUME)
			assert_non_null(strstr(p->source, "/volumes/"));
	}
}

static void mounts__settle_what_is_open(void **state)
{
	(void)state;
	struct instance donor = { .config = js("{'Volumes':{'/v/':{},'/own':{}}}"),
				  .host_config = js("{'Binds':['/h:/bind:ro,rshared','data:/own'],"
						    "'Tmpfs':{'/t':''}}") };
	struct instance taker = { .config = js("{'Volumes':{'/v':{},'/new':{}}}"),
				  .host_config = js("{'VolumesFrom':['donor:ro'],"
						    "'Binds':['mine:/own','/anon']}") };
	char got[512];
	settle(&donor, NULL);
	list(&donor, got, sizeof(got));
	assert_string_equal(got, "/bind=/h:ro /own=data /t=tmpfs /v=?");
	settle(&taker, &donor);
	list(&taker, got, sizeof(got));
	assert_string_equal(got, "/anon=? /bind=/h:ro /new=? /own=mine /v=?:ro");
	cleanup_mounts struct mounts m = { NULL, 0 }, theirs = { NULL, 0 };
	assert_int_equal(mounts_of(&taker, &m, NULL), 0);
	assert_int_equal(mounts_of(&donor, &theirs, NULL), 0);
	assert_string_equal(mounts_find(&m, "/bind")->propagation, "rshared");
	assert_string_equal(mounts_find(&m, "/v")->volume, mounts_find(&theirs, "/v")->volume);
	assert_string_not_equal(mounts_find(&m, "/new")->volume, mounts_find(&m, "/anon")->volume);
	free_parts(&donor);
	free_parts(&taker);
}

static void mounts__refuse_to_settle(void **state)
{
	(void)state;
	static const struct {
		const char *config, *host, *error;
	} rows[] = {
		{ "{'Volumes':{'rel':{}}}", "{}",
		  "Volumes (-v, or the image's VOLUME): the mount target 'rel' must be an absolute "
		  "path" },
		{ "{}", "{'VolumesFrom':['nobody']}",
		  "HostConfig.VolumesFrom (--volumes-from) 'nobody': No such container: nobody" },
		{ "{}", "{'VolumesFrom':['donor:z']}",
		  "HostConfig.VolumesFrom (--volumes-from) 'donor:z': invalid mode 'z': only ro and "
		  "rw are" },
		{ "{}", "{'VolumesFrom':[':ro']}",
		  "HostConfig.VolumesFrom (--volumes-from) ':ro': names no container" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct instance inst = { .config = js(rows[i].config),
					 .host_config = js(rows[i].host) };
		struct err err = ERR_INIT;
		assert_true(mounts_settle(inst.config, inst.host_config, find_donor, NULL,
					  &inst.mount_points, &err) < 0);
		assert_string_equal(err.text, rows[i].error);
		assert_null(inst.mount_points);
		free_parts(&inst);
	}
}

/* A record is ours, but may have been changed by hand. */
static void mounts__refuse_a_damaged_record(void **state)
{
	(void)state;
	static const char *const points[] = {
		"[{}]",
		"[3]",
		"[{'target':'/a','kind':'volume','volume':'../x'}]",
		"[{'target':'/a','kind':'bind','source':'rel','propagation':'private'}]",
		"[{'target':'/a','kind':'bind','source':'/x','propagation':'odd'}]",
		"[{'target':'/','kind':'volume','volume':'vv'}]",
	};
	for (size_t i = 0; i < sizeof(points) / sizeof(points[0]); i++) {
		struct instance inst = { .config = js("{}"),
					 .host_config = js("{}"),
					 .mount_points = js(points[i]) };
		struct mounts m = { NULL, 0 };
		struct err err = ERR_INIT;
		assert_true(mounts_of(&inst, &m, &err) < 0);
		assert_true(*err.text && !m.items);
		free_parts(&inst);
	}
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
		{ "{'Binds':['a']}", EINVAL,
		  V "'a': the mount target 'a' must be an absolute path" },
		{ "{'Binds':['x:/b']}", EINVAL,
		  V "'x:/b': 'x' is no volume name ([a-zA-Z0-9][a-zA-Z0-9_.-]+); a folder of the "
		    "host is named by its absolute path" },
		{ "{'Binds':['../x:/b']}", EINVAL,
		  V "'../x:/b': '../x' is no volume name ([a-zA-Z0-9][a-zA-Z0-9_.-]+); a folder of "
		    "the host is named by its absolute path" },
		{ "{'Binds':['data:/b:rshared']}", EINVAL,
		  V "'data:/b:rshared': propagation (rshared) goes with a folder of the host, not "
		    "with a volume" },
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
		{ "{'Mounts':[{'Type':'image','Source':'v','Target':'/b'}]}", EOPNOTSUPP,
		  M "Type image is not supported: only bind, volume and tmpfs are" },
		{ "{'Mounts':[{'Type':'volume','Source':'a/b','Target':'/b'}]}", EINVAL,
		  M "'a/b' is no volume name ([a-zA-Z0-9][a-zA-Z0-9_.-]+); a folder of the host is "
		    "named by its absolute path" },
		{ "{'Mounts':[{'Type':'volume','Target':'/b','VolumeOptions':{'Subpath':'a'}}]}",
		  EINVAL, M "VolumeOptions.Subpath (volume-subpath) needs a Source" },
		{ "{'Mounts':[{'Type':'volume','Source':'vv','Target':'/b','VolumeOptions':"
		  "{'Subpath':'a/../b'}}]}",
		  EINVAL, M "VolumeOptions.Subpath (volume-subpath): 'a/../b' must not hold '..'" },
		{ "{'Mounts':[{'Type':'volume','Source':'vv','Target':'/b','VolumeOptions':"
		  "{'Subpath':'/a'}}]}",
		  EINVAL,
		  M "VolumeOptions.Subpath (volume-subpath): '/a' must be relative to the volume" },
		{ "{'Mounts':[{'Type':'volume','Source':'vv','Target':'/b','VolumeOptions':"
		  "{'DriverConfig':{'Name':'nfs'}}}]}",
		  EOPNOTSUPP,
		  M
		  "VolumeOptions.DriverConfig (volume-driver): driver 'nfs' is not supported: only "
		  "local is" },
		{ "{'Mounts':[{'Type':'volume','Source':'vv','Target':'/b','BindOptions':"
		  "{'NonRecursive':true}}]}",
		  EINVAL, M "BindOptions don't go with Type volume" },
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
		  EINVAL, M "VolumeOptions don't go with Type bind" },
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

static void mounts__of_a_vm_are_its_volumes(void **state)
{
	(void)state;
	struct instance vm = { .kind = INSTANCE_VM,
			       .config = js("{'Shares':[{'Tag':'w','Volume':'data'},"
					    "{'Tag':'h','Path':'/h'},{'Tag':'s','Socket':'/s'},"
					    "{'Tag':'r','Volume':'old','ReadOnly':true}]}") };
	char got[128];
	list(&vm, got, sizeof(got));
	assert_string_equal(got, "r=old:ro w=data");
	json_object_put(vm.config);
	vm.config = js("{'Shares':[{'Tag':'w','Volume':'../x'}]}");
	struct err err = ERR_INIT;
	cleanup_mounts struct mounts m = { NULL, 0 };
	assert_true(mounts_of(&vm, &m, &err) < 0);
	assert_non_null(strstr(err.text, "Shares[0]"));
	json_object_put(vm.config);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(mounts__read_all_forms),
		cmocka_unit_test(mounts__come_parents_first),
		cmocka_unit_test(mounts__read_volumes),
		cmocka_unit_test(mounts__settle_what_is_open),
		cmocka_unit_test(mounts__of_a_vm_are_its_volumes),
		cmocka_unit_test(mounts__refuse_to_settle),
		cmocka_unit_test(mounts__refuse_a_damaged_record),
		cmocka_unit_test(mounts__refuse),
		cmocka_unit_test(mounts__relabel_only_where_nothing_is_to_do),
	};
	return cmocka_run_group_tests_name("mounts", tests, NULL, NULL);
}
