/* SPDX-License-Identifier: Apache-2.0 */
/* collect - see collect.h; and what killed jobs leave behind. Runs in isola-image's
 * jail. */
#include "collect.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "blob.h"
#include "image.h"
#include "layer.h"
#include "names.h"
#include "progress.h"
#include "root.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

/* Sets of text: the keys of JSON objects, which are hash tables. */
static void set_add(json_object *set, const char *text)
{
	json_add_bool(set, text, true);
}

bool references_has(json_object *set, const char *text)
{
	return json_get(set, text) != NULL;
}

void references_fini(struct references *r)
{
	json_object_put(r->blobs);
	json_object_put(r->layers);
	json_object_put(r->tops);
	json_object_put(r->manifests);
	*r = (struct references){ NULL };
}

static int note_record(json_object *record, void *arg, struct err *err)
{
	struct references *n = arg;
	json_object *blobs = NULL, *layers = NULL;
	int rc = json_get_strv(record, "blobs", &blobs, err);
	if (rc >= 0)
		rc = json_get_strv(record, "layers", &layers, err);
	if (rc < 0)
		return err_prefix(err, "image record %s", json_str_or(record, "id", ""));
	for (size_t i = 0; i < json_len(blobs); i++)
		set_add(n->blobs, json_item_str(blobs, i));
	for (size_t i = 0; i < json_len(layers); i++)
		set_add(n->layers, json_item_str(layers, i));
	if (json_len(layers))
		set_add(n->tops, json_item_str(layers, json_len(layers) - 1));
	set_add(n->manifests, json_str_or(record, "manifest", ""));
	return 0;
}

int references_read(const struct store *s, struct references *ret, struct err *err)
{
	*ret = (struct references){ .blobs = json_object_new_object(),
				    .layers = json_object_new_object(),
				    .tops = json_object_new_object(),
				    .manifests = json_object_new_object() };
	if (!ret->blobs || !ret->layers || !ret->tops || !ret->manifests)
		return err_set(err, ENOMEM, "out of memory");
	return record_each(s, note_record, ret, err);
}

