/* SPDX-License-Identifier: Apache-2.0 */
/* system - what `docker info` and `docker version` ask (Docker Engine API,
 * SystemInfo and SystemVersion). What this host cannot do shows as false and as
 * a warning. isolad, loop thread. */
#include "images_priv.h"
#include "isolad.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "isola/lsm.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/sysinfo.h>
#include <sys/utsname.h>
#include <unistd.h>

#define API_VERSION     "1.47"
#define API_VERSION_MIN "1.24"

/* Go's names for machines, which the API speaks. */
static const char *go_arch(const char *machine)
{
	static const char *const names[][2] = {
		{ "x86_64", "amd64" },
		{ "aarch64", "arm64" },
		{ "armv7l", "arm" },
		{ "i686", "386" },
	};
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (!strcmp(names[i][0], machine))
			return names[i][1];
	}
	return machine;
}

/* ---- version ---- */

static json_object *make_component(const char *name, json_object *details)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "Name", name);
	json_add_str(o, "Version", ISOLA_VERSION);
	json_add(o, "Details", details);
	return o;
}

static json_object *make_engine_details(const struct utsname *u)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "ApiVersion", API_VERSION);
	json_add_str(o, "Arch", go_arch(u->machine));
	json_add_str(o, "Experimental", "false");
	json_add_str(o, "KernelVersion", u->release);
	json_add_str(o, "MinAPIVersion", API_VERSION_MIN);
	json_add_str(o, "Os", "linux");
	/* Clients print these without asking whether they are there. */
	json_add_str(o, "BuildTime", "");
	json_add_str(o, "GitCommit", "");
	json_add_str(o, "GoVersion", "");
	return o;
}

static json_object *make_helper_details(struct isolad *d, enum program program)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "Path", d->programs.paths[program] ? d->programs.paths[program] : "");
	json_add_str(o, "GitCommit", "");
	return o;
}

json_object *system_version(struct isolad *d)
{
	struct utsname u = { 0 };
	(void)uname(&u);
	json_object *o = json_object_new_object(), *platform = json_object_new_object();
	json_object *components = json_object_new_array();
	json_add_str(platform, "Name", "Isola");
	json_add(o, "Platform", platform);
	(void)json_object_array_add(components, make_component("Engine", make_engine_details(&u)));
	(void)json_object_array_add(
		components, make_component("isola-keeper", make_helper_details(d, PROGRAM_KEEPER)));
	(void)json_object_array_add(
		components, make_component("isola-image", make_helper_details(d, PROGRAM_IMAGE)));
	(void)json_object_array_add(
		components, make_component("isola-vmm", make_helper_details(d, PROGRAM_VMM)));
	json_add(o, "Components", components);
	json_add_str(o, "Version", ISOLA_VERSION);
	json_add_str(o, "ApiVersion", API_VERSION);
	json_add_str(o, "MinAPIVersion", API_VERSION_MIN);
	json_add_str(o, "GitCommit", "");
	json_add_str(o, "GoVersion", "");
	json_add_str(o, "Os", "linux");
	json_add_str(o, "Arch", go_arch(u.machine));
	json_add_str(o, "KernelVersion", u.release);
	json_add_str(o, "BuildTime", "");
	return o;
}

/* ---- info ---- */

static void add_counts(struct isolad *d, json_object *o)
{
	int64_t all = 0, running = 0, paused = 0;
	list_for_each (node, registry_list(d)) {
		struct instance *inst = container_of(node, struct instance, node);
		if (inst->kind != INSTANCE_CONTAINER)
			continue;
		all++;
		running += inst->state == INSTANCE_RUNNING || inst->state == INSTANCE_RESTARTING;
		paused += inst->state == INSTANCE_PAUSED;
	}
	json_add_i64(o, "Containers", all);
	json_add_i64(o, "ContainersRunning", running);
	json_add_i64(o, "ContainersPaused", paused);
	json_add_i64(o, "ContainersStopped", all - running - paused);
	json_add_i64(o, "Images", (int64_t)d->images->n);
}

static bool has_controller(struct isolad *d, const char *name)
{
	const char *all = d->place.controllers ? d->place.controllers : "";
	size_t n = strlen(name);
	for (const char *p = all; (p = strstr(p, name)); p += n) {
		if ((p == all || p[-1] == ' ') && (p[n] == '\0' || p[n] == ' '))
			return true;
	}
	return false;
}

static void warn(json_object *warnings, const char *text)
{
	(void)json_object_array_add(warnings, json_object_new_string(text));
}

