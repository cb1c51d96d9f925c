/* SPDX-License-Identifier: Apache-2.0 */
/* create_flags - see create_flags.h. A flag that maps straight to a field is a
 * row; one with a grammar of its own has a function. The daemon checks values;
 * here only what the daemon could not see is checked. */
#include "create_flags.h"

#include "body.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"
#include "publish.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct flag flags_resources[] = {
	{ "memory", 'm', FLAG_SIZE, "bytes", "memory limit (64m, 1g)" },
	{ "memory-reservation", 0, FLAG_SIZE, "bytes", "memory soft limit" },
	{ "memory-swap", 0, FLAG_SIZE, "bytes", "memory plus swap; -1 = unlimited swap" },
	{ "cpus", 0, FLAG_STR, "n", "number of CPUs (1.5)" },
	{ "cpu-shares", 'c', FLAG_INT, "n", "CPU shares, relative weight (1024)" },
	{ "cpu-period", 0, FLAG_INT, "us", "CFS period in microseconds" },
	{ "cpu-quota", 0, FLAG_INT, "us", "CFS quota in microseconds" },
	{ "cpuset-cpus", 0, FLAG_STR, "list", "CPUs to run on (0-3, 0,1)" },
	{ "cpuset-mems", 0, FLAG_STR, "list", "memory nodes to use" },
	{ "pids-limit", 0, FLAG_INT, "n", "number of processes; -1 = no limit" },
	{ "blkio-weight", 0, FLAG_INT, "n", "block I/O weight, 10 to 1000" },
	{ "restart", 0, FLAG_STR, "policy", "no, on-failure[:n], always, unless-stopped" },
	{ .name = NULL },
};

