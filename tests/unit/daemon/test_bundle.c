/* SPDX-License-Identifier: Apache-2.0 */
/* bundle - instances as documents, compared with golden/<case>.json, and the
 * files of /etc. With UPDATE_GOLDEN=1 in the environment the golden files are
 * written anew: look at the difference before it is committed. */
#include "fixture.h"

#include "daemon/bundle_priv.h"
#include "daemon/capset.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysmacros.h>
#include <unistd.h>

static int stat_device(const char *path, struct stat *ret)
{
	*ret = (struct stat){ .st_mode = S_IFCHR | 0660, .st_gid = 6 };
	if (!strcmp(path, "/dev/sda")) {
		ret->st_mode = S_IFBLK | 0660;
		ret->st_rdev = makedev(8, 0);
	} else if (!strcmp(path, "/dev/fuse")) {
		ret->st_rdev = makedev(10, 229);
	} else if (!strcmp(path, "/etc/passwd")) {
		ret->st_mode = S_IFREG;
	} else {
		return -ENOENT;
	}
	return 0;
}

/* Stands for the library's profile, and shows for which capabilities it is. */
static json_object *seccomp(uint64_t caps, struct err *err)
{
	(void)err;
	json_object *o = json_object_new_object();
	json_add_str(o, "defaultAction", "SCMP_ACT_ERRNO");
	json_add(o, "x-for-caps", capset_names(caps));
	return o;
}

static const struct bundle_env env = {
	.state = "/state",
	.state_dir = "/state/instances/ID",
	.run_dir = "/run/isola/ID",
	.log_path = "/state/instances/ID/ID-json.log",
	.cgroup = "/isola/ID",
	.cgroup_mount = "/sys/fs/cgroup",
	.seccomp_cache = "/state/seccomp",
	.has_mqueue = true,
	.stat_device = stat_device,
	.seccomp = seccomp,
};

static char *read_golden(const char *path)
{
	char *text = NULL;
	size_t size;
	if (fd_read_file(AT_FDCWD, path, 1 << 20, &text, &size, NULL) < 0)
		return NULL;
	return text;
}

static void compare(const char *name, json_object *got)
{
	char path[512];
	(void)snprintf(path, sizeof(path), GOLDEN "/%s.json", name);
	const char *text = json_object_to_json_string_ext(
		got, JSON_C_TO_STRING_PRETTY | JSON_C_TO_STRING_PRETTY_TAB |
			     JSON_C_TO_STRING_SPACED | JSON_C_TO_STRING_NOSLASHESCAPE);
	if (getenv("UPDATE_GOLDEN")) {
		FILE *f = fopen(path, "we");
		assert_non_null(f);
		assert_true(fprintf(f, "%s\n", text) > 0);
		assert_int_equal(fclose(f), 0);
	}
	cleanup_free char *want = read_golden(path);
	if (!want)
		fail_msg("%s is missing (UPDATE_GOLDEN=1 makes it)", path);
	want[strlen(want) - 1] = '\0';
	if (strcmp(text, want) != 0) {
		print_error("%s is now:\n%s\n", path, text);
		fail();
	}
}

