/* SPDX-License-Identifier: Apache-2.0 */
/* explain - see explain.h: the document, put together. isolad, loop thread. */
#include "explain.h"

#include "endpoint.h"
#include "isolad.h"
#include "isolation.h"
#include "kernel_release.h"
#include "root_image.h"
#include "view.h"

#include "isola/cgroup.h"
#include "isola/fd.h"
#include "isola/json.h"

#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <unistd.h>

#define PROCESSES_MAX 256
#define CONFIG_MAX    ((size_t)8 * 1024 * 1024)

static bool is_behind_vm(const struct instance *inst)
{
	return inst->kind == INSTANCE_VM || isolation_is_vm(inst->host_config);
}

/* ---- kernel ---- */

static json_object *kernel_of(const struct instance *inst)
{
	json_object *o = json_object_new_object();
	bool own = is_behind_vm(inst);
	json_add_bool(o, "Own", own);
	if (own) {
		char release[KERNEL_RELEASE_MAX];
		const char *path = inst->kind == INSTANCE_VM
					   ? json_str_or(inst->config, "Kernel", "")
					   : inst->isolad->guests.kernel;
		kernel_release(path, release);
		json_add_str(o, "File", path);
		json_add_str(o, "Release", release);
	} else {
		struct utsname u = { 0 };
		(void)uname(&u);
		json_add_str(o, "Release", u.release);
	}
	return o;
}

/* ---- what gives it its root ---- */

static json_object *root_of(const struct instance *inst)
{
	char path[PATH_MAX];
	json_object *o = json_object_new_object();
	json_add_str(o, "Type", root_image_kind(inst));
	if (inst->guest_root == GUEST_ROOT_EROFS &&
	    root_image_find(inst->isolad, inst->image, path, sizeof(path)))
		json_add_str(o, "File", path);
	return o;
}

/* ---- processes ---- */

struct tree {
	const struct instance *inst;
	json_object *list;
};

static const char *role_of(const struct instance *inst, pid_t pid)
{
	if (pid == inst->pid)
		return is_behind_vm(inst) ? "worker" : "payload";
	if (pid == inst->root_pid)
		return "file server";
	return explain_is_kernel_thread(pid) ? "kernel thread" : "process";
}

static int add_process(pid_t pid, void *arg)
{
	struct tree *t = arg;
	if (json_len(t->list) >= PROCESSES_MAX)
		return -E2BIG;
	json_object *o = explain_brief(pid, role_of(t->inst, pid));
	if (o)
		(void)json_object_array_add(t->list, o);
	return 0;
}

static json_object *tree_of(const struct instance *inst, int cgroup_fd)
{
	struct tree t = { inst, json_object_new_array() };
	json_object *keeper = explain_brief(inst->keeper_pid, "keeper");
	if (keeper)
		(void)json_object_array_add(t.list, keeper);
	if (cgroup_fd >= 0)
		(void)cgroup_pids(cgroup_fd, add_process, &t);
	return t.list;
}

/* Those that run foreign code or read foreign bytes. */
static json_object *boundaries_of(struct instance *inst)
{
	json_object *list = json_object_new_array();
	const pid_t pids[] = { inst->pid, inst->root_pid };
	for (size_t i = 0; i < 2; i++) {
		json_object *o = pids[i] && (i == 0 || pids[1] != pids[0])
					 ? explain_process(inst->isolad, inst, pids[i],
							   role_of(inst, pids[i]))
					 : NULL;
		if (o)
			(void)json_object_array_add(list, o);
	}
	return list;
}

/* ---- limits ---- */

static json_object *limits_of(int cgroup_fd)
{
	static const char *const files[] = { "memory.max",  "memory.swap.max", "memory.low",
					     "cpu.max",     "cpu.weight",      "cpuset.cpus",
					     "cpuset.mems", "pids.max",        "io.max" };
	json_object *o = json_object_new_object();
	for (size_t i = 0; cgroup_fd >= 0 && i < sizeof(files) / sizeof(files[0]); i++) {
		char text[512];
		cleanup_fd int fd = openat(cgroup_fd, files[i], O_RDONLY | O_CLOEXEC);
		ssize_t n = fd < 0 ? -1 : fd_read_all(fd, text, sizeof(text) - 1);
		if (n < 0)
			continue;
		text[n] = '\0';
		text[strcspn(text, "\n")] = '\0';
		json_add_str(o, files[i], text);
	}
	return o;
}