const struct flag flags_create[] = {
	{ "add-host", 0, FLAG_LIST, "name:ip", "line for /etc/hosts" },
	{ "annotation", 0, FLAG_LIST, "key=value", "annotation of the OCI bundle" },
	{ "blkio-weight-device", 0, FLAG_LIST, "path:n", "block I/O weight of one device" },
	{ "cap-add", 0, FLAG_LIST, "cap", "add a capability" },
	{ "cap-drop", 0, FLAG_LIST, "cap", "drop a capability (ALL)" },
	{ "cgroupns", 0, FLAG_STR, "mode", "cgroup namespace: private or host" },
	{ "cidfile", 0, FLAG_STR, "file", "write the container's id to this file" },
	{ "config", 0, FLAG_LIST, "spec", "the same at /NAME: id=NAME,src=FILE|env=VAR,..." },
	{ "device", 0, FLAG_LIST, "path", "host device: /dev/x[:/dev/y][:rwm]" },
	{ "device-cgroup-rule", 0, FLAG_LIST, "rule", "device rule: 'c 1:3 mr'" },
	{ "device-read-bps", 0, FLAG_LIST, "path:rate", "limit reading, bytes a second" },
	{ "device-read-iops", 0, FLAG_LIST, "path:n", "limit reading, operations a second" },
	{ "device-write-bps", 0, FLAG_LIST, "path:rate", "limit writing, bytes a second" },
	{ "device-write-iops", 0, FLAG_LIST, "path:n", "limit writing, operations a second" },
	{ "dns", 0, FLAG_LIST, "ip", "name server for resolv.conf" },
	{ "dns-option", 0, FLAG_LIST, "option", "option for resolv.conf" },
	{ "dns-search", 0, FLAG_LIST, "domain", "search domain for resolv.conf" },
	{ "domainname", 0, FLAG_STR, "name", "NIS domain name" },
	{ "entrypoint", 0, FLAG_STR, "command", "replace the image's entrypoint" },
	{ "env", 'e', FLAG_LIST, "name[=value]", "set a variable, or pass ours" },
	{ "env-file", 0, FLAG_LIST, "file", "variables from a file" },
	{ "expose", 0, FLAG_LIST, "port[/proto]", "note a port, for -P; nothing is opened" },
	{ "group-add", 0, FLAG_LIST, "gid", "additional group, by number" },
	{ "hostname", 'h', FLAG_STR, "name", "host name inside" },
	{ "init", 0, FLAG_BOOL, NULL, "run a small init that reaps and forwards signals" },
	{ "health-cmd", 0, FLAG_STR, "command", "command line that tells whether it is well" },
	{ "health-interval", 0, FLAG_STR, "duration", "from one check to the next (30s)" },
	{ "health-retries", 0, FLAG_INT, "n", "failures in a row until it is unhealthy (3)" },
	{ "health-start-interval", 0, FLAG_STR, "duration",
	  "the interval within the start period (5s)" },
	{ "health-start-period", 0, FLAG_STR, "duration",
	  "time after the start in which failures do not count (0s)" },
	{ "health-timeout", 0, FLAG_STR, "duration", "a check that takes longer failed (30s)" },
	{ "interactive", 'i', FLAG_BOOL, NULL, "keep standard input open" },
	{ "ipc", 0, FLAG_STR, "mode", "IPC namespace: private, shareable, host, none" },
	{ "isolation", 0, FLAG_STR, "wall", "container, vm (a microVM) or auto" },
	{ "label", 'l', FLAG_LIST, "key=value", "label" },
	{ "label-file", 0, FLAG_LIST, "file", "labels from a file" },
	{ "log-driver", 0, FLAG_STR, "driver", "json-file or none" },
	{ "log-opt", 0, FLAG_LIST, "key=value", "max-size=10m, max-file=3" },
	{ "memory-swappiness", 0, FLAG_INT, "n", "not on cgroup v2: refused unless -1" },
	{ "mount", 0, FLAG_LIST, "spec",
	  "type=bind|volume|tmpfs,source=...,target=...[,readonly]" },
	{ "name", 0, FLAG_STR, "name", "name of the container" },
	{ "ip", 0, FLAG_STR, "ip", "its address in the network" },
	{ "ip6", 0, FLAG_STR, "ip", "its IPv6 address in the network" },
	{ "mac-address", 0, FLAG_STR, "mac", "its link's address" },
	{ "network", 0, FLAG_STR, "name",
	  "bridge, a network, none (own loopback), host, container:x" },
	{ "net", 0, FLAG_STR, "mode", "same as --network" },
	{ "network-alias", 0, FLAG_LIST, "name", "one more name for other members of the network" },
	{ "net-alias", 0, FLAG_LIST, "name", "same as --network-alias" },
	{ "no-healthcheck", 0, FLAG_BOOL, NULL, "no health check, not the image's either" },
	{ "oom-kill-disable", 0, FLAG_BOOL, NULL, "not on cgroup v2: refused" },
	{ "oom-score-adj", 0, FLAG_INT, "n", "preference of the kernel's OOM killer" },
	{ "pid", 0, FLAG_STR, "mode", "PID namespace: host, container:x" },
	{ "publish", 'p', FLAG_LIST, "port", "publish a port: [[ip:]host:]port[/udp]" },
	{ "publish-all", 'P', FLAG_BOOL, NULL, "publish all exposed ports on free ones" },
	{ "privileged", 0, FLAG_BOOL, NULL, "nearly all rights of the host's root" },
	{ "read-only", 0, FLAG_BOOL, NULL, "mount the root read-only" },
	{ "rm", 0, FLAG_BOOL, NULL, "remove the container when it ends" },
	{ "runtime", 0, FLAG_STR, "name", "ctr" },
	{ "secret", 0, FLAG_LIST, "spec", "file in memory only: id=NAME,src=FILE|env=VAR,..." },
	{ "security-opt", 0, FLAG_LIST, "option",
	  "seccomp=unconfined|FILE, no-new-privileges, systempaths=unconfined" },
	{ "shm-size", 0, FLAG_SIZE, "bytes", "size of /dev/shm (64m)" },
	{ "stop-signal", 0, FLAG_STR, "signal", "signal that asks it to end (SIGTERM)" },
	{ "stop-timeout", 0, FLAG_INT, "seconds", "time before it is killed (10)" },
	{ "storage-opt", 0, FLAG_LIST, "key=value",
	  "size=BYTES: limit of the writable layer; root=auto|erofs|virtiofs: a microVM's root" },
	{ "sysctl", 0, FLAG_LIST, "key=value", "kernel setting of its namespaces" },
	{ "tmpfs", 0, FLAG_LIST, "path[:opts]", "mount a tmpfs" },
	{ "tty", 't', FLAG_BOOL, NULL, "give it a terminal" },
	{ "ulimit", 0, FLAG_LIST, "name=soft[:hard]", "resource limit" },
	{ "user", 'u', FLAG_STR, "user[:group]", "name or id" },
	{ "userns", 0, FLAG_STR, "mode", "host = no user namespace (default: one of its own)" },
	{ "uts", 0, FLAG_STR, "mode", "UTS namespace: host" },
	{ "volume", 'v', FLAG_LIST, "src:dst[:opts]",
	  "mount a volume (name:dst), an anonymous one (dst) or a host path (/src:dst)" },
	{ "volume-driver", 0, FLAG_STR, "name", "local" },
	{ "volumes-from", 0, FLAG_LIST, "container[:ro]", "mount what that container mounts" },
	{ "workdir", 'w', FLAG_STR, "path", "working folder inside" },
	{ .name = NULL },
};