static const struct {
	const char *name, *body;
} cases[] = {
	{ "plain", "{'Image':'img','Cmd':['ls','-l']}" },
	{ "tty", "{'Image':'img','Tty':true,'OpenStdin':true,'StdinOnce':true,'User':'0:0',"
		 "'Env':['LANG','TERM=vt100','A=1'],'Entrypoint':['/e'],'Cmd':['x'],"
		 "'HostConfig':{'ConsoleSize':[24,80],'Init':true,'AutoRemove':true,"
		 "'LogConfig':{'Type':'none'},'GroupAdd':['4','27']}}" },
	{ "host", "{'Image':'img','HostConfig':{'UsernsMode':'host','NetworkMode':'host',"
		  "'PidMode':'host','IpcMode':'host','UTSMode':'host','CgroupnsMode':'host'}}" },
	/* The kernel mounts none of these anew for a user namespace of its own. */
	{ "userns_in_host", "{'Image':'img','HostConfig':{'NetworkMode':'host','PidMode':'host',"
			    "'IpcMode':'host','CgroupnsMode':'host'}}" },
	{ "mounts",
	  "{'Image':'img','HostConfig':{'Binds':['/b:/srv/data/x','/a:/srv/data:ro,rslave',"
	  "'/etc/new:/etc','/h:/etc/hosts:ro','/sys:/host/sys:ro,noidmap'],'Tmpfs':{'/run':'size=1m,exec','/dev/shm':''},"
	  "'Mounts':[{'Type':'tmpfs','Target':'/t','ReadOnly':true,'TmpfsOptions':"
	  "{'SizeBytes':4096,'Mode':1023,'Options':[['noexec'],['uid','7']]}},"
	  "{'Type':'bind','Source':'/s/../src','Target':'/m','ReadOnly':true,'BindOptions':"
	  "{'Propagation':'shared','NonRecursive':true}}],'IpcMode':'none',"
	  "'ReadonlyRootfs':true}}" },
	{ "limits",
	  "{'Image':'img','HostConfig':{'Memory':67108864,'MemoryReservation':33554432,"
	  "'NanoCpus':1500000000,'CpuShares':512,'CpusetCpus':'0-1','CpusetMems':'0',"
	  "'PidsLimit':100,'BlkioWeight':300,'OomScoreAdj':500,"
	  "'Ulimits':[{'Name':'nofile','Soft':1024,'Hard':-1},{'Name':'core','Soft':0,'Hard':0}],"
	  "'Sysctls':{'net.ipv4.ping_group_range':'1 0','kernel.shmmax':'100'},"
	  "'LogConfig':{'Config':{'max-size':'-1','max-file':'5'}}}}" },
	{ "security",
	  "{'Image':'img','Hostname':'web','Domainname':'example.org','HostConfig':{"
	  "'CapAdd':['NET_RAW'],'CapDrop':['ALL'],'SecurityOpt':['no-new-privileges',"
	  "'seccomp={\\\"defaultAction\\\":\\\"SCMP_ACT_ALLOW\\\",\\\"syscalls\\\":[{\\\"names\\\":"
	  "[\\\"mount\\\"],\\\"action\\\":\\\"SCMP_ACT_ERRNO\\\",\\\"excludes\\\":{\\\"caps\\\":"
	  "[\\\"CAP_SYS_ADMIN\\\"]}},{\\\"name\\\":\\\"reboot\\\",\\\"action\\\":\\\"SCMP_ACT_KILL\\\","
	  "\\\"includes\\\":{\\\"caps\\\":[\\\"CAP_SYS_BOOT\\\"]}}]}'],"
	  "'MaskedPaths':[],'ReadonlyPaths':['/proc/sys'],'Annotations':{'a.b':'c'},"
	  "'DeviceCgroupRules':['c *:7 r','a 1:* rwm'],'Devices':[{'PathOnHost':'/dev/fuse',"
	  "'PathInContainer':'/dev/fuse','CgroupPermissions':'rw'},{'PathOnHost':'/dev/sda',"
	  "'PathInContainer':'/dev/disk'}]}}" },
};

static void bundle__matches_golden(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct isolad *d = fixture_isolad();
		struct instance *inst = fixture_instance(d, "c", cases[i].body);
		struct err err = ERR_INIT;
		cleanup_json json_object *both = json_object_new_object();
		json_object *config = NULL, *keeper = NULL;
		(void)snprintf(inst->id, sizeof(inst->id), "ID");
		json_add_str(inst->config, "Hostname",
			     strncmp(cases[i].name, "sec", 3) ? "0123456789ab" : "web");
		assert_int_equal(bundle_config(inst, &env, &config, &err), 0);
		assert_int_equal(bundle_keeper(inst, &env, &keeper, &err), 0);
		json_add(both, "config.json", config);
		json_add(both, "keeper.json", keeper);
		compare(cases[i].name, both);
		fixture_isolad_free(d);
	}
}

