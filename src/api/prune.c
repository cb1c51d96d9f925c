/* SPDX-License-Identifier: Apache-2.0 */
/* prune - removes all stopped containers (or VMs) that fit, one after the other, and
 * says what that freed. Docker Engine API 1.47, "Delete stopped containers".
 * isolad, loop thread. */
#include "prune_filter.h"
#include "routes.h"

#include "isola/json.h"
#include "isola/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

struct prune {
	json_object *ids; /* of candidates, taken when the request came */
	size_t at;
	json_object *deleted;
	int64_t bytes, this_bytes;
};

static void free_prune(void *user)
{
	struct prune *p = user;
	json_object_put(p->ids);
	json_object_put(p->deleted);
	free(p);
}

static int fits(const struct instance *inst, json_object *filters, struct err *err)
{
	return prune_fits(json_get(inst->config, "Labels"), inst->created_ns, filters, err);
}

static bool is_stopped(const struct instance *inst)
{
	return inst->state == INSTANCE_CREATED || inst->state == INSTANCE_EXITED ||
	       inst->state == INSTANCE_DEAD;
}

static int choose(struct exchange *x, json_object *filters, json_object *ids, struct err *err)
{
	static const struct instance nobody = { 0 };
	/* Also without any container a wrong filter is an error. */
	int rc = fits(&nobody, filters, err);
	list_for_each (node, registry_list(x->isolad)) {
		struct instance *inst = container_of(node, struct instance, node);
		if (rc < 0)
			break;
		if (inst->kind != route_kind(x) || !is_stopped(inst))
			continue;
		rc = fits(inst, filters, err);
		if (rc > 0)
			(void)json_object_array_add(ids, json_object_new_string(inst->id));
	}
	return rc < 0 ? rc : 0;
}

static void prune_next(struct exchange *x);

static void on_removed(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	struct prune *p = x->user;
	(void)result;
	const char *id = json_item_str(p->ids, p->at);
	if (err) {
		log_warn(id, "prune: %s", err->text);
	} else {
		(void)json_object_array_add(p->deleted, json_object_new_string(id));
		p->bytes += p->this_bytes;
	}
	p->at++;
	prune_next(x);
	exchange_unref(x);
}

static void on_size(void *arg, const struct err *err, json_object *result)
{
	struct exchange *x = arg;
	struct prune *p = x->user;
	p->this_bytes = err ? 0 : json_i64_or(result, "SizeRw", 0);
	struct instance *inst =
		registry_find(x->isolad, route_kind(x), json_item_str(p->ids, p->at), NULL);
	/* It may have been started meanwhile: removal without force refuses. */
	if (inst && is_stopped(inst)) {
		instance_remove(inst, false, false, on_removed, exchange_ref(x));
	} else {
		p->at++;
		prune_next(x);
	}
	exchange_unref(x);
}

static void prune_next(struct exchange *x)
{
	struct prune *p = x->user;
	for (; p->at < json_len(p->ids); p->at++) {
		struct instance *inst =
			registry_find(x->isolad, route_kind(x), json_item_str(p->ids, p->at), NULL);
		/* A VM's disks are the user's own, wherever they are. */
		if (inst && inst->kind == INSTANCE_VM && is_stopped(inst))
			instance_remove(inst, false, false, on_removed, exchange_ref(x));
		else if (inst && inst->kind == INSTANCE_CONTAINER)
			view_size(inst, on_size, exchange_ref(x));
		else
			continue;
		return;
	}
	bool is_vm = route_kind(x) == INSTANCE_VM;
	json_object *o = json_object_new_object();
	if (o) {
		json_add(o, is_vm ? "VmsDeleted" : "ContainersDeleted",
			 json_object_get(p->deleted));
		json_add_i64(o, "SpaceReclaimed", p->bytes);
	}
	reply_json(x, 200, o);
}

void containers_prune(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *filters = NULL;
	struct prune *p = calloc(1, sizeof(*p));
	if (!p) {
		reply_error(x, 500, "out of memory");
		return;
	}
	x->user = p;
	x->free_user = free_prune;
	p->ids = json_object_new_array();
	p->deleted = json_object_new_array();
	if (request_filters(x, &filters, &err) < 0 || choose(x, filters, p->ids, &err) < 0)
		reply_err(x, &err);
	else
		prune_next(x);
}
