/* SPDX-License-Identifier: Apache-2.0 */
/* images_save - images out of the store, and a container into it: which images a
 * request means, and what a new one's configuration is. The work is isola-image's
 * (src/image/save.c, src/image/commit.c). isolad, loop thread. */
#include "folders.h"
#include "copy.h"
#include "guest_sync.h"
#include "images_priv.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "isola/strbuf.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* ---- save ---- */

/* The entry of @id in @list, made when it is new. */
static json_object *entry_of(json_object *list, const char *id)
{
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		if (!strcmp(json_str_or(o, "id", ""), id))
			return o;
	}
	json_object *o = json_object_new_object();
	json_add_str(o, "id", id);
	json_add(o, "refs", json_object_new_array());
	(void)json_object_array_add(list, o);
	return o;
}

static void add_ref(json_object *entry, const char *ref)
{
	json_object *refs = json_get(entry, "refs");
	for (size_t i = 0; i < json_len(refs); i++)
		if (!strcmp(json_item_str(refs, i), ref))
			return;
	(void)json_object_array_add(refs, json_object_new_string(ref));
}

/* "busybox" without a tag means all tags of that repository. */
static bool is_name_only(const char *text)
{
	const char *slash = strrchr(text, '/');
	return !strpbrk(slash ? slash : text, ":@");
}

static bool add_repository(struct images *t, json_object *list, const char *full)
{
	const char *colon = strrchr(full, ':');
	size_t n = colon ? (size_t)(colon - full) + 1 : strlen(full);
	bool any = false;
	for (size_t i = 0; i < t->n; i++) {
		json_object *refs = t->items[i]->refs;
		for (size_t k = 0; !t->items[i]->deleting && k < json_len(refs); k++) {
			const char *ref = json_item_str(refs, k);
			if (strncmp(ref, full, n) != 0 || strchr(ref + n, '/') ||
			    strchr(ref + n, '@'))
				continue;
			add_ref(entry_of(list, image_id(t->items[i])), ref);
			any = true;
		}
	}
	return any;
}

static int add_named(struct isolad *d, json_object *list, const char *name, struct err *err)
{
	char full[IMAGE_REF_MAX];
	if (is_name_only(name) && image_ref_normalize(name, full, sizeof(full), NULL) == 0 &&
	    add_repository(d->images, list, full))
		return 0;
	struct image *image = images_lookup(d->images, name, full, err);
	if (!image)
		return -err->code;
	json_object *entry = entry_of(list, image_id(image));
	if (*full && !strchr(full, '@'))
		add_ref(entry, full);
	return 0;
}

void image_save(struct isolad *d, json_object *names, bool oci, copy_ready_fn *ready,
		op_done_fn *done, void *arg)
{
	static const char *const words[] = { "save", NULL };
	struct err e = ERR_INIT;
	cleanup_json json_object *spec = json_object_new_object();
	json_object *list = json_object_new_array();
	struct copy *c = copy_new(d, done, arg);
	int rc = 0;
	json_add(spec, "images", list);
	json_add_bool(spec, "oci", oci);
	if (!c)
		return;
	c->ready = ready;
	for (size_t i = 0; rc == 0 && i < json_len(names); i++)
		rc = add_named(d, list, json_item_str(names, i), &e);
	if (rc == 0)
		rc = copy_run_reader(c, words, spec, &e);
	if (rc < 0) {
		copy_fail(c, &e);
		return;
	}
	for (size_t i = 0; i < json_len(list); i++) {
		const char *id = json_str_or(json_object_array_get_idx(list, i), "id", "");
		events_emit_image(d, "save", id, id);
	}
}

/* ---- commit ---- */

struct committing {
	struct list node; /* in isolad's commits */
	struct isolad *d;
	char id[ID_SIZE]; /* of the container */
	json_object *spec;
	bool holds; /* it is paused for us, and we are to let it go */
	bool quiet; /* it was asked for */
	json_object *result;
	struct err err;
	op_done_fn *done;
	void *arg;
};

static struct instance *instance_of(const struct committing *c)
{
	return registry_find(c->d, INSTANCE_CONTAINER, c->id, NULL);
}