enum to { TO_CONFIG, TO_HOST };

/* Flags whose value goes into one field as it is. */
static const struct body_row rows[] = {
	{ "add-host", TO_HOST, "ExtraHosts" },
	{ "blkio-weight", TO_HOST, "BlkioWeight" },
	{ "cap-add", TO_HOST, "CapAdd" },
	{ "cap-drop", TO_HOST, "CapDrop" },
	{ "cgroupns", TO_HOST, "CgroupnsMode" },
	{ "cpu-period", TO_HOST, "CpuPeriod" },
	{ "cpu-quota", TO_HOST, "CpuQuota" },
	{ "cpu-shares", TO_HOST, "CpuShares" },
	{ "cpuset-cpus", TO_HOST, "CpusetCpus" },
	{ "cpuset-mems", TO_HOST, "CpusetMems" },
	{ "device-cgroup-rule", TO_HOST, "DeviceCgroupRules" },
	{ "dns", TO_HOST, "Dns" },
	{ "dns-option", TO_HOST, "DnsOptions" },
	{ "dns-search", TO_HOST, "DnsSearch" },
	{ "domainname", TO_CONFIG, "Domainname" },
	{ "group-add", TO_HOST, "GroupAdd" },
	{ "hostname", TO_CONFIG, "Hostname" },
	{ "init", TO_HOST, "Init" },
	{ "ipc", TO_HOST, "IpcMode" },
	{ "isolation", TO_HOST, "Isolation" },
	{ "memory", TO_HOST, "Memory" },
	{ "memory-reservation", TO_HOST, "MemoryReservation" },
	{ "memory-swap", TO_HOST, "MemorySwap" },
	{ "memory-swappiness", TO_HOST, "MemorySwappiness" },
	{ "mac-address", TO_CONFIG, "MacAddress" },
	{ "net", TO_HOST, "NetworkMode" },
	{ "network", TO_HOST, "NetworkMode" },
	{ "oom-kill-disable", TO_HOST, "OomKillDisable" },
	{ "oom-score-adj", TO_HOST, "OomScoreAdj" },
	{ "pid", TO_HOST, "PidMode" },
	{ "pids-limit", TO_HOST, "PidsLimit" },
	{ "privileged", TO_HOST, "Privileged" },
	{ "publish-all", TO_HOST, "PublishAllPorts" },
	{ "read-only", TO_HOST, "ReadonlyRootfs" },
	{ "rm", TO_HOST, "AutoRemove" },
	{ "runtime", TO_HOST, "Runtime" },
	{ "shm-size", TO_HOST, "ShmSize" },
	{ "stop-signal", TO_CONFIG, "StopSignal" },
	{ "stop-timeout", TO_CONFIG, "StopTimeout" },
	{ "tty", TO_CONFIG, "Tty" },
	{ "user", TO_CONFIG, "User" },
	{ "userns", TO_HOST, "UsernsMode" },
	{ "uts", TO_HOST, "UTSMode" },
	{ "volume-driver", TO_HOST, "VolumeDriver" },
	{ "volumes-from", TO_HOST, "VolumesFrom" },
	{ "workdir", TO_CONFIG, "WorkingDir" },
	{ .flag = NULL },
};

