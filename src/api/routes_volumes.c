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
