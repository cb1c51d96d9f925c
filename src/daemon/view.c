/* SPDX-License-Identifier: Apache-2.0 */
/* view - an instance as Docker's clients expect to read it: inspect and an
 * element of /containers/json (Docker Engine API, ContainerInspect and
 * ContainerSummary). Which keys are there, and whether an empty one is null, []
 * or {}, is part of that. isolad, loop thread; reads no file. */
#include "endpoint.h"
#include "exec.h"
#include "folders.h"
#include "health.h"
#include "isolad.h"
#include "isolation.h"
#include "mounts.h"
#include "root_image.h"
#include "view.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/strbuf.h"

#include <stdio.h>
#include <string.h>

#define DRIVER "overlayfs"

void view_add_time(json_object *o, const char *key, int64_t ns)
{
	char buf[40];
	json_add_str(o, key, num_format_time(ns, buf, sizeof(buf)));
}

/* Adds "a/b", or "" without @a. */
static void add_path(json_object *o, const char *key, const char *a, const char *b)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	if (a)
		strbuf_printf(&s, "%s/%s", a, b);
	json_add_str(o, key, s.text ? s.text : "");
}

static void share(json_object *o, const char *key, json_object *value)
{
	json_add(o, key, json_object_get(value));
}

/* ---- state ---- */

json_object *view_state(struct instance *inst)
{
	json_object *o = json_object_new_object();
	bool restarting = inst->state == INSTANCE_RESTARTING;
	json_add_str(o, "Status", instance_state_name(inst));
	json_add_bool(o, "Running", instance_is_running(inst) || restarting);
	json_add_bool(o, "Paused", inst->state == INSTANCE_PAUSED);
	json_add_bool(o, "Restarting", restarting);
	json_add_bool(o, "OOMKilled", inst->oom_killed);
	json_add_bool(o, "Dead", inst->state == INSTANCE_DEAD);
	json_add_i64(o, "Pid", instance_is_running(inst) ? inst->pid : 0);
	json_add_i64(o, "ExitCode", instance_is_running(inst) ? 0 : inst->exit_code);
	json_add_str(o, "Error", inst->error ? inst->error : "");
	view_add_time(o, "StartedAt", inst->started_ns);
	view_add_time(o, "FinishedAt", inst->finished_ns);
	json_object *health = health_view(inst);
	if (health)
		json_add(o, "Health", health);
	return o;
}

/* As `docker ps` shows it. */
static const char *health_words(const struct instance *inst)
{
	static const char *const words[] = {
		[HEALTH_NONE] = "",
		[HEALTH_STARTING] = " (health: starting)",
		[HEALTH_HEALTHY] = " (healthy)",
		[HEALTH_UNHEALTHY] = " (unhealthy)",
	};
	return words[health_of(inst)];
}

void view_status(const struct instance *inst, int64_t now_ns, char *buf, size_t size)
{
	char up[64], since[64];
	num_format_span((now_ns - inst->started_ns) / 1000000000, up, sizeof(up));
	num_format_span((now_ns - inst->finished_ns) / 1000000000, since, sizeof(since));
	switch (inst->state) {
	case INSTANCE_RUNNING:
		(void)snprintf(buf, size, "Up %s%s", up, health_words(inst));
		return;
	case INSTANCE_PAUSED:
		(void)snprintf(buf, size, "Up %s (Paused)", up);
		return;
	case INSTANCE_RESTARTING:
		(void)snprintf(buf, size, "Restarting (%d) %s ago", inst->exit_code, since);
		return;
	case INSTANCE_REMOVING:
		(void)snprintf(buf, size, "Removal In Progress");
		return;
	case INSTANCE_DEAD:
		(void)snprintf(buf, size, "Dead");
		return;
	case INSTANCE_CREATED:
	case INSTANCE_STARTING:
	case INSTANCE_EXITED:
		break;
	}
	if (inst->state == INSTANCE_EXITED && inst->finished_ns)
		(void)snprintf(buf, size, "Exited (%d) %s ago", inst->exit_code, since);
	else
		(void)snprintf(buf, size, "Created");
}

/* ---- mounts, network, command ---- */

static json_object *make_mount(const struct mount_point *p)
{
	json_object *o = json_object_new_object();
	static const char *const types[] = {
		[MOUNT_BIND] = "bind", [MOUNT_TMPFS] = "tmpfs", [MOUNT_VOLUME] = "volume"
	};
	json_add_str(o, "Type", types[p->kind]);
	if (p->kind == MOUNT_VOLUME)
		json_add_str(o, "Name", p->volume);
	json_add_str(o, "Source", p->source ? p->source : "");
	json_add_str(o, "Destination", p->target);
	if (p->kind == MOUNT_VOLUME)
		json_add_str(o, "Driver", "local");
	json_add_str(o, "Mode", p->kind == MOUNT_TMPFS ? "" : p->mode);
	json_add_bool(o, "RW", !p->read_only);
	json_add_str(o, "Propagation", p->kind == MOUNT_BIND ? p->propagation : "");
	return o;
}