/* ---- flags with a grammar ---- */

static int add_ulimits(struct args *args, json_object *host, struct err *err)
{
	json_object *list = json_object_new_array();
	json_add(host, "Ulimits", list);
	const char *text;
	for (size_t i = 0; (text = args_list(args, "ulimit", i)); i++) {
		char name[32], soft[32], hard[32];
		int n = sscanf(text, "%31[^=]=%31[^:]:%31s", name, soft, hard);
		int64_t s, h;
		if (n < 2 || num_parse_i64(soft, &s) < 0 ||
		    num_parse_i64(n == 3 ? hard : soft, &h) < 0)
			return err_set(err, EINVAL, "--ulimit %s: want name=soft[:hard]", text);
		json_object *o = json_object_new_object();
		json_add_str(o, "Name", name);
		json_add_i64(o, "Soft", s);
		json_add_i64(o, "Hard", h);
		json_object_array_add(list, o);
	}
	return 0;
}

static int add_devices(struct args *args, json_object *host, struct err *err)
{
	json_object *list = json_object_new_array();
	json_add(host, "Devices", list);
	const char *text;
	for (size_t i = 0; (text = args_list(args, "device", i)); i++) {
		char path[512], inside[512], perms[8];
		int n = sscanf(text, "%511[^:]:%511[^:]:%7s", path, inside, perms);
		if (n < 1 || strlen(text) > 1000)
			return err_set(err, EINVAL, "--device %s: want /dev/x[:/dev/y][:rwm]",
				       text);
		/* "/dev/x:rw": the second part is permissions */
		bool second = n == 2 && strspn(inside, "rwm") == strlen(inside);
		json_object *o = json_object_new_object();
		json_add_str(o, "PathOnHost", path);
		json_add_str(o, "PathInContainer", n >= 2 && !second ? inside : path);
		json_add_str(o, "CgroupPermissions", second ? inside : n == 3 ? perms : "rwm");
		json_object_array_add(list, o);
	}
	return 0;
}

static const struct {
	const char *flag, *field, *key;
	bool bytes;
} throttles[] = {
	{ "blkio-weight-device", "BlkioWeightDevice", "Weight", false },
	{ "device-read-bps", "BlkioDeviceReadBps", "Rate", true },
	{ "device-write-bps", "BlkioDeviceWriteBps", "Rate", true },
	{ "device-read-iops", "BlkioDeviceReadIOps", "Rate", false },
	{ "device-write-iops", "BlkioDeviceWriteIOps", "Rate", false },
};

static int add_throttles(struct args *args, json_object *host, struct err *err)
{
	for (size_t t = 0; t < sizeof(throttles) / sizeof(throttles[0]); t++) {
		json_object *list = json_object_new_array();
		json_add(host, throttles[t].field, list);
		const char *text;
		for (size_t i = 0; (text = args_list(args, throttles[t].flag, i)); i++) {
			const char *colon = strrchr(text, ':');
			int64_t rate;
			int rc = !colon               ? -EINVAL
				 : throttles[t].bytes ? num_parse_size(colon + 1, false, &rate)
						      : num_parse_i64(colon + 1, &rate);
			if (rc < 0)
				return err_set(err, EINVAL, "--%s %s: want /dev/x:%s",
					       throttles[t].flag, text,
					       throttles[t].bytes ? "rate" : "n");
			cleanup_free char *path = strndup(text, (size_t)(colon - text));
			json_object *o = json_object_new_object();
			json_add_str(o, "Path", path);
			json_add_i64(o, throttles[t].key, rate);
			json_object_array_add(list, o);
		}
	}
	return 0;
}

