/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_vm - a VM as the files its keeper reads: machine.json (isola/vmm.h, with
 * the SOURCEs of isola/keeper.h) and keeper.json. isolad, loop thread, before each
 * start; pure but for the writing. */
#include "bundle.h"
#include "bundle_priv.h"
#include "endpoint.h"
#include "isolad.h"
#include "mounts.h"
#include "place.h"
#include "vm.h"
#include "volumes.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/keeper.h"
#include "isola/mac.h"
#include "isola/strbuf.h"
#include "isola/vmm.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

/* What a VM needs beside its guest's memory: worker, keeper's helpers, page tables,
 * buffers of its devices, and a little page cache to breathe. */
#define OVERHEAD_BYTES (128ll * 1024 * 1024)

/* What a kernel finds on this machine, and what it need not look for: the only port
 * of the first kind; no PS/2 mouse or keyboard (half a second of probing), but the
 * controller's reset line, which is how it reboots, also after a panic. Nor need it take
 * the lock prefixes out of its code when it has one processor: it does so by a mapping
 * and two switches of page tables each, a tenth of its way to init. */
#define CMDLINE_DEFAULTS                                                                           \
	"console=ttyS0 reboot=k panic=-1 8250.nr_uarts=1 i8042.noaux i8042.nomux "                 \
	"i8042.nopnp i8042.dumbkbd noreplace-smp"

char *vm_cmdline(json_object *config)
{
	struct strbuf s = STRBUF_INIT;
	const char *own = json_str_or(config, "Cmdline", "");
	bool defaults = json_bool_or(config, "CmdlineDefaults", true);
	strbuf_printf(&s, "%s%s%s", defaults ? CMDLINE_DEFAULTS : "", defaults && *own ? " " : "",
		      own);
	return strbuf_take(&s);
}

/* ---- small parts ---- */

static json_object *source(const char *key, const char *value)
{
	json_object *o = json_object_new_object();
	json_add_str(o, key, value);
	return o;
}

static json_object *path_source(json_object *item, const char *key)
{
	return source("path", json_str_or(item, key, ""));
}

/* One that the keeper makes itself. */
static json_object *flag_source(const char *key)
{
	json_object *o = json_object_new_object();
	json_add_bool(o, key, true);
	return o;
}

static bool has_str(json_object *o, const char *key)
{
	return *json_str_or(o, key, "");
}

/* Rows of what is copied under another name: all but zeros. */
struct copy_row {
	const char *from, *to;
};

static void copy_rows(json_object *out, json_object *in, const struct copy_row *rows, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		json_object *v = json_get(in, rows[i].from);
		bool says = json_object_is_type(v, json_type_boolean) ||
			    (json_object_is_type(v, json_type_string)
				     ? json_object_get_string_len(v) > 0
				     : json_object_get_int64(v) != 0);
		if (v && says)
			json_add(out, rows[i].to, json_object_get(v));
	}
}
#define COPY(out, in, rows) copy_rows(out, in, rows, sizeof(rows) / sizeof(rows[0]))

json_object *vm_rate(json_object *rate)
{
	static const struct copy_row buckets[] = { { "Bandwidth", "bandwidth" }, { "Ops", "ops" } };
	static const struct copy_row rows[] = { { "Size", "size" },
						{ "RefillMs", "refill_ms" },
						{ "Burst", "burst" } };
	json_object *out = json_object_new_object();
	for (size_t i = 0; i < 2; i++) {
		json_object *in = json_get(rate, buckets[i].from);
		if (!in)
			continue;
		json_object *bucket = json_object_new_object();
		COPY(bucket, in, rows);
		json_add(out, buckets[i].to, bucket);
	}
	return out;
}

static void add_rate(json_object *out, const char *to, json_object *in, const char *from)
{
	if (json_get(in, from))
		json_add(out, to, vm_rate(json_get(in, from)));
}

/* ---- devices ---- */

typedef json_object *item_fn(const struct instance *inst, json_object *in, size_t i);

