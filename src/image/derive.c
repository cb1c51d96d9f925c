/* SPDX-License-Identifier: Apache-2.0 */
/* derive - see derive.h. Configs are foreign JSON: in isola-image's jail. */
#include "derive.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "cancel.h"
#include "collect.h"
#include "platform.h"

#include <errno.h>
#include <string.h>

#define EMPTY_TAR_BYTES 1024 /* nothing but the end mark */

/* Member @key of @o, made by @make where it is missing. */
static json_object *member(json_object *o, const char *key, enum json_type type,
			   json_object *(*make)(void))
{
	json_object *v = json_get(o, key);
	if (!json_object_is_type(v, type)) {
		v = make();
		json_add(o, key, v);
	}
	return v;
}

static json_object *list_in(json_object *o, const char *key)
{
	return member(o, key, json_type_array, json_object_new_array);
}

/* ---- the base ---- */

static int start_document(struct derive *d, struct err *err)
{
	struct platform host = platform_of_host();
	d->config = json_object_new_object();
	if (!d->config)
		return err_set(err, ENOMEM, "out of memory");
	json_add_str(d->config, "architecture", host.architecture);
	if (*host.variant)
		json_add_str(d->config, "variant", host.variant);
	json_add_str(d->config, "os", "linux");
	json_add(d->config, "config", json_object_new_object());
	json_object *rootfs = json_object_new_object();
	json_add_str(rootfs, "type", "layers");
	json_add(rootfs, "diff_ids", json_object_new_array());
	json_add(d->config, "rootfs", rootfs);
	return 0;
}

static int read_base(struct derive *d, const char *id, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int rc = collect_hold(d->job, id, &d->record, err);
	if (rc == 0)
		rc = source_from_store(d->job->store, json_str_or(d->record, "manifest", ""),
				       json_str_or(d->record, "manifest_type", ""), &d->base, err);
	if (rc == 0)
		rc = blob_text(d->job->store, id, &text, &size, err);
	return rc < 0 ? rc : json_parse(text, size, "image config", &d->config, err);
}

int derive_from(const struct job *job, const char *id, struct derive *ret, struct err *err)
{
	ret->job = job;
	return *id ? read_base(ret, id, err) : start_document(ret, err);
}

void derive_fini(struct derive *d)
{
	source_fini(&d->base);
	json_object_put(d->config);
	json_object_put(d->record);
	d->config = d->record = NULL;
}

json_object *derive_config(struct derive *d)
{
	return member(d->config, "config", json_type_object, json_object_new_object);
}

/* ---- the layer ---- */

static int write_layer(void *arg, const void *data, size_t size, struct err *err)
{
	struct layer_out *out = arg;
	out->bytes += size;
	if (cancel_requested())
		return err_set(err, EINTR, "cancelled");
	if (out->bytes_max && out->bytes > out->bytes_max)
		return err_set(err, EFBIG, "the layer has more than %llu bytes, the limit",
			       (unsigned long long)out->bytes_max);
	return blob_add(&out->blob, data, size, err);
}

int layer_out_begin(const struct job *job, uint64_t bytes_max, struct layer_out *ret,
		    struct err *err)
{
	ret->bytes_max = bytes_max;
	int rc = blob_begin(job, &ret->blob, err);
	return rc < 0 ? rc : tarw_new(write_layer, ret, &ret->tar, err);
}

int layer_out_end(struct layer_out *out, struct derive *d, struct err *err)
{
	int rc = tarw_end(out->tar, err);
	if (rc < 0 || out->bytes == EMPTY_TAR_BYTES)
		return rc;
	return blob_commit(&out->blob, NULL, -1, d->layer, err);
}

void layer_out_fini(struct layer_out *out)
{
	tarw_free(out->tar);
	out->tar = NULL;
	blob_write_fini(&out->blob);
}

/* ---- the image ---- */

static void add_history(struct derive *d, json_object *step, const char *now)
{
	json_add_str(step, "created", now);
	if (!*d->layer)
		json_add_bool(step, "empty_layer", true);
	(void)json_object_array_add(list_in(d->config, "history"), step);
}

/* Everything else of the base's document stays: architecture, os, what others put
 * there. What Docker's builder noted of one container does not. */
static void finish_document(struct derive *d, json_object *step)
{
	char now[40];
	(void)num_format_time(num_now_ns(), now, sizeof(now));
	json_add_str(d->config, "created", now);
	json_object_object_del(d->config, "container");
	json_object_object_del(d->config, "container_config");
	json_object *rootfs = member(d->config, "rootfs", json_type_object, json_object_new_object);
	if (*d->layer)
		(void)json_object_array_add(list_in(rootfs, "diff_ids"),
					    json_object_new_string(d->layer));
	add_history(d, step, now);
}

static int make_source(struct derive *d, const char *ref, struct source *src, struct err *err)
{
	const char *text = json_object_to_json_string_ext(
		d->config, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	src->config_text = text ? strdup(text) : NULL;
	if (!src->config_text)
		return err_set(err, ENOMEM, "out of memory");
	int rc = source_set_config(src, src->config_text, strlen(src->config_text), err);
	if (rc == 0 && src->n_layers != d->base.n_layers + (*d->layer != '\0'))
		rc = err_set(err, EINVAL, "the base image's config does not fit its manifest");
	for (size_t i = 0; rc == 0 && i < src->n_layers; i++)
		strcpy(src->layers[i].digest,
		       i < d->base.n_layers ? d->base.layers[i].digest : d->layer);
	if (rc == 0 && d->key) {
		json_object *built = json_object_new_object();
		json_add_str(built, "parent", d->parent);
		json_add_str(built, "key", d->key);
		json_add(src->record, "built", built);
	}
	if (rc == 0 && ref && *ref)
		rc = source_add_ref(src, ref, err);
	return rc < 0 ? rc
		      : source_make_manifest(src, d->job->store, NULL, strlen(src->config_text),
					     err);
}

/* Blobs that were committed and belong to no image now. */
static void forget(const struct job *job)
{
	cleanup_fd int lock = store_lock(job->store, NULL);
	if (lock >= 0)
		(void)collect_sweep(job, &(struct swept){ 0 }, NULL);
}

int derive_commit(struct derive *d, const struct limits *limits, json_object *step, const char *ref,
		  char ret_id[DIGEST_SIZE], struct err *err)
{
	cleanup_source struct source src = { .refs = json_object_new_array(), .quiet = true };
	finish_document(d, step);
	int rc = make_source(d, ref, &src, err);
	if (rc == 0)
		rc = image_add(d->job, NULL, limits, &src, err);
	if (rc < 0)
		forget(d->job);
	else
		strcpy(ret_id, src.id);
	return rc;
}
