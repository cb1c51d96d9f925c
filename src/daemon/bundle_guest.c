/* SPDX-License-Identifier: Apache-2.0 */
/* bundle_guest - what a container's bundle has more when it is in a VM: machine.json, and
 * in keeper.json what makes it a guest (isola/keeper.h). isolad, loop thread, before each
 * start; pure but for the writing. config.json is a container's (bundle.c). */
#include "bundle_priv.h"
#include "endpoint.h"
#include "folders.h"
#include "guests.h"
#include "isolad.h"
#include "place.h"
#include "root_image.h"
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/keeper.h"
#include "isola/mac.h"
#include "isola/vmm.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysinfo.h>

#define MIB (1024ll * 1024)
/* A guest's RAM when nothing was said, and the least in which a distribution's kernel comes
 * up (Debian's needs 68 MiB to be unpacked). What a container may use is its cgroup's in the
 * guest; the guest has so much more for its kernel, and what it does not touch costs nothing. */
#define MEMORY_DEFAULT (256 * MIB)
#define MEMORY_MIN     (128 * MIB)
#define KERNEL_BASE    (64 * MIB)
#define KERNEL_PART    32 /* of the container's: page structures and the like */
/* What a VM needs beside its guest's RAM: worker, virtiofsd, page tables, buffers. */
#define OVERHEAD (128 * MIB)

/* CPUs that a guest has offline at its boot, so that it can be given more while it runs. Each
 * is a thread of the worker and per-CPU data of the guest's kernel. */
#define CPUS_SPARE 3

#define CMDLINE                                                                                    \
	"console=ttyS0 quiet reboot=k panic=-1 8250.nr_uarts=1 i8042.noaux i8042.nomux "           \
	"i8042.nopnp i8042.dumbkbd noreplace-smp rdinit=/init"

/* ---- size ---- */

int64_t guest_memory(json_object *host)
{
	int64_t size = json_i64_or(host, "Memory", 0);
	if (size <= 0)
		return MEMORY_DEFAULT;
	size += KERNEL_BASE + size / KERNEL_PART;
	size = (size + 2 * MIB - 1) / (2 * MIB) * (2 * MIB);
	return size < MEMORY_MIN ? MEMORY_MIN : size;
}

int64_t guest_cpus(json_object *host)
{
	int64_t nano = json_i64_or(host, "NanoCpus", 0), quota = json_i64_or(host, "CpuQuota", 0);
	int64_t period = json_i64_or(host, "CpuPeriod", 0);
	if (period <= 0)
		period = 100000;
	if (nano > 0)
		return (nano + 999999999) / 1000000000;
	return quota <= 0 ? 1 : (quota + period - 1) / period;
}

int64_t guest_cpus_most(int64_t cpus, int64_t host_cpus)
{
	int64_t most = cpus + CPUS_SPARE < host_cpus ? cpus + CPUS_SPARE : host_cpus;
	return most > cpus ? most : cpus;
}

static const char *guest_controllers(const struct instance *inst)
{
	const char *controllers = inst->isolad->place.controllers;
	return controllers ? controllers : "";
}

/* The fields of @limits that the guest alone enforces, since this host has no such
 * controller (create_limits_enforced()), are taken out. */
