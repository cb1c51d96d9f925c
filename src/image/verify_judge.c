/* SPDX-License-Identifier: Apache-2.0 */
/* verify_judge - what is wrong with the store, thing by thing; with --repair the
 * broken goes out of the way at once. Under the store's lock, in isola-image's
 * jail. */
#include "verify.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "blob.h"
#include "layer.h"
#include "names.h"
#include "root.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define REF_NAME "org.opencontainers.image.ref.name"
#define MARKER   "{\"imageLayoutVersion\":\"1.0.0\"}"

/* ---- the layout's mark, leftovers ---- */

static int judge_marker(struct verify *v, struct err *err)
{
	int images = v->job->store->images_fd;
	cleanup_json json_object *o = NULL;
	if (json_read_file(images, "oci-layout", 4096, &o, NULL) == 0 &&
	    !strcmp(json_str_or(o, "imageLayoutVersion", ""), "1.0.0"))
		return 0;
	int rc = v->repair ? fd_write_atomic(images, "oci-layout", MARKER, sizeof(MARKER) - 1, 0,
					     FD_SYNC_YES, err)
			   : 0;
	verify_note(v, FOUND_LAYOUT, "oci-layout", v->repair,
		    "images/oci-layout is damaged: other tools do not read the store.");
	return rc;
}

struct folder {
	struct verify *v;
	int fd;
	const char *name;
};

static int judge_temp(const char *name, void *arg, struct err *err)
{
	const struct folder *f = arg;
	if (!fd_is_temp(name))
		return 0;
	verify_note(f->v, FOUND_LEFTOVER, name, f->v->repair,
		    "%s/%s is a half-written file that a killed job left.", f->name, name);
	return f->v->repair ? fd_remove_tree(f->fd, name, err) : 0;
}