static void end(struct committing *c)
{
	struct instance *inst = instance_of(c);
	if (!c->err.code && inst) {
		json_object *attrs = json_object_new_object();
		json_add_str(attrs, "comment", json_str_or(c->spec, "comment", ""));
		json_add_str(attrs, "imageID", json_str_or(c->result, "Id", ""));
		json_add_str(attrs, "imageRef", json_str_or(c->spec, "ref", ""));
		events_emit_instance(inst, "commit", attrs);
	}
	c->done(c->arg, c->err.code ? &c->err : NULL, c->result);
	list_del(&c->node);
	json_object_put(c->spec);
	json_object_put(c->result);
	free(c);
}

/* Whether that worked or not, the image is made. */
static void on_unpaused(void *arg, const struct err *err, json_object *result)
{
	(void)err;
	(void)result;
	end(arg);
}

/* Another commit of the container that wants it quiet, too: it goes on holding. */
static struct committing *heir_of(const struct committing *c)
{
	list_for_each (node, &c->d->commits) {
		struct committing *other = container_of(node, struct committing, node);
		if (other != c && other->quiet && !strcmp(other->id, c->id))
			return other;
	}
	return NULL;
}

static void let_go(struct committing *c)
{
	struct instance *inst = instance_of(c);
	struct committing *heir = c->holds ? heir_of(c) : NULL;
	if (heir)
		heir->holds = true;
	if (c->holds && !heir && inst && inst->state == INSTANCE_PAUSED)
		instance_unpause(inst, on_unpaused, c);
	else
		end(c);
}

static void on_committed(void *arg, const struct err *err, json_object *result)
{
	struct committing *c = arg;
	(void)err_copy(&c->err, err);
	if (!err) {
		c->result = json_object_new_object();
		json_add_str(c->result, "Id", json_str_or(result, "ID", ""));
	}
	let_go(c);
}

static void start(struct committing *c)
{
	static const char *const words[] = { "commit", NULL };
	struct copy *copy = copy_new(c->d, on_committed, c);
	struct err e = ERR_INIT;
	if (!copy)
		return;
	copy_of_instance(copy, c->id);
	if (copy_run(copy, words, -1, c->spec, &e) < 0)
		copy_fail(copy, &e);
}

static void on_synced(void *arg, const struct err *err)
{
	struct committing *c = arg;
	if (err)
		(void)err_copy(&c->err, err);
	else if (!instance_of(c))
		(void)err_set(&c->err, EBUSY, "container %.12s is being removed", c->id);
	if (c->err.code)
		end(c);
	else
		start(c);
}

/* A container that has ended meanwhile is quiet, too. */
static void on_paused(void *arg, const struct err *err, json_object *result)
{
	struct committing *c = arg;
	struct instance *inst = instance_of(c);
	(void)result;
	c->holds |= !err;
	if (err && inst && inst->state == INSTANCE_RUNNING) {
		(void)err_set(&c->err, err->code, "%s (--pause=false commits it as it runs)",
			      err->text);
		end(c);
	} else {
		start(c);
	}
}

/* Docker's rules: what the request says wins; Env, Labels and sets are joined. */
static void merge_config(json_object *config, json_object *from)
{
	static const char *const plain[] = { "User",       "Cmd",        "Entrypoint",
					     "WorkingDir", "StopSignal", "Healthcheck",
					     "OnBuild",    "Shell" };
	static const char *const joined[] = { "Labels", "ExposedPorts", "Volumes" };
	for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++) {
		json_object *v = json_get(from, plain[i]);
		bool empty =
			!v || (json_object_is_type(v, json_type_array) && !json_len(v)) ||
			(json_object_is_type(v, json_type_string) && !*json_object_get_string(v));
		if (!empty)
			json_add(config, plain[i], json_copy(v));
	}
	for (size_t i = 0; i < sizeof(joined) / sizeof(joined[0]); i++) {
		json_object *v = json_get(from, joined[i]), *to = json_get(config, joined[i]);
		if (!json_object_is_type(v, json_type_object))
			continue;
		if (!json_object_is_type(to, json_type_object)) {
			json_add(config, joined[i], json_copy(v));
			continue;
		}
		json_object_object_foreach (v, key, value)
			json_add(to, key, json_copy(value));
	}
	json_object *env = json_get(from, "Env");
	if (json_len(env))
		json_add(config, "Env", json_copy(env));
}

