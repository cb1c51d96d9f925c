/* SPDX-License-Identifier: Apache-2.0 */
/* create_vm_update - a VmUpdate (docs/openapi.json) against a VM's config: checked
 * whole; the result is the next config, and what the keeper has to be asked if the
 * VM runs. Pure; in isolad. */
#include "create_vm.h"
#include "vm.h"

#include "isola/fd.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct update {
	json_object *config; /* the next one, a copy of our own */
	json_object *calls;  /* [{"op", ..., "undo"}] */
	struct err *err;
};

static json_object *add_call(struct update *u, const char *op)
{
	json_object *call = json_object_new_object(), *args = json_object_new_object();
	json_add_str(call, "op", op);
	json_add(call, "args", args);
	(void)json_object_array_add(u->calls, call);
	return args;
}

static json_object *find_device(struct update *u, const char *kind, size_t i, json_object *item)
{
	json_object *list = json_get(u->config, kind);
	const char *id = json_str_or(item, "Id", NULL);
	for (size_t k = 0; id && k < json_len(list); k++) {
		json_object *o = json_object_array_get_idx(list, k);
		if (!strcmp(json_str_or(o, "Id", ""), id))
			return o;
	}
	if (!id)
		(void)err_set(u->err, EINVAL, "%s[%zu].Id is missing", kind, i);
	else
		(void)err_set(u->err, EINVAL, "%s[%zu].Id: there is no %.64s", kind, i, id);
	return NULL;
}

/* @item has a rate: it becomes @device's, and an argument of the call. {} = none. */
static int update_rate(struct update *u, json_object *item, const char *key, const char *prefix,
		       json_object *device, json_object *args, const char *name)
{
	json_object *rate = json_get(item, key);
	if (!rate)
		return 0;
	int rc = create_vm_rate(item, key, prefix, u->err);
	if (rc < 0)
		return rc;
	rate = json_get(item, key);
	if (json_is_zero(rate))
		json_object_object_del(device, key);
	else
		json_add(device, key, json_object_get(rate));
	json_add(args, name, vm_rate(rate));
	return 0;
}

static const struct field balloon_rows[] = {
	{ "Size", "--balloon", FIELD_INT, DEFAULT_ABSENT, .only_null = true, .min = 0,
	  .max = INT64_MAX },
};

static int update_balloon(struct update *u, json_object *o)
{
	json_object *balloon = json_get(u->config, "Balloon");
	if (!json_get(o, "Size"))
		return 0;
	if (!json_object_is_type(balloon, json_type_object))
		return err_set(u->err, EINVAL, "Balloon.Size (--balloon): this VM has no balloon");
	int64_t size = json_i64_or(o, "Size", 0);
	int64_t most = json_i64_or(json_get(u->config, "Memory"), "Size", 0);
	if (size > most)
		return err_set(u->err, EINVAL,
			       "Balloon.Size (--balloon): more than Memory.Size (%lld)",
			       (long long)most);
	json_add_i64(balloon, "Size", size);
	json_add_i64(add_call(u, "balloon"), "size", size);
	return 0;
}

static int update_cpus(struct update *u, json_object *o)
{
	json_object *rows = json_get(o, "Affinity"), *cpus = json_get(u->config, "Cpus");
	size_t n = (size_t)json_i64_or(cpus, "Count", 1);
	if (!rows)
		return 0;
	if (json_len(rows) > n)
		return err_set(u->err, EINVAL,
			       "Cpus.Affinity has more rows than there are vCPUs (%zu)", n);
	json_add(cpus, "Affinity", json_object_get(rows));
	for (size_t i = 0; i < n; i++) {
		json_object *args = add_call(u, "pin");
		json_object *list = i < json_len(rows) ? json_object_array_get_idx(rows, i) : NULL;
		json_add_i64(args, "vcpu", (int64_t)i);
		json_add(args, "cpus", vm_cpu_list(list));
	}
	return 0;
}

static const struct field disk_rows[] = {
	{ "Id", NULL, FIELD_STR, DEFAULT_ABSENT },
	{ "Rate", NULL, FIELD_OBJ, DEFAULT_ABSENT, .only_null = true },
	{ "Size", NULL, FIELD_INT, DEFAULT_ABSENT, .min = 512, .max = INT64_MAX },
	{ "Resize", NULL, FIELD_BOOL, DEFAULT_ABSENT },
};

