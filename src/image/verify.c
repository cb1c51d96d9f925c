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
#define READ_BYTES      (256 * 1024)
#define RECORD_NAME_LEN (DIGEST_HEX_SIZE - 1 + 5)

json_object *verify_note(struct verify *v, enum finding_kind kind, const char *object,
			 bool repaired, const char *fmt, ...)
{
	static const char *const kinds[] = {
		[FOUND_LAYOUT] = "layout", [FOUND_LEFTOVER] = "leftover",   [FOUND_INDEX] = "index",
		[FOUND_RECORD] = "record", [FOUND_NAME] = "name",           [FOUND_BLOB] = "blob",
		[FOUND_LAYER] = "layer",   [FOUND_ORPHAN] = "unreferenced",
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

static int hash_file(int fd, char ret[DIGEST_SIZE], uint64_t *ret_bytes, struct err *err)
{
	cleanup_hasher struct hasher *h = NULL;
	cleanup_free char *buf = malloc(READ_BYTES);
	int rc = buf ? hasher_new(&h, err) : err_set(err, ENOMEM, "out of memory");
	if (rc < 0)
		return rc;
	for (;;) {
		ssize_t n = fd_read_all(fd, buf, READ_BYTES);
		if (n < 0)
			return err_rc(err, (int)n, "it cannot be read");
		if (cancel_requested())
			return err_set(err, EINTR, "cancelled");
		hasher_add(h, buf, (size_t)n);
		*ret_bytes += (uint64_t)n;
		if (n < READ_BYTES)
			return hasher_end(h, ret) < 0 ? err_set(err, EIO, "SHA-256 failed") : 0;
	}
}

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
	int rc = fd < 0 ? fd : hash_file(fd, found, &v->bytes, &why);
	if (rc == -EINTR)
		return err_copy(err, &why);
	if (rc == 0 && strcmp(found, digest) != 0)
		rc = err_set(&why, EIO, "its content is %s", found);
	if (rc < 0)
		json_add_str(v->bad_blobs, digest, why.text);
	v->n_blobs++;
	return 0;
}

static int measure_layer(struct verify *v, const char *chain, json_object *seen, struct err *err)
{
	struct err why = ERR_INIT;
	if (json_get(seen, chain))
		return 0;
	json_add_bool(seen, chain, true);
	int rc = layer_verify(v->job->store, chain, &why);
	if (rc == -EINTR)
		return err_copy(err, &why);
	if (rc < 0)
		json_add_str(v->bad_layers, chain, why.text);
	v->n_layers++;
	return 0;
}

static int measure(struct verify *v, struct err *err)
{
	cleanup_json json_object *seen = json_object_new_object();
	int rc = each_name(v->job->store->blobs_fd, measure_blob, v, err);
	for (size_t i = 0; i < json_len(v->records); i++) {
		json_object *layers = json_get(json_object_array_get_idx(v->records, i), "layers");
		for (size_t k = 0; rc == 0 && k < json_len(layers); k++)
			rc = measure_layer(v, json_item_str(layers, k), seen, err);
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
	json_add_i64(aux, "BlobBytes", (int64_t)v->bytes);
	return aux;
}

static void verify_fini(struct verify *v)
{
	json_object *owned[] = { v->index,     v->records,    v->bad_records, v->index_why,
				 v->bad_blobs, v->bad_layers, v->problems,    v->rebuild };
	for (size_t i = 0; i < sizeof(owned) / sizeof(owned[0]); i++)
		json_object_put(owned[i]);
}

int job_verify(const struct store *s, const struct limits *limits, bool repair,
	       json_object **ret_aux, struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	struct verify v = { .job = &job, .limits = limits, .repair = repair };
	v.bad_blobs = json_object_new_object();
	v.bad_layers = json_object_new_object();
	v.problems = json_object_new_array();
	v.rebuild = json_object_new_object();
	int rc = v.bad_blobs && v.bad_layers && v.problems && v.rebuild
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
