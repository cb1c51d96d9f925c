/* SPDX-License-Identifier: Apache-2.0 */
/* create - what clients send, the normalised result, and every refusal. */
#include "fixture.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct result {
	json_object *config, *host, *networking, *warnings;
	struct err err;
	int rc;
};

static void run_on(struct result *r, const char *controllers, const char *no_guests,
		   const char *body)
{
	struct isolad *d = fixture_isolad();
	struct create_env env;
	*r = (struct result){ .warnings = json_object_new_array() };
	fixture_env(&env, d, controllers);
	env.no_guests = no_guests;
	cleanup_json json_object *request = js(body);
	r->rc = create_normalise(&env, request, r->warnings, &r->config, &r->host, &r->networking,
				 &r->err);
	fixture_env_fini(&env);
	fixture_isolad_free(d);
}

static void run(struct result *r, const char *controllers, const char *body)
{
	run_on(r, controllers, "there is no /dev/kvm", body);
}

static void result_fini(struct result *r)
{
	json_object_put(r->config);
	json_object_put(r->host);
	json_object_put(r->networking);
	json_object_put(r->warnings);
}

/* What the Debian docker CLI (20.10) sends for "docker create img ls". */
#define CLI_BODY                                                                                   \
	"{'Hostname':'','Domainname':'','User':'','AttachStdin':false,'AttachStdout':true,"        \
	"'AttachStderr':true,'Tty':false,'OpenStdin':false,'StdinOnce':false,'Env':null,"          \
	"'Cmd':['ls'],'Image':'img','Volumes':{},'WorkingDir':'','Entrypoint':null,"               \
	"'OnBuild':null,'Labels':{},'HostConfig':{'Binds':null,'ContainerIDFile':'',"              \
	"'LogConfig':{'Type':'','Config':{}},'NetworkMode':'default','PortBindings':{},"           \
	"'RestartPolicy':{'Name':'no','MaximumRetryCount':0},'AutoRemove':false,"                  \
	"'VolumeDriver':'','VolumesFrom':null,'CapAdd':null,'CapDrop':null,'CgroupnsMode':'',"     \
	"'Dns':[],'DnsOptions':[],'DnsSearch':[],'ExtraHosts':null,'GroupAdd':null,"               \
	"'IpcMode':'','Cgroup':'','Links':null,'OomScoreAdj':0,'PidMode':'','Privileged':false,"   \
	"'PublishAllPorts':false,'ReadonlyRootfs':false,'SecurityOpt':null,'UTSMode':'',"          \
	"'UsernsMode':'','ShmSize':0,'ConsoleSize':[0,0],'Isolation':'','CpuShares':0,"            \
	"'Memory':0,'NanoCpus':0,'CgroupParent':'','BlkioWeight':0,'BlkioWeightDevice':[],"        \
	"'BlkioDeviceReadBps':null,'BlkioDeviceWriteBps':null,'BlkioDeviceReadIOps':null,"         \
	"'BlkioDeviceWriteIOps':null,'CpuPeriod':0,'CpuQuota':0,'CpuRealtimePeriod':0,"            \
	"'CpuRealtimeRuntime':0,'CpusetCpus':'','CpusetMems':'','Devices':[],"                     \
	"'DeviceCgroupRules':null,'DeviceRequests':null,'KernelMemory':0,'KernelMemoryTCP':0,"     \
	"'MemoryReservation':0,'MemorySwap':0,'MemorySwappiness':-1,'OomKillDisable':false,"       \
	"'PidsLimit':0,'Ulimits':null,'CpuCount':0,'CpuPercent':0,'IOMaximumIOps':0,"              \
	"'IOMaximumBandwidth':0,'MaskedPaths':null,'ReadonlyPaths':null},"                         \
	"'NetworkingConfig':{'EndpointsConfig':{}}}"