/* One row a controller: the flags of SystemInfo it stands for. */
static void add_limits(struct isolad *d, json_object *o, json_object *warnings)
{
	static const struct {
		const char *controller, *fields[4], *warning;
	} rows[] = {
		{ "memory", { "MemoryLimit" }, "WARNING: No memory limit support" },
		{ "memory", { "SwapLimit" }, "WARNING: No swap limit support" },
		{ "cpu",
		  { "CpuCfsPeriod", "CpuCfsQuota", "CPUShares" },
		  "WARNING: No cpu limit support" },
		{ "cpuset", { "CPUSet" }, "WARNING: No cpuset support" },
		{ "pids", { "PidsLimit" }, "WARNING: No pids limit support" },
		{ "io", { NULL }, "WARNING: No io weight and throttle support" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		bool has = has_controller(d, rows[i].controller);
		for (size_t k = 0; k < 4 && rows[i].fields[k]; k++)
			json_add_bool(o, rows[i].fields[k], has);
		if (!has)
			warn(warnings, rows[i].warning);
	}
	/* Not in cgroup v2 at all. */
	json_add_bool(o, "KernelMemory", false);
	json_add_bool(o, "KernelMemoryTCP", false);
	json_add_bool(o, "OomKillDisable", false);
}

static bool read_flag(const char *path)
{
	char c = '0';
	cleanup_fd int fd = open(path, O_RDONLY | O_CLOEXEC);
	return fd >= 0 && read(fd, &c, 1) == 1 && c == '1';
}

/* PRETTY_NAME or another key of os-release(5), unquoted; "" without. */
static void read_os(const char *key, char *ret, size_t size)
{
	cleanup_free char *text = NULL;
	size_t n = 0;
	*ret = '\0';
	/* Usually a link into /usr/lib, which fd_read_file() would not follow. */
	if (fd_read_file(AT_FDCWD, "/usr/lib/os-release", 64 * 1024, &text, &n, NULL) < 0 &&
	    fd_read_file(AT_FDCWD, "/etc/os-release", 64 * 1024, &text, &n, NULL) < 0)
		return;
	size_t key_len = strlen(key);
	for (const char *line = text; line && *line;) {
		size_t len = strcspn(line, "\n");
		if (!strncmp(line, key, key_len) && line[key_len] == '=') {
			const char *v = line + key_len + 1;
			size_t v_len = len - key_len - 1;
			if (v_len >= 2 && *v == '"' && v[v_len - 1] == '"') {
				v++;
				v_len -= 2;
			}
			(void)snprintf(ret, size, "%.*s", (int)v_len, v);
			return;
		}
		line += len + (line[len] == '\n');
	}
}

static int64_t count_fds(void)
{
	DIR *dir = opendir("/proc/self/fd");
	int64_t n = -3; /* ".", ".." and the folder itself */
	if (!dir)
		return 0;
	while (readdir(dir))
		n++;
	(void)closedir(dir);
	return n;
}

static int64_t count_listeners(struct isolad *d)
{
	int64_t n = 0;
	list_for_each (node, &d->events.subscriptions)
		n++;
	return n;
}

static json_object *strings(const char *const *items, size_t n)
{
	json_object *a = json_object_new_array();
	for (size_t i = 0; i < n; i++)
		(void)json_object_array_add(a, json_object_new_string(items[i]));
	return a;
}

static json_object *make_plugins(void)
{
	static const char *const networks[] = { "bridge", "host", "null" };
	static const char *const logs[] = { "json-file", "none" };
	json_object *o = json_object_new_object();
	json_object *drivers = json_object_new_array();
	(void)json_object_array_add(drivers, json_object_new_string("local"));
	json_add(o, "Volume", drivers);
	json_add(o, "Network", strings(networks, 3));
	json_add(o, "Authorization", NULL);
	json_add(o, "Log", strings(logs, 2));
	return o;
}

static json_object *make_runtimes(struct isolad *d)
{
	json_object *o = json_object_new_object(), *ctr = json_object_new_object();
	const char *path = d->programs.paths[PROGRAM_KEEPER];
	json_add_str(ctr, "path", path ? path : "isola-keeper");
	json_add(o, "ctr", ctr);
	if (d->programs.paths[PROGRAM_VMM]) {
		json_object *vm = json_object_new_object();
		json_add_str(vm, "path", d->programs.paths[PROGRAM_VMM]);
		json_add(o, "vm", vm);
	}
	return o;
}

static json_object *make_security(struct isolad *d)
{
	json_object *a = json_object_new_array();
	warn(a, "name=seccomp,profile=builtin");
	if (!strcmp(d->config.default_userns, "private"))
		warn(a, "name=userns");
	warn(a, "name=cgroupns");
	if (d->config.default_no_new_privileges)
		warn(a, "name=no-new-privileges");
	return a;
}

static json_object *make_driver_status(void)
{
	static const char *const rows[][2] = {
		{ "Supports d_type", "true" },
		{ "Mounts", "in each container only" },
	};
	json_object *a = json_object_new_array();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		(void)json_object_array_add(a, strings(rows[i], 2));
	return a;
}

/* There is no containerd, runc or tini here, but clients look into the objects. */
static json_object *make_commit(void)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "ID", "");
	json_add_str(o, "Expected", "");
	return o;
}