static json_object *make_disk(const struct instance *inst, json_object *in, size_t i)
{
	static const struct copy_row rows[] = {
		{ "Id", "id" },         { "ReadOnly", "readonly" }, { "Format", "format" },
		{ "Cache", "cache" },   { "Engine", "engine" },     { "Serial", "serial" },
		{ "Queues", "queues" }, { "Discard", "discard" },
	};
	(void)inst;
	(void)i;
	json_object *out = json_object_new_object();
	COPY(out, in, rows);
	json_add(out, "source",
		 json_get(in, "Data") ? source("data", json_str_or(in, "Data", ""))
				      : path_source(in, "Path"));
	add_rate(out, "rate", in, "Rate");
	return out;
}

/* Locally administered, the same at each start, and different for each VM. */
static void make_mac(const struct instance *inst, size_t i, char ret[18])
{
	const char *d = inst->id;
	(void)snprintf(ret, 18, "02:%.2s:%.2s:%.2s:%.2s:%02zx", d, d + 2, d + 4, d + 6, i);
}

static json_object *make_net(const struct instance *inst, json_object *in, size_t i)
{
	static const struct copy_row rows[] = {
		{ "Id", "id" },         { "Mac", "mac" },         { "Mtu", "mtu" },
		{ "Queues", "queues" }, { "Offload", "offload" },
	};
	char mac[18];
	make_mac(inst, i, mac);
	json_object *out = json_object_new_object();
	json_add_str(out, "mac", mac);
	COPY(out, in, rows);
	if (has_str(in, "Tap"))
		json_add(out, "tap", source("name", json_str_or(in, "Tap", "")));
	else if (json_bool_or(in, "Passt", false))
		json_add(out, "socket", flag_source("passt"));
	else
		json_add(out, "socket", path_source(in, "Socket"));
	add_rate(out, "rate_rx", in, "RateRx");
	add_rate(out, "rate_tx", in, "RateTx");
	return out;
}

json_object *vm_endpoint_net(const struct endpoint *e, int64_t queues)
{
	char text[MAC_TEXT], id[NET_NAME_SIZE], name[NET_NAME_SIZE];
	json_object *out = json_object_new_object();
	(void)snprintf(id, sizeof(id), "eth%u", e->index);
	endpoint_host_name(e, name);
	json_add_str(out, "id", id);
	json_add_str(out, "mac", mac_format(e->mac, text, sizeof(text)));
	json_add_i64(out, "queues", queues);
	if (e->network->mtu)
		json_add_i64(out, "mtu", e->network->mtu);
	json_add(out, "tap", source("port", name));
	return out;
}

/* Of a folder of the host, or of a volume. */
static json_object *folder_source(const struct instance *inst, json_object *share)
{
	if (!has_str(share, "Volume"))
		return source("folder", json_str_or(share, "Path", ""));
	cleanup_strbuf struct strbuf path = STRBUF_INIT;
	strbuf_printf(&path, "%s/" VOLUMES_DIR "/%s/" VOLUME_DATA,
		      inst->isolad ? inst->isolad->roots.state : "",
		      json_str_or(share, "Volume", ""));
	return source("folder", path.text ? path.text : "");
}

static json_object *make_share(const struct instance *inst, json_object *in, size_t i)
{
	static const struct copy_row rows[] = { { "Tag", "tag" }, { "Queues", "queues" } };
	(void)i;
	json_object *out = json_object_new_object(), *socket;
	COPY(out, in, rows);
	if (has_str(in, "Socket")) {
		socket = path_source(in, "Socket");
	} else {
		socket = folder_source(inst, in);
		json_add_bool(socket, "readonly", json_bool_or(in, "ReadOnly", false));
	}
	json_add(out, "socket", socket);
	return out;
}

static json_object *make_pmem(const struct instance *inst, json_object *in, size_t i)
{
	static const struct copy_row rows[] = { { "Id", "id" }, { "ReadOnly", "readonly" } };
	(void)inst;
	(void)i;
	json_object *out = json_object_new_object();
	COPY(out, in, rows);
	json_add(out, "source", path_source(in, "Path"));
	return out;
}