static void drop_guest_only(json_object *limits, const char *controllers)
{
	static const struct {
		const char *controller, *fields[2];
	} rows[] = {
		{ "memory", { "Memory", "MemorySwap" } },
		{ "cpu", { "NanoCpus" } },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		for (size_t f = 0; f < 2 && rows[i].fields[f]; f++)
			if (!place_has(controllers, rows[i].controller))
				json_object_object_del(limits, rows[i].fields[f]);
}

/* The VM's cgroup: what was asked for is the guest's, so there is more of it here. How
 * many processes there are is the guest's alone. */
static int make_resources(const struct instance *inst, json_object **ret, struct err *err)
{
	json_object *host = inst->host_config;
	const char *controllers = guest_controllers(inst);
	cleanup_json json_object *limits = json_copy(host);
	int64_t swap = json_i64_or(host, "MemorySwap", 0);
	if (!limits)
		return err_set(err, ENOMEM, "out of memory");
	json_object_object_del(limits, "PidsLimit");
	drop_guest_only(limits, controllers);
	bool has_memory = place_has(controllers, "memory");
	if (has_memory)
		json_add_i64(limits, "Memory", guest_memory(host) + OVERHEAD);
	if (has_memory && swap > 0)
		json_add_i64(limits, "MemorySwap",
			     swap + guest_memory(host) + OVERHEAD - json_i64_or(host, "Memory", 0));
	return bundle_limits(limits, ret, err);
}

/* ---- of one that runs ---- */

static void add_limit(json_object *limits, const char *file, json_object *host, const char *key)
{
	char text[32] = "max";
	int64_t value = json_i64_or(host, key, 0);
	if (value == 0)
		return;
	if (value > 0)
		(void)snprintf(text, sizeof(text), "%lld", (long long)value);
	json_add_str(limits, file, text);
}

/* Its memory stays within what the guest was booted with, so the cgroup has what it needs. */
int guest_update_message(const struct instance *inst, json_object *host, json_object **ret,
			 struct err *err)
{
	cleanup_json json_object *message = json_object_new_object(), *here = json_copy(host);
	json_object *args = json_object_new_object(), *limits = json_object_new_object();
	json_object *resources = NULL;
	static const char *const inside[] = { "PidsLimit", "Memory", "MemorySwap" };
	for (size_t i = 0; i < sizeof(inside) / sizeof(inside[0]); i++)
		json_object_object_del(here, inside[i]);
	drop_guest_only(here, guest_controllers(inst));
	json_add(message, "args", args);
	json_add_i64(args, "memory", guest_memory(host));
	json_add_i64(args, "cpus", guest_cpus(host));
	add_limit(limits, "memory.max", host, "Memory");
	add_limit(limits, "pids.max", host, "PidsLimit");
	json_add(args, "limits", limits);
	int rc = bundle_limits(here, &resources, err);
	if (rc < 0)
		return rc;
	json_add(message, "resources", resources);
	*ret = take_ptr(message);
	return 0;
}

/* ---- machine.json ---- */

static json_object *source(const char *key, const char *value)
{
	json_object *o = json_object_new_object();
	json_add_str(o, key, value);
	return o;
}

static json_object *make_boot(const struct guests *g, int64_t cpus)
{
	char cmdline[sizeof(CMDLINE) + 32];
	json_object *boot = json_object_new_object();
	(void)snprintf(cmdline, sizeof(cmdline), CMDLINE " maxcpus=%lld", (long long)cpus);
	json_add(boot, "kernel", source("path", g->kernel));
	json_add(boot, "initrd", source("path", g->initrd));
	json_add_str(boot, "cmdline", cmdline);
	return boot;
}

static json_object *make_shares(void)
{
	json_object *list = json_object_new_array(), *share = json_object_new_object();
	json_object *root = json_object_new_object();
	json_add_bool(root, "root", true);
	json_add_str(share, "tag", "root");
	json_add(share, "socket", root);
	(void)json_object_array_add(list, share);
	return list;
}

static json_object *make_vsock(const char *run_dir)
{
	char path[512];
	json_object *o = json_object_new_object();
	(void)snprintf(path, sizeof(path), "%s/vsock.sock", run_dir);
	json_add_i64(o, "cid", 3);
	json_add(o, "listen", source("path", path));
	json_add_str(o, "connect", "keeper");
	return o;
}

/* Of networks, with those that it joins while it runs, as isola-keeper's guest_nic.c has
 * them; GUEST_NICS_MAX there. */
#define NICS_MAX 8

/* One queue pair each: a guest's CPUs are few. */
static json_object *make_nets(const struct instance *inst)
{
	json_object *list = json_object_new_array();
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		(void)json_object_array_add(list, vm_endpoint_net(e, 1));
	}
	if (json_len(list) < NICS_MAX)
		vm_add_spares(list, "spare", false, NICS_MAX - json_len(list));
	return list;
}

/* All microVMs with the image have the same file, and the host its pages once. */
static json_object *make_pmem(const char *file)
{
	json_object *list = json_object_new_array(), *row = json_object_new_object();
	json_add_str(row, "id", "root");
	json_add(row, "source", source("path", file));
	json_add_bool(row, "readonly", true);
	(void)json_object_array_add(list, row);
	return list;
}

/* The worker is another user than the guest's root, whose files virtiofsd has. */
static json_object *make_jail(const struct instance *inst)
{
	json_object *o = json_object_new_object();
	json_add_i64(o, "uid", inst->userns_base + UIDRANGE_SIZE - 1);
	json_add_i64(o, "gid", inst->userns_base + UIDRANGE_SIZE - 1);
	return o;
}