static json_object *make_config(struct instance *inst, const struct bundle_env *e)
{
	json_object *config = NULL;
	struct err err = ERR_INIT;
	if (bundle_config(inst, e, &config, &err) < 0)
		fail_msg("%s", err.text);
	return config;
}

static void bundle__privileged_holds_nothing_back(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct instance *inst =
		fixture_instance(d, "c", "{'Image':'i','HostConfig':{'Privileged':true}}");
	cleanup_json json_object *config = make_config(inst, &env);
	json_object *lin = json_get(config, "linux");
	assert_int_equal(inst->userns_base, 0);
	assert_null(json_get(lin, "seccomp"));
	assert_null(json_get(lin, "maskedPaths"));
	assert_null(json_get(lin, "readonlyPaths"));
	assert_null(json_get(lin, "uidMappings"));
	json_object *first =
		json_object_array_get_idx(json_get(json_get(lin, "resources"), "devices"), 0);
	assert_json(first, "{'allow':true,'access':'rwm'}");
	json_object *caps = json_get(json_get(config, "process"), "capabilities");
	assert_int_equal(json_len(json_get(caps, "bounding")),
			 (size_t)__builtin_popcountll(capset_all()));
	fixture_isolad_free(d);
}

static void bundle__joins_the_donor_s_namespaces(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(
		d, "c", "{'Image':'i','HostConfig':{'PidMode':'container:donor'}}");
	struct bundle_env joined = env;
	joined.donor_pid = joined.pid_donor = 4242;
	joined.donor_userns_base = 2097152;
	cleanup_json json_object *config = make_config(inst, &joined);
	json_object *lin = json_get(config, "linux");
	assert_json(json_get(lin, "namespaces"),
		    "[{'type':'mount'},{'type':'user','path':'/proc/4242/ns/user'},"
		    "{'type':'pid','path':'/proc/4242/ns/pid'},{'type':'network'},{'type':'ipc'},"
		    "{'type':'uts'},{'type':'cgroup'}]");
	fixture_isolad_free(d);
}

static void bundle__reports_bad_devices(void **state)
{
	(void)state;
	static const struct {
		const char *path, *error;
	} rows[] = {
		{ "/dev/nothing", "HostConfig.Devices (--device): cannot look at /dev/nothing: No "
				  "such file or directory" },
		{ "/etc/passwd",
		  "HostConfig.Devices (--device): /etc/passwd is not a device node" },
	};
	for (size_t i = 0; i < 2; i++) {
		struct isolad *d = fixture_isolad();
		char body[256];
		(void)snprintf(body, sizeof(body),
			       "{'Image':'i','HostConfig':{'Devices':[{'PathOnHost':'%s'}]}}",
			       rows[i].path);
		struct instance *inst = fixture_instance(d, "c", body);
		struct err err = ERR_INIT;
		json_object *config = NULL;
		assert_true(bundle_config(inst, &env, &config, &err) < 0);
		assert_null(config);
		assert_string_equal(err.text, rows[i].error);
		fixture_isolad_free(d);
	}
}

