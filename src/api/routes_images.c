/* SPDX-License-Identifier: Apache-2.0 */
/* routes_images - list, inspect, tag, remove, commit images. Docker Engine API 1.47,
 * "Images". isolad, loop thread. */
#include "routes.h"

#include "isola/json.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <string.h>

/* API versions in which an image's JSON changed. */
#define NO_NONE_SINCE_MINOR         43
#define NO_VIRTUAL_SIZE_SINCE_MINOR 44

static void add_none(json_object *image, const char *key, const char *none)
{
	json_object *a = json_object_new_array();
	if (!a)
		return;
	(void)json_object_array_add(a, json_object_new_string(none));
	json_add(image, key, a);
}

/* What clients of older versions look for. */
void image_age(json_object *image, unsigned int minor, bool in_list)
{
	if (minor < NO_VIRTUAL_SIZE_SINCE_MINOR)
		json_add_i64(image, "VirtualSize", json_i64_or(image, "Size", 0));
	if (in_list && minor < NO_NONE_SINCE_MINOR && !json_len(json_get(image, "RepoTags")) &&
	    !json_len(json_get(image, "RepoDigests"))) {
		add_none(image, "RepoTags", "<none>:<none>");
		add_none(image, "RepoDigests", "<none>@<none>");
	}
}

void images_list(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *filters = NULL;
	json_object *list = NULL;
	if (request_filters(x, &filters, &err) == 0)
		list = image_list(x->isolad, request_bool(x, "all", false), filters, &err);
	if (!list) {
		reply_err(x, &err);
		return;
	}
	for (size_t i = 0; i < json_len(list); i++)
		image_age(json_object_array_get_idx(list, i), x->api_minor, true);
	reply_json(x, 200, list);
}

void images_inspect(struct exchange *x)
{
	struct err err = ERR_INIT;
	json_object *o = image_inspect(x->isolad, x->param[0], &err);
	if (!o) {
		reply_err(x, &err);
		return;
	}
	image_age(o, x->api_minor, false);
	reply_json(x, 200, o);
}

void images_tag(struct exchange *x)
{
	const char *repo = query_get(&x->query, "repo"), *tag = query_get(&x->query, "tag");
	cleanup_strbuf struct strbuf ref = STRBUF_INIT;
	if (!repo || !*repo) {
		reply_error(x, 400, "tag: the parameter repo is missing");
		return;
	}
	strbuf_puts(&ref, repo);
	if (tag && *tag)
		strbuf_printf(&ref, ":%s", tag);
	if (strbuf_ok(&ref))
		image_tag(x->isolad, x->param[0], ref.text, done_created_empty, exchange_ref(x));
	else
		reply_error(x, 500, "out of memory");
}

void images_remove(struct exchange *x)
{
	image_remove(x->isolad, x->param[0], request_bool(x, "force", false),
		     !request_bool(x, "noprune", false), done_ok_json, exchange_ref(x));
}

void images_prune(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *filters = NULL;
	if (request_filters(x, &filters, &err) < 0)
		reply_err(x, &err);
	else
		image_prune(x->isolad, filters, done_ok_json, exchange_ref(x));
}

/* Builds leave no cache behind. Docker's client asks in `system prune`. */
void build_prune(struct exchange *x)
{
	json_object *o = json_object_new_object();
	json_add(o, "CachesDeleted", NULL);
	json_add_i64(o, "SpaceReclaimed", 0);
	reply_json(x, 200, o);
}

void images_history(struct exchange *x)
{
	struct err err = ERR_INIT;
	json_object *list = image_history(x->isolad, x->param[0], &err);
	if (list)
		reply_json(x, 200, list);
	else
		reply_err(x, &err);
}

void images_commit(struct exchange *x)
{
	struct err err = ERR_INIT;
	const char *name = query_get(&x->query, "container"), *repo = query_get(&x->query, "repo");
	const char *tag = query_get(&x->query, "tag");
	cleanup_json json_object *body = NULL, *changes = query_list(x, "changes");
	cleanup_strbuf struct strbuf ref = STRBUF_INIT;
	if (repo && *repo) {
		strbuf_puts(&ref, repo);
		if (tag && *tag)
			strbuf_printf(&ref, ":%s", tag);
	}
	struct instance *inst = NULL;
	int rc = request_json(x, &body, &err);
	if (rc >= 0 && !(name && *name))
		rc = err_set(&err, EINVAL, "the parameter container is missing");
	if (rc >= 0)
		inst = registry_find(x->isolad, INSTANCE_CONTAINER, name, &err);
	if (!inst || !strbuf_ok(&ref)) {
		reply_err(x, &err);
		return;
	}
	const struct image_commit req = {
		.ref = ref.text,
		.author = query_get(&x->query, "author"),
		.comment = query_get(&x->query, "comment"),
		.changes = changes,
		.config = body,
		.pause = request_bool(x, "pause", true),
	};
	instance_commit(inst, &req, done_created_json, exchange_ref(x));
}
