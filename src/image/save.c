/* SPDX-License-Identifier: Apache-2.0 */
/* save - images of the store as one archive, which is two forms at once: an OCI
 * image layout (oci-layout, index.json, blobs/) and, with manifest.json, a
 * docker-archive whose names lead into the same blobs. Each blob is there once,
 * byte for byte, so every image keeps its id. Runs in isola-image's jail. */
#include "commit.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "isola/tarw.h"
#include "blob.h"
#include "collect.h"
#include "names.h"
#include "out.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define REF_NAME   "org.opencontainers.image.ref.name"
#define IMAGE_NAME "io.containerd.image.name" /* what Docker and containerd look at */
#define JSON_FLAGS (JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE)

struct save {
	const struct job *job;
	bool oci;
	struct tarw *out;
	json_object *blobs;  /* set of those to be written, owned */
	json_object *index;  /* of descriptors, owned */
	json_object *docker; /* manifest.json, owned */
};

static void blob_name(const char *digest, char *ret, size_t size)
{
	(void)snprintf(ret, size, "blobs/sha256/%s", digest_hex(digest));
}

/* ---- what is to be written ---- */

static void add_descriptor(struct save *s, json_object *record, const char *ref)
{
	json_object *d = names_descriptor(record);
	if (ref) {
		json_object *notes = json_object_new_object();
		json_add_str(notes, REF_NAME, ref);
		json_add_str(notes, IMAGE_NAME, ref);
		json_add(d, "annotations", notes);
	}
	(void)json_object_array_add(s->index, d);
}

static void add_docker(struct save *s, const struct source *src, json_object *refs)
{
	json_object *o = json_object_new_object(), *tags = json_object_new_array();
	json_object *layers = json_object_new_array();
	char name[96];
	blob_name(src->id, name, sizeof(name));
	json_add_str(o, "Config", name);
	for (size_t i = 0; i < json_len(refs); i++) {
		char shown[IMAGE_REF_MAX];
		image_ref_familiar(json_item_str(refs, i), shown, sizeof(shown));
		(void)json_object_array_add(tags, json_object_new_string(shown));
	}
	json_add(o, "RepoTags", tags);
	for (size_t i = 0; i < src->n_layers; i++) {
		blob_name(src->layers[i].digest, name, sizeof(name));
		(void)json_object_array_add(layers, json_object_new_string(name));
	}
	json_add(o, "Layers", layers);
	(void)json_object_array_add(s->docker, o);
}

static int add_image(struct save *s, json_object *image, struct err *err)
{
	cleanup_json json_object *record = NULL;
	cleanup_source struct source src = { NULL };
	json_object *refs = json_get(image, "refs"), *blobs;
	int rc = collect_hold(s->job, json_str_or(image, "id", ""), &record, err);
	if (rc == 0)
		rc = source_from_store(s->job->store, json_str_or(record, "manifest", ""),
				       json_str_or(record, "manifest_type", ""), &src, err);
	if (rc < 0)
		return rc;
	blobs = json_get(record, "blobs");
	for (size_t i = 0; i < json_len(blobs); i++)
		json_add(s->blobs, json_item_str(blobs, i), NULL);
	for (size_t i = 0; i < json_len(refs); i++)
		add_descriptor(s, record, json_item_str(refs, i));
	if (json_len(refs) == 0)
		add_descriptor(s, record, NULL);
	add_docker(s, &src, refs);
	return 0;
}

/* ---- writing ---- */

static int put_folder(struct save *s, const char *path, struct err *err)
{
	const struct tar_entry e = { .kind = TAR_DIR, .path = path, .link = "", .mode = 0755 };
	return tarw_entry(s->out, &e, err);
}

static int put_text(struct save *s, const char *path, const char *text, struct err *err)
{
	const struct tar_entry e = {
		.kind = TAR_FILE, .path = path, .link = "", .mode = 0644, .size = strlen(text)
	};
	int rc = tarw_entry(s->out, &e, err);
	return rc < 0 ? rc : tarw_data(s->out, text, strlen(text), err);
}

static int put_blob(struct save *s, const char *digest, struct err *err)
{
	char name[96];
	uint64_t size = 0;
	cleanup_fd int fd = blob_open(s->job->store, digest, &size, err);
	blob_name(digest, name, sizeof(name));
	const struct tar_entry e = {
		.kind = TAR_FILE, .path = name, .link = "", .mode = 0644, .size = size
	};
	if (fd < 0)
		return fd;
	int rc = tarw_entry(s->out, &e, err);
	return rc < 0 ? rc : tarw_file(s->out, fd, size, err);
}

/* The small parts first: a reader knows early what it is. */
static int put_all(struct save *s, struct err *err)
{
	cleanup_json json_object *index = json_object_new_object();
	json_add_i64(index, "schemaVersion", 2);
	json_add_str(index, "mediaType", "application/vnd.oci.image.index.v1+json");
	json_add(index, "manifests", json_object_get(s->index));
	int rc = put_text(s, "oci-layout", "{\"imageLayoutVersion\":\"1.0.0\"}", err);
	if (rc == 0)
		rc = put_text(s, "index.json", json_object_to_json_string_ext(index, JSON_FLAGS),
			      err);
	if (rc == 0 && !s->oci)
		rc = put_text(s, "manifest.json",
			      json_object_to_json_string_ext(s->docker, JSON_FLAGS), err);
	if (rc == 0)
		rc = put_folder(s, "blobs", err);
	if (rc == 0)
		rc = put_folder(s, "blobs/sha256", err);
	json_object_object_foreach (s->blobs, digest, unused) {
		(void)unused;
		if (rc == 0)
			rc = put_blob(s, digest, err);
	}
	return rc < 0 ? rc : tarw_end(s->out, err);
}

static int send_all(struct save *s, struct err *err)
{
	struct out out = { .fd = -1 };
	(void)fd_write_all(STDOUT_FILENO, "{\"stat\":{}}\n", 12);
	int rc = out_receive(&out, err);
	if (rc == 0)
		rc = tarw_new(out_write, &out, &s->out, err);
	if (rc == 0)
		rc = put_all(s, err);
	return rc < 0 ? rc : out_end(&out, err);
}

int job_save(const struct store *store, json_object *spec, json_object **ret_aux, struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	cleanup_json json_object *blobs = json_object_new_object();
	cleanup_json json_object *index = json_object_new_array();
	cleanup_json json_object *docker = json_object_new_array();
	json_object *images = json_get(spec, "images");
	struct save s = { .job = &job,
			  .oci = json_bool_or(spec, "oci", false),
			  .blobs = blobs,
			  .index = index,
			  .docker = docker };
	int rc = job_open(store, &job, err);
	for (size_t i = 0; rc == 0 && i < json_len(images); i++)
		rc = add_image(&s, json_object_array_get_idx(images, i), err);
	if (rc == 0)
		rc = send_all(&s, err);
	tarw_free(s.out);
	if (rc == 0)
		*ret_aux = json_object_new_object();
	return rc;
}
