/* SPDX-License-Identifier: Apache-2.0 */
/* routes_containers - list, create, inspect, change and remove containers.
 * Docker Engine API 1.47, "Containers". The rows of VMs name the same handlers,
 * here and in the other files, wherever both kinds behave alike: each sees only
 * instances of the kind its path is of. isolad, loop thread. */
#include "router.h"
#include "routes.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"

#include <errno.h>
#include <string.h>

enum instance_kind route_kind(const struct exchange *x)
{
	return strncmp(x->route->pattern, "/vms/", 5) ? INSTANCE_CONTAINER : INSTANCE_VM;
}

struct instance *route_instance(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct instance *inst = registry_find(x->isolad, route_kind(x), x->param[0], &err);
	if (!inst)
		reply_err(x, &err);
	return inst;
}

/* ---- list ---- */

/* Sizes need a walk over each container's files: one after the other, in the
 * daemon's worker threads, while the list waits. */
struct sizing {
	json_object *list;
	size_t at;
};

static void free_sizing(void *user)
{
	struct sizing *s = user;
	json_object_put(s->list);
	free(s);
}

static void size_next(struct exchange *x);

static void on_size(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	struct sizing *s = x->user;
	json_object *row = json_object_array_get_idx(s->list, s->at);
	/* A container that went away meanwhile stays listed without a size. */
	if (!err && result) {
		json_add(row, "SizeRw", json_object_get(json_get(result, "SizeRw")));
		json_add(row, "SizeRootFs", json_object_get(json_get(result, "SizeRootFs")));
	}
	s->at++;
	size_next(x);
	exchange_unref(x);
}

static void size_next(struct exchange *x)
{
	struct sizing *s = x->user;
	while (x->conn && s->at < json_len(s->list)) {
		json_object *row = json_object_array_get_idx(s->list, s->at);
		struct instance *inst =
			registry_find(x->isolad, route_kind(x), json_str_or(row, "Id", ""), NULL);
		if (inst) {
			view_size(inst, on_size, exchange_ref(x));
			return;
		}
		s->at++;
	}
	reply_json(x, 200, json_object_get(s->list));
}

static bool is_listed(const struct instance *inst, bool all)
{
	return all || instance_is_running(inst) || inst->state == INSTANCE_RESTARTING;
}

/* The list itself, newest first; NULL with @err for a bad filter. */
static json_object *make_list(struct exchange *x, bool all, int64_t limit, json_object *filters,
			      struct err *err)
{
	cleanup_json json_object *list = json_object_new_array();
	struct list *instances = registry_list(x->isolad);
	if (!list) {
		err_set(err, ENOMEM, "out of memory");
		return NULL;
	}
	for (struct list *node = instances->prev; node != instances; node = node->prev) {
		struct instance *inst = container_of(node, struct instance, node);
		if (inst->kind != route_kind(x) || !is_listed(inst, all) ||
		    (limit > 0 && json_len(list) >= (size_t)limit))
			continue;
		int fits = view_matches(inst, filters, err);
		if (fits < 0)
			return NULL;
		if (fits)
			(void)json_object_array_add(list, view_summary(inst));
	}
	return take_ptr(list);
}

void containers_list(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *filters = NULL;
	int64_t limit;
	if (request_filters(x, &filters, &err) < 0 ||
	    request_i64(x, "limit", -1, INT32_MAX, 0, &limit, &err) < 0 ||
	    view_filters_check(x->isolad, route_kind(x), filters, &err) < 0) {
		reply_err(x, &err);
		return;
	}
	/* A question for a state or a number is one about all containers. */
	bool all = request_bool(x, "all", false) || limit > 0 || json_get(filters, "status");
	json_object *list = make_list(x, all, limit, filters, &err);
	if (!list) {
		reply_err(x, &err);
		return;
	}
	struct sizing *s = route_kind(x) == INSTANCE_CONTAINER && request_bool(x, "size", false)
				   ? calloc(1, sizeof(*s))
				   : NULL;
	if (!s) {
		reply_json(x, 200, list);
		return;
	}
	s->list = list;
	x->user = s;
	x->free_user = free_sizing;
	size_next(x);
}

