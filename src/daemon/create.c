/* SPDX-License-Identifier: Apache-2.0 */
/* create - see create.h. The order of work: image under request, tables, defaults
 * that depend on others, rules, and last the one thing that has to be undone (the
 * range of user ids). Loop thread. */
#include "create.h"

#include "endpoint.h"

#include "bundle.h"
#include "bundle_priv.h"
#include "create_priv.h"
#include "images_priv.h"
#include "isolad.h"
#include "isolation.h"
#include "mounts.h"
#include "root_image.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/sysinfo.h>
#include <unistd.h>

static unsigned int online_cpus(void)
{
	int n = get_nprocs();
	return n < 1 ? 1 : (unsigned int)n;
}

int create_normalise(const struct create_env *env, json_object *body, json_object *warnings,
		     json_object **ret_config, json_object **ret_host_config,
		     json_object **ret_networking, struct err *err)
{
	struct create c = { .env = env, .warnings = warnings, .limits_later = true };
	cleanup_json json_object *merged = NULL, *config = NULL, *host = NULL;
	if (!json_object_is_type(body, json_type_object))
		return err_set(err, EINVAL, "the body must be a JSON object");
	int rc = create_merge_image(body, env->image, warnings, &merged, err);
	if (rc >= 0)
		rc = fields_check(create_config_fields.rows, create_config_fields.n, "", merged, &c,
				  &config, err);
	if (rc >= 0)
		rc = fields_check(create_host_fields.rows, create_host_fields.n, "HostConfig.",
				  json_get(body, "HostConfig"), &c, &host, err);
	if (rc >= 0)
		rc = create_complete(&c, body, config, host, err);
	if (rc >= 0)
		rc = create_agree(&c, config, host, err);
	json_object *networking = json_get(body, "NetworkingConfig");
	if (rc >= 0)
		rc = create_check_networking(networking, json_str_or(host, "NetworkMode", ""), err);
	if (rc < 0)
		return rc;
	*ret_config = take_ptr(config);
	*ret_host_config = take_ptr(host);
	*ret_networking = json_object_get(networking);
	return 0;
}

static int find_container(void *arg, const char *ref, struct instance **ret, struct err *err)
{
	*ret = registry_find(arg, INSTANCE_CONTAINER, ref, err);
	return *ret ? 0 : -err->code;
}

static void env_init(struct create_env *env, struct isolad *d, const char *id, json_object *image)
{
	*env = (struct create_env){
		.id = id,
		.controllers = d->place.controllers ? d->place.controllers : "",
		.cpus = online_cpus,
		.config = &d->config,
		.image = image,
		.no_guests = image ? guests_missing(d) : NULL,
		.doubt = guests_doubt(d),
		.policy = &d->policy,
		.find = find_container,
		.find_arg = d,
	};
}

/* An image whose files somebody deleted by hand must not fail half-way. */
static int check_layers(struct isolad *d, json_object *image, const char *ref, struct err *err)
{
	json_object *layers = json_get(image, "layers");
	if (!json_len(layers))
		return err_set(err, EINVAL, "image %.128s has no layers", ref);
	for (size_t i = 0; i < json_len(layers); i++) {
		char path[128];
		(void)snprintf(path, sizeof(path), "layers/%.64s/fs", json_item_str(layers, i));
		if (faccessat(d->roots.state_fd, path, F_OK, 0) < 0)
			return err_sys(err,
				       "image %.128s is damaged: cannot find %s/%s (load it again)",
				       ref, d->roots.state, path);
	}
	return 0;
}

static bool publishes(const struct instance *inst)
{
	json_object *ports = json_get(inst->host_config, "PortBindings");
	return (ports && json_object_object_length(ports)) ||
	       json_bool_or(inst->host_config, "PublishAllPorts", false);
}

static void warn_of_network(struct instance *inst, json_object *warnings)
{
	const struct endpoint *gateway = endpoint_gateway(inst);
	if (!list_is_empty(&inst->endpoints) && inst->isolad->networks.conflict)
		create_warn(warnings, "The network may be cut off: %s",
			    inst->isolad->networks.conflict);
	if (gateway && !endpoint_publishes(gateway) && publishes(inst))
		create_warn(warnings,
			    "Published ports (-p, -P) are ignored: network %s is a macvlan, whose "
			    "members are reached at their own addresses",
			    gateway->network->name);
}

