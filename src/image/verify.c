/* SPDX-License-Identifier: Apache-2.0 */
/* verify - see verify.h. Looks and measures. Runs in isola-image's jail. */
#include "verify.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "blob.h"
#include "cancel.h"
#include "layer.h"
#include "names.h"
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

/* All in one line of output (LINE_BYTES_MAX in isolad). */
#define PROBLEMS_MAX    200
#define TEXT_BYTES      500
#define RECORD_NAME_LEN (DIGEST_HEX_SIZE - 1 + 5)

json_object *verify_note(struct verify *v, enum finding_kind kind, const char *object,
			 bool repaired, const char *fmt, ...)
{
	static const char *const kinds[] = {
		[FOUND_LAYOUT] = "layout",       [FOUND_LEFTOVER] = "leftover",
		[FOUND_INDEX] = "index",         [FOUND_RECORD] = "record",
		[FOUND_NAME] = "name",           [FOUND_BLOB] = "blob",
		[FOUND_LAYER] = "layer",         [FOUND_ROOT] = "root",
		[FOUND_ORPHAN] = "unreferenced",
	};
	char text[TEXT_BYTES];
	va_list ap;
	va_start(ap, fmt);
	(void)vsnprintf(text, sizeof(text), fmt, ap);
	va_end(ap);
	v->n_problems++;
	v->n_left += !repaired;
	if (json_len(v->problems) >= PROBLEMS_MAX)
		return NULL;
	json_object *o = json_object_new_object();
	json_add_str(o, "Kind", kinds[kind]);
	json_add_text(o, "Object", object);
	json_add_text(o, "Text", text);
	json_add_bool(o, "Repaired", repaired);
	(void)json_object_array_add(v->problems, o);
	return o;
}

void verify_mend(struct verify *v, json_object *problem)
{
	v->n_left--;
	if (problem)
		json_add_bool(problem, "Repaired", true);
}

/* ---- look ---- */

/* Blobs are digests and layers the digits of one: they become paths. */
static bool are_digests(json_object *record, const char *key, const char *prefix)
{
	json_object *list = json_get(record, key);
	for (size_t i = 0; i < json_len(list); i++) {
		char digest[DIGEST_SIZE + 8];
		(void)snprintf(digest, sizeof(digest), "%s%.78s", prefix, json_item_str(list, i));
		if (!id_is_digest(digest))
			return false;
	}
	return true;
}

static int look_at_record(const char *name, void *arg, struct err *err)
{
	struct verify *v = arg;
	struct err why = ERR_INIT;
	cleanup_json json_object *record = NULL;
	char id[DIGEST_SIZE];
	(void)err;
	size_t n = strlen(name);
	if (n != RECORD_NAME_LEN || strcmp(name + n - 5, ".json") != 0)
		return 0; /* leftovers are judged by name */
	(void)snprintf(id, sizeof(id), "sha256:%.64s", name);
	int rc = record_read(v->job->store, id, &record, &why);
	if (rc > 0 && (!id_is_digest(json_str_or(record, "manifest", "")) ||
		       json_get_strv(record, "blobs", &(json_object *){ NULL }, &why) <= 0 ||
		       json_get_strv(record, "layers", &(json_object *){ NULL }, &why) <= 0))
		rc = err_set(&why, EINVAL, "it lacks what every record has");
	if (rc > 0 &&
	    (!are_digests(record, "blobs", "") || !are_digests(record, "layers", "sha256:")))
		rc = err_set(&why, EINVAL, "it names what is no digest");
	if (rc < 0)
		json_add_str(v->bad_records, name, why.text);
	else if (rc > 0)
		(void)json_object_array_add(v->records, take_ptr(record));
	return 0;
}

int verify_look(struct verify *v, struct err *err)
{
	struct err why = ERR_INIT;
	json_object_put(v->index);
	json_object_put(v->index_why);
	json_object_put(v->records);
	json_object_put(v->bad_records);
	v->index = v->index_why = NULL;
	v->records = json_object_new_array();
	v->bad_records = json_object_new_object();
	if (!v->records || !v->bad_records)
		return err_set(err, ENOMEM, "out of memory");
	if (names_read(v->job->store, &v->index, &why) < 0)
		v->index_why = json_object_new_string(why.text);
	return each_name(v->job->store->records_fd, look_at_record, v, err);
}

/* ---- measure ---- */

static int measure_blob(const char *name, void *arg, struct err *err)
{
	struct verify *v = arg;
	struct err why = ERR_INIT;
	char digest[DIGEST_SIZE + 8], found[DIGEST_SIZE] = "";
	(void)snprintf(digest, sizeof(digest), "sha256:%.70s", name);
	if (!id_is_digest(digest))
		return 0; /* judged by name */
	cleanup_fd int fd = blob_open(v->job->store, digest, NULL, &why);
	if (fd == -ENOENT)
		return 0; /* deleted meanwhile */
	int rc = fd < 0 ? fd : digest_fd(fd, found, &v->bytes, &why);
	if (rc == -EINTR)
		return err_copy(err, &why);
	if (rc == 0 && strcmp(found, digest) != 0)
		rc = err_set(&why, EIO, "its content is %s", found);
	if (rc < 0)
		json_add_str(v->bad_blobs, digest, why.text);
	v->n_blobs++;
	return 0;
}

/* Layer @k of @record with its blob, unless that is lost or damaged itself. Records
 * leave out folders at the bottom that an opaque one hides, but no blob. */