static json_object *make_mounts(struct instance *inst)
{
	cleanup_mounts struct mounts m = { NULL, 0 };
	json_object *list = json_object_new_array();
	if (mounts_of(inst, &m, NULL) < 0)
		return list;
	for (size_t i = 0; i < m.n; i++) {
		if (m.items[i].listed)
			(void)json_object_array_add(list, make_mount(&m.items[i]));
	}
	return list;
}

static const char *network_mode(struct instance *inst)
{
	return json_str_or(inst->host_config, "NetworkMode", "none");
}

static json_object *make_network_settings(struct instance *inst)
{
	static const char *const texts[] = { "Bridge",      "SandboxID",
					     "SandboxKey",  "EndpointID",
					     "Gateway",     "IPAddress",
					     "MacAddress",  "GlobalIPv6Address",
					     "IPv6Gateway", "LinkLocalIPv6Address" };
	static const char *const numbers[] = { "IPPrefixLen", "GlobalIPv6PrefixLen",
					       "LinkLocalIPv6PrefixLen" };
	json_object *o = json_object_new_object();
	for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
		json_add_str(o, texts[i], "");
	for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
		json_add_i64(o, numbers[i], 0);
	json_add_bool(o, "HairpinMode", false);
	json_add(o, "SecondaryIPAddresses", NULL);
	json_add(o, "SecondaryIPv6Addresses", NULL);
	json_add(o, "Networks", view_endpoints(inst));
	view_add_network_settings(o, inst);
	return o;
}

/* Entrypoint and Cmd as one list: word @i, or NULL behind the last. */
static json_object *word_at(json_object *config, size_t i)
{
	json_object *entry = json_get(config, "Entrypoint"), *cmd = json_get(config, "Cmd");
	size_t n = json_len(entry);
	if (i < n)
		return json_object_array_get_idx(entry, i);
	return i - n < json_len(cmd) ? json_object_array_get_idx(cmd, i - n) : NULL;
}

static json_object *make_args(json_object *config)
{
	json_object *args = json_object_new_array();
	for (size_t i = 1; word_at(config, i); i++)
		(void)json_object_array_add(args, json_object_get(word_at(config, i)));
	return args;
}

/* As ps shows it: words with a space are quoted, but not the first. */
static json_object *make_command(json_object *config)
{
	cleanup_strbuf struct strbuf s = STRBUF_INIT;
	for (size_t i = 0; word_at(config, i); i++) {
		const char *word = json_object_get_string(word_at(config, i));
		const char *quote = i && strchr(word, ' ') ? "'" : "";
		strbuf_printf(&s, "%s%s%s%s", i ? " " : "", quote, word, quote);
	}
	return json_object_new_string(s.text ? s.text : "");
}

/* ---- inspect ---- */

static json_object *make_graph_driver(struct instance *inst, const char *state_dir)
{
	json_object *o = json_object_new_object(), *data = json_object_new_object();
	cleanup_strbuf struct strbuf lower = STRBUF_INIT;
	cleanup_json json_object *folders = folders_lower(inst->isolad->roots.state, inst->image);
	for (size_t i = 0; i < json_len(folders); i++)
		strbuf_printf(&lower, "%s%s", i ? ":" : "", json_item_str(folders, i));
	json_add_str(data, "LowerDir", lower.text ? lower.text : "");
	/* The merged tree is mounted in the container's mount namespace only. */
	char merged[32] = "";
	if (instance_is_running(inst) && inst->guest_root != GUEST_ROOT_EROFS)
		(void)snprintf(merged, sizeof(merged), "/proc/%d/root", (int)inst->root_pid);
	json_add_str(data, "MergedDir", merged);
	add_path(data, "UpperDir", state_dir, folders_upper(inst));
	add_path(data, "WorkDir", state_dir, folders_work(inst));
	json_add(o, "Data", data);
	json_add_str(o, "Name", DRIVER);
	return o;
}

/* What Docker has no word for. */
static json_object *make_isola(struct instance *inst)
{
	json_object *o = json_object_new_object();
	cleanup_free char *cgroup = instance_cgroup(inst);
	json_add_str(o, "Kind", inst->kind == INSTANCE_VM ? "vm" : "container");
	json_add_str(o, "Cgroup", cgroup ? cgroup : "");
	json_add_i64(o, "UsernsBase", inst->userns_base);
	json_add_i64(o, "UsernsSize", inst->userns_base ? UIDRANGE_SIZE : 0);
	json_add_i64(o, "KeeperPid", inst->keeper_pid);
	if (isolation_is_vm(inst->host_config))
		json_add_str(o, "Root", root_image_kind(inst));
	return o;
}