int each_name(int dir_fd, name_fn *each, void *arg, struct err *err)
{
	int copy = openat(dir_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *d = copy < 0 ? NULL : fdopendir(copy);
	if (!d) {
		fd_close(&copy);
		return err_sys(err, "cannot read a folder of the store");
	}
	int rc = 0;
	struct dirent *e;
	while (rc >= 0 && (e = readdir(d)))
		if (strcmp(e->d_name, ".") && strcmp(e->d_name, ".."))
			rc = each(e->d_name, arg, err);
	(void)closedir(d);
	return rc < 0 ? rc : 0;
}

struct sweep {
	const struct job *job;
	struct references needed;
	unsigned int blobs, layers, jobs;
	uint64_t bytes; /* freed */
};

/* Bytes of a file of the store. */
static uint64_t size_of(int dir_fd, const char *name)
{
	struct stat st;
	bool ok = fstatat(dir_fd, name, &st, AT_SYMLINK_NOFOLLOW) == 0;
	return ok && S_ISREG(st.st_mode) ? (uint64_t)st.st_size : 0;
}

static int remove_blob(struct sweep *sw, const char *name, struct err *err)
{
	uint64_t bytes = size_of(sw->job->store->blobs_fd, name);
	int rc = fd_remove_tree(sw->job->store->blobs_fd, name, err);
	if (rc == 0) {
		sw->blobs++;
		sw->bytes += bytes;
	}
	return rc;
}

static int sweep_blob(const char *name, void *arg, struct err *err)
{
	struct sweep *sw = arg;
	char digest[NAME_MAX + 8];
	(void)snprintf(digest, sizeof(digest), "sha256:%s", name);
	if (references_has(sw->needed.blobs, digest))
		return 0;
	if (!id_is_digest(digest))
		return remove_blob(sw, name, err);
	if (!blob_lease_last(sw->job, digest))
		return 0;
	int rc = remove_blob(sw, name, err);
	blob_unlease(sw->job, digest);
	return rc;
}

static int sweep_layer(const char *name, void *arg, struct err *err)
{
	struct sweep *sw = arg;
	uint64_t bytes = 0;
	if (references_has(sw->needed.tops, name))
		return 0;
	if (references_has(sw->needed.layers, name)) {
		int gone = root_remove(sw->job->store, name, &bytes, err);
		sw->bytes += bytes;
		return gone < 0 ? gone : 0;
	}
	int rc = layer_remove(sw->job, name, &bytes, err);
	sw->layers += rc > 0;
	sw->bytes += rc > 0 ? bytes : 0;
	return rc;
}

/* Removes blobs and layers that no record needs. Holds store_lock(). */
static int sweep(struct sweep *sw, struct err *err)
{
	int rc = references_read(sw->job->store, &sw->needed, err);
	if (rc == 0)
		rc = each_name(sw->job->store->blobs_fd, sweep_blob, sw, err);
	if (rc == 0)
		rc = each_name(sw->job->store->layers_fd, sweep_layer, sw, err);
	references_fini(&sw->needed);
	return rc;
}

int collect_sweep(const struct job *job, struct swept *ret, struct err *err)
{
	struct sweep sw = { .job = job };
	int rc = sweep(&sw, err);
	if (ret)
		*ret = (struct swept){ sw.blobs, sw.layers, sw.bytes };
	return rc;
}

static int hold_blobs(const struct job *job, json_object *record, struct err *err)
{
	json_object *blobs = NULL;
	int rc = json_get_strv(record, "blobs", &blobs, err);
	for (size_t i = 0; rc >= 0 && i < json_len(blobs); i++) {
		const char *digest = json_item_str(blobs, i);
		/* Who makes a missing one may wait for the store's lock: never wait. */
		rc = blob_lease(job, digest, false, err);
		if (rc == 0) {
			blob_unlease(job, digest);
			rc = err_set(err, EIO, "blob %s is missing", digest);
		}
	}
	return rc < 0 ? rc : 0;
}

int collect_hold(const struct job *job, const char *id, json_object **ret_record, struct err *err)
{
	cleanup_json json_object *record = NULL;
	cleanup_fd int lock = store_lock(job->store, err);
	if (lock < 0)
		return lock;
	int rc = record_read(job->store, id, &record, err);
	if (rc == 0)
		return err_set(err, ENOENT, "No such image: %s", id);
	if (rc > 0)
		rc = hold_blobs(job, record, err);
	if (rc < 0)
		return err_prefix(err, "image %.19s", id);
	*ret_record = take_ptr(record);
	return 0;
}

int image_forget(const struct job *job, const char *id, struct swept *ret, struct err *err)
{
	int rc = record_remove(job->store, id, err);
	return rc < 0 ? rc : collect_sweep(job, ret, err);
}

/* ---- delete ---- */

/* Takes the names, then the record, of one; its blobs and layers are swept later. */
static int forget_one(const struct store *s, const char *id, json_object *aux, struct err *err)
{
	cleanup_json json_object *record = NULL, *index = NULL;
	int rc = record_read(s, id, &record, err);
	if (rc == 0)
		return err_set(err, ENOENT, "No such image: %s", id);
	if (rc > 0)
		rc = names_read(s, &index, err);
	if (rc < 0)
		return rc;
	const char *manifest = json_str_or(record, "manifest", "");
	json_add_str(aux, "ID", id);
	json_add(aux, "Refs", names_of(index, manifest));
	/* Names first: what has a name is complete. */
	names_drop(index, manifest);
	rc = names_write(s, index, err);
	return rc < 0 ? rc : record_remove(s, id, err);
}

int job_delete(const struct store *s, const char (*ids)[DIGEST_SIZE], size_t n,
	       json_object **ret_aux, struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	cleanup_json json_object *aux = json_object_new_object();
	struct swept swept = { 0 };
	size_t done = 0;
	int rc = job_open(s, &job, err);
	cleanup_fd int lock = rc < 0 ? rc : store_lock(s, err);
	if (lock < 0)
		return lock;
	while (done < n && (rc = forget_one(s, ids[done], aux, err)) == 0)
		done++;
	/* Also of those before one that cannot be removed. */
	struct err own = ERR_INIT;
	int swept_rc = done || rc != -ENOENT ? collect_sweep(&job, &swept, &own) : 0;
	if (rc == 0 && swept_rc < 0)
		rc = err_copy(err, &own);
	json_add_i64(aux, "Freed", (int64_t)swept.bytes);
	if (rc == 0)
		*ret_aux = take_ptr(aux);
	return rc;
}

/* ---- check ---- */

static int sweep_temp(const char *name, void *arg, struct err *err)
{
	const int *dir = arg;
	return fd_is_temp(name) ? fd_remove_tree(*dir, name, err) : 0;
}

/* A job's folder that nobody holds. */
static int sweep_job(const char *name, void *arg, struct err *err)
{
	struct sweep *sw = arg;
	int tmp = sw->job->store->tmp_fd;
	if (!strcmp(name, sw->job->name))
		return 0;
	cleanup_fd int dir = openat(tmp, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir >= 0 && flock(dir, LOCK_EX | LOCK_NB) < 0 && errno == EWOULDBLOCK)
		return 0;
	sw->jobs++;
	return fd_remove_tree(tmp, name, err);
}

struct unnamed {
	const struct store *store;
	json_object *known; /* set of manifests in the index */
	unsigned int n;
};

static int drop_unnamed(json_object *record, void *arg, struct err *err)
{
	struct unnamed *u = arg;
	if (references_has(u->known, json_str_or(record, "manifest", "")))
		return 0;
	u->n++;
	return record_remove(u->store, json_str_or(record, "id", ""), err);
}

/* Makes records and index.json agree: a record without a descriptor is of an
 * unfinished load or delete, a descriptor without a record names nothing. */
static int agree(const struct store *s, unsigned int *ret_records, unsigned int *ret_names,
		 struct err *err)
{
	cleanup_json json_object *index = NULL, *known = json_object_new_object();
	struct unnamed u = { .store = s, .known = known };
	int rc = names_read(s, &index, err);
	if (rc < 0)
		return rc;
	json_object *list = json_get(index, "manifests");
	for (size_t i = 0; i < json_len(list); i++)
		set_add(known, json_str_or(json_object_array_get_idx(list, i), "digest", ""));
	rc = record_each(s, drop_unnamed, &u, err);
	cleanup_references struct references needed = { 0 };
	if (rc == 0)
		rc = references_read(s, &needed, err);
	unsigned int names = 0;
	for (size_t i = rc == 0 ? json_len(list) : 0; i-- > 0;) {
		json_object *d = json_object_array_get_idx(list, i);
		if (references_has(needed.manifests, json_str_or(d, "digest", "")))
			continue;
		names++;
		(void)json_object_array_del_idx(list, i, 1);
	}
	if (rc == 0 && (names > 0 || faccessat(s->images_fd, "index.json", F_OK, 0) < 0))
		rc = names_write(s, index, err);
	*ret_records = u.n;
	*ret_names = names;
	return rc;
}

int job_check(const struct store *s, json_object **ret_aux, struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	struct sweep sw = { .job = &job };
	unsigned int records = 0, names = 0;
	int rc = job_open(s, &job, err);
	cleanup_fd int lock = rc < 0 ? rc : store_lock(s, err);
	if (lock < 0)
		return lock;
	const int dirs[] = { s->images_fd, s->records_fd, s->blobs_fd };
	for (size_t i = 0; rc == 0 && i < sizeof(dirs) / sizeof(dirs[0]); i++)
		rc = each_name(dirs[i], sweep_temp, (void *)&dirs[i], err);
	if (rc == 0)
		rc = agree(s, &records, &names, err);
	if (rc == 0)
		rc = each_name(s->tmp_fd, sweep_job, &sw, err);
	if (rc == 0)
		rc = sweep(&sw, err);
	if (rc < 0)
		return rc;
	json_object *aux = json_object_new_object();
	const struct {
		const char *key;
		unsigned int n;
	} rows[] = { { "Records", records },
		     { "Names", names },
		     { "Blobs", sw.blobs },
		     { "Layers", sw.layers },
		     { "Jobs", sw.jobs } };
	json_object *removed = json_object_new_object();
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++)
		json_add_i64(removed, rows[i].key, rows[i].n);
	json_add(aux, "Removed", removed);
	*ret_aux = aux;
	return 0;
}