static int compare_bytes(struct verify *v, json_object *record, size_t k, struct err *err)
{
	struct err why = ERR_INIT;
	const char *chain = json_item_str(json_get(record, "layers"), k);
	json_object *diffs = json_get(record, "diff_ids"), *blobs = json_get(record, "blobs");
	size_t at = json_len(diffs) - json_len(json_get(record, "layers")) + k;
	const char *diff_id = json_item_str(diffs, at), *digest = json_item_str(blobs, at);
	uint64_t size = 0, ino = 0;
	cleanup_fd int fd = json_get(v->bad_blobs, digest) || !id_is_digest(diff_id)
				    ? -1
				    : blob_open(v->job->store, digest, &size, NULL);
	if (fd < 0)
		return 0;
	const struct layer_input input = {
		.fd = fd,
		.what = "its blob",
		.size = size,
		.verified = !strcmp(digest, diff_id),
		.bytes_max = v->limits->bytes,
		.entries_max = v->limits->entries,
	};
	int rc = layer_verify_deep(v->job->store, chain, diff_id, &input, &ino, &why);
	if (cancel_requested())
		return err_set(err, EINTR, "cancelled");
	if (rc < 0) {
		json_object *found = json_object_new_array();
		(void)json_object_array_add(found, json_object_new_string(why.text));
		(void)json_object_array_add(found, json_object_new_int64((int64_t)ino));
		json_add(v->bad_bytes, chain, found);
	}
	return 0;
}

static int measure_layer(struct verify *v, json_object *record, size_t k, json_object *seen,
			 struct err *err)
{
	struct err why = ERR_INIT;
	const char *chain = json_item_str(json_get(record, "layers"), k);
	if (json_get(seen, chain))
		return 0;
	json_add_bool(seen, chain, true);
	int rc = layer_verify(v->job->store, chain, &why);
	if (rc == -EINTR)
		return err_copy(err, &why);
	v->n_layers++;
	if (rc == 0)
		return v->deep ? compare_bytes(v, record, k, err) : 0;
	json_add_str(v->bad_layers, chain, why.text);
	return 0;
}

/* What was made of all layers of @record for guests. */
static int measure_root(struct verify *v, json_object *record, json_object *seen, struct err *err)
{
	struct err why = ERR_INIT;
	json_object *layers = json_get(record, "layers");
	const char *top = json_len(layers) ? json_item_str(layers, json_len(layers) - 1) : "";
	if (!*top || json_get(seen, top))
		return 0;
	json_add_bool(seen, top, true);
	v->n_roots += root_bytes(v->job->store, top) > 0;
	int rc = root_verify(v->job->store, top, &v->bytes, &why);
	if (rc == -EINTR)
		return err_copy(err, &why);
	if (rc < 0)
		json_add_str(v->bad_roots, top, why.text);
	return 0;
}

static int measure(struct verify *v, struct err *err)
{
	cleanup_json json_object *seen = json_object_new_object(), *tops = json_object_new_object();
	int rc = each_name(v->job->store->blobs_fd, measure_blob, v, err);
	for (size_t i = 0; i < json_len(v->records); i++) {
		json_object *record = json_object_array_get_idx(v->records, i);
		size_t n = json_len(json_get(record, "layers"));
		for (size_t k = 0; rc == 0 && k < n; k++)
			rc = measure_layer(v, record, k, seen, err);
		if (rc == 0)
			rc = measure_root(v, record, tops, err);
	}
	return rc;
}

/* ---- the whole ---- */

static int locked(struct verify *v, int (*step)(struct verify *v, struct err *err), struct err *err)
{
	cleanup_fd int lock = store_lock(v->job->store, err);
	return lock < 0 ? lock : step(v, err);
}

static json_object *make_aux(const struct verify *v)
{
	json_object *aux = json_object_new_object();
	json_add(aux, "Problems", json_object_get(v->problems));
	json_add_i64(aux, "Found", v->n_problems);
	json_add_i64(aux, "Left", v->n_left);
	json_add_i64(aux, "Images", (int64_t)json_len(v->records));
	json_add_i64(aux, "Blobs", (int64_t)v->n_blobs);
	json_add_i64(aux, "Layers", (int64_t)v->n_layers);
	json_add_i64(aux, "Roots", (int64_t)v->n_roots);
	json_add_i64(aux, "BlobBytes", (int64_t)v->bytes);
	return aux;
}

static void verify_fini(struct verify *v)
{
	json_object *owned[] = { v->index,     v->records,    v->bad_records, v->index_why,
				 v->bad_blobs, v->bad_layers, v->bad_roots,   v->bad_bytes,
				 v->problems,  v->rebuild };
	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
		json_object_put(owned[i]);
}

int job_verify(const struct store *s, const struct limits *limits, bool repair, bool deep,
	       json_object **ret_aux, struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	struct verify v = { .job = &job, .limits = limits, .repair = repair, .deep = deep };
	v.bad_blobs = json_object_new_object();
	v.bad_layers = json_object_new_object();
	v.bad_roots = json_object_new_object();
	v.bad_bytes = json_object_new_object();
	v.problems = json_object_new_array();
	v.rebuild = json_object_new_object();
	int rc =
		v.bad_blobs && v.bad_layers && v.bad_roots && v.bad_bytes && v.problems && v.rebuild
			? job_open(s, &job, err)
			: err_set(err, ENOMEM, "out of memory");
	if (rc == 0)
		rc = locked(&v, verify_look, err);
	if (rc == 0)
		rc = measure(&v, err);
	if (rc == 0)
		rc = locked(&v, verify_judge, err);
	if (rc == 0 && repair)
		rc = verify_rebuild(&v, err);
	if (rc == 0)
		*ret_aux = make_aux(&v);
	verify_fini(&v);
	return rc;
}