static void create__makes_every_default_explicit(void **state)
{
	(void)state;
	struct result r;
	run(&r, "", CLI_BODY);
	assert_string_equal(r.err.text, "");
	assert_json(r.config,
		    "{'Hostname':'0123456789ab','Domainname':'','User':'www','AttachStdin':false,"
		    "'AttachStdout':true,'AttachStderr':true,'Tty':false,'OpenStdin':false,"
		    "'StdinOnce':false,'Env':['PATH=/bin','LANG=C'],'Cmd':['ls'],'Image':'img',"
		    "'Volumes':null,'WorkingDir':'/srv','Entrypoint':null,'OnBuild':null,"
		    "'Labels':{'from':'image'},'StopSignal':'SIGQUIT'}");
	assert_json(
		r.host,
		"{'Binds':null,'ContainerIDFile':'','LogConfig':{'Type':'json-file','Config':"
		"{'max-size':'10485760','max-file':'3'}},'NetworkMode':'none','PortBindings':{},"
		"'RestartPolicy':{'Name':'no','MaximumRetryCount':0},'AutoRemove':false,"
		"'VolumeDriver':'','VolumesFrom':null,'ConsoleSize':[0,0],'CapAdd':null,"
		"'CapDrop':null,'CgroupnsMode':'private','Dns':[],'DnsOptions':[],'DnsSearch':[],"
		"'ExtraHosts':null,'GroupAdd':null,'IpcMode':'private','Cgroup':'','Links':null,"
		"'OomScoreAdj':0,'PidMode':'','Privileged':false,'PublishAllPorts':false,"
		"'ReadonlyRootfs':false,'SecurityOpt':null,'UTSMode':'','UsernsMode':'private',"
		"'ShmSize':67108864,'Runtime':'ctr','Isolation':'container','CpuShares':0,'Memory':0,"
		"'NanoCpus':0,'CgroupParent':'','BlkioWeight':0,'BlkioWeightDevice':[],"
		"'BlkioDeviceReadBps':[],'BlkioDeviceWriteBps':[],'BlkioDeviceReadIOps':[],"
		"'BlkioDeviceWriteIOps':[],'CpuPeriod':0,'CpuQuota':0,'CpuRealtimePeriod':0,"
		"'CpuRealtimeRuntime':0,'CpusetCpus':'','CpusetMems':'','Devices':[],"
		"'DeviceCgroupRules':null,'DeviceRequests':null,'KernelMemory':0,"
		"'KernelMemoryTCP':0,'MemoryReservation':0,'MemorySwap':0,'MemorySwappiness':null,"
		"'OomKillDisable':false,'PidsLimit':null,'Ulimits':[],'CpuCount':0,'CpuPercent':0,"
		"'IOMaximumIOps':0,'IOMaximumBandwidth':0,'MaskedPaths':['/proc/acpi',"
		"'/proc/asound','/proc/interrupts','/proc/kcore','/proc/keys',"
		"'/proc/latency_stats','/proc/sched_debug','/proc/scsi','/proc/timer_list',"
		"'/proc/timer_stats','/sys/devices/virtual/powercap','/sys/firmware'],"
		"'ReadonlyPaths':['/proc/bus','/proc/fs','/proc/irq','/proc/sys',"
		"'/proc/sysrq-trigger']}");
	assert_json(r.warnings, "[]");
	result_fini(&r);
}

/* Tools make a new container out of what inspect showed of another. */
static void create__takes_back_what_inspect_shows(void **state)
{
	(void)state;
	static const char *const bodies[] = {
		CLI_BODY,
		"{'Image':'img','Cmd':'ls','Hostname':'h','Shell':['/bin/sh','-c'],"
		"'HostConfig':{'Memory':67108864,'Init':false,'Privileged':true,"
		"'Binds':['/a:/b:ro'],'Mounts':[{'Type':'tmpfs','Target':'/t'}],"
		"'LogConfig':{'Type':'none'},'RestartPolicy':{'Name':'on-failure',"
		"'MaximumRetryCount':3},'PidsLimit':-1,'CapAdd':['net_admin']}}",
		"{'Image':'img','HostConfig':{'IpcMode':'host','PidMode':'container:donor',"
		"'NetworkMode':'host','MaskedPaths':[],'ReadonlyPaths':[]}}",
	};
	for (size_t i = 0; i < sizeof(bodies) / sizeof(bodies[0]); i++) {
		struct result first, second;
		run(&first, ALL_CONTROLLERS, bodies[i]);
		assert_string_equal(first.err.text, "");
		cleanup_json json_object *body = json_copy(first.config);
		json_add(body, "HostConfig", json_object_get(first.host));
		run(&second, ALL_CONTROLLERS, text_of(body));
		assert_string_equal(second.err.text, "");
		assert_true(json_object_equal(first.config, second.config));
		assert_true(json_object_equal(first.host, second.host));
		result_fini(&first);
		result_fini(&second);
	}
}