static void bundle_exec__is_the_container_s_process_changed(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(
		d, "c",
		"{'Image':'i','User':'www','Env':['A=1','B=2'],'HostConfig':"
		"{'CapDrop':['ALL'],'SecurityOpt':['no-new-privileges'],'GroupAdd':['9']}}");
	cleanup_json json_object *plain = js("{'Cmd':['id'],'Env':['B=3','C=4'],'Tty':true}");
	cleanup_json json_object *root =
		js("{'Cmd':['id'],'User':'0','WorkingDir':'/w','Privileged':true}");
	cleanup_json json_object *p = NULL, *q = NULL;
	struct err err = ERR_INIT;
	(void)snprintf(inst->id, sizeof(inst->id), "ID");
	json_add_str(inst->config, "Hostname", "h");
	assert_int_equal(bundle_exec_process(inst, plain, &p, &err), 0);
	assert_json(p, "{'terminal':true,'user':{'uid':0,'gid':0,'org.isola.user':'www',"
		       "'additionalGids':[9]},'args':['id'],'env':['PATH=/bin','HOSTNAME=h',"
		       "'TERM=xterm','A=1','B=3','LANG=C','C=4'],'cwd':'/srv','capabilities':"
		       "{'bounding':[],'effective':[],'permitted':[]},'noNewPrivileges':true,"
		       "'oomScoreAdj':0}");
	assert_int_equal(bundle_exec_process(inst, root, &q, &err), 0);
	assert_string_equal(json_str_or(q, "cwd", ""), "/w");
	assert_string_equal(json_str_or(json_get(q, "user"), "org.isola.user", ""), "0");
	assert_false(json_bool_or(q, "noNewPrivileges", true));
	assert_int_equal(json_len(json_get(json_get(q, "capabilities"), "bounding")),
			 (size_t)__builtin_popcountll(capset_all()));
	fixture_isolad_free(d);
}

/* ---- files ---- */

static char *read_at(int dir, const char *name)
{
	char *text = NULL;
	size_t size;
	assert_int_equal(fd_read_file(dir, name, 1 << 20, &text, &size, NULL), 0);
	return text;
}

static void bundle_files__say_what_was_asked(void **state)
{
	(void)state;
	char folder[] = "/tmp/test_bundle.XXXXXX";
	assert_non_null(mkdtemp(folder));
	cleanup_fd int dir = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct isolad *d = fixture_isolad();
	struct instance *inst = fixture_instance(
		d, "c",
		"{'Image':'i','Hostname':'web','HostConfig':{'Dns':['9.9.9.9','::1'],"
		"'DnsSearch':['a.example','b.example'],'DnsOptions':['ndots:2','rotate'],"
		"'ExtraHosts':['db:10.0.0.7','v6=[fd00::7]']}}");
	struct err err = ERR_INIT;
	assert_int_equal(bundle_files(inst, geteuid() == 0 ? 1048576 : 0, dir, &err), 0);
	cleanup_free char *hostname = read_at(dir, "hostname"), *hosts = read_at(dir, "hosts");
	cleanup_free char *resolv = read_at(dir, "resolv.conf");
	assert_string_equal(hostname, "web\n");
	assert_int_equal(strncmp(hosts, "127.0.0.1\tlocalhost\n", 20), 0);
	assert_non_null(strstr(hosts, "\n10.0.0.7\tdb\nfd00::7\tv6\n"));
	assert_non_null(strstr(resolv, "nameserver 9.9.9.9\nnameserver ::1\n"
				       "search a.example b.example\noptions ndots:2 rotate\n"));
	struct stat st;
	assert_int_equal(fstatat(dir, "hosts", &st, 0), 0);
	assert_int_equal(st.st_mode & 07777, 0644);
	if (geteuid() == 0)
		assert_int_equal(st.st_uid, 1048576);
	/* Written again at the next start. */
	assert_int_equal(bundle_files(inst, 0, dir, &err), 0);
	assert_int_equal(fd_remove_tree(AT_FDCWD, folder, &err), 0);
	fixture_isolad_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(bundle__matches_golden),
		cmocka_unit_test(bundle__privileged_holds_nothing_back),
		cmocka_unit_test(bundle__joins_the_donor_s_namespaces),
		cmocka_unit_test(bundle__reports_bad_devices),
		cmocka_unit_test(bundle_exec__is_the_container_s_process_changed),
		cmocka_unit_test(bundle_files__say_what_was_asked),
	};
	return cmocka_run_group_tests_name("bundle", tests, NULL, NULL);
}
