/* SPDX-License-Identifier: Apache-2.0 */
/* record - see record.h. isolad, loop thread. */
#include "record.h"

#include "isola/json.h"
#include "endpoint.h"
#include "isolad.h"
#include "root_image.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define RECORD_VERSION 1

static const char *const state_names[] = {
	[INSTANCE_CREATED] = "created",       [INSTANCE_STARTING] = "starting",
	[INSTANCE_RUNNING] = "running",       [INSTANCE_PAUSED] = "paused",
	[INSTANCE_RESTARTING] = "restarting", [INSTANCE_EXITED] = "exited",
	[INSTANCE_REMOVING] = "removing",     [INSTANCE_DEAD] = "dead",
};

static const char *state_text(const struct instance *inst)
{
	if (inst->state == INSTANCE_STARTING)
		return state_names[inst->started_ns ? INSTANCE_EXITED : INSTANCE_CREATED];
	return state_names[inst->state];
}

char *record_text(const struct instance *inst, size_t *ret_size)
{
	cleanup_json json_object *o = json_object_new_object();
	if (!o)
		return NULL;
	json_add_i64(o, "version", RECORD_VERSION);
	json_add_str(o, "id", inst->id);
	json_add_str(o, "name", inst->name);
	json_add_str(o, "kind", inst->kind == INSTANCE_VM ? "vm" : "container");
	json_add_str(o, "state", state_text(inst));
	if (inst->image_ref)
		json_add_str(o, "image_ref", inst->image_ref);
	json_add_i64(o, "userns_base", inst->userns_base);
	if (inst->project)
		json_add_i64(o, "project", inst->project);
	json_add_bool(o, "auto_remove", inst->auto_remove);
	if (inst->building)
		json_add_bool(o, "building", true);
	if (inst->guest_root != GUEST_ROOT_NONE) {
		json_add_str(o, "guest_root", guest_root_name(inst->guest_root));
		json_add_bool(o, "guest_root_auto", inst->guest_root_auto);
	}
	json_add_i64(o, "created_ns", inst->created_ns);
	json_add_i64(o, "started_ns", inst->started_ns);
	json_add_i64(o, "finished_ns", inst->finished_ns);
	json_add_i64(o, "exit_code", inst->exit_code);
	json_add_bool(o, "oom_killed", inst->oom_killed);
	json_add_str(o, "error", inst->error);
	json_add_i64(o, "restart_count", inst->restart_count);
	json_add_bool(o, "manually_stopped", inst->manually_stopped);
	json_add(o, "config", json_object_get(inst->config));
	if (inst->kind == INSTANCE_VM) {
		json_add_str(o, "reason", inst->reason);
		json_add_str(o, "reason_text", inst->reason_text);
	} else {
		json_add(o, "host_config", json_object_get(inst->host_config));
		json_add(o, "networking", json_object_get(inst->networking));
		json_add(o, "image", json_object_get(inst->image));
		if (inst->mount_points)
			json_add(o, "mount_points", json_object_get(inst->mount_points));
	}
	json_add(o, "endpoints", endpoints_record(inst));
	json_add(o, "bindings", bindings_record(inst));
	const char *text = json_object_to_json_string_length(
		o, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, ret_size);
	return text ? strdup(text) : NULL;
}

static int get_text(json_object *doc, const char *key, char **ret, struct err *err)
{
	const char *text = NULL;
	int rc = json_get_str(doc, key, &text, err);
	if (rc <= 0)
		return rc;
	*ret = strdup(text);
	return *ret ? 1 : err_set(err, ENOMEM, "out of memory");
}

static int get_object(json_object *doc, const char *key, json_object **ret, struct err *err)
{
	json_object *o = NULL;
	int rc = json_get_obj(doc, key, &o, err);
	if (rc > 0)
		*ret = json_object_get(o);
	return rc;
}

static int get_state(json_object *doc, enum instance_state *ret, struct err *err)
{
	const char *text = json_str_or(doc, "state", "");
	for (size_t i = 0; i < sizeof(state_names) / sizeof(state_names[0]); i++) {
		if (strcmp(text, state_names[i]))
			continue;
		*ret = (enum instance_state)i;
		return 0;
	}
	return err_set(err, EINVAL, "unknown state \"%.64s\"", text);
}