/* Each: a HostConfig, and the value of one of its fields afterwards. */
static void create__normalises_host_config(void **state)
{
	(void)state;
	static const struct {
		const char *host, *field, *want;
	} rows[] = {
		{ "{'Memory':67108864}", "MemorySwap", "134217728" },
		{ "{'Memory':67108864,'MemorySwap':-1}", "MemorySwap", "-1" },
		{ "{'PidsLimit':-7}", "PidsLimit", "-1" },
		{ "{'PidsLimit':0}", "PidsLimit", "null" },
		{ "{'PidsLimit':20}", "PidsLimit", "20" },
		{ "{'CpuQuota':-1}", "CpuQuota", "0" },
		{ "{'NanoCpus':1500000000}", "NanoCpus", "1500000000" },
		{ "{'CpusetCpus':'0-1'}", "CpusetCpus", "'0-1'" },
		{ "{'CapAdd':['sys_ptrace','CAP_KILL','all']}", "CapAdd",
		  "['CAP_SYS_PTRACE','CAP_KILL','ALL']" },
		{ "{'Runtime':'runc'}", "Runtime", "'ctr'" },
		{ "{'Runtime':'io.containerd.runc.v2'}", "Runtime", "'ctr'" },
		{ "{'Isolation':'default'}", "Isolation", "'container'" },
		{ "{'Privileged':true}", "UsernsMode", "'host'" },
		{ "{'Privileged':true}", "MaskedPaths", "null" },
		{ "{'SecurityOpt':['systempaths=unconfined']}", "MaskedPaths", "[]" },
		{ "{'SecurityOpt':['systempaths=unconfined']}", "ReadonlyPaths", "[]" },
		{ "{'MaskedPaths':['/proc/x']}", "MaskedPaths", "['/proc/x']" },
		{ "{'UsernsMode':'host'}", "UsernsMode", "'host'" },
		{ "{'IpcMode':'host'}", "ShmSize", "0" },
		{ "{'IpcMode':'shareable'}", "ShmSize", "67108864" },
		{ "{'ShmSize':1048576}", "ShmSize", "1048576" },
		{ "{'PidMode':'container:donor'}", "PidMode", "'container:" FIXTURE_DONOR "'" },
		{ "{'PidMode':'container:donor'}", "UsernsMode", "'private'" },
		{ "{'Init':false}", "Init", "false" },
		{ "{'Init':true}", "Init", "true" },
		{ "{'LogConfig':{'Type':'json-file','Config':{'max-size':'1m'}}}", "LogConfig",
		  "{'Type':'json-file','Config':{'max-size':'1m','max-file':'3'}}" },
		{ "{'LogConfig':{'Type':'none','Config':{}}}", "LogConfig",
		  "{'Type':'none','Config':{}}" },
		{ "{'RestartPolicy':{'Name':''}}", "RestartPolicy",
		  "{'Name':'no','MaximumRetryCount':0}" },
		{ "{'Ulimits':[{'Name':'nofile','Soft':10,'Hard':-1}]}", "Ulimits",
		  "[{'Name':'nofile','Soft':10,'Hard':-1}]" },
		{ "{'Sysctls':{'net.ipv4.ip_forward':'1','kernel/shmmax':'5'}}", "Sysctls",
		  "{'net.ipv4.ip_forward':'1','kernel/shmmax':'5'}" },
		{ "{'ExtraHosts':['a:1.2.3.4','b=[::1]']}", "ExtraHosts",
		  "['a:1.2.3.4','b=[::1]']" },
		{ "{'Unknown':{'a':0,'b':[]}}", "Unknown", "null" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result r;
		char body[512];
		(void)snprintf(body, sizeof(body), "{'Image':'img','HostConfig':%s}", rows[i].host);
		run(&r, ALL_CONTROLLERS, body);
		assert_string_equal(r.err.text, "");
		assert_string_equal(text_of(json_get(r.host, rows[i].field)), rows[i].want);
		result_fini(&r);
	}
}

static void create__merges_the_image(void **state)
{
	(void)state;
	static const struct {
		const char *body, *field, *want;
	} rows[] = {
		{ "{}", "Cmd", "['sh']" },
		{ "{'Cmd':['ls','-l']}", "Cmd", "['ls','-l']" },
		{ "{'Cmd':'ls'}", "Cmd", "['ls']" },
		{ "{'Entrypoint':'/e'}", "Entrypoint", "['/e']" },
		{ "{'Entrypoint':['/e'],'Cmd':['x']}", "Cmd", "['x']" },
		{ "{'Entrypoint':['/e']}", "Cmd", "null" },
		{ "{'Entrypoint':[''],'Cmd':['x']}", "Entrypoint", "null" },
		{ "{'Entrypoint':[]}", "Cmd", "['sh']" },
		{ "{'Env':['LANG=de','X=1']}", "Env", "['LANG=de','X=1','PATH=/bin']" },
		{ "{'Env':['LANG']}", "Env", "['LANG','PATH=/bin']" },
		{ "{'Labels':{'a':'b'}}", "Labels", "{'from':'image','a':'b'}" },
		{ "{'Labels':{'from':'me'}}", "Labels", "{'from':'me'}" },
		{ "{'User':'0'}", "User", "'0'" },
		{ "{'WorkingDir':'/w'}", "WorkingDir", "'/w'" },
		{ "{'StopSignal':'15'}", "StopSignal", "'15'" },
		{ "{'StopTimeout':0}", "StopTimeout", "0" },
		{ "{'Hostname':'web-1.example'}", "Hostname", "'web-1.example'" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result r;
		run(&r, "", rows[i].body);
		assert_string_equal(r.err.text, "");
		assert_string_equal(text_of(json_get(r.config, rows[i].field)), rows[i].want);
		result_fini(&r);
	}
}

/* A HostConfig and the whole error. */
static const struct {
	const char *host;
	int code;
	const char *error;
} host_errors[] = {
	{ "{'NetworkMode':'host','PortBindings':{'80/tcp':[{'HostPort':'80'}]}}", EINVAL,
	  "HostConfig.PortBindings (-p): nothing can be published with NetworkMode (--network) "
	  "host" },
	{ "{'NetworkMode':'none','PublishAllPorts':true}", EINVAL,
	  "HostConfig.PublishAllPorts (-P): nothing can be published with NetworkMode (--network) "
	  "none" },
	{ "{'NetworkMode':'bridge','PortBindings':{'80/sctp':null}}", EOPNOTSUPP,
	  "HostConfig.PortBindings (-p): sctp is not supported: only tcp and udp are" },
	{ "{'NetworkMode':'bridge','PortBindings':{'http':null}}", EINVAL,
	  "HostConfig.PortBindings (-p): 'http' is no port like 80/tcp" },
	{ "{'NetworkMode':'bridge','PortBindings':{'80-81/tcp':null}}", EINVAL,
	  "HostConfig.PortBindings (-p): '80-81/tcp': one port a key" },
	{ "{'NetworkMode':'bridge','PortBindings':{'80':[{'HostIp':'::zz'}]}}", EINVAL,
	  "HostConfig.PortBindings (-p): HostIp '::zz' is no address" },
	{ "{'NetworkMode':'bridge','PortBindings':{'80':[{'HostIp':'lan'}]}}", EINVAL,
	  "HostConfig.PortBindings (-p): HostIp 'lan' is no address" },
	{ "{'NetworkMode':'bridge','PortBindings':{'80':[{'HostPort':'70000'}]}}", EINVAL,
	  "HostConfig.PortBindings (-p): HostPort '70000' is no port like 8080" },
	{ "{'NetworkMode':'container:x'}", ENOENT,
	  "HostConfig.NetworkMode (--network): No such container: x" },
	{ "{'NetworkMode':'a b'}", EINVAL,
	  "HostConfig.NetworkMode (--network): 'a b' is no name of a network" },
	{ "{'Links':['a']}", EOPNOTSUPP, "HostConfig.Links (--link) is not supported yet" },
	{ "{'VolumeDriver':'x'}", EOPNOTSUPP,
	  "HostConfig.VolumeDriver (--volume-driver): 'x' is not supported: only local is" },
	{ "{'StorageOpt':{'size':'much'}}", EINVAL,
	  "HostConfig.StorageOpt (--storage-opt): size: 'much' is no size of at least 65536 "
	  "bytes" },
	{ "{'StorageOpt':{'inodes':'1'}}", EOPNOTSUPP,
	  "HostConfig.StorageOpt (--storage-opt): 'inodes': only size and root are supported" },
	{ "{'StorageOpt':{'root':'ext4'}}", EINVAL,
	  "HostConfig.StorageOpt (--storage-opt): root: 'ext4' is not auto, erofs or virtiofs" },
	{ "{'StorageOpt':{'root':'erofs','size':'1'}}", EINVAL,
	  "HostConfig.StorageOpt (--storage-opt): size: '1' is no size of at least 65536 bytes" },
	{ "{'DeviceRequests':[{'Count':-1}]}", EOPNOTSUPP,
	  "HostConfig.DeviceRequests (--gpus) is not supported yet" },
	{ "{'CgroupParent':'/x'}", EOPNOTSUPP,
	  "HostConfig.CgroupParent (--cgroup-parent) is not supported: isolad's --cgroup decides "
	  "for all" },
	{ "{'Cgroup':'x'}", EOPNOTSUPP, "HostConfig.Cgroup is not supported" },
	{ "{'CpuCount':2}", EOPNOTSUPP, "HostConfig.CpuCount is not supported on Linux" },
	{ "{'KernelMemory':9999999}", EOPNOTSUPP,
	  "HostConfig.KernelMemory (--kernel-memory) is not supported: cgroup v2 counts it in "
	  "--memory" },
	{ "{'OomKillDisable':true}", EOPNOTSUPP,
	  "HostConfig.OomKillDisable (--oom-kill-disable) is not supported: cgroup v2 can't" },
	{ "{'MemorySwappiness':0}", EOPNOTSUPP,
	  "HostConfig.MemorySwappiness (--memory-swappiness): cgroup v2 has no swappiness of its "
	  "own; only -1 is taken" },
	{ "{'Runtime':'vm'}", EOPNOTSUPP,
	  "HostConfig.Isolation (--isolation) vm is not possible here: there is no /dev/kvm" },
	{ "{'Runtime':'kata'}", EINVAL,
	  "HostConfig.Runtime (--runtime): unknown or invalid runtime name: kata (ctr and vm are)" },
	{ "{'Isolation':'vm'}", EOPNOTSUPP,
	  "HostConfig.Isolation (--isolation) vm is not possible here: there is no /dev/kvm" },
	{ "{'Isolation':'hyperv'}", EINVAL,
	  "HostConfig.Isolation (--isolation): invalid isolation: 'hyperv' (container, vm or auto)" },
	{ "{'IpcMode':'container:donor'}", EOPNOTSUPP,
	  "HostConfig.IpcMode (--ipc): container:… is not supported yet" },
	{ "{'IpcMode':'x'}", EINVAL, "HostConfig.IpcMode (--ipc): invalid mode: 'x'" },
	{ "{'PidMode':'container:nobody'}", ENOENT,
	  "HostConfig.PidMode (--pid): No such container: nobody" },
	{ "{'PidMode':'private'}", EINVAL, "HostConfig.PidMode (--pid): invalid mode: 'private'" },
	{ "{'UTSMode':'private'}", EINVAL, "HostConfig.UTSMode (--uts): invalid mode: 'private'" },
	{ "{'UsernsMode':'keep-id'}", EINVAL,
	  "HostConfig.UsernsMode (--userns): invalid USER mode: 'keep-id' (private, the default, or "
	  "host)" },
	{ "{'UsernsMode':'private','Privileged':true}", EINVAL,
	  "HostConfig.UsernsMode (--userns): private does not go with --privileged, which means "
	  "the host's user namespace" },
	{ "{'UsernsMode':'host','PidMode':'container:donor'}", EINVAL,
	  "HostConfig.UsernsMode (--userns): host does not go with the container whose processes "
	  "it shares (--pid)" },
	{ "{'AutoRemove':true,'RestartPolicy':{'Name':'always'}}", EINVAL,
	  "can't create 'AutoRemove' container with restart policy" },
	{ "{'RestartPolicy':{'Name':'sometimes'}}", EINVAL,
	  "HostConfig.RestartPolicy (--restart): invalid restart policy: unknown policy "
	  "'sometimes'" },
	{ "{'RestartPolicy':{'Name':'always','MaximumRetryCount':2}}", EINVAL,
	  "HostConfig.RestartPolicy (--restart): invalid restart policy: maximum retry count can "
	  "only be used with 'on-failure'" },
	{ "{'RestartPolicy':{'Name':'on-failure','MaximumRetryCount':-2}}", EINVAL,
	  "HostConfig.RestartPolicy (--restart): invalid restart policy: maximum retry count "
	  "cannot be negative" },
	{ "{'LogConfig':{'Type':'syslog'}}", EOPNOTSUPP,
	  "HostConfig.LogConfig (--log-driver): log driver 'syslog' is not supported: only "
	  "json-file and none are" },
	{ "{'LogConfig':{'Config':{'max-size':'x'}}}", EINVAL,
	  "HostConfig.LogConfig (--log-driver): max-size 'x' is no size like 10m" },
	{ "{'LogConfig':{'Config':{'compress':'true'}}}", EOPNOTSUPP,
	  "HostConfig.LogConfig (--log-driver): unknown log opt 'compress' for json-file log "
	  "driver: only max-size and max-file are supported" },
	{ "{'LogConfig':{'Type':'none','Config':{'max-size':'1m'}}}", EINVAL,
	  "HostConfig.LogConfig (--log-driver): log driver none takes no options, not 'max-size'" },
	{ "{'CapAdd':['NET_AMDIN']}", EINVAL,
	  "HostConfig.CapAdd (--cap-add): unknown capability: 'NET_AMDIN'" },
	{ "{'SecurityOpt':['seccomp=x']}", EINVAL,
	  "HostConfig.SecurityOpt (--security-opt): seccomp: expected unconfined, builtin or a "
	  "JSON profile (the client reads the file), got 'x'" },
	{ "{'SecurityOpt':['no-new-privileges:maybe']}", EINVAL,
	  "HostConfig.SecurityOpt (--security-opt): invalid --security-opt "
	  "'no-new-privileges:maybe'" },
	{ "{'SecurityOpt':['foo=bar']}", EINVAL,
	  "HostConfig.SecurityOpt (--security-opt): invalid --security-opt: 'foo=bar'" },
	{ "{'Devices':[{'PathOnHost':'dev/x'}]}", EINVAL,
	  "HostConfig.Devices (--device): [0]: PathOnHost 'dev/x' is no absolute path" },
	{ "{'Devices':[{'PathOnHost':'/dev/x','CgroupPermissions':'rx'}]}", EINVAL,
	  "HostConfig.Devices (--device): [0]: invalid device mode: 'rx'" },
	{ "{'DeviceCgroupRules':['c 1:3']}", EINVAL,
	  "HostConfig.DeviceCgroupRules (--device-cgroup-rule): invalid device cgroup rule format: "
	  "'c 1:3' (like 'c 1:3 rwm')" },
	{ "{'Sysctls':{'kernel.panic':'1'}}", EINVAL,
	  "HostConfig.Sysctls (--sysctl): 'kernel.panic' is not separate for each container" },
	{ "{'Sysctls':{'net.ipv4.ip_forward':'1'},'NetworkMode':'host'}", EINVAL,
	  "HostConfig.Sysctls (--sysctl): 'net.ipv4.ip_forward' not allowed with NetworkMode "
	  "host" },
	{ "{'Sysctls':{'../x':'1'}}", EINVAL,
	  "HostConfig.Sysctls (--sysctl): '../x' is no name of a sysctl" },
	{ "{'Memory':4}", EINVAL,
	  "HostConfig.Memory (--memory): 4 bytes is below the minimum of 64 KiB" },
	{ "{'MemorySwap':67108864}", EINVAL,
	  "HostConfig.MemorySwap (--memory-swap): You should always set the Memory limit when "
	  "using Memoryswap limit, see usage" },
	{ "{'Memory':67108864,'MemorySwap':1048576}", EINVAL,
	  "HostConfig.MemorySwap (--memory-swap): Minimum memoryswap limit should be larger than "
	  "memory limit, see usage" },
	{ "{'Memory':67108864,'MemoryReservation':134217728}", EINVAL,
	  "HostConfig.MemoryReservation (--memory-reservation): Minimum memory limit can not be "
	  "less than memory reservation limit, see usage" },
	{ "{'NanoCpus':3000000000}", EINVAL,
	  "HostConfig.NanoCpus (--cpus): range of CPUs is from 0.01 to 2.00, as there are only 2 "
	  "CPUs available" },
	{ "{'NanoCpus':1000000000,'CpuQuota':5000}", EINVAL,
	  "Conflicting options: Nano CPUs and CPU Quota cannot both be set" },
	{ "{'CpuShares':1}", EINVAL,
	  "HostConfig.CpuShares (--cpu-shares): 1 is not between 2 and 262144" },
	{ "{'CpuQuota':10}", EINVAL,
	  "HostConfig.CpuQuota (--cpu-quota): CPU cfs quota can not be less than 1ms (i.e. 1000)" },
	{ "{'CpusetCpus':'0-7'}", EINVAL,
	  "HostConfig.CpusetCpus (--cpuset-cpus): Requested CPUs are not available - requested "
	  "0-7, available: 0-1" },
	{ "{'CpusetCpus':'a'}", EINVAL,
	  "HostConfig.CpusetCpus (--cpuset-cpus): 'a' is no list like 0-2,4" },
	{ "{'CpusetMems':'1,'}", EINVAL,
	  "HostConfig.CpusetMems (--cpuset-mems): '1,' is no list like 0-2,4" },
	{ "{'BlkioWeight':5}", EINVAL,
	  "HostConfig.BlkioWeight (--blkio-weight): 5 is not between 10 and 1000" },
	{ "{'BlkioDeviceReadBps':[{'Path':'sda','Rate':1}]}", EINVAL,
	  "HostConfig.BlkioDeviceReadBps (--device-read-bps): [0].Path must be an absolute path" },
	{ "{'Ulimits':[{'Name':'files','Soft':1,'Hard':1}]}", EINVAL,
	  "HostConfig.Ulimits (--ulimit): [0]: invalid ulimit type: 'files'" },
	{ "{'Ulimits':[{'Name':'nofile','Soft':-1,'Hard':1}]}", EINVAL,
	  "HostConfig.Ulimits (--ulimit): [0]: nofile: the soft limit must be less than or equal "
	  "to the hard limit: -1 > 1" },
	{ "{'ShmSize':1048576,'IpcMode':'host'}", EINVAL,
	  "HostConfig.ShmSize (--shm-size) needs a private IpcMode (--ipc)" },
	{ "{'OomScoreAdj':1001}", EINVAL,
	  "HostConfig.OomScoreAdj (--oom-score-adj): 1001 is not between -1000 and 1000" },
	{ "{'GroupAdd':['audio']}", EOPNOTSUPP,
	  "HostConfig.GroupAdd (--group-add): 'audio': group names are not supported yet, give the "
	  "group's number" },
	{ "{'ExtraHosts':['a']}", EINVAL,
	  "HostConfig.ExtraHosts (--add-host): bad format for add-host: 'a'" },
	{ "{'ExtraHosts':['a:host-gateway']}", EINVAL,
	  "HostConfig.ExtraHosts (--add-host): there is no host-gateway with NetworkMode "
	  "(--network) none" },
	{ "{'ExtraHosts':['a:1.2.3']}", EINVAL,
	  "HostConfig.ExtraHosts (--add-host): invalid IP address in add-host: '1.2.3'" },
	{ "{'Dns':['8.8.8']}", EINVAL, "HostConfig.Dns (--dns): '8.8.8' is not an IP address" },
	{ "{'DnsSearch':['a b']}", EINVAL,
	  "HostConfig.DnsSearch (--dns-search): 'a b' must be one word" },
	{ "{'ConsoleSize':[1]}", EINVAL, "HostConfig.ConsoleSize: must be [height, width]" },
	{ "{'Memory':'64m'}", EINVAL, "HostConfig.Memory (--memory) must be a whole number" },
	{ "{'Memory':1.5}", EINVAL, "HostConfig.Memory (--memory) must be a whole number" },
	{ "{'Memory':99999999999999999999}", EINVAL,
	  "HostConfig.Memory (--memory) must be a whole number" },
	{ "{'Binds':'/a:/b'}", EINVAL, "HostConfig.Binds (-v) must be an array of strings" },
	{ "{'Privileged':'yes'}", EINVAL,
	  "HostConfig.Privileged (--privileged) must be true or false" },
	{ "{'Turbo':true}", EINVAL, "HostConfig.Turbo is not a known field" },
	{ "{'memory':67108864}", EINVAL,
	  "HostConfig.memory is not a known field (did you mean Memory?)" },
	{ "[]", EINVAL, "HostConfig must be an object" },
};

static void create__refuses_host_config(void **state)
{
	(void)state;
	for (size_t i = 0; i < sizeof(host_errors) / sizeof(host_errors[0]); i++) {
		struct result r;
		char body[512];
		(void)snprintf(body, sizeof(body), "{'Image':'img','HostConfig':%s}",
			       host_errors[i].host);
		run(&r, ALL_CONTROLLERS, body);
		assert_string_equal(r.err.text, host_errors[i].error);
		assert_int_equal(r.err.code, host_errors[i].code);
		assert_int_equal(r.rc, -host_errors[i].code);
		assert_null(r.config);
		assert_null(r.host);
		result_fini(&r);
	}
}

static void create__refuses_config(void **state)
{
	(void)state;
	static const struct {
		const char *body, *error;
	} rows[] = {
		{ "[]", "the body must be a JSON object" },
		{ "{'Hostname':'a b'}", "Hostname (--hostname): 'a b' may hold only letters, "
					"digits, '-', '_' and '.'" },
		{ "{'Hostname':'-a'}", "Hostname (--hostname): '-a' must begin with a letter or "
				       "digit" },
		{ "{'User':'1:'}", "User (--user): '1:' is not name|uid[:group|gid]" },
		{ "{'User':':1'}", "User (--user): ':1' is not name|uid[:group|gid]" },
		{ "{'User':'4294967295'}",
		  "User (--user): '4294967295' is not name|uid[:group|gid]" },
		{ "{'User':'-1'}", "User (--user): '-1' is not name|uid[:group|gid]" },
		{ "{'User':'a/b'}", "User (--user): 'a/b' is not name|uid[:group|gid]" },
		{ "{'WorkingDir':'w'}", "WorkingDir (--workdir): the working directory 'w' is "
					"invalid, it needs to be an absolute path" },
		{ "{'Env':['=x']}", "Env (--env): invalid environment variable: '=x'" },
		{ "{'Env':{'a':'b'}}", "Env (--env) must be an array of strings" },
		{ "{'Env':['a\\u0000b']}", "Env (--env) must be an array of strings" },
		{ "{'Cmd':[1]}", "Cmd must be a string or an array of strings" },
		{ "{'StopSignal':'SIGFOO'}", "StopSignal (--stop-signal): Invalid signal: SIGFOO" },
		{ "{'StopTimeout':-2}",
		  "StopTimeout (--stop-timeout): -2 is not between -1 and 2147483647" },
		{ "{'Volumes':{'/data':1}}", "Volumes (-v) must be an object whose values are {}" },
		{ "{'MacAddress':'02:42:ac:11:00:02'}",
		  "MacAddress (--mac-address) goes not with NetworkMode (--network) none" },
		{ "{'Healthcheck':{'Test':['CMD']}}",
		  "Healthcheck (--health-cmd): Test: CMD needs a command" },
		{ "{'Healthcheck':{'Test':['CMD-SHELL','a','b']}}",
		  "Healthcheck (--health-cmd): Test: CMD-SHELL takes one command line" },
		{ "{'Healthcheck':{'Test':['NONE','b']}}",
		  "Healthcheck (--health-cmd): Test: nothing may follow NONE" },
		{ "{'Healthcheck':{'Test':['RUN','b']}}",
		  "Healthcheck (--health-cmd): Test: 'RUN' is none of CMD, CMD-SHELL and NONE" },
		{ "{'Healthcheck':{'Test':'true'}}",
		  "Healthcheck (--health-cmd): Test must be an array of strings" },
		{ "{'Healthcheck':{'Interval':999999}}",
		  "Healthcheck (--health-cmd): Interval: 999999 is out of range; it is at least "
		  "1000000 ns (1 ms)" },
		{ "{'Healthcheck':{'Timeout':-1}}",
		  "Healthcheck (--health-cmd): Timeout: -1 is out of range; it is at least "
		  "1000000 ns (1 ms)" },
		{ "{'Healthcheck':{'Retries':-1}}",
		  "Healthcheck (--health-cmd): Retries: -1 is out of range; it is at least 1 "
		  "retry" },
		{ "{'Healthcheck':{'Often':1}}",
		  "Healthcheck (--health-cmd): unknown field Often" },
		{ "{'ExposedPorts':{'http':{}}}",
		  "ExposedPorts (--expose): 'http' is not port[-port][/tcp|/udp|/sctp]" },
		{ "{'NetworkDisabled':true,'HostConfig':{'NetworkMode':'host'}}",
		  "NetworkDisabled goes only with NetworkMode none" },
		{ "{'Hostname':'h','HostConfig':{'UTSMode':'host'}}",
		  "conflicting options: Hostname (--hostname) and the UTS mode host" },
		{ "{'Entrypoint':['']}", "no command specified" },
		{ "{'NetworkingConfig':{'EndpointsConfig':{'lan':{}}}}",
		  "NetworkingConfig.EndpointsConfig: network 'lan' goes not with NetworkMode none" },
		{ "{'NetworkingConfig':{'EndpointsConfig':{'none':{'Aliases':['a']}}}}",
		  "NetworkingConfig.EndpointsConfig.none: settings of an endpoint (--ip, "
		  "--network-alias) are not supported with network none, host or container:..." },
		{ "{'Wobble':1}", "Wobble is not a known field" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result r;
		run(&r, ALL_CONTROLLERS, rows[i].body);
		assert_string_equal(r.err.text, rows[i].error);
		assert_true(r.rc < 0);
		result_fini(&r);
	}
}

/* A limit is never dropped: the host that cannot enforce it says so. */
static void create__names_limits_the_host_lacks(void **state)
{
	(void)state;
	static const struct {
		const char *host, *error;
	} rows[] = {
		{ "{'Memory':67108864}", "HostConfig.Memory (--memory): cannot enforce 64m" },
		{ "{'MemorySwap':1025}", "HostConfig.MemorySwap (--memory-swap): cannot enforce "
					 "1025b" },
		{ "{'NanoCpus':1500000000}", "HostConfig.NanoCpus (--cpus): cannot enforce 1.50" },
		{ "{'CpuShares':512}", "HostConfig.CpuShares (--cpu-shares): cannot enforce 512" },
		{ "{'CpusetCpus':'0'}", "HostConfig.CpusetCpus (--cpuset-cpus): cannot enforce 0" },
		{ "{'PidsLimit':9}", "HostConfig.PidsLimit (--pids-limit): cannot enforce 9" },
		{ "{'BlkioWeight':500}",
		  "HostConfig.BlkioWeight (--blkio-weight): cannot enforce 500" },
		{ "{'BlkioDeviceWriteIOps':[{'Path':'/dev/sda','Rate':1}]}",
		  "HostConfig.BlkioDeviceWriteIOps (--device-write-iops): cannot enforce "
		  "/dev/sda" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result r;
		char body[256];
		(void)snprintf(body, sizeof(body), "{'Image':'i','HostConfig':%s}", rows[i].host);
		/* Nothing of it is a controller by that name. */
		run(&r, "cpuacct memory2 xpids hugetlb", body);
		assert_int_equal(r.rc, -EOPNOTSUPP);
		assert_int_equal(strncmp(r.err.text, rows[i].error, strlen(rows[i].error)), 0);
		assert_non_null(strstr(r.err.text, "this host's cgroup v2 has no "));
		assert_non_null(strstr(r.err.text, "docs/hosts.md"));
		result_fini(&r);
	}
}

/* Behind the VM wall the guest's kernel enforces what this host cannot, and that is said. */
static void create__lets_a_guest_enforce_limits(void **state)
{
	(void)state;
	static const struct {
		const char *controllers, *host, *warnings;
	} rows[] = {
		{ "io", "'Memory':67108864,'MemorySwap':67108864",
		  "['--memory 64m is enforced by the guest alone, as this host\\u0027s cgroup v2 has "
		  "no memory controller: the container\\u0027s memory, and what RAM there is; what "
		  "isola-vmm and virtiofsd need beside has no limit']" },
		{ "cpuset", "'NanoCpus':1000000000",
		  "['--cpus 1.00 is enforced by the guest alone, as this host\\u0027s cgroup v2 has no "
		  "cpu controller: it has so many CPUs; the time that isola-vmm and virtiofsd take "
		  "beside has no limit']" },
		{ "", "'PidsLimit':9", "[]" },
		{ "memory", "'Memory':67108864", "[]" },
		{ "cpu", "'NanoCpus':500000000", "[]" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result r;
		char body[256];
		(void)snprintf(body, sizeof(body),
			       "{'Image':'i','HostConfig':{'Isolation':'vm',%s}}", rows[i].host);
		run_on(&r, rows[i].controllers, NULL, body);
		assert_string_equal(r.err.text, "");
		assert_int_equal(r.rc, 0);
		assert_json(r.warnings, rows[i].warnings);
		result_fini(&r);
	}
}

static void create__refuses_limits_no_guest_enforces(void **state)
{
	(void)state;
	static const struct {
		const char *host, *error;
	} rows[] = {
		{ "'NanoCpus':1500000000",
		  "HostConfig.NanoCpus (--cpus): cannot enforce 1.50: this host's cgroup v2 has no "
		  "cpu controller, and without it a microVM has whole CPUs only (see "
		  "docs/hosts.md)" },
		{ "'CpuQuota':100000",
		  "HostConfig.CpuQuota (--cpu-quota): cannot enforce 100000: this host's cgroup v2 "
		  "has no cpu controller (see docs/hosts.md)" },
		{ "'MemoryReservation':67108864",
		  "HostConfig.MemoryReservation (--memory-reservation): cannot enforce 64m: this "
		  "host's cgroup v2 has no memory controller (see docs/hosts.md)" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct result r;
		char body[256];
		(void)snprintf(body, sizeof(body),
			       "{'Image':'i','HostConfig':{'Isolation':'vm',%s}}", rows[i].host);
		run_on(&r, "pids cpuset", NULL, body);
		assert_string_equal(r.err.text, rows[i].error);
		assert_int_equal(r.rc, -EOPNOTSUPP);
		result_fini(&r);
	}
}

static void create__takes_the_images_health_check(void **state)
{
	(void)state;
	struct isolad *d = fixture_isolad();
	struct create_env env;
	struct err err = ERR_INIT;
	fixture_env(&env, d, "");
	json_object *config = json_get(env.image, "config");
	json_add(config, "Volumes", js("{'/data':{}}"));
	json_add(config, "Healthcheck", js("{'Test':['CMD','true'],'Retries':2}"));
	static const struct {
		const char *body, *want;
	} rows[] = {
		{ "{'Image':'i'}", "{'Test':['CMD','true'],'Retries':2}" },
		{ "{'Image':'i','Healthcheck':{'Interval':1000000}}",
		  "{'Test':['CMD','true'],'Retries':2,'Interval':1000000}" },
		{ "{'Image':'i','Healthcheck':{'Test':[],'Retries':0}}",
		  "{'Test':['CMD','true'],'Retries':2}" },
		{ "{'Image':'i','Healthcheck':{'Test':['NONE']}}",
		  "{'Test':['NONE'],'Retries':2}" },
		{ "{'Image':'i','Healthcheck':{'Test':['CMD-SHELL','x'],'Retries':5}}",
		  "{'Test':['CMD-SHELL','x'],'Retries':5}" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		cleanup_json json_object *body = js(rows[i].body), *want = js(rows[i].want);
		cleanup_json json_object *warnings = json_object_new_array();
		cleanup_json json_object *c = NULL, *h = NULL, *n = NULL;
		assert_int_equal(create_normalise(&env, body, warnings, &c, &h, &n, &err), 0);
		assert_non_null(json_get(json_get(c, "Volumes"), "/data"));
		assert_int_equal(json_len(warnings), 0);
		if (!json_object_equal(json_get(c, "Healthcheck"), want))
			fail_msg("%s: %s", rows[i].body,
				 json_object_to_json_string(json_get(c, "Healthcheck")));
	}
	fixture_env_fini(&env);
	fixture_isolad_free(d);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(create__makes_every_default_explicit),
		cmocka_unit_test(create__takes_back_what_inspect_shows),
		cmocka_unit_test(create__normalises_host_config),
		cmocka_unit_test(create__merges_the_image),
		cmocka_unit_test(create__refuses_host_config),
		cmocka_unit_test(create__refuses_config),
		cmocka_unit_test(create__names_limits_the_host_lacks),
		cmocka_unit_test(create__lets_a_guest_enforce_limits),
		cmocka_unit_test(create__refuses_limits_no_guest_enforces),
		cmocka_unit_test(create__takes_the_images_health_check),
	};
	return cmocka_run_group_tests_name("create", tests, NULL, NULL);
}