static int update_disk(struct update *u, json_object *item, size_t i, const char *prefix)
{
	json_object *device = find_device(u, "Disks", i, item);
	if (!device)
		return -EINVAL;
	int64_t size = json_i64_or(item, "Size", 0);
	if (size && (json_bool_or(device, "ReadOnly", false) || size % 512))
		return err_set(u->err, EINVAL,
			       size % 512 ? "%sSize: no multiple of 512"
					  : "%sSize: the disk is read-only",
			       prefix);
	json_object *args = add_call(u, "disk");
	json_add_str(args, "id", json_str_or(item, "Id", ""));
	if (size || json_bool_or(item, "Resize", false))
		json_add_bool(args, "resize", true);
	if (size)
		json_add_i64(args, "size", size);
	return update_rate(u, item, "Rate", prefix, device, args, "rate");
}

static const struct field net_rows[] = {
	{ "Id", NULL, FIELD_STR, DEFAULT_ABSENT },
	{ "RateRx", NULL, FIELD_OBJ, DEFAULT_ABSENT, .only_null = true },
	{ "RateTx", NULL, FIELD_OBJ, DEFAULT_ABSENT, .only_null = true },
};

static int update_net(struct update *u, json_object *item, size_t i, const char *prefix)
{
	json_object *device = find_device(u, "Nets", i, item);
	if (!device)
		return -EINVAL;
	json_object *args = add_call(u, "net");
	json_add_str(args, "id", json_str_or(item, "Id", ""));
	int rc = update_rate(u, item, "RateRx", prefix, device, args, "rate_rx");
	return rc < 0 ? rc : update_rate(u, item, "RateTx", prefix, device, args, "rate_tx");
}