/* ---- what the payload was given: config.json, which the keeper read ---- */

static void copy(json_object *o, const char *as, json_object *v)
{
	json_add(o, as, v ? json_object_get(v) : json_object_new_array());
}

/* Those that every container has (config-linux.md, Default Devices) first. */
static json_object *device_names(json_object *linux_)
{
	static const char *const always[] = { "null", "zero", "full", "random", "urandom", "tty" };
	json_object *names = json_object_new_array(), *list = json_get(linux_, "devices");
	for (size_t i = 0; i < sizeof(always) / sizeof(always[0]); i++) {
		char path[32];
		(void)snprintf(path, sizeof(path), "/dev/%s", always[i]);
		(void)json_object_array_add(names, json_object_new_string(path));
	}
	for (size_t i = 0; i < json_len(list); i++)
		(void)json_object_array_add(
			names, json_object_new_string(json_str_or(
				       json_object_array_get_idx(list, i), "path", "")));
	return names;
}

/* A rule without a type, or of all, that allows everything. */
static bool any_device(json_object *linux_)
{
	json_object *rules = json_get(json_get(linux_, "resources"), "devices");
	for (size_t i = 0; i < json_len(rules); i++) {
		json_object *r = json_object_array_get_idx(rules, i);
		if (json_bool_or(r, "allow", false) && !json_get(r, "major") &&
		    !strcmp(json_str_or(r, "type", "a"), "a"))
			return true;
	}
	return false;
}

static json_object *given_to(const struct instance *inst)
{
	cleanup_json json_object *config = NULL;
	cleanup_free char *dir = instance_run_dir(inst), *path = NULL;
	if (inst->kind == INSTANCE_VM || !dir || asprintf(&path, "%s/config.json", dir) < 0 ||
	    json_read_file(AT_FDCWD, path, CONFIG_MAX, &config, NULL) < 0)
		return NULL;
	json_object *o = json_object_new_object(), *linux_ = json_get(config, "linux");
	json_object *process = json_get(config, "process");
	json_add_bool(o, "InGuest", is_behind_vm(inst));
	json_add(o, "Devices", device_names(linux_));
	json_add_bool(o, "AnyDevice", any_device(linux_));
	copy(o, "MaskedPaths", json_get(linux_, "maskedPaths"));
	copy(o, "ReadonlyPaths", json_get(linux_, "readonlyPaths"));
	copy(o, "Capabilities", json_get(json_get(process, "capabilities"), "bounding"));
	json_add_bool(o, "NoNewPrivileges", json_bool_or(process, "noNewPrivileges", false));
	json_add_bool(o, "Seccomp", json_get(linux_, "seccomp") != NULL);
	return o;
}

/* ---- who reaches it ---- */

static json_object *networks_of(struct instance *inst)
{
	json_object *list = json_object_new_array();
	list_for_each (node, &inst->endpoints) {
		const struct endpoint *e = container_of(node, struct endpoint, node);
		json_object *o = json_object_new_object();
		int64_t others = -1;
		list_for_each (member, &e->network->members)
			others++;
		json_add_str(o, "Name", e->network->name);
		json_add_i64(o, "Others", others);
		(void)json_object_array_add(list, o);
	}
	return list;
}

static json_object *reach_of(struct instance *inst)
{
	struct isolad *d = inst->isolad;
	struct stat st = { 0 };
	char mode[16];
	json_object *o = json_object_new_object(), *api = json_object_new_object();
	(void)stat(d->config.socket, &st);
	(void)snprintf(mode, sizeof(mode), "%04o", st.st_mode & 07777);
	json_add_str(o, "NetworkMode", json_str_or(inst->host_config, "NetworkMode", ""));
	json_add(o, "Networks", networks_of(inst));
	json_add(o, "Ports", view_ports(inst));
	json_add_str(api, "Socket", d->config.socket);
	json_add_str(api, "Mode", mode);
	json_add_i64(api, "Uid", st.st_uid);
	json_add_i64(api, "Gid", st.st_gid);
	json_add(o, "Api", api);
	return o;
}

/* ---- holes ---- */

