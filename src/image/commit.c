/* SPDX-License-Identifier: Apache-2.0 */
/* commit - a container's writable layer becomes the top layer of a new image: a
 * tar with whiteouts (image-spec layer.md) is made of it as a blob, unpacked again
 * like any layer of a stranger, and described by a config that goes on from the
 * base image's. A container that changed nothing gives an image without a new
 * layer. Foreign trees: in isola-image's jail, of which the layer is a part.
 *
 * COMMIT_SPEC on descriptor 3: { "image": "sha256:...", "upper": path below the
 *   state folder, "config": Docker's Config, "changes": [...], "author", "comment",
 *   "created_by", "ref" } */
#include "commit.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "isola/num.h"
#include "isola/pack.h"
#include "isola/path.h"
#include "blob.h"
#include "cancel.h"
#include "change.h"
#include "collect.h"
#include "stub.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#define EMPTY_TAR_BYTES 1024 /* nothing but the end mark */

struct commit {
	const struct job *job;
	json_object *spec;
	json_object *record; /* of the base image, owned */
	int proc_fd;
	struct source base;
	json_object *config;     /* the new image's document, owned */
	char layer[DIGEST_SIZE]; /* "" = no new one */
};

/* ---- the layer ---- */

struct layer_out {
	struct blob_write *blob;
	uint64_t bytes;
};

static int write_layer(void *arg, const void *data, size_t size, struct err *err)
{
	struct layer_out *out = arg;
	out->bytes += size;
	if (cancel_requested())
		return err_set(err, EINTR, "cancelled");
	return blob_add(out->blob, data, size, err);
}

/* Has the base image something at @path? */
static bool image_has(const struct commit *c, const char *path)
{
	json_object *layers = json_get(c->record, "layers");
	for (size_t i = json_len(layers); i-- > 0;) {
		char full[PATH_MAX + 128];
		struct stat st;
		(void)snprintf(full, sizeof(full), "%s/fs/%s", json_item_str(layers, i), path);
		cleanup_fd int fd =
			path_open_beneath(c->job->store->layers_fd, full, O_PATH | O_NOFOLLOW, 0);
		if (fd == -ENOENT)
			continue;
		return fd < 0 || fstat(fd, &st) < 0 || !S_ISCHR(st.st_mode) || st.st_rdev != 0;
	}
	return false;
}

static bool skip_stub(const char *as, const struct stat *st, void *arg)
{
	char path[PATH_MAX + 1];
	(void)snprintf(path, sizeof(path), "/%s", as);
	return stub_is(path, st) && !image_has(arg, as);
}

static int pack_upper(struct commit *c, struct layer_out *out, struct err *err)
{
	cleanup_tarw struct tarw *t = NULL;
	const char *path = json_str_or(c->spec, "upper", "");
	cleanup_fd int upper =
		path_open_beneath(c->job->store->root_fd, path, O_RDONLY | O_DIRECTORY, 0);
	if (upper < 0)
		return err_rc(err, upper, "cannot open the container's layer %s", path);
	int rc = tarw_new(write_layer, out, &t, err);
	const struct pack_options pack = {
		.out = t, .proc_fd = c->proc_fd, .layer = true, .skip = skip_stub, .skip_arg = c
	};
	if (rc == 0)
		rc = pack_below(&pack, upper, err);
	return rc < 0 ? rc : tarw_end(t, err);
}

static int make_layer(struct commit *c, struct err *err)
{
	cleanup_blob_write struct blob_write blob = BLOB_WRITE_INIT;
	struct layer_out out = { .blob = &blob };
	int rc = blob_begin(c->job, &blob, err);
	if (rc == 0)
		rc = pack_upper(c, &out, err);
	if (rc < 0 || out.bytes == EMPTY_TAR_BYTES)
		return rc;
	return blob_commit(&blob, NULL, -1, c->layer, err);
}

/* ---- the config ---- */

/* Array @key of @o, made where it is missing. */
static json_object *list_in(json_object *o, const char *key)
{
	json_object *list = json_get(o, key);
	if (!json_object_is_type(list, json_type_array)) {
		list = json_object_new_array();
		json_add(o, key, list);
	}
	return list;
}

static void add_history(struct commit *c, const char *now)
{
	json_object *step = json_object_new_object();
	static const char *const keys[] = { "created_by", "author", "comment" };
	json_add_str(step, "created", now);
	for (size_t i = 0; i < 3; i++)
		if (*json_str_or(c->spec, keys[i], ""))
			json_add_str(step, keys[i], json_str_or(c->spec, keys[i], ""));
	if (!*c->layer)
		json_add_bool(step, "empty_layer", true);
	(void)json_object_array_add(list_in(c->config, "history"), step);
}