/* ---- create ---- */

/* "linux/amd64" against the image's own; the image is one that is here. */
static int check_platform(struct exchange *x, json_object *body, struct err *err)
{
	const char *want = query_get(&x->query, "platform"), *image = NULL;
	struct err has = ERR_INIT;
	if (!want || !*want || json_get_str(body, "Image", &image, NULL) <= 0)
		return 0;
	json_object *record = image_find(x->isolad, image, err);
	if (!record)
		return -err->code;
	int rc = image_platform_check(want, record, &has);
	if (rc != -ENOENT)
		return rc < 0 ? err_copy(err, &has) : 0;
	return err_set(err, ENOENT,
		       "image with reference %s was found but its platform (%s) does not match "
		       "the specified platform (%s)",
		       image, has.text, want);
}

void containers_create(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = NULL;
	int rc = request_json(x, &body, &err);
	if (rc == 0)
		rc = err_set(&err, EINVAL, "config cannot be empty in order to create a container");
	if (rc > 0)
		rc = check_platform(x, body, &err);
	if (rc < 0) {
		reply_err(x, &err);
		return;
	}
	const char *name = query_get(&x->query, "name");
	if (name && *name == '/')
		name++;
	instance_create(x->isolad, name && *name ? name : NULL, body, done_created_json,
			exchange_ref(x));
}

/* ---- inspect ---- */

static void on_inspect_size(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	struct instance *inst = err ? NULL : route_instance(x);
	if (err)
		reply_err(x, err);
	if (inst) {
		json_object *o = view_inspect(inst);
		if (o) {
			json_add(o, "SizeRw", json_object_get(json_get(result, "SizeRw")));
			json_add(o, "SizeRootFs", json_object_get(json_get(result, "SizeRootFs")));
		}
		reply_json(x, 200, o);
	}
	exchange_unref(x);
}

void containers_inspect(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	if (!inst)
		return;
	if (inst->kind == INSTANCE_CONTAINER && request_bool(x, "size", false))
		view_size(inst, on_inspect_size, exchange_ref(x));
	else
		reply_json(x, 200, view_inspect(inst));
}

void containers_explain(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	if (inst)
		reply_json(x, 200, explain(inst));
}

static void on_top(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	if (x->conn && err)
		reply_err(x, err);
	else if (x->conn)
		reply_json(x, 200, json_object_get(result));
	exchange_unref(x);
}

void containers_top(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	if (inst)
		instance_top(inst, query_get(&x->query, "ps_args"), on_top, exchange_ref(x));
}

/* ---- change and remove ---- */

typedef void change_fn(struct instance *inst, json_object *body, op_done_fn *done, void *arg);

/* @verb: what a body says, for the sentence when there is none. */
static void change(struct exchange *x, const char *verb, change_fn *fn)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = NULL;
	struct instance *inst = route_instance(x);
	if (!inst)
		return;
	int rc = request_json(x, &body, &err);
	if (rc == 0)
		rc = err_set(&err, EINVAL, "the request has no body that says what to %s", verb);
	if (rc < 0)
		reply_err(x, &err);
	else
		fn(inst, body, done_ok_json, exchange_ref(x));
}

void containers_update(struct exchange *x)
{
	change(x, "change", instance_update);
}

void containers_mounts(struct exchange *x)
{
	change(x, "mount", instance_change_mounts);
}

void containers_rename(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	const char *name = query_get(&x->query, "name");
	if (!inst)
		return;
	if (name && *name == '/')
		name++;
	if (!name || !*name)
		reply_error(x, 400, "Neither old nor new names may be empty");
	else
		instance_rename(inst, name, done_no_content, exchange_ref(x));
}

void containers_remove(struct exchange *x)
{
	struct instance *inst = route_instance(x);
	if (inst)
		instance_remove(inst, request_bool(x, "force", false), request_bool(x, "v", false),
				done_no_content, exchange_ref(x));
}
