/* SPDX-License-Identifier: Apache-2.0 */
/* vm_flags - see vm_flags.h. A flag that maps straight to a field is a row, a device's
 * options are rows, too; isolad checks values. Runs in vmctl. */
#include "vm_flags.h"

#include "body.h"
#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "opts.h"
#include "publish.h"
#include "vm_template.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

const struct flag flags_vm_create[] = {
	{ "kernel", 'k', FLAG_STR, "file|name",
	  "bzImage or vmlinux, or one of \"kernel ls\" (default: out of the disk, else the one "
	  "in use)" },
	{ "initrd", 0, FLAG_STR, "file", "initial RAM disk" },
	{ "cmdline", 0, FLAG_STR, "text", "kernel parameters, behind the defaults" },
	{ "no-default-cmdline", 0, FLAG_BOOL, NULL, "--cmdline is all of the command line" },
	{ "cpus", 'c', FLAG_STR, "n[,options]", "number of vCPUs; threads=2, cores=n a socket" },
	{ "cpu-template", 0, FLAG_STR, "name|file",
	  "what the vCPUs can (host); see \"vmctl templates\"" },
	{ "memory", 'm', FLAG_SIZE, "bytes", "memory of the guest (128m)" },
	{ "hugepages", 0, FLAG_STR, "size", "back it with pages of 2M or 1G" },
	{ "thp", 0, FLAG_BOOL, NULL, "back it with transparent huge pages" },
	{ "shared-memory", 0, FLAG_BOOL, NULL, "back it with a memfd" },
	{ "prefault", 0, FLAG_BOOL, NULL, "take all of it at the start" },
	{ "merge", 0, FLAG_BOOL, NULL, "let KSM merge equal pages (others can measure yours)" },
	{ "disk", 0, FLAG_LIST, "file[,options]",
	  "disk: ro, format=raw, cache=writeback|writethrough|none|unsafe, engine=, serial=, id=, "
	  "queues=, discard=, rate=, iops=" },
	{ "net", 0, FLAG_LIST, "passt|tap=name|socket=path[,options]",
	  "network: mac=, mtu=, queues=, offload=, id=, rx-rate=, tx-rate=, rx-pps=, tx-pps=; or "
	  "none" },
	{ "network", 0, FLAG_STR, "name", "isola network to join: bridge, another, or none" },
	{ "network-queues", 0, FLAG_INT, "n", "queues of its devices in networks (1)" },
	{ "ip", 0, FLAG_STR, "ip", "its address in the network" },
	{ "ip6", 0, FLAG_STR, "ip", "its IPv6 address in the network" },
	{ "mac-address", 0, FLAG_STR, "mac", "its device's address in the network" },
	{ "publish", 'p', FLAG_LIST, "port", "publish a port: [[ip:]host:]port[/udp]" },
	{ "vsock", 0, FLAG_STR, "cid|path[,options]", "vsock: cid=, path= of the host's socket" },
	{ "share", 0, FLAG_LIST, "dir:tag[:ro]",
	  "folder of the host; or volume=name,tag=name[,ro], or socket=path,tag=name" },
	{ "pmem", 0, FLAG_LIST, "file[,options]", "file as persistent memory, read-only: id=" },
	{ "console", 0, FLAG_LIST, "options",
	  "further console (hvc0...): id=, socket=, rows=, "
	  "columns=" },
	{ "rng", 0, FLAG_STR, "options", "entropy: rate=, or none" },
	{ "watchdog", 0, FLAG_STR, "action", "watchdog: reset, poweroff or none" },
	{ "debug-exit", 0, FLAG_BOOL, NULL, "a value written to port 0xf4 is the exit code" },
	{ "vmgenid", 0, FLAG_STR, "uuid", "generation id (default: a new one at each start)" },
	{ "seccomp", 0, FLAG_STR, "mode", "filter of the worker: kill, log or off" },
	{ "cloud-init", 0, FLAG_STR, "file",
	  "user data for cloud-init, on a small disk (NoCloud)" },
	{ "meta-data", 0, FLAG_STR, "file", "its meta data (default: made from the name)" },
	{ "network-config", 0, FLAG_STR, "file", "its network configuration" },
	{ "name", 0, FLAG_STR, "name", "name of the VM" },
	{ "label", 'l', FLAG_LIST, "key=value", "label" },
	{ "label-file", 0, FLAG_LIST, "file", "labels from a file" },
	{ "cidfile", 0, FLAG_STR, "file", "write the VM's id to this file" },
	{ "interactive", 'i', FLAG_BOOL, NULL, "serial port takes input" },
	{ "tty", 't', FLAG_BOOL, NULL, "serial port is a terminal" },
	{ "rm", 0, FLAG_BOOL, NULL, "remove the VM when it ends" },
	{ "log-driver", 0, FLAG_STR, "driver", "json-file or none" },
	{ "log-opt", 0, FLAG_LIST, "key=value", "max-size=10m, max-file=3" },
	{ .name = NULL },
};