/* The files of /etc are there from the first start on. */
static void add_files(json_object *o, struct instance *inst)
{
	cleanup_free char *run_dir = inst->started_ns ? instance_run_dir(inst) : NULL;
	add_path(o, "ResolvConfPath", run_dir, "resolv.conf");
	add_path(o, "HostnamePath", run_dir, "hostname");
	add_path(o, "HostsPath", run_dir, "hosts");
	cleanup_free char *log = instance_log_path(inst);
	const char *driver = json_str_or(json_get(inst->host_config, "LogConfig"), "Type", "");
	json_add_str(o, "LogPath", log && !strcmp(driver, "json-file") ? log : "");
}

void view_add_name(json_object *o, struct instance *inst)
{
	char name[260];
	(void)snprintf(name, sizeof(name), "/%s", inst->name ? inst->name : "");
	json_add_str(o, "Name", name);
}

json_object *view_inspect(struct instance *inst)
{
	if (inst->kind == INSTANCE_VM)
		return view_vm_inspect(inst);
	json_object *o = json_object_new_object();
	cleanup_free char *state_dir = instance_state_dir(inst);
	json_add_str(o, "Id", inst->id);
	view_add_time(o, "Created", inst->created_ns);
	json_object *first = word_at(inst->config, 0);
	json_add_str(o, "Path", first ? json_object_get_string(first) : "");
	json_add(o, "Args", make_args(inst->config));
	json_add(o, "State", view_state(inst));
	json_add_str(o, "Image", json_str_or(inst->image, "id", ""));
	add_files(o, inst);
	view_add_name(o, inst);
	json_add_i64(o, "RestartCount", inst->restart_count);
	json_add_str(o, "Driver", DRIVER);
	json_add_str(o, "Platform", "linux");
	json_add_str(o, "MountLabel", "");
	json_add_str(o, "ProcessLabel", "");
	json_add_str(o, "AppArmorProfile", "");
	json_object *execs = exec_ids(inst);
	json_add(o, "ExecIDs", json_len(execs) ? json_object_get(execs) : NULL);
	json_object_put(execs);
	share(o, "HostConfig", inst->host_config);
	json_add(o, "GraphDriver", make_graph_driver(inst, state_dir));
	json_add(o, "Mounts", make_mounts(inst));
	share(o, "Config", inst->config);
	json_add(o, "NetworkSettings", make_network_settings(inst));
	json_add(o, "Isola", make_isola(inst));
	return o;
}

/* ---- summary ---- */

/* The name the user gave, unless it means another image by now. */
static const char *image_label(struct instance *inst)
{
	const char *id = json_str_or(inst->image, "id", "");
	json_object *now = image_find(inst->isolad, inst->image_ref, NULL);
	return now && strcmp(json_str_or(now, "id", ""), id) != 0 ? id : inst->image_ref;
}

json_object *view_summary(struct instance *inst)
{
	if (inst->kind == INSTANCE_VM)
		return view_vm_summary(inst);
	json_object *o = json_object_new_object(), *names = json_object_new_array();
	char name[260], status[128];
	(void)snprintf(name, sizeof(name), "/%s", inst->name ? inst->name : "");
	(void)json_object_array_add(names, json_object_new_string(name));
	view_status(inst, num_now_ns(), status, sizeof(status));
	json_add_str(o, "Id", inst->id);
	json_add(o, "Names", names);
	json_add_str(o, "Image", image_label(inst));
	json_add_str(o, "ImageID", json_str_or(inst->image, "id", ""));
	json_add(o, "Command", make_command(inst->config));
	json_add_i64(o, "Created", inst->created_ns / 1000000000);
	json_add(o, "Ports", view_ports(inst));
	share(o, "Labels", json_get(inst->config, "Labels"));
	json_add_str(o, "State", instance_state_name(inst));
	json_add_str(o, "Status", status);
	json_object *host = json_object_new_object(), *net = json_object_new_object();
	json_add_str(host, "NetworkMode", network_mode(inst));
	json_add_str(host, "Isolation", json_str_or(inst->host_config, "Isolation", "container"));
	json_add(o, "HostConfig", host);
	if (isolation_is_vm(inst->host_config)) {
		json_object *size = json_object_new_object();
		json_add_i64(size, "Cpus", guest_cpus(inst->host_config));
		json_add_i64(size, "Memory", guest_memory(inst->host_config));
		json_add(o, "Isola", size);
	}
	json_add(net, "Networks", view_endpoints(inst));
	json_add(o, "NetworkSettings", net);
	json_add(o, "Mounts", make_mounts(inst));
	return o;
}