/* @root_file: NULL when the root comes by virtio-fs. */
static json_object *make_machine(const struct instance *inst, const struct bundle_env *env,
				 const char *root_file)
{
	json_object *o = json_object_new_object(), *cpus = json_object_new_object();
	json_object *memory = json_object_new_object(), *serial = json_object_new_object();
	char name[ID_SHORT_LEN + 1];
	int64_t online = guest_cpus(inst->host_config);
	(void)snprintf(name, sizeof(name), "%s", inst->id);
	json_add_i64(o, "version", VMM_VERSION);
	json_add_str(o, "id", name);
	json_add(o, "kvm", source("path", "/dev/kvm"));
	json_add_i64(cpus, "count", guest_cpus_most(online, get_nprocs()));
	kvm_broken_add(inst->isolad, cpus);
	json_add(o, "cpus", cpus);
	json_add_i64(memory, "size", guest_memory(inst->host_config));
	json_add_bool(memory, "shared", true);
	json_add(o, "memory", memory);
	json_add(o, "boot", make_boot(&inst->isolad->guests, online));
	json_add_bool(serial, "input", false);
	json_add(o, "serial", serial);
	json_add(o, "shares", make_shares());
	if (root_file)
		json_add(o, "pmem", make_pmem(root_file));
	if (!list_is_empty(&inst->endpoints))
		json_add(o, "nets", make_nets(inst));
	json_add(o, "vsock", make_vsock(env->run_dir));
	json_add(o, "jail", make_jail(inst));
	return o;
}

/* ---- keeper.json ---- */

static void add_text(json_object *list, const char *text)
{
	(void)json_object_array_add(list, json_object_new_string(text));
}

static void add_family(const struct net_addr *addr, const struct addressing *of, bool gateway,
		       json_object *addresses, json_object *gateways)
{
	char text[NET_ADDR_TEXT], whole[NET_PREFIX_TEXT];
	if (!addr->family)
		return;
	(void)snprintf(whole, sizeof(whole), "%s/%u", net_addr_format(addr, text, sizeof(text)),
		       of->subnet.len);
	add_text(addresses, whole);
	if (gateway)
		add_text(gateways, net_addr_format(&of->gateway, text, sizeof(text)));
}

json_object *guest_link(const struct endpoint *e)
{
	const struct network *net = e->network;
	char text[MAC_TEXT], name[NET_NAME_SIZE];
	bool gateway = endpoint_gateway(e->inst) == e;
	json_object *o = json_object_new_object(), *addresses = json_object_new_array();
	json_object *gateways = json_object_new_array();
	(void)snprintf(name, sizeof(name), "eth%u", e->index);
	json_add_str(o, "name", name);
	json_add_str(o, "mac", mac_format(e->mac, text, sizeof(text)));
	if (net->mtu)
		json_add_i64(o, "mtu", net->mtu);
	add_family(&e->addr, &net->v4, gateway, addresses, gateways);
	add_family(&e->addr6, &net->v6, gateway, addresses, gateways);
	json_add(o, "addresses", addresses);
	json_add(o, "gateways", gateways);
	return o;
}

static json_object *make_links(const struct instance *inst)
{
	json_object *list = json_object_new_array();
	list_for_each (node, &inst->endpoints)
		(void)json_object_array_add(list,
					    guest_link(container_of(node, struct endpoint, node)));
	return list;
}

/* The guest's own, of the image and the folder with the writable layer. */
static json_object *make_root(const struct instance *inst, const struct bundle_env *env)
{
	char path[PATH_MAX];
	json_object *o = json_object_new_object();
	(void)snprintf(path, sizeof(path), "%s/" FOLDERS_LAYER, env->state_dir);
	json_add_str(o, "type", root_image_kind(inst));
	json_add_str(o, "layer", path);
	return o;
}

int guest_keeper(struct instance *inst, const struct bundle_env *env, json_object *keeper,
		 struct err *err)
{
	json_object *resources = NULL;
	int rc = make_resources(inst, &resources, err);
	if (rc < 0)
		return rc;
	json_add_str(keeper, "kind", "guest");
	json_add(keeper, "resources", resources);
	json_add(keeper, "links", make_links(inst));
	if (inst->guest_root == GUEST_ROOT_EROFS)
		json_add(keeper, "root", make_root(inst, env));
	json_add_str(keeper, "vmm", inst->isolad->programs.paths[PROGRAM_VMM]);
	json_add_i64(keeper, "cpus", guest_cpus(inst->host_config));
	json_add_i64(keeper, "boot_ms", inst->isolad->config.guest_boot_timeout * 1000);
	return 0;
}

int guest_machine_write(struct instance *inst, const struct bundle_env *env, int dir,
			struct err *err)
{
	const char *why = guests_missing(inst->isolad);
	if (why)
		return err_set(err, EOPNOTSUPP, "a microVM is not possible here: %s", why);
	int rc = guests_make_initrd(inst->isolad, err);
	if (rc < 0)
		return rc;
	char file[PATH_MAX];
	bool erofs = inst->guest_root == GUEST_ROOT_EROFS;
	if (erofs && !root_image_find(inst->isolad, inst->image, file, sizeof(file)))
		return err_set(err, ENOENT, "the image's root image is gone");
	cleanup_json json_object *machine = make_machine(inst, env, erofs ? file : NULL);
	return bundle_document(dir, "machine.json", machine, err);
}
