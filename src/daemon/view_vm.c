/* SPDX-License-Identifier: Apache-2.0 */
/* view_vm - a VM as its users read it: VmInspect and VmSummary of docs/openapi.json,
 * in the style of Docker's. isolad, loop thread. */
#include "isolad.h"
#include "life.h"
#include "view.h"
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"

#include <stdio.h>
#include <string.h>

#define CONSOLES_BYTES_MAX (64 * 1024)

static json_object *make_state(struct instance *inst)
{
	json_object *o = view_state(inst);
	bool over = !instance_is_running(inst);
	json_add_str(o, "Reason", over && inst->reason ? inst->reason : "");
	json_add_str(o, "ReasonText", over && inst->reason_text ? inst->reason_text : "");
	json_add_i64(o, "Resets", inst->resets);
	return o;
}

/* What was given as bytes is not shown again: it may hold a password. */
static json_object *make_config(json_object *config)
{
	json_object *o = json_copy(config), *disks = json_get(o, "Disks");
	for (size_t i = 0; i < json_len(disks); i++) {
		json_object *disk = json_object_array_get_idx(disks, i);
		const char *data = json_str_or(disk, "Data", NULL);
		if (!data)
			continue;
		json_add_i64(disk, "DataBytes", (int64_t)strlen(data) / 4 * 3);
		json_object_object_del(disk, "Data");
	}
	return o;
}

static json_object *make_vsock(struct instance *inst)
{
	cleanup_free char *path = vm_vsock_path(inst);
	if (!path)
		return NULL;
	json_object *o = json_object_new_object();
	json_add_i64(o, "Cid", json_i64_or(json_get(inst->config, "Vsock"), "Cid", 3));
	json_add_str(o, "Path", path);
	return o;
}

/* The keeper has written down which terminals it made. */
static json_object *make_consoles(struct instance *inst)
{
	cleanup_json json_object *made = NULL;
	json_object *list = json_get(inst->config, "Consoles"), *out = json_object_new_array();
	int dir = life_of(inst)->run_dir_fd;
	if (!json_len(list) || !instance_is_running(inst) || dir < 0)
		return out;
	(void)json_read_file(dir, "consoles.json", CONSOLES_BYTES_MAX, &made, NULL);
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *in = json_object_array_get_idx(list, i), *o = json_object_new_object();
		const char *id = json_str_or(in, "Id", ""), *socket = json_str_or(in, "Socket", "");
		json_add_str(o, "Id", id);
		json_add_str(o, "Path", *socket ? socket : json_str_or(made, id, ""));
		(void)json_object_array_add(out, o);
	}
	return out;
}

/* Docker's, as far as it says something. */
static json_object *make_network(struct instance *inst)
{
	json_object *o = json_object_new_object();
	view_add_network_settings(o, inst);
	json_add(o, "Networks", view_endpoints(inst));
	return o;
}

static json_object *make_isola(struct instance *inst)
{
	json_object *o = json_object_new_object();
	cleanup_free char *cgroup = instance_cgroup(inst);
	json_add_str(o, "Kind", "vm");
	json_add_str(o, "Cgroup", cgroup ? cgroup : "");
	json_add_i64(o, "Uid", inst->userns_base);
	json_add_i64(o, "KeeperPid", inst->keeper_pid);
	return o;
}

json_object *view_vm_inspect(struct instance *inst)
{
	json_object *o = json_object_new_object();
	cleanup_free char *log = instance_log_path(inst), *cmdline = vm_cmdline(inst->config);
	const char *driver = json_str_or(json_get(inst->config, "LogConfig"), "Type", "");
	json_add_str(o, "Id", inst->id);
	view_add_time(o, "Created", inst->created_ns);
	view_add_name(o, inst);
	json_add(o, "State", make_state(inst));
	json_add_i64(o, "RestartCount", inst->restart_count);
	json_add_str(o, "LogPath", log && !strcmp(driver, "json-file") ? log : "");
	json_add_str(o, "Cmdline", cmdline);
	json_add(o, "Vsock", make_vsock(inst));
	json_add(o, "Consoles", make_consoles(inst));
	json_add(o, "NetworkSettings", make_network(inst));
	json_add(o, "Config", make_config(inst->config));
	json_add(o, "Isola", make_isola(inst));
	return o;
}

json_object *view_vm_summary(struct instance *inst)
{
	json_object *o = json_object_new_object(), *names = json_object_new_array();
	char name[260], status[128];
	(void)snprintf(name, sizeof(name), "/%s", inst->name ? inst->name : "");
	(void)json_object_array_add(names, json_object_new_string(name));
	view_status(inst, num_now_ns(), status, sizeof(status));
	bool over = !instance_is_running(inst);
	json_add_str(o, "Id", inst->id);
	json_add(o, "Names", names);
	json_add_str(o, "Kernel", json_str_or(inst->config, "Kernel", ""));
	json_add_i64(o, "Cpus", json_i64_or(json_get(inst->config, "Cpus"), "Count", 1));
	json_add_i64(o, "Memory", json_i64_or(json_get(inst->config, "Memory"), "Size", 0));
	json_add_i64(o, "Created", inst->created_ns / 1000000000);
	json_add(o, "Ports", view_ports(inst));
	json_add_str(o, "State", instance_state_name(inst));
	json_add_str(o, "Status", status);
	json_add_str(o, "Reason", over && inst->reason ? inst->reason : "");
	json_add(o, "Labels", json_object_get(json_get(inst->config, "Labels")));
	return o;
}