/* seccomp=FILE: the profile itself travels, the daemon reads none of our files. */
static int add_security(struct args *args, json_object *host, struct err *err)
{
	json_object *list = json_object_new_array();
	json_add(host, "SecurityOpt", list);
	const char *text;
	for (size_t i = 0; (text = args_list(args, "security-opt", i)); i++) {
		if (strncmp(text, "seccomp=", 8) != 0 || !strcmp(text + 8, "unconfined") ||
		    !strcmp(text + 8, "builtin")) {
			json_object_array_add(list, json_object_new_string(text));
			continue;
		}
		cleanup_free char *profile = body_read_text(text + 8, err);
		if (!profile)
			return err_prefix(err, "--security-opt");
		cleanup_strbuf struct strbuf b = STRBUF_INIT;
		strbuf_printf(&b, "seccomp=%s", profile);
		json_object_array_add(list, json_object_new_string(b.text));
	}
	return 0;
}

int create_resources(struct args *args, json_object *host, struct err *err)
{
	int rc = body_cpus(args, "cpus", host, err);
	body_rows(args, rows, (json_object *const[]){ NULL, host });
	return rc < 0 ? rc : body_restart(args, host, err);
}

/* What is attached, as Docker's client tells it. */
static void add_stdio(struct args *args, json_object *config)
{
	bool in = args_bool(args, "interactive"), attached = !args_bool(args, "detach");
	json_add_bool(config, "OpenStdin", in);
	json_add_bool(config, "StdinOnce", in && attached);
	json_add_bool(config, "AttachStdin", in && attached);
	json_add_bool(config, "AttachStdout", attached);
	json_add_bool(config, "AttachStderr", attached);
}

static void add_command(struct args *args, json_object *config)
{
	json_add_str(config, "Image", args->argv[0]);
	json_object *cmd = json_object_new_array();
	for (int i = 1; i < args->argc; i++)
		json_object_array_add(cmd, json_object_new_string(args->argv[i]));
	if (args->argc > 1)
		json_add(config, "Cmd", cmd);
	else
		json_object_put(cmd);
	const char *entry = args_str(args, "entrypoint", NULL);
	if (!entry)
		return;
	json_object *list = json_object_new_array();
	json_object_array_add(list, json_object_new_string(entry));
	json_add(config, "Entrypoint", list);
}

json_object *create_body(struct args *args, struct err *err)
{
	cleanup_json json_object *config = json_object_new_object();
	json_object *host = json_object_new_object();
	json_add(config, "HostConfig", host);
	add_stdio(args, config);
	add_command(args, config);
	json_add(host, "Sysctls", body_map(args, "sysctl"));
	json_add(host, "StorageOpt", body_map(args, "storage-opt"));
	json_add(host, "Annotations", body_map(args, "annotation"));
	if (body_cpus(args, "cpus", host, err) < 0 || body_restart(args, host, err) < 0 ||
	    mount_flags(args, config, host, err) < 0 || add_security(args, host, err) < 0 ||
	    add_devices(args, host, err) < 0 || add_throttles(args, host, err) < 0 ||
	    add_ulimits(args, host, err) < 0 || publish_flags(args, config, host, err) < 0 ||
	    body_labels(args, config, err) < 0 || body_environment(args, config, err) < 0 ||
	    health_flags(args, config, err) < 0 || secret_flags(args, host, err) < 0)
		return NULL;
	body_logging(args, host);
	network_flags(args, args_str(args, "network", args_str(args, "net", NULL)), config);
	body_rows(args, rows, (json_object *const[]){ config, host });
	return take_ptr(config);
}
