/* SPDX-License-Identifier: Apache-2.0 */
/* routes_volumes - list, create, inspect, remove, prune volumes. Docker Engine API
 * 1.47, "Volumes". isolad, loop thread. */
#include "routes.h"

#include "isola/json.h"

/* Until then prune took away named volumes, too. */
#define PRUNES_ANONYMOUS_SINCE_MINOR 42

void volumes_list(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *filters = NULL;
	json_object *o = NULL;
	if (request_filters(x, &filters, &err) == 0)
		o = volume_list(x->isolad, filters, &err);
	if (o)
		reply_json(x, 200, o);
	else
		reply_err(x, &err);
}

void volumes_create(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = NULL;
	if (request_json(x, &body, &err) < 0)
		reply_err(x, &err);
	else
		volume_create(x->isolad, body, done_created_json, exchange_ref(x));
}

void volumes_inspect(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct volume *v = volume_find(x->isolad, x->param[0], &err);
	if (v)
		reply_json(x, 200, volume_view(v));
	else
		reply_err(x, &err);
}

void volumes_remove(struct exchange *x)
{
	volume_remove(x->isolad, x->param[0], request_bool(x, "force", false), done_no_content,
		      exchange_ref(x));
}

void volumes_prune(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *filters = NULL;
	if (request_filters(x, &filters, &err) < 0)
		reply_err(x, &err);
	else
		volume_prune(x->isolad, filters, x->api_minor < PRUNES_ANONYMOUS_SINCE_MINOR,
			     done_ok_json, exchange_ref(x));
}

/* ---- snapshots: an extension ---- */

static struct volume *route_volume(struct exchange *x)
{
	struct err err = ERR_INIT;
	struct volume *v = volume_find(x->isolad, x->param[0], &err);
	if (!v)
		reply_err(x, &err);
	return v;
}

void volumes_snapshots(struct exchange *x)
{
	struct volume *v = route_volume(x);
	if (v)
		reply_json(x, 200, volume_snapshots(v));
}

typedef void change_fn(struct volume *v, json_object *body, op_done_fn *done, void *arg);

static void change(struct exchange *x, change_fn *fn, op_done_fn *done)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = NULL;
	struct volume *v = route_volume(x);
	if (!v)
		return;
	if (request_json(x, &body, &err) < 0)
		reply_err(x, &err);
	else
		fn(v, body, done, exchange_ref(x));
}

void volumes_snapshot(struct exchange *x)
{
	change(x, volume_snapshot, done_created_json);
}

void volumes_snapshot_remove(struct exchange *x)
{
	const char *name = query_get(&x->query, "name");
	struct volume *v = route_volume(x);
	if (v && !name)
		reply_error(x, 400, "the parameter name is missing");
	else if (v)
		volume_snapshot_remove(v, name, done_no_content, exchange_ref(x));
}

void volumes_restore(struct exchange *x)
{
	change(x, volume_restore, done_ok_json);
}

void volumes_clone(struct exchange *x)
{
	change(x, volume_clone, done_created_json);
}