static json_object *make_console(const struct instance *inst, json_object *in, size_t i)
{
	static const struct copy_row rows[] = { { "Id", "id" },
						{ "Rows", "rows" },
						{ "Columns", "columns" } };
	(void)inst;
	(void)i;
	json_object *out = json_object_new_object();
	COPY(out, in, rows);
	json_add(out, "source",
		 has_str(in, "Socket") ? path_source(in, "Socket") : flag_source("pty"));
	return out;
}

static const struct {
	const char *from, *to;
	item_fn *make;
} lists[] = {
	{ "Disks", "disks", make_disk },          { "Nets", "nets", make_net },
	{ "Shares", "shares", make_share },       { "Pmem", "pmem", make_pmem },
	{ "Consoles", "consoles", make_console },
};

void vm_add_spares(json_object *list, const char *name, bool acpi, size_t most)
{
	for (size_t i = 0; i < VM_SPARES && i < most; i++) {
		char id[16];
		json_object *net = json_object_new_object();
		(void)snprintf(id, sizeof(id), "%s%zu", name, i);
		json_add_str(net, "id", id);
		json_add_bool(net, "spare", true);
		if (acpi)
			json_add_bool(net, "acpi", true);
		(void)json_object_array_add(list, net);
	}
}

static size_t count_devices(json_object *o)
{
	static const char *const many[] = { "disks", "nets", "shares", "pmem", "consoles" };
	/* rng and balloon are there unless they are said not to be. */
	size_t n = 2 + (json_get(o, "vsock") != NULL);
	for (size_t i = 0; i < sizeof(many) / sizeof(many[0]); i++)
		n += json_len(json_get(o, many[i]));
	return n;
}

/* Places for networks that it joins while it runs, as far as its bus has room. */
static void add_spares(json_object *o)
{
	size_t n = count_devices(o);
	json_object *list = json_get(o, "nets");
	if (n >= VMM_DEVICES_MAX)
		return;
	if (!list) {
		list = json_object_new_array();
		json_add(o, "nets", list);
	}
	vm_add_spares(list, "later", true, VMM_DEVICES_MAX - n);
}

/* In front of Nets: a guest's eth0 is its network's. */
static void add_endpoints(json_object *o, const struct instance *inst)
{
	int64_t queues = json_i64_or(inst->config, "NetworkQueues", 1);
	json_object *out = list_is_empty(&inst->endpoints) ? NULL : json_object_new_array();
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		(void)json_object_array_add(out, vm_endpoint_net(e, queues));
	}
	if (out)
		json_add(o, "nets", out);
}

static void add_lists(json_object *o, const struct instance *inst)
{
	add_endpoints(o, inst);
	for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
		json_object *in = json_get(inst->config, lists[i].from);
		json_object *before = json_get(o, lists[i].to);
		json_object *out = before         ? json_object_get(before)
				   : json_len(in) ? json_object_new_array()
						  : NULL;
		for (size_t k = 0; k < json_len(in); k++) {
			json_object *item = json_object_array_get_idx(in, k);
			(void)json_object_array_add(out, lists[i].make(inst, item, k));
		}
		if (out)
			json_add(o, lists[i].to, out);
	}
}

static void add_singles(json_object *o, json_object *config)
{
	static const struct copy_row balloon_rows[] = { { "Size", "size" },
							{ "DeflateOnOom", "deflate_on_oom" },
							{ "Reporting", "reporting" },
							{ "StatsMs", "stats_ms" } };
	static const struct copy_row watchdog_rows[] = { { "Action", "action" } };
	json_object *in = json_get(config, "Balloon"), *out = json_object_new_object();
	if (!json_object_is_type(in, json_type_object)) {
		json_add_bool(o, "balloon", false);
		json_object_put(out);
	} else {
		json_add_i64(out, "size", 0);
		COPY(out, in, balloon_rows);
		json_add(o, "balloon", out);
	}
	in = json_get(config, "Rng");
	if (!json_object_is_type(in, json_type_object)) {
		json_add_bool(o, "rng", false);
	} else if (json_get(in, "Rate")) {
		out = json_object_new_object();
		add_rate(out, "rate", in, "Rate");
		json_add(o, "rng", out);
	}
	in = json_get(config, "Watchdog");
	if (in) {
		out = json_object_new_object();
		COPY(out, in, watchdog_rows);
		json_add(o, "watchdog", out);
	}
}