/* What update changes, too. */
const struct flag flags_vm_live[] = {
	{ "balloon", 0, FLAG_STR, "bytes[,options]",
	  "memory taken back: deflate-on-oom=, reporting=, stats-ms=; or none" },
	{ "pin", 0, FLAG_STR, "list[:list...]", "host CPUs each vCPU may run on (0:1, 0-3:4-7)" },
	{ "restart", 0, FLAG_STR, "policy", "no, on-failure[:n], always, unless-stopped" },
	{ "stop-timeout", 0, FLAG_INT, "seconds", "from power button to power off (10)" },
	{ "limit-memory", 0, FLAG_SIZE, "bytes",
	  "limit of the VM's cgroup (guest and 128m); -1 = none" },
	{ "limit-cpus", 0, FLAG_STR, "n", "host CPUs it may use up (1.5)" },
	{ "cpu-shares", 0, FLAG_INT, "n", "CPU shares, relative weight (1024)" },
	{ "cpuset-cpus", 0, FLAG_STR, "list", "host CPUs of the whole VM" },
	{ "cpuset-mems", 0, FLAG_STR, "list", "memory nodes of the whole VM" },
	{ "pids-limit", 0, FLAG_INT, "n", "number of threads and processes" },
	{ "blkio-weight", 0, FLAG_INT, "n", "block I/O weight, 10 to 1000" },
	{ .name = NULL },
};

const struct flag flags_vm_update[] = {
	{ "disk", 0, FLAG_LIST, "id,options", "disk: rate=, iops=, size= (grow), resize" },
	{ "net", 0, FLAG_LIST, "id,options", "network: rx-rate=, tx-rate=, rx-pps=, tx-pps=" },
	{ .name = NULL },
};

enum to { TO_VM, TO_MEMORY, TO_LIMITS, TO_COUNT };

static const struct body_row create_rows[] = {
	{ "debug-exit", TO_VM, "DebugExit" },
	{ "hugepages", TO_MEMORY, "HugePages" },
	{ "memory", TO_MEMORY, "Size" },
	{ "merge", TO_MEMORY, "Merge" },
	{ "mac-address", TO_VM, "MacAddress" },
	{ "network", TO_VM, "NetworkMode" },
	{ "network-queues", TO_VM, "NetworkQueues" },
	{ "prefault", TO_MEMORY, "Prefault" },
	{ "rm", TO_VM, "AutoRemove" },
	{ "seccomp", TO_VM, "Seccomp" },
	{ "shared-memory", TO_MEMORY, "Shared" },
	{ "thp", TO_MEMORY, "Thp" },
	{ "tty", TO_VM, "Tty" },
	{ "vmgenid", TO_VM, "VmGenId" },
	{ .flag = NULL },
};

static const struct body_row live_rows[] = {
	{ "blkio-weight", TO_LIMITS, "BlkioWeight" }, { "cpu-shares", TO_LIMITS, "CpuShares" },
	{ "cpuset-cpus", TO_LIMITS, "CpusetCpus" },   { "cpuset-mems", TO_LIMITS, "CpusetMems" },
	{ "limit-memory", TO_LIMITS, "Memory" },      { "pids-limit", TO_LIMITS, "PidsLimit" },
	{ "stop-timeout", TO_VM, "StopTimeout" },     { .flag = NULL },
};