/* Of the container's configuration what an image has: not its name, streams... */
static json_object *image_config(const struct instance *inst, json_object *body)
{
	static const char *const keys[] = { "User",       "Env",         "Entrypoint",   "Cmd",
					    "WorkingDir", "Labels",      "ExposedPorts", "Volumes",
					    "StopSignal", "Healthcheck", "OnBuild",      "Shell" };
	json_object *o = json_object_new_object();
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
		json_object *v = json_get(inst->config, keys[i]);
		if (v && !(json_object_is_type(v, json_type_string) && !*json_object_get_string(v)))
			json_add(o, keys[i], json_copy(v));
	}
	if (body)
		merge_config(o, body);
	return o;
}

static void add_created_by(json_object *spec, const struct instance *inst)
{
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	json_object *cmd = json_get(inst->config, "Cmd");
	for (size_t i = 0; i < json_len(cmd); i++)
		strbuf_printf(&b, "%s%s", i ? " " : "", json_item_str(cmd, i));
	json_add_str(spec, "created_by", b.text ? b.text : "");
}

static json_object *make_spec(const struct instance *inst, const struct image_commit *req,
			      struct err *err)
{
	cleanup_json json_object *spec = json_object_new_object();
	char full[IMAGE_REF_MAX] = "", upper[ID_SIZE + 40];
	if (req->ref && image_ref_normalize(req->ref, full, sizeof(full), err) < 0)
		return NULL;
	if (strchr(full, '@')) {
		(void)err_set(err, EINVAL, "refusing to create a tag with a digest reference: %s",
			      req->ref);
		return NULL;
	}
	(void)snprintf(upper, sizeof(upper), "instances/%s/%s", inst->id, folders_upper(inst));
	json_add_str(spec, "image", json_str_or(inst->image, "id", ""));
	json_add_str(spec, "upper", upper);
	json_add_bool(spec, "user_marks", inst->guest_root == GUEST_ROOT_EROFS);
	json_add(spec, "config", image_config(inst, req->config));
	json_add(spec, "changes", json_copy(req->changes));
	json_add_str(spec, "author", req->author ? req->author : "");
	json_add_str(spec, "comment", req->comment ? req->comment : "");
	json_add_str(spec, "ref", full);
	add_created_by(spec, inst);
	return take_ptr(spec);
}

bool commit_holds(const struct instance *inst)
{
	list_for_each (node, &inst->isolad->commits) {
		struct committing *c = container_of(node, struct committing, node);
		if (c->quiet && !strcmp(c->id, inst->id))
			return true;
	}
	return false;
}

void instance_commit(struct instance *inst, const struct image_commit *req, op_done_fn *done,
		     void *arg)
{
	struct err e = ERR_INIT;
	bool held = req->pause && snapshot_holds(inst);
	json_object *spec = held ? NULL : make_spec(inst, req, &e);
	if (held)
		(void)err_set(&e, EBUSY,
			      "container %.12s is paused for a snapshot of its volume: try again",
			      inst->id);
	struct committing *c = spec ? calloc(1, sizeof(*c)) : NULL;
	if (!c) {
		if (spec)
			(void)err_set(&e, ENOMEM, "out of memory");
		json_object_put(spec);
		later_done(inst->isolad, done, arg, &e, NULL);
		return;
	}
	*c = (struct committing){
		.d = inst->isolad, .spec = spec, .quiet = req->pause, .done = done, .arg = arg
	};
	memcpy(c->id, inst->id, sizeof(c->id));
	list_add_tail(&c->d->commits, &c->node);
	if (req->pause && inst->state == INSTANCE_RUNNING)
		instance_hold(inst, on_paused, c);
	else if (!guest_sync(inst, on_synced, c))
		start(c);
}