static int update_list(struct update *u, const char *key, json_object *list,
		       const struct field *rows, size_t n,
		       int (*each)(struct update *u, json_object *item, size_t i,
				   const char *prefix))
{
	for (size_t i = 0; i < json_len(list); i++) {
		cleanup_json json_object *item = NULL;
		char prefix[64];
		(void)snprintf(prefix, sizeof(prefix), "%s[%zu].", key, i);
		int rc = fields_check(rows, n, prefix, json_object_array_get_idx(list, i), NULL,
				      &item, u->err);
		if (rc >= 0)
			rc = each(u, item, i, prefix);
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int update_one(struct update *u, struct create *c, const char *prefix, json_object *in,
		      const struct field *rows, size_t n,
		      int (*each)(struct update *u, json_object *o))
{
	cleanup_json json_object *o = NULL;
	if (!in)
		return 0;
	int rc = fields_check(rows, n, prefix, in, c, &o, u->err);
	return rc < 0 ? rc : each(u, o);
}

/* Limits are given whole or in part: a field that is not there stays. */
static int update_limits(struct update *u, struct create *c, json_object *in)
{
	cleanup_json json_object *merged = NULL;
	json_object *out = NULL, *old = json_get(u->config, "Limits");
	if (!in)
		return 0;
	merged = json_copy(old);
	json_object_object_foreach (in, key, v)
		json_add(merged, key, json_object_get(v));
	int rc = create_vm_limits(c, merged, &out, u->err);
	if (rc < 0)
		return rc;
	json_add(u->config, "Limits", out);
	json_object *call = json_object_new_object();
	json_add_str(call, "op", "update");
	(void)json_object_array_add(u->calls, call);
	json_object *resources = NULL;
	rc = vm_resources(u->config, c->env->controllers, &resources, u->err);
	if (rc >= 0)
		json_add(call, "resources", resources);
	return rc;
}

static const struct field top_rows[] = {
	{ "Balloon", "--balloon", FIELD_OBJ, DEFAULT_ABSENT, .only_null = true },
	{ "Cpus", NULL, FIELD_OBJ, DEFAULT_ABSENT, .only_null = true },
	{ "Disks", NULL, FIELD_OBJS, DEFAULT_ABSENT },
	{ "Nets", NULL, FIELD_OBJS, DEFAULT_ABSENT },
	{ "Limits", NULL, FIELD_OBJ, DEFAULT_ABSENT, .only_null = true },
	{ "RestartPolicy", "--restart", FIELD_OBJ, DEFAULT_ABSENT, .only_null = true,
	  .check = create_restart },
	{ "StopTimeout", "--stop-timeout", FIELD_INT, DEFAULT_ABSENT, .only_null = true, .min = -1,
	  .max = INT32_MAX },
};

#define ROWS(rows) rows, sizeof(rows) / sizeof(rows[0])

static int update_parts(struct update *u, struct create *c, json_object *top)
{
	static const char *const plain[] = { "RestartPolicy", "StopTimeout" };
	int rc = update_one(u, c, "Balloon.", json_get(top, "Balloon"), ROWS(balloon_rows),
			    update_balloon);
	if (rc >= 0)
		rc = update_one(u, c, "Cpus.", json_get(top, "Cpus"), &create_vm_affinity_row, 1,
				update_cpus);
	if (rc >= 0)
		rc = update_list(u, "Disks", json_get(top, "Disks"), ROWS(disk_rows), update_disk);
	if (rc >= 0)
		rc = update_list(u, "Nets", json_get(top, "Nets"), ROWS(net_rows), update_net);
	if (rc >= 0)
		rc = update_limits(u, c, json_get(top, "Limits"));
	for (size_t i = 0; rc >= 0 && i < 2; i++)
		if (json_get(top, plain[i]))
			json_add(u->config, plain[i], json_object_get(json_get(top, plain[i])));
	return rc < 0 ? rc : create_vm_agree(u->config, u->err);
}

/* ---- the way back ---- */

static json_object *undo_device(json_object *config, const char *kind, json_object *args)
{
	static const char *const rates[][2] = { { "rate", "Rate" },
						{ "rate_rx", "RateRx" },
						{ "rate_tx", "RateTx" } };
	json_object *list = json_get(config, kind), *device = NULL;
	const char *id = json_str_or(args, "id", "");
	for (size_t i = 0; i < json_len(list) && !device; i++)
		if (!strcmp(json_str_or(json_object_array_get_idx(list, i), "Id", ""), id))
			device = json_object_array_get_idx(list, i);
	json_object *undo = json_object_new_object();
	json_add_str(undo, "id", id);
	for (size_t i = 0; i < sizeof(rates) / sizeof(rates[0]); i++)
		if (json_get(args, rates[i][0]))
			json_add(undo, rates[i][0], vm_rate(json_get(device, rates[i][1])));
	return undo;
}

static json_object *undo_pin(json_object *config, json_object *args)
{
	json_object *rows = json_get(json_get(config, "Cpus"), "Affinity");
	size_t vcpu = (size_t)json_i64_or(args, "vcpu", 0);
	json_object *undo = json_object_new_object();
	json_add_i64(undo, "vcpu", (int64_t)vcpu);
	json_add(undo, "cpus",
		 vm_cpu_list(vcpu < json_len(rows) ? json_object_array_get_idx(rows, vcpu) : NULL));
	return undo;
}

/* What makes @call undone: its arguments as @config, the present one, has them. A disk
 * that has grown stays so. */
static int add_undo(const struct update *u, const struct create *c, json_object *config,
		    json_object *call)
{
	const char *op = json_str_or(call, "op", "");
	json_object *args = json_get(call, "args"), *undo = json_object_new_object();
	json_add_str(undo, "op", op);
	json_add(call, "undo", undo);
	if (!strcmp(op, "update")) {
		json_object *resources = NULL;
		int rc = vm_resources(config, c->env->controllers, &resources, u->err);
		json_add(undo, "resources", resources);
		return rc;
	}
	if (!strcmp(op, "pin")) {
		json_add(undo, "args", undo_pin(config, args));
	} else if (!strcmp(op, "balloon")) {
		json_object *old = json_object_new_object();
		json_add_i64(old, "size", json_i64_or(json_get(config, "Balloon"), "Size", 0));
		json_add(undo, "args", old);
	} else {
		json_add(undo, "args",
			 undo_device(config, strcmp(op, "disk") ? "Nets" : "Disks", args));
	}
	return 0;
}

static int add_undos(const struct update *u, const struct create *c, json_object *config)
{
	int rc = 0;
	for (size_t i = 0; i < json_len(u->calls) && rc >= 0; i++)
		rc = add_undo(u, c, config, json_object_array_get_idx(u->calls, i));
	return rc;
}

int create_vm_update(const struct create_env *env, json_object *config, json_object *body,
		     json_object **ret, json_object **ret_calls, struct err *err)
{
	struct create c = { .env = env };
	cleanup_json json_object *top = NULL, *next = NULL, *calls = NULL;
	if (!json_object_is_type(body, json_type_object))
		return err_set(err, EINVAL, "the body must be a JSON object");
	int rc = fields_check(ROWS(top_rows), "", body, &c, &top, err);
	if (rc < 0)
		return rc;
	next = json_copy(config);
	calls = json_object_new_array();
	if (!next || !calls)
		return err_set(err, ENOMEM, "out of memory");
	struct update u = { .config = next, .calls = calls, .err = err };
	rc = update_parts(&u, &c, top);
	if (rc >= 0)
		rc = add_undos(&u, &c, config);
	if (rc < 0)
		return rc;
	*ret = take_ptr(next);
	*ret_calls = take_ptr(calls);
	return 0;
}