static void hole(json_object *list, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
static void hole(json_object *list, const char *fmt, ...)
{
	char text[320];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	/* What was cut off may end amid a character. */
	(void)json_object_array_add(list, json_new_text(text, strlen(text)));
}

static bool is_host_user(json_object *process)
{
	json_object *list = json_get(process, "Namespaces");
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *ns = json_object_array_get_idx(list, i);
		if (!strcmp(json_str_or(ns, "Type", ""), "user"))
			return !strcmp(json_str_or(ns, "Of", ""), "host");
	}
	return false;
}

static void shared_namespaces(json_object *list, json_object *process)
{
	json_object *all = json_get(process, "Namespaces");
	for (size_t i = 0; i < json_len(all); i++) {
		json_object *ns = json_object_array_get_idx(all, i);
		const char *type = json_str_or(ns, "Type", ""), *of = json_str_or(ns, "Of", "");
		/* Every container has the host's clock. */
		if (!strcmp(type, "time") || !strcmp(of, "own"))
			continue;
		hole(list, "its %s namespace is %s%s", type, strcmp(of, "host") ? of : "the host's",
		     !strcmp(type, "user") ? ": root in it is root of the host" : "");
	}
}

static void strong_caps(json_object *list, json_object *process)
{
	json_object *caps = json_get(json_get(process, "Capabilities"), "Bounding");
	bool host = is_host_user(process);
	for (size_t i = 0; i < json_len(caps); i++)
		if (isolation_is_piercing(json_item_str(caps, i)))
			hole(list, "it may have %s%s", json_item_str(caps, i),
			     host ? " over the host" : ", in its own user namespace");
}

static void writable_binds(json_object *list, json_object *host)
{
	json_object *mounts = json_get(host, "Binds");
	for (size_t i = 0; i < json_len(mounts); i++)
		if (json_item_str(mounts, i)[0] == '/')
			hole(list, "it sees files of the host: %.200s", json_item_str(mounts, i));
}

/* Each with the fact it follows from. */
static json_object *holes_of(struct instance *inst, json_object *boundaries, json_object *given)
{
	json_object *list = json_object_new_array();
	json_object *process = json_object_array_get_idx(boundaries, 0);
	if (inst->kind == INSTANCE_CONTAINER)
		writable_binds(list, inst->host_config);
	if (!process || is_behind_vm(inst))
		return list;
	shared_namespaces(list, process);
	strong_caps(list, process);
	if (strcmp(json_str_or(process, "Seccomp", ""), "filter") != 0)
		hole(list, "no seccomp filter: it has all system calls of the host's kernel");
	if (given && json_bool_or(given, "AnyDevice", false))
		hole(list, "it may use any device");
	if (given && !json_len(json_get(given, "MaskedPaths")))
		hole(list, "no path of /proc and /sys is masked");
	return list;
}

json_object *explain(struct instance *inst)
{
	json_object *o = json_object_new_object();
	bool runs = instance_is_running(inst) && inst->pid;
	json_add_str(o, "Id", inst->id);
	view_add_name(o, inst);
	json_add_str(o, "Kind", inst->kind == INSTANCE_VM ? "vm" : "container");
	json_add_str(o, "Wall", is_behind_vm(inst) ? "vm" : "container");
	json_add_str(o, "State", instance_state_name(inst));
	json_add_bool(o, "Running", runs);
	json_add(o, "Kernel", kernel_of(inst));
	if (inst->kind == INSTANCE_CONTAINER && is_behind_vm(inst))
		json_add(o, "Root", root_of(inst));
	json_add(o, "Reach", reach_of(inst));
	if (!runs)
		return o;
	cleanup_free char *path = instance_cgroup(inst);
	cleanup_fd int fd = path ? cgroup_open(path) : -ENOMEM;
	json_object *boundaries = boundaries_of(inst), *given = given_to(inst);
	json_object *mounts = is_behind_vm(inst) ? NULL : explain_mounts(inst->pid);
	json_add(o, "Boundaries", boundaries);
	json_add(o, "Processes", tree_of(inst, fd));
	json_add_str(o, "Cgroup", path ? path : "");
	json_add(o, "Limits", limits_of(fd));
	if (mounts)
		json_add(o, "Mounts", mounts);
	if (given)
		json_add(o, "Given", given);
	json_add(o, "Holes", holes_of(inst, boundaries, given));
	return o;
}