static json_object *make_swarm(void)
{
	json_object *o = json_object_new_object();
	json_add_str(o, "NodeID", "");
	json_add_str(o, "NodeAddr", "");
	json_add_str(o, "LocalNodeState", "inactive");
	json_add_bool(o, "ControlAvailable", false);
	json_add_str(o, "Error", "");
	json_add(o, "RemoteManagers", NULL);
	return o;
}

static void add_host(json_object *o)
{
	struct utsname u = { 0 };
	struct sysinfo si = { 0 };
	char os[256], version[64], now[40];
	(void)uname(&u);
	(void)sysinfo(&si);
	read_os("PRETTY_NAME", os, sizeof(os));
	read_os("VERSION_ID", version, sizeof(version));
	json_add_str(o, "SystemTime", num_format_time(num_now_ns(), now, sizeof(now)));
	json_add_str(o, "KernelVersion", u.release);
	json_add_str(o, "OperatingSystem", *os ? os : "Linux");
	json_add_str(o, "OSVersion", version);
	json_add_str(o, "OSType", "linux");
	json_add_str(o, "Architecture", u.machine);
	json_add_i64(o, "NCPU", get_nprocs());
	json_add_i64(o, "MemTotal", (int64_t)si.totalram * si.mem_unit);
	json_add_str(o, "Name", u.nodename);
	json_add_bool(o, "IPv4Forwarding", read_flag("/proc/sys/net/ipv4/ip_forward"));
	json_add_bool(o, "BridgeNfIptables",
		      read_flag("/proc/sys/net/bridge/bridge-nf-call-iptables"));
	json_add_bool(o, "BridgeNfIp6tables",
		      read_flag("/proc/sys/net/bridge/bridge-nf-call-ip6tables"));
}

/* What log-ins for names without a host are kept under, in Docker's words. */
static const char *index_server(void)
{
	const char *host = image_ref_default();
	return strcmp(host, "docker.io") ? host : "https://index.docker.io/v1/";
}

static void add_words(struct isolad *d, json_object *o)
{
	const struct {
		const char *key, *value;
	} rows[] = {
		{ "Driver", "overlayfs" },
		{ "LoggingDriver", d->config.default_log_driver },
		{ "CgroupDriver", "cgroupfs" },
		{ "CgroupVersion", "2" },
		{ "IndexServerAddress", index_server() },
		{ "DockerRootDir", d->roots.state },
		{ "HttpProxy", "" },
		{ "HttpsProxy", "" },
		{ "NoProxy", "" },
		{ "ServerVersion", ISOLA_VERSION },
		{ "DefaultRuntime", strcmp(d->config.default_isolation, "vm") ? "ctr" : "vm" },
		{ "Isolation", "" },
		{ "InitBinary", "built-in" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		json_add_str(o, rows[i].key, rows[i].value);
}

/* Names this daemon; the same as long as its state folder is. */
static void add_id(struct isolad *d, json_object *o)
{
	uint64_t h = 0xcbf29ce484222325ull; /* FNV-1a */
	char id[32], machine[33] = "";
	cleanup_fd int fd = open("/etc/machine-id", O_RDONLY | O_CLOEXEC);
	if (fd >= 0)
		(void)fd_read_all(fd, machine, sizeof(machine) - 1);
	const char *const parts[] = { machine, d->roots.state };
	for (size_t i = 0; i < 2; i++) {
		for (const char *p = parts[i]; *p; p++)
			h = (h ^ (unsigned char)*p) * 0x100000001b3ull;
	}
	(void)snprintf(id, sizeof(id), "isola-%016llx", (unsigned long long)h);
	json_add_str(o, "ID", id);
}

json_object *system_info(struct isolad *d)
{
	json_object *o = json_object_new_object(), *warnings = json_object_new_array();
	add_id(d, o);
	add_counts(d, o);
	add_words(d, o);
	json_add(o, "DriverStatus", make_driver_status());
	json_add(o, "Plugins", make_plugins());
	add_limits(d, o, warnings);
	json_add_bool(o, "Debug", d->config.log_level == LOG_LEVEL_DEBUG);
	json_add_i64(o, "NFd", count_fds());
	json_add_i64(o, "NGoroutines", 0);
	json_add_i64(o, "NEventsListener", count_listeners(d));
	add_host(o);
	json_add(o, "RegistryConfig", NULL);
	json_add(o, "GenericResources", NULL);
	json_add(o, "Labels", json_object_new_array());
	json_add_bool(o, "ExperimentalBuild", false);
	json_add(o, "Runtimes", make_runtimes(d));
	json_add(o, "Swarm", make_swarm());
	json_add_bool(o, "LiveRestoreEnabled", true);
	static const char *const commits[] = { "ContainerdCommit", "RuncCommit", "InitCommit" };
	for (size_t i = 0; i < 3; i++)
		json_add(o, commits[i], make_commit());
	json_add(o, "SecurityOptions", make_security(d));
	json_add(o, "Warnings", warnings);
	return o;
}