static int fill(struct isolad *d, struct instance *inst, const char *name, json_object *body,
		json_object *warnings, struct err *err)
{
	const char *ref = json_str_or(body, "Image", "");
	if (!*ref)
		return err_set(err, EINVAL, "Image must name an image");
	json_object *image = image_find(d, ref, err);
	if (!image)
		return -err->code;
	int rc = check_layers(d, image, ref, err);
	if (rc < 0)
		return rc;
	struct create_env env;
	env_init(&env, d, inst->id, image);
	const struct image *named = images_lookup(d->images, ref, NULL, NULL);
	env.refs = named ? named->refs : NULL;
	rc = create_normalise(&env, body, warnings, &inst->config, &inst->host_config,
			      &inst->networking, err);
	if (rc < 0)
		return rc;
	inst->kind = INSTANCE_CONTAINER;
	inst->image = json_object_get(image);
	inst->image_ref = strdup(ref);
	inst->name = name ? strdup(name) : NULL;
	if (!inst->image_ref || (name && !inst->name))
		return err_set(err, ENOMEM, "out of memory");
	rc = mounts_settle(inst->config, inst->host_config, find_container, d, &inst->mount_points,
			   err);
	if (rc >= 0)
		rc = instance_apply_host_config(inst, err);
	if (rc >= 0)
		rc = endpoints_create(inst, err);
	if (rc >= 0)
		rc = storage_settle(inst, warnings, err);
	if (rc >= 0)
		warn_of_network(inst, warnings);
	if (rc < 0 || strcmp(json_str_or(inst->host_config, "UsernsMode", ""), "host") == 0)
		return rc;
	return uidrange_take(&d->uidrange, &inst->userns_base, err);
}

static int fill_vm(struct isolad *d, struct instance *inst, const char *name, json_object *body,
		   json_object *warnings, struct err *err)
{
	struct create_env env;
	env_init(&env, d, inst->id, NULL);
	int rc = create_vm_normalise(&env, body, warnings, &inst->config, err);
	if (rc < 0)
		return rc;
	inst->kind = INSTANCE_VM;
	inst->host_config = json_object_get(inst->config);
	inst->name = name ? strdup(name) : NULL;
	if (name && !inst->name)
		return err_set(err, ENOMEM, "out of memory");
	inst->networking = json_object_get(json_get(inst->config, "NetworkingConfig"));
	rc = instance_apply_host_config(inst, err);
	if (rc >= 0)
		rc = endpoints_create(inst, err);
	if (rc >= 0)
		warn_of_network(inst, warnings);
	return rc < 0 ? rc : uidrange_take(&d->uidrange, &inst->userns_base, err);
}

typedef int fill_fn(struct isolad *d, struct instance *inst, const char *name, json_object *body,
		    json_object *warnings, struct err *err);

static int check(struct isolad *d, enum instance_kind kind, fill_fn *fill_it, const char *name,
		 json_object *body, struct instance **ret, json_object *warnings, struct err *err)
{
	if (name && *name == '/')
		name++;
	if (name && !id_is_name(name))
		return err_set(err, EINVAL,
			       "Invalid %s name (%.128s), only [a-zA-Z0-9][a-zA-Z0-9_.-] are "
			       "allowed",
			       instance_noun(kind), name);
	struct instance *inst = instance_new(d, err);
	if (!inst)
		return -ENOMEM;
	int rc = fill_it(d, inst, name, body, warnings, err);
	if (rc < 0) {
		instance_free(inst);
		return rc;
	}
	*ret = inst;
	return 0;
}

int create_check(struct isolad *d, const char *name, json_object *body, struct instance **ret,
		 json_object *warnings, struct err *err)
{
	return check(d, INSTANCE_CONTAINER, fill, name, body, ret, warnings, err);
}

int create_vm_check(struct isolad *d, const char *name, json_object *body, struct instance **ret,
		    json_object *warnings, struct err *err)
{
	return check(d, INSTANCE_VM, fill_vm, name, body, ret, warnings, err);
}

/* ---- update ---- */

int vm_update_check(struct instance *inst, json_object *body, json_object **ret_config,
		    json_object **ret_calls, struct err *err)
{
	struct create_env env;
	env_init(&env, inst->isolad, inst->id, NULL);
	return create_vm_update(&env, inst->config, body, ret_config, ret_calls, err);
}

static const char *const updatable[] = {
	"CpuShares",         "Memory",     "NanoCpus",   "BlkioWeight",
	"CpuPeriod",         "CpuQuota",   "CpusetCpus", "CpusetMems",
	"MemoryReservation", "MemorySwap", "PidsLimit",  "RestartPolicy",
};