/* Everything else of the base's document stays: architecture, os, what others put
 * there. What Docker's builder noted of one container does not. */
static int make_config(struct commit *c, struct err *err)
{
	char now[40];
	json_object *run = json_copy(json_get(c->spec, "config"));
	json_object *changes = json_get(c->spec, "changes");
	if (!run)
		run = json_object_new_object();
	json_add(c->config, "config", run);
	for (size_t i = 0; i < json_len(changes); i++) {
		int rc = change_apply(run, json_item_str(changes, i), err);
		if (rc < 0)
			return rc;
	}
	(void)num_format_time(num_now_ns(), now, sizeof(now));
	json_add_str(c->config, "created", now);
	json_add_str(c->config, "author", json_str_or(c->spec, "author", ""));
	json_add_str(c->config, "comment", json_str_or(c->spec, "comment", ""));
	json_object_object_del(c->config, "container");
	json_object_object_del(c->config, "container_config");
	return 0;
}

static void add_layer(struct commit *c)
{
	json_object *rootfs = json_get(c->config, "rootfs");
	if (*c->layer)
		(void)json_object_array_add(list_in(rootfs, "diff_ids"),
					    json_object_new_string(c->layer));
}

/* ---- the image ---- */

static int make_source(struct commit *c, struct source *src, struct err *err)
{
	const char *text = json_object_to_json_string_ext(
		c->config, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
	src->config_text = text ? strdup(text) : NULL;
	if (!src->config_text)
		return err_set(err, ENOMEM, "out of memory");
	int rc = source_set_config(src, src->config_text, strlen(src->config_text), err);
	if (rc == 0 && src->n_layers != c->base.n_layers + (*c->layer != '\0'))
		rc = err_set(err, EINVAL, "the base image's config does not fit its manifest");
	for (size_t i = 0; rc == 0 && i < src->n_layers; i++)
		strcpy(src->layers[i].digest,
		       i < c->base.n_layers ? c->base.layers[i].digest : c->layer);
	const char *ref = json_str_or(c->spec, "ref", "");
	if (rc == 0 && *ref)
		rc = source_add_ref(src, ref, err);
	return rc < 0 ? rc
		      : source_make_manifest(src, c->job->store, NULL, strlen(src->config_text),
					     err);
}

static int read_base(struct commit *c, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	const char *id = json_str_or(c->spec, "image", "");
	int rc = collect_hold(c->job, id, &c->record, err);
	if (rc == 0)
		rc = source_from_store(c->job->store, json_str_or(c->record, "manifest", ""),
				       json_str_or(c->record, "manifest_type", ""), &c->base, err);
	if (rc == 0)
		rc = blob_text(c->job->store, id, &text, &size, err);
	if (rc == 0)
		rc = json_parse(text, size, "image config", &c->config, err);
	return rc < 0 ? err_prefix(err, "the container's image") : 0;
}

/* Blobs that were committed and belong to no image now. */
static void forget(const struct job *job)
{
	cleanup_fd int lock = store_lock(job->store, NULL);
	if (lock >= 0)
		(void)collect_sweep(job, &(struct swept){ 0 }, NULL);
}

static int commit(struct commit *c, const struct limits *limits, json_object **ret_aux,
		  struct err *err)
{
	cleanup_source struct source src = { .refs = json_object_new_array() };
	char now[40];
	(void)num_format_time(num_now_ns(), now, sizeof(now));
	int rc = read_base(c, err);
	if (rc == 0)
		rc = make_config(c, err);
	if (rc == 0)
		rc = make_layer(c, err);
	if (rc < 0)
		return rc;
	add_layer(c);
	add_history(c, now);
	rc = make_source(c, &src, err);
	if (rc == 0)
		rc = image_add(c->job, NULL, limits, &src, err);
	if (rc < 0) {
		forget(c->job);
		return rc;
	}
	json_object *aux = json_object_new_object();
	json_add_str(aux, "ID", src.id);
	json_add(aux, "Refs", json_copy(src.refs));
	*ret_aux = aux;
	return 0;
}

int job_commit(const struct store *s, const struct limits *limits, json_object *spec, int proc_fd,
	       json_object **ret_aux, struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	struct commit c = { .job = &job, .spec = spec, .proc_fd = proc_fd };
	int rc = job_open(s, &job, err);
	if (rc == 0)
		rc = commit(&c, limits, ret_aux, err);
	source_fini(&c.base);
	json_object_put(c.record);
	json_object_put(c.config);
	return rc;
}