static const struct opt disk_opts[] = {
	{ "path", OPT_PATH, "Path" },
	{ "ro", OPT_BOOL, "ReadOnly" },
	{ "rw", OPT_NOT, "ReadOnly" },
	{ "format", OPT_STR, "Format" },
	{ "cache", OPT_STR, "Cache" },
	{ "engine", OPT_STR, "Engine" },
	{ "serial", OPT_STR, "Serial" },
	{ "id", OPT_STR, "Id" },
	{ "queues", OPT_INT, "Queues" },
	{ "discard", OPT_BOOL, "Discard" },
	{ "rate", OPT_RATE, "Rate.Bandwidth" },
	{ "iops", OPT_OPS, "Rate.Ops" },
	{ .key = NULL },
};

static const struct opt disk_update_opts[] = {
	{ "id", OPT_STR, "Id" },          { "rate", OPT_RATE, "Rate.Bandwidth" },
	{ "iops", OPT_OPS, "Rate.Ops" },  { "size", OPT_SIZE, "Size" },
	{ "resize", OPT_BOOL, "Resize" }, { .key = NULL },
};

#define NET_RATES                                                                                  \
	{ "rx-rate", OPT_RATE, "RateRx.Bandwidth" }, { "tx-rate", OPT_RATE, "RateTx.Bandwidth" },  \
		{ "rx-pps", OPT_OPS, "RateRx.Ops" },                                               \
	{                                                                                          \
		"tx-pps", OPT_OPS, "RateTx.Ops"                                                    \
	}

static const struct opt net_opts[] = {
	{ "tap", OPT_STR, "Tap" },
	{ "passt", OPT_BOOL, "Passt" },
	{ "socket", OPT_PATH, "Socket" },
	{ "mac", OPT_STR, "Mac" },
	{ "mtu", OPT_INT, "Mtu" },
	{ "queues", OPT_INT, "Queues" },
	{ "offload", OPT_BOOL, "Offload" },
	{ "id", OPT_STR, "Id" },
	NET_RATES,
	{ .key = NULL },
};

static const struct opt net_update_opts[] = {
	{ "id", OPT_STR, "Id" },
	NET_RATES,
	{ .key = NULL },
};

static const struct opt share_opts[] = {
	{ "tag", OPT_STR, "Tag" },
	{ "path", OPT_PATH, "Path" },
	{ "volume", OPT_STR, "Volume" },
	{ "socket", OPT_PATH, "Socket" },
	{ "ro", OPT_BOOL, "ReadOnly" },
	{ "queues", OPT_INT, "Queues" },
	{ .key = NULL },
};

static const struct opt pmem_opts[] = {
	{ "path", OPT_PATH, "Path" },
	{ "ro", OPT_BOOL, "ReadOnly" },
	{ "rw", OPT_NOT, "ReadOnly" },
	{ "id", OPT_STR, "Id" },
	{ .key = NULL },
};

static const struct opt console_opts[] = {
	{ "id", OPT_STR, "Id" },
	{ "socket", OPT_PATH, "Socket" },
	{ "rows", OPT_INT, "Rows" },
	{ "columns", OPT_INT, "Columns" },
	{ .key = NULL },
};

static const struct opt cpu_opts[] = {
	{ "count", OPT_INT, "Count" },
	{ "threads", OPT_INT, "ThreadsPerCore" },
	{ "cores", OPT_INT, "CoresPerSocket" },
	{ .key = NULL },
};

static const struct opt balloon_opts[] = {
	{ "size", OPT_SIZE, "Size" },
	{ "deflate-on-oom", OPT_BOOL, "DeflateOnOom" },
	{ "reporting", OPT_BOOL, "Reporting" },
	{ "stats-ms", OPT_INT, "StatsMs" },
	{ .key = NULL },
};

static const struct opt rng_opts[] = {
	{ "rate", OPT_RATE, "Rate.Bandwidth" },
	{ .key = NULL },
};

static const struct opt vsock_opts[] = {
	{ "cid", OPT_INT, "Cid" },
	{ "path", OPT_PATH, "Path" },
	{ .key = NULL },
};

static const struct opt vsock_path_opts[] = {
	{ "path", OPT_PATH, "Path" },
	{ "cid", OPT_INT, "Cid" },
	{ .key = NULL },
};

static const struct opt watchdog_opts[] = {
	{ "action", OPT_STR, "Action" },
	{ .key = NULL },
};

/* ---- flags with a grammar ---- */