static bool is_updatable(const char *name)
{
	for (size_t i = 0; i < sizeof(updatable) / sizeof(updatable[0]); i++) {
		if (!strcmp(updatable[i], name))
			return true;
	}
	return false;
}

/* The fields that @body changes; 0 in PidsLimit means "no limit", not "as it is". */
static json_object *changed_fields(json_object *body)
{
	json_object *out = json_object_new_object();
	if (!out)
		return NULL;
	json_object_object_foreach (body, key, v) {
		if (!json_is_zero(v))
			json_add(out, key, json_object_get(v));
		else if (v && !strcmp(key, "PidsLimit"))
			json_add_i64(out, key, -1);
	}
	return out;
}

static int refuse_fixed(json_object *changed, struct err *err)
{
	json_object_object_foreach (changed, key, unused) {
		(void)unused;
		for (size_t i = 0; i < create_host_fields.n; i++) {
			if (!strcmp(create_host_fields.rows[i].name, key) && !is_updatable(key))
				return err_set(err, EINVAL,
					       "%s cannot be changed once a container exists", key);
		}
	}
	return 0;
}

static int update_agrees(json_object *old, json_object *changed, struct err *err)
{
	int64_t swap = json_i64_or(old, "MemorySwap", 0);
	if (json_i64_or(changed, "Memory", 0) > swap && swap > 0 &&
	    !json_get(changed, "MemorySwap"))
		return err_set(err, EINVAL,
			       "Memory limit should be smaller than already set memoryswap limit, "
			       "update the memoryswap at the same time");
	if (json_i64_or(old, "NanoCpus", 0) &&
	    (json_get(changed, "CpuQuota") || json_get(changed, "CpuPeriod")))
		return err_set(err, EINVAL,
			       "Conflicting options: CPU Quota and Period cannot be updated as "
			       "NanoCPUs has already been set");
	if (json_get(changed, "NanoCpus") &&
	    (json_i64_or(old, "CpuQuota", 0) || json_i64_or(old, "CpuPeriod", 0)))
		return err_set(err, EINVAL,
			       "Conflicting options: Nano CPUs cannot be updated as CPU Quota or "
			       "Period has already been set");
	if (json_bool_or(old, "AutoRemove", false) && json_get(changed, "RestartPolicy") &&
	    strcmp(json_str_or(json_get(changed, "RestartPolicy"), "Name", "no"), "no") != 0)
		return err_set(err, EINVAL,
			       "Restart policy cannot be updated because AutoRemove is enabled for "
			       "the container");
	return 0;
}

int create_update(const struct create_env *env, json_object *host_config, json_object *body,
		  json_object *warnings, json_object **ret_host_config, bool *ret_limits,
		  struct err *err)
{
	struct create c = { .env = env, .warnings = warnings, .limits_later = true };
	if (!json_object_is_type(body, json_type_object))
		return err_set(err, EINVAL, "the body must be a JSON object");
	cleanup_json json_object *changed = changed_fields(body), *checked = NULL, *next = NULL;
	int rc = refuse_fixed(changed, err);
	if (rc >= 0)
		rc = fields_check(create_host_fields.rows, create_host_fields.n, "", changed, &c,
				  &checked, err);
	if (rc >= 0)
		rc = create_limits_enforced(&c, "", checked, isolation_is_vm(host_config), err);
	if (rc >= 0)
		rc = update_agrees(host_config, changed, err);
	if (rc < 0)
		return rc;
	next = json_object_new_object();
	bool limits = false;
	json_object_object_foreach (host_config, key, v) {
		bool is_new = json_get(changed, key) != NULL;
		json_add(next, key, json_object_get(is_new ? json_get(checked, key) : v));
		limits |= is_new && strcmp(key, "RestartPolicy") != 0;
	}
	rc = create_limits_agree(next, err);
	if (rc < 0)
		return rc;
	*ret_host_config = take_ptr(next);
	*ret_limits = limits;
	return 0;
}

int update_check(struct instance *inst, json_object *body, json_object *warnings,
		 json_object **ret_host_config, json_object **ret_resources, struct err *err)
{
	struct create_env env;
	env_init(&env, inst->isolad, inst->id, NULL);
	cleanup_json json_object *next = NULL;
	json_object *resources = NULL;
	bool limits = false;
	int rc = create_update(&env, inst->host_config, body, warnings, &next, &limits, err);
	if (rc >= 0 && limits)
		rc = bundle_limits(next, &resources, err);
	if (rc < 0)
		return rc;
	*ret_host_config = take_ptr(next);
	*ret_resources = resources;
	return 0;
}