static int judge_job(const char *name, void *arg, struct err *err)
{
	const struct folder *f = arg;
	if (!strcmp(name, f->v->job->name))
		return 0;
	cleanup_fd int dir = openat(f->fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 && errno == ENOENT)
		return 0;
	if (dir >= 0 && flock(dir, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return 0;
	verify_note(f->v, FOUND_LEFTOVER, name, f->v->repair, "tmp/%s is what a killed job left.",
		    name);
	return f->v->repair ? fd_remove_tree(f->fd, name, err) : 0;
}

static int judge_leftovers(struct verify *v, struct err *err)
{
	const struct store *s = v->job->store;
	struct folder rows[] = {
		{ v, s->images_fd, "images" },
		{ v, s->records_fd, "records" },
		{ v, s->blobs_fd, "images/blobs/sha256" },
	};
	struct folder tmp = { v, s->tmp_fd, "tmp" };
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(rows) / sizeof(rows[0]); i++)
		rc = each_name(rows[i].fd, judge_temp, &rows[i], err);
	return rc < 0 ? rc : each_name(s->tmp_fd, judge_job, &tmp, err);
}

/* ---- index and records ---- */

/* A new index with a descriptor for each image, none of them with a name. */
static int write_bare_index(struct verify *v, struct err *err)
{
	int rc = names_read(v->job->store, &v->index, err);
	for (size_t i = 0; rc == 0 && i < json_len(v->records); i++) {
		cleanup_json json_object *d =
			names_descriptor(json_object_array_get_idx(v->records, i));
		rc = names_keep(v->index, d, err);
	}
	return rc < 0 ? rc : names_write(v->job->store, v->index, err);
}

static int judge_index(struct verify *v, struct err *err)
{
	if (v->index)
		return 0;
	verify_note(v, FOUND_INDEX, "index.json", v->repair,
		    "images/index.json cannot be read (%s): the images have lost their names.",
		    json_object_get_string(v->index_why));
	if (!v->repair)
		return 0;
	int rc = verify_quarantine(v, v->job->store->images_fd, "index.json", "index.json", err);
	return rc < 0 ? rc : write_bare_index(v, err);
}

static int judge_bad_records(struct verify *v, struct err *err)
{
	json_object_object_foreach (v->bad_records, name, why) {
		verify_note(v, FOUND_RECORD, name, v->repair,
			    "The record of image %.12s cannot be used (%.300s).", name,
			    json_object_get_string(why));
		int rc = v->repair
				 ? verify_quarantine(v, v->job->store->records_fd, name, name, err)
				 : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* Descriptors and records must agree. */
static int judge_names(struct verify *v, struct err *err)
{
	cleanup_json json_object *named = json_object_new_object(),
				 *known = json_object_new_object();
	json_object *list = json_get(v->index, "manifests");
	for (size_t i = 0; i < json_len(v->records); i++)
		json_add_bool(known,
			      json_str_or(json_object_array_get_idx(v->records, i), "manifest", ""),
			      true);
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *d = json_object_array_get_idx(list, i);
		const char *digest = json_str_or(d, "digest", "");
		const char *name = json_str_or(json_get(d, "annotations"), REF_NAME, "");
		json_add_bool(named, digest, true);
		if (references_has(known, digest))
			continue;
		v->n_lost++;
		verify_want_rebuild(v, digest,
				    verify_note(v, FOUND_NAME, digest, false,
						"%s%.200s has no record: it cannot be run.",
						*name ? "The image " : "An image without a name, ",
						*name ? name : digest));
	}
	for (size_t i = 0; v->index && i < json_len(v->records); i++) {
		json_object *r = json_object_array_get_idx(v->records, i);
		const char *id = json_str_or(r, "id", "");
		if (references_has(named, json_str_or(r, "manifest", "")))
			continue;
		verify_note(v, FOUND_RECORD, id, v->repair,
			    "Image %.19s is what an unfinished load or removal left.", id);
		int rc = v->repair ? record_remove(v->job->store, id, err) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

/* ---- what images need ---- */

/* Damaged, or not there at all. */
static int judge_blob(struct verify *v, json_object *record, const char *digest, json_object *seen,
		      struct err *err)
{
	const char *why = json_str_or(v->bad_blobs, digest, NULL);
	const char *id = json_str_or(record, "id", "");
	bool exists = blob_exists(v->job->store, digest);
	if ((exists && !why) || json_get(seen, digest))
		return 0;
	json_add_bool(seen, digest, true);
	if (!exists) {
		verify_note(v, FOUND_BLOB, digest, false,
			    "Image %.19s lacks blob %s: load or pull it again.", id, digest);
		return 0;
	}
	verify_note(v, FOUND_BLOB, digest, false,
		    "Blob %s of image %.19s is damaged (%s): load or pull the image again.", digest,
		    id, why);
	return v->repair ? verify_quarantine(v, v->job->store->blobs_fd, digest_hex(digest),
					     digest_hex(digest), err)
			 : 0;
}

/* The folder's lock, when no job makes or needs the layer. */
static int take_layer(const struct verify *v, const char *chain)
{
	int dir = openat(v->job->store->layers_fd, chain,
			 O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir >= 0 && flock(dir, LOCK_EX | LOCK_NB) < 0)
		fd_close(&dir);
	return dir;
}

/* Measured before the lock: look again, or whether it is still that folder. */
static bool is_bad_layer(const struct verify *v, const char *chain, struct err *why)
{
	json_object *bytes = json_get(v->bad_bytes, chain);
	if (json_get(v->bad_layers, chain) && layer_verify(v->job->store, chain, why) < 0)
		return true;
	/* Gone: we have moved it for an image before this one. */
	uint64_t now = bytes ? layer_ino(v->job->store, chain) : 0;
	if (!bytes ||
	    (now && now != (uint64_t)json_object_get_int64(json_object_array_get_idx(bytes, 1))))
		return false;
	(void)err_set(why, EIO, "%s", json_item_str(bytes, 0));
	return true;
}

static int judge_layer(struct verify *v, json_object *record, const char *chain, struct err *err)
{
	struct err why = ERR_INIT;
	const char *id = json_str_or(record, "id", "");
	if (!is_bad_layer(v, chain, &why))
		return 0;
	json_object *problem =
		verify_note(v, FOUND_LAYER, chain, false,
			    "Layer %.12s of image %.19s is damaged: %.300s.", chain, id, why.text);
	if (!v->repair)
		return 0;
	cleanup_fd int dir = take_layer(v, chain);
	if (dir < 0 && errno == EWOULDBLOCK)
		return 0; /* a job needs it: another time */
	verify_want_rebuild(v, json_str_or(record, "manifest", ""), problem);
	if (dir < 0 || faccessat(dir, "fs", F_OK, AT_SYMLINK_NOFOLLOW) < 0)
		return 0;
	char as[80];
	(void)snprintf(as, sizeof(as), "layer-%.64s", chain);
	return verify_quarantine(v, dir, "fs", as, err);
}

/* Damaged itself; or made of a layer that was damaged, then or since: nobody knows. */
static int judge_root(struct verify *v, json_object *record, struct err *err)
{
	json_object *layers = json_get(record, "layers");
	const char *top = json_len(layers) ? json_item_str(layers, json_len(layers) - 1) : "";
	const char *why = json_str_or(v->bad_roots, top, NULL);
	bool doubtful = false;
	for (size_t i = 0; i < json_len(layers); i++)
		doubtful |= json_get(v->bad_layers, json_item_str(layers, i)) ||
			    json_get(v->bad_bytes, json_item_str(layers, i));
	/* Gone: removed for an image before this one, or with its image. */
	if ((!why && !doubtful) || !root_bytes(v->job->store, top))
		return 0;
	int rc = v->repair ? root_remove(v->job->store, top, NULL, err) : 0;
	if (rc < 0)
		return rc;
	verify_note(v, FOUND_ROOT, top, rc > 0,
		    "The root image of image %.19s is %s%s%.300s%s: it is made again when a "
		    "microVM needs it.",
		    json_str_or(record, "id", ""), why ? "damaged" : "made of a damaged layer",
		    why ? " (" : "", why ? why : "", why ? ")" : "");
	return 0;
}

static int judge_needs(struct verify *v, struct err *err)
{
	cleanup_json json_object *seen = json_object_new_object();
	int rc = 0;
	for (size_t i = 0; i < json_len(v->records); i++) {
		json_object *r = json_object_array_get_idx(v->records, i);
		json_object *blobs = json_get(r, "blobs"), *layers = json_get(r, "layers");
		for (size_t k = 0; rc == 0 && k < json_len(blobs); k++)
			rc = judge_blob(v, r, json_item_str(blobs, k), seen, err);
		if (rc == 0)
			rc = judge_root(v, r, err);
		for (size_t k = 0; rc == 0 && k < json_len(layers); k++)
			rc = judge_layer(v, r, json_item_str(layers, k), err);
	}
	return rc;
}

/* ---- what nobody needs ---- */

struct orphans {
	struct verify *v;
	struct references needed;
};

static int judge_orphan_blob(const char *name, void *arg, struct err *err)
{
	const struct orphans *o = arg;
	char digest[NAME_MAX + 8];
	(void)err;
	(void)snprintf(digest, sizeof(digest), "sha256:%s", name);
	if (name[0] == '.' || references_has(o->needed.blobs, digest))
		return 0;
	if (!id_is_digest(digest)) {
		verify_note(o->v, FOUND_ORPHAN, name, o->v->repair,
			    "images/blobs/sha256/%.100s is no blob.", name);
		return 0;
	}
	if (!blob_lease_last(o->v->job, digest))
		return 0;
	blob_unlease(o->v->job, digest);
	verify_note(o->v, FOUND_ORPHAN, digest, o->v->repair, "No image needs blob %s.", digest);
	return 0;
}

static int judge_orphan_layer(const char *name, void *arg, struct err *err)
{
	const struct orphans *o = arg;
	(void)err;
	if (references_has(o->needed.layers, name)) {
		if (!references_has(o->needed.tops, name) && root_bytes(o->v->job->store, name))
			verify_note(o->v, FOUND_ORPHAN, name, o->v->repair,
				    "No image has layer %.12s on top any more: nobody needs the "
				    "root image made of it.",
				    name);
		return 0;
	}
	cleanup_fd int dir = take_layer(o->v, name);
	if (dir < 0 && errno == EWOULDBLOCK)
		return 0;
	verify_note(o->v, FOUND_ORPHAN, name, o->v->repair, "No image needs layer %.64s.", name);
	return 0;
}

int verify_judge_orphans(struct verify *v, struct err *err)
{
	cleanup_references struct references needed = { 0 };
	int rc = references_read(v->job->store, &needed, err);
	struct orphans o = { v, needed };
	if (rc == 0)
		rc = each_name(v->job->store->blobs_fd, judge_orphan_blob, &o, err);
	return rc < 0 ? rc : each_name(v->job->store->layers_fd, judge_orphan_layer, &o, err);
}

int verify_judge(struct verify *v, struct err *err)
{
	int (*const steps[])(struct verify * v, struct err * err) = {
		verify_look,       judge_marker, judge_leftovers, judge_index,
		judge_bad_records, judge_names,  judge_needs,
	};
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < sizeof(steps) / sizeof(steps[0]); i++)
		rc = steps[i](v, err);
	/* What a lost record needs is not known: then nothing is called unneeded. To
	 * repair, records are made again first. */
	if (rc < 0 || v->repair || v->n_lost > 0 || json_object_object_length(v->bad_records) > 0)
		return rc;
	return verify_judge_orphans(v, err);
}