/* ---- the machine ---- */

json_object *vm_cpu_list(json_object *list)
{
	if (json_len(list))
		return json_object_get(list);
	json_object *all = json_object_new_array();
	int n = get_nprocs_conf();
	for (int i = 0; i < n; i++)
		(void)json_object_array_add(all, json_object_new_int(i));
	return all;
}

static json_object *make_cpus(json_object *config)
{
	static const struct copy_row rows[] = { { "Count", "count" },
						{ "ThreadsPerCore", "threads_per_core" },
						{ "CoresPerSocket", "cores_per_socket" } };
	json_object *in = json_get(config, "Cpus"), *out = json_object_new_object();
	COPY(out, in, rows);
	json_add(out, "template", json_object_get(json_get(in, "Template")));
	json_object *affinity = json_get(in, "Affinity"), *pins = NULL;
	for (size_t i = 0; i < json_len(affinity); i++) {
		pins = pins ? pins : json_object_new_array();
		(void)json_object_array_add(pins,
					    vm_cpu_list(json_object_array_get_idx(affinity, i)));
	}
	if (pins)
		json_add(out, "affinity", pins);
	return out;
}

static json_object *make_memory(json_object *config)
{
	static const struct copy_row rows[] = {
		{ "Size", "size" }, { "Shared", "shared" },     { "HugePages", "hugepages" },
		{ "Thp", "thp" },   { "Prefault", "prefault" }, { "Merge", "merge" }
	};
	json_object *out = json_object_new_object();
	COPY(out, json_get(config, "Memory"), rows);
	return out;
}

static int add_boot(json_object *o, json_object *config, struct err *err)
{
	cleanup_free char *cmdline = vm_cmdline(config);
	json_object *boot = json_object_new_object();
	json_add(o, "boot", boot);
	if (!cmdline || !boot)
		return err_set(err, ENOMEM, "out of memory");
	json_add(boot, "kernel", path_source(config, "Kernel"));
	if (has_str(config, "Initrd"))
		json_add(boot, "initrd", path_source(config, "Initrd"));
	json_add_str(boot, "cmdline", cmdline);
	return 0;
}

char *vm_vsock_path(const struct instance *inst)
{
	json_object *vsock = json_get(inst->config, "Vsock");
	if (!vsock)
		return NULL;
	if (has_str(vsock, "Path"))
		return strdup(json_str_or(vsock, "Path", ""));
	cleanup_free char *run_dir = instance_run_dir(inst);
	struct strbuf s = STRBUF_INIT;
	strbuf_printf(&s, "%s/vsock.sock", run_dir ? run_dir : "");
	return strbuf_take(&s);
}

static void add_vsock(json_object *o, const struct instance *inst)
{
	cleanup_free char *path = vm_vsock_path(inst);
	if (!path)
		return;
	json_object *vsock = json_object_new_object();
	json_add_i64(vsock, "cid", json_i64_or(json_get(inst->config, "Vsock"), "Cid", 3));
	json_add(vsock, "listen", source("path", path));
	json_add_str(vsock, "connect", "keeper");
	json_add(o, "vsock", vsock);
}