/* An object of options, or "none", which is @none (taken). */
static int add_object(struct args *args, const char *flag, const struct opt *rows, json_object *to,
		      const char *field, json_object *none, struct err *err)
{
	const char *text = args_str(args, flag, NULL);
	bool is_none = text && !strcmp(text, "none");
	if (is_none)
		json_add(to, field, none);
	else
		json_object_put(none);
	if (!text || is_none)
		return 0;
	json_object *o = json_object_new_object();
	json_add(to, field, o);
	return opts_parse(flag, text, rows, o, err);
}

static int add_vsock(struct args *args, json_object *vm, struct err *err)
{
	const char *text = args_str(args, "vsock", "");
	bool path = strchr(text, '/') && text[0] != 'c'; /* not "cid=...": a path first */
	return add_object(args, "vsock", path ? vsock_path_opts : vsock_opts, vm, "Vsock", NULL,
			  err);
}

/* "--net none" is the default said aloud. */
static int add_nets(struct args *args, json_object *vm, struct err *err)
{
	const char *text = args_list(args, "net", 0);
	if (!text)
		return 0;
	if (!strcmp(text, "none"))
		return args_list(args, "net", 1)
			       ? err_set(err, EINVAL, "--net none goes with no other --net")
			       : 0;
	int rc = opts_list(args, "net", net_opts, vm, "Nets", err);
	json_object *list = json_get(vm, "Nets");
	for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		int n = (json_get(o, "Tap") != NULL) + (json_get(o, "Socket") != NULL) +
			json_bool_or(o, "Passt", false);
		if (n != 1)
			return err_set(err, EINVAL,
				       "--net %s: give it one of passt, a tap device (tap=name), "
				       "and the socket of a passt that runs (socket=path)",
				       args_list(args, "net", i));
	}
	return rc;
}

static int add_pmem(struct args *args, json_object *vm, struct err *err)
{
	int rc = opts_list(args, "pmem", pmem_opts, vm, "Pmem", err);
	json_object *list = json_get(vm, "Pmem");
	for (size_t i = 0; rc == 0 && i < json_len(list); i++)
		if (!json_bool_or(json_object_array_get_idx(list, i), "ReadOnly", true))
			return err_set(err, EINVAL,
				       "--pmem %s: pmem is read-only; a file that the guest writes "
				       "is a --disk",
				       args_list(args, "pmem", i));
	return rc;
}

/* "dir:tag" and "dir:tag:ro"; a folder's name may hold colons, a tag not. */
static int add_share(json_object *list, const char *text, struct err *err)
{
	json_object *o = json_object_new_object();
	json_object_array_add(list, o);
	size_t n = strlen(text);
	if (!strncmp(text, "socket=", 7) || !strncmp(text, "path=", 5) ||
	    !strncmp(text, "tag=", 4) || !strncmp(text, "volume=", 7))
		return opts_parse("share", text, share_opts, o, err);
	bool ro = n > 3 && !strcmp(text + n - 3, ":ro");
	cleanup_free char *dir = strndup(text, ro ? n - 3 : n);
	char *colon = dir ? strrchr(dir, ':') : NULL;
	if (!colon || colon == dir || !colon[1])
		return err_set(err, EINVAL, "--share %s: want dir:tag[:ro]", text);
	*colon = '\0';
	cleanup_free char *path = body_path(dir);
	json_add_str(o, "Path", path);
	json_add_str(o, "Tag", colon + 1);
	json_add_bool(o, "ReadOnly", ro);
	return path ? 0 : err_sys(err, "--share %s: cannot find the current folder", text);
}

static int add_shares(struct args *args, json_object *vm, struct err *err)
{
	const char *text;
	json_object *list = args_given(args, "share") ? json_object_new_array() : NULL;
	if (list)
		json_add(vm, "Shares", list);
	for (size_t i = 0; (text = args_list(args, "share", i)); i++)
		if (add_share(list, text, err) < 0)
			return -EINVAL;
	return 0;
}

/* "0:1-2": a list for each vCPU. */
static int add_pins(struct args *args, json_object *cpus, struct err *err)
{
	const char *text = args_str(args, "pin", NULL);
	if (!text)
		return 0;
	cleanup_free char *copy = strdup(text);
	json_object *all = json_object_new_array();
	json_add(cpus, "Affinity", all);
	for (char *p = copy, *next; p; p = next) {
		next = strchr(p, ':');
		if (next)
			*next++ = '\0';
		json_object *list = opts_cpu_list("pin", p, err);
		if (!list)
			return -EINVAL;
		json_object_array_add(all, list);
	}
	return copy ? 0 : err_set(err, ENOMEM, "out of memory");
}