static int get_numbers(struct instance *inst, json_object *doc, struct err *err)
{
	int64_t base = 0, code = 0, count = 0, project = 0;
	if (json_get_i64(doc, "userns_base", &base, err) < 0 ||
	    json_get_i64(doc, "project", &project, err) < 0 ||
	    json_get_i64(doc, "created_ns", &inst->created_ns, err) < 0 ||
	    json_get_i64(doc, "started_ns", &inst->started_ns, err) < 0 ||
	    json_get_i64(doc, "finished_ns", &inst->finished_ns, err) < 0 ||
	    json_get_i64(doc, "exit_code", &code, err) < 0 ||
	    json_get_i64(doc, "restart_count", &count, err) < 0 ||
	    json_get_bool(doc, "auto_remove", &inst->auto_remove, err) < 0 ||
	    json_get_bool(doc, "building", &inst->building, err) < 0 ||
	    json_get_bool(doc, "guest_root_auto", &inst->guest_root_auto, err) < 0 ||
	    json_get_bool(doc, "oom_killed", &inst->oom_killed, err) < 0 ||
	    json_get_bool(doc, "manually_stopped", &inst->manually_stopped, err) < 0)
		return -EINVAL;
	if (base < 0 || base > INT32_MAX || code < 0 || code > 255 || count < 0 ||
	    count > INT32_MAX || project < 0 || project > UINT32_MAX)
		return err_set(err, EINVAL, "a number is out of range");
	inst->userns_base = (uint32_t)base;
	inst->project = (uint32_t)project;
	inst->exit_code = (int)code;
	inst->restart_count = (unsigned int)count;
	return 0;
}

/* Instances of one image share its record in memory. */
static void share_image(struct instance *inst)
{
	json_object *have = image_find(inst->isolad, json_str_or(inst->image, "id", ""), NULL);
	if (!have)
		return;
	json_object_put(inst->image);
	inst->image = json_object_get(have);
}

static int load_container(struct instance *inst, json_object *doc, struct err *err)
{
	json_object *points = NULL;
	if (get_text(doc, "image_ref", &inst->image_ref, err) < 0 ||
	    get_object(doc, "host_config", &inst->host_config, err) < 0 ||
	    get_object(doc, "networking", &inst->networking, err) < 0 ||
	    get_object(doc, "image", &inst->image, err) < 0 ||
	    json_get_arr(doc, "mount_points", &points, err) < 0)
		return -EINVAL;
	inst->mount_points = json_object_get(points);
	const char *root = NULL;
	if (json_get_str(doc, "guest_root", &root, err) < 0)
		return -EINVAL;
	inst->guest_root = guest_root_parse(root ? root : "");
	if (root && inst->guest_root == GUEST_ROOT_NONE)
		return err_set(err, EINVAL, "unknown guest_root \"%.64s\"", root);
	if (!inst->image_ref || !inst->host_config || !inst->image)
		return err_set(err, EINVAL, "one of image_ref, host_config, image is missing");
	return endpoints_load(inst, doc, err);
}

static int load_vm(struct instance *inst, json_object *doc, struct err *err)
{
	if (get_text(doc, "reason", &inst->reason, err) < 0 ||
	    get_text(doc, "reason_text", &inst->reason_text, err) < 0)
		return -EINVAL;
	if (!json_str_or(inst->config, "Kernel", NULL) || !json_get(inst->config, "Memory"))
		return err_set(err, EINVAL, "config is not that of a VM");
	inst->host_config = json_object_get(inst->config);
	inst->networking = json_object_get(json_get(inst->config, "NetworkingConfig"));
	return endpoints_load(inst, doc, err);
}

static int load(struct instance *inst, const char *id, json_object *doc, struct err *err)
{
	if (json_i64_or(doc, "version", 0) != RECORD_VERSION)
		return err_set(err, EINVAL, "version is not %d", RECORD_VERSION);
	if (strcmp(json_str_or(doc, "id", ""), id))
		return err_set(err, EINVAL, "its id is not that of the folder");
	bool vm = !strcmp(json_str_or(doc, "kind", ""), "vm");
	if (!vm && strcmp(json_str_or(doc, "kind", ""), "container"))
		return err_set(err, EINVAL, "kind is neither container nor vm");
	inst->kind = vm ? INSTANCE_VM : INSTANCE_CONTAINER;
	memcpy(inst->id, id, ID_SIZE);
	if (get_state(doc, &inst->state, err) < 0 || get_text(doc, "name", &inst->name, err) < 0 ||
	    get_text(doc, "error", &inst->error, err) < 0 ||
	    get_object(doc, "config", &inst->config, err) < 0)
		return -EINVAL;
	if (!inst->name || !id_is_name(inst->name) || !inst->config)
		return err_set(err, EINVAL, "name or config is missing");
	int rc = vm ? load_vm(inst, doc, err) : load_container(inst, doc, err);
	if (rc == 0)
		rc = get_numbers(inst, doc, err);
	if (rc == 0)
		rc = instance_apply_host_config(inst, err);
	if (rc == 0 && !vm)
		share_image(inst);
	return rc;
}

int record_load(struct isolad *d, const char *id, json_object *doc, struct instance **ret,
		struct err *err)
{
	struct instance *inst = instance_new(d, err);
	if (!inst)
		return -ENOMEM;
	int rc = load(inst, id, doc, err);
	if (rc < 0) {
		/* The range is not ours yet: it must not be given back. */
		inst->userns_base = 0;
		instance_free(inst);
		return rc;
	}
	*ret = inst;
	return 0;
}