int vm_machine(const struct instance *inst, json_object **ret, struct err *err)
{
	json_object *config = inst->config;
	char name[ID_SHORT_LEN + 1];
	cleanup_json json_object *o = json_object_new_object();
	(void)snprintf(name, sizeof(name), "%s", inst->id);
	json_add_i64(o, "version", VMM_VERSION);
	json_add_str(o, "id", name);
	json_add(o, "kvm", source("path", "/dev/kvm"));
	json_add(o, "cpus", make_cpus(config));
	json_add(o, "memory", make_memory(config));
	int rc = add_boot(o, config, err);
	if (rc < 0)
		return rc;
	json_object *serial = json_object_new_object(), *jail = json_object_new_object();
	json_add_bool(serial, "input", json_bool_or(config, "OpenStdin", false));
	json_add(o, "serial", serial);
	add_lists(o, inst);
	add_vsock(o, inst);
	add_singles(o, config);
	add_spares(o);
	if (has_str(config, "VmGenId"))
		json_add_str(o, "vmgenid", json_str_or(config, "VmGenId", ""));
	json_add_bool(o, "debug_exit", json_bool_or(config, "DebugExit", false));
	json_add_str(o, "seccomp", json_str_or(config, "Seccomp", "kill"));
	json_add_i64(jail, "uid", inst->userns_base);
	json_add_i64(jail, "gid", inst->userns_base);
	json_add(o, "jail", jail);
	*ret = take_ptr(o);
	return 0;
}

/* ---- limits ---- */

int vm_resources(json_object *config, const char *controllers, json_object **ret, struct err *err)
{
	cleanup_json json_object *limits = json_copy(json_get(config, "Limits"));
	int64_t memory = json_i64_or(limits, "Memory", 0);
	bool can = controllers && place_has(controllers, "memory");
	if (!limits)
		return err_set(err, ENOMEM, "out of memory");
	/* Huge pages are counted by another controller, but not less is allowed. */
	if (memory == 0 && can)
		json_add_i64(limits, "Memory",
			     json_i64_or(json_get(config, "Memory"), "Size", 0) + OVERHEAD_BYTES);
	return bundle_limits(limits, ret, err);
}

/* ---- keeper.json ---- */

static int make_keeper(const struct instance *inst, json_object **ret, struct err *err)
{
	struct isolad *d = inst->isolad;
	json_object *config = inst->config, *resources = NULL;
	cleanup_free char *log_path = instance_log_path(inst), *cgroup = instance_cgroup(inst);
	cleanup_json json_object *o = json_object_new_object();
	if (!o || !log_path || !cgroup)
		return err_set(err, ENOMEM, "out of memory");
	if (!d->programs.paths[PROGRAM_VMM])
		return err_set(err, EOPNOTSUPP,
			       "isola-vmm is not installed: it is neither beside "
			       "isolad nor in " ISOLA_LIBEXECDIR);
	int rc = vm_resources(config, d->place.controllers, &resources, err);
	if (rc < 0)
		return rc;
	json_add_i64(o, "version", KEEPER_VERSION);
	json_add_str(o, "id", inst->id);
	json_add_str(o, "kind", "vm");
	json_add_str(o, "cgroup", cgroup);
	json_add(o, "resources", resources);
	json_add_str(o, "vmm", d->programs.paths[PROGRAM_VMM]);
	json_add(o, "log", bundle_log(inst, log_path));
	json_add_bool(o, "stdin", json_bool_or(config, "OpenStdin", false));
	json_add_bool(o, "stdin_once", json_bool_or(config, "StdinOnce", false));
	json_add_bool(o, "tty", json_bool_or(config, "Tty", false));
	*ret = take_ptr(o);
	return 0;
}

int vm_bundle_write(struct instance *inst, int run_dir_fd, struct err *err)
{
	cleanup_json json_object *machine = NULL, *keeper = NULL;
	int rc = vm_machine(inst, &machine, err);
	if (rc >= 0)
		kvm_broken_add(inst->isolad, json_get(machine, "cpus"));
	if (rc >= 0)
		rc = make_keeper(inst, &keeper, err);
	if (rc >= 0)
		rc = bundle_document(run_dir_fd, "machine.json", machine, err);
	return rc < 0 ? rc : bundle_document(run_dir_fd, "keeper.json", keeper, err);
}