static int add_cpus(struct args *args, json_object *vm, struct err *err)
{
	json_object *cpus = json_object_new_object();
	const char *text = args_str(args, "cpus", NULL);
	json_add(vm, "Cpus", cpus);
	int rc = text ? opts_parse("cpus", text, cpu_opts, cpus, err) : 0;
	if (rc == 0)
		rc = vm_template(args_str(args, "cpu-template", NULL), cpus, err);
	return rc < 0 ? rc : add_pins(args, cpus, err);
}

static void add_stdio(struct args *args, json_object *vm)
{
	bool in = args_bool(args, "interactive"), attached = !args_bool(args, "detach");
	json_add_bool(vm, "OpenStdin", in);
	json_add_bool(vm, "StdinOnce", in && attached && !args_bool(args, "tty"));
}

/* What both requests have. */
static int add_live(struct args *args, json_object *vm, struct err *err)
{
	json_object *limits = json_object_new_object();
	body_rows(args, live_rows, (json_object *const[TO_COUNT]){ vm, NULL, limits });
	int rc = body_cpus(args, "limit-cpus", limits, err);
	if (json_object_object_length(limits) > 0)
		json_add(vm, "Limits", limits);
	else
		json_object_put(limits);
	if (rc == 0)
		rc = body_restart(args, vm, err);
	return rc < 0 ? rc
		      : add_object(args, "balloon", balloon_opts, vm, "Balloon",
				   json_object_new_boolean(false), err);
}

/* Without a word about the network, a port or an address means the default one. */
static int add_network(struct args *args, json_object *vm, struct err *err)
{
	if (!args_given(args, "network") &&
	    (args_given(args, "publish") || args_given(args, "ip") || args_given(args, "ip6")))
		json_add_str(vm, "NetworkMode", "bridge");
	network_flags(args, json_str_or(vm, "NetworkMode", NULL), vm);
	return publish_bindings(args, "publish", vm, err);
}

json_object *vm_config(struct args *args, struct err *err)
{
	cleanup_json json_object *vm = json_object_new_object();
	json_object *memory = json_object_new_object();
	json_add(vm, "Memory", memory);
	body_rows(args, create_rows, (json_object *const[TO_COUNT]){ vm, memory, NULL });
	body_logging(args, vm);
	add_stdio(args, vm);
	if (add_live(args, vm, err) < 0 || add_cpus(args, vm, err) < 0 ||
	    body_labels(args, vm, err) < 0 || add_vsock(args, vm, err) < 0 ||
	    add_nets(args, vm, err) < 0 || add_network(args, vm, err) < 0 ||
	    add_shares(args, vm, err) < 0 ||
	    opts_list(args, "disk", disk_opts, vm, "Disks", err) < 0 ||
	    add_pmem(args, vm, err) < 0 ||
	    opts_list(args, "console", console_opts, vm, "Consoles", err) < 0 ||
	    add_object(args, "rng", rng_opts, vm, "Rng", json_object_new_boolean(false), err) < 0 ||
	    add_object(args, "watchdog", watchdog_opts, vm, "Watchdog", NULL, err) < 0)
		return NULL;
	return take_ptr(vm);
}

/* --pin on update stands alone: there is no --cpus. */
static int add_update_pins(struct args *args, json_object *vm, struct err *err)
{
	if (!args_given(args, "pin"))
		return 0;
	json_object *cpus = json_object_new_object();
	json_add(vm, "Cpus", cpus);
	return add_pins(args, cpus, err);
}

json_object *vm_update(struct args *args, struct err *err)
{
	cleanup_json json_object *vm = json_object_new_object();
	if (add_live(args, vm, err) < 0 || add_update_pins(args, vm, err) < 0 ||
	    opts_list(args, "disk", disk_update_opts, vm, "Disks", err) < 0 ||
	    opts_list(args, "net", net_update_opts, vm, "Nets", err) < 0)
		return NULL;
	return take_ptr(vm);
}
