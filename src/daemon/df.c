/* SPDX-License-Identifier: Apache-2.0 */
/* df - what the disk is used for (docker system df): layers, blobs and volumes are measured
 * in isolad's thread pool, one request at a time, then the writable layers, one container
 * after the other. Docker Engine API 1.47, SystemDataUsageResponse. isolad, loop thread but
 * for measure(). */
#include "images_priv.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "mounts.h"
#include "size.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#define LAYER_JSON_BYTES_MAX 4096

struct df {
	struct list node; /* isolad's measurings, until it is measured */
	uv_work_t work;
	struct isolad *d;
	unsigned int what;    /* enum df_what */
	json_object *layers;  /* {chain: bytes}; the worker's while it runs; owned */
	json_object *volumes; /* {name: bytes}; the same */
	int64_t n_blobs, blob_bytes, n_roots, root_bytes;
	int state_fd;        /* borrowed from isolad's roots */
	json_object *result; /* owned */
	size_t at;
	op_done_fn *done;
	void *arg;
};

/* ---- in the worker ---- */

/* What was made for guests of the layer and all below it (isola/image.h). */
static void measure_root(struct df *df, int layers_fd, const char *chain)
{
	char path[96];
	struct stat st;
	(void)snprintf(path, sizeof(path), "%.64s/root.erofs", chain);
	if (fstatat(layers_fd, path, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
		return;
	df->n_roots++;
	df->root_bytes += st.st_size;
}

static int64_t layer_bytes(int layers_fd, const char *chain)
{
	cleanup_json json_object *facts = NULL;
	cleanup_fd int dir =
		openat(layers_fd, chain, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	if (dir < 0 || json_read_file(dir, "layer.json", LAYER_JSON_BYTES_MAX, &facts, NULL) < 0)
		return 0;
	int64_t bytes = json_i64_or(facts, "size", 0);
	return bytes < 0 ? 0 : bytes;
}

static void measure_blobs(struct df *df)
{
	int fd = openat(df->state_fd, "images/blobs/sha256", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	DIR *dir = fd < 0 ? NULL : fdopendir(fd);
	struct dirent *e;
	if (!dir)
		fd_close(&fd);
	while (dir && (e = readdir(dir))) {
		struct stat st;
		if (fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) < 0 || !S_ISREG(st.st_mode))
			continue;
		df->n_blobs++;
		df->blob_bytes += st.st_size;
	}
	if (dir)
		(void)closedir(dir);
}

static int64_t volume_bytes(int state_fd, const char *name)
{
	char path[NAME_MAX + sizeof(VOLUMES_DIR "//" VOLUME_DATA)];
	(void)snprintf(path, sizeof(path), VOLUMES_DIR "/%s/" VOLUME_DATA, name);
	cleanup_fd int fd = openat(state_fd, path, O_PATH | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
	return fd < 0 ? 0 : size_tree(fd);
}

static void measure(uv_work_t *work)
{
	struct df *df = container_of(work, struct df, work);
	cleanup_fd int layers = openat(df->state_fd, "layers", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	json_object_object_foreach (df->layers, chain, bytes) {
		(void)json_object_set_int64(bytes, layer_bytes(layers, chain));
		measure_root(df, layers, chain);
	}
	measure_blobs(df);
	json_object_object_foreach (df->volumes, name, size)
		(void)json_object_set_int64(size, volume_bytes(df->state_fd, name));
}

/* ---- images ---- */

static int64_t count_users(struct isolad *d, const char *id)
{
	int64_t n = 0;
	list_for_each (node, registry_list(d)) {
		const struct instance *inst = container_of(node, struct instance, node);
		n += !strcmp(json_str_or(inst->image, "id", ""), id);
	}
	return n;
}

/* {chain: number of images that have it} */
static json_object *count_layers(struct images *t)
{
	json_object *counts = json_object_new_object();
	for (size_t i = 0; i < t->n; i++) {
		json_object *layers = json_get(t->items[i]->record, "layers");
		for (size_t k = 0; k < json_len(layers); k++) {
			const char *chain = json_item_str(layers, k);
			json_add_i64(counts, chain, json_i64_or(counts, chain, 0) + 1);
		}
	}
	return counts;
}

static int64_t shared_bytes(const struct df *df, json_object *counts, json_object *layers)
{
	int64_t bytes = 0;
	for (size_t i = 0; i < json_len(layers); i++) {
		const char *chain = json_item_str(layers, i);
		if (json_i64_or(counts, chain, 0) > 1)
			bytes += json_i64_or(df->layers, chain, 0);
	}
	return bytes;
}

static json_object *list_images(struct df *df)
{
	struct err err = ERR_INIT;
	json_object *list = image_list(df->d, true, NULL, &err);
	cleanup_json json_object *counts = count_layers(df->d->images);
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		const char *id = json_str_or(o, "Id", "");
		struct image *image = images_by_id(df->d->images, id);
		json_add_i64(o, "Containers", count_users(df->d, id));
		if (image)
			json_add_i64(o, "SharedSize",
				     shared_bytes(df, counts, json_get(image->record, "layers")));
	}
	return list ? list : json_object_new_array();
}

static void add_images(struct df *df)
{
	int64_t bytes = 0;
	json_object_object_foreach (df->layers, chain, size) {
		(void)chain;
		bytes += json_object_get_int64(size);
	}
	json_add_i64(df->result, "LayersSize", bytes);
	json_add_i64(df->result, "BlobsCount", df->n_blobs);
	json_add_i64(df->result, "BlobsSize", df->blob_bytes);
	json_add_i64(df->result, "RootsCount", df->n_roots);
	json_add_i64(df->result, "RootsSize", df->root_bytes);
	json_add(df->result, "Images", list_images(df));
}

/* ---- volumes ---- */

static json_object *list_volumes(struct df *df)
{
	json_object *list = json_object_new_array();
	cleanup_json json_object *users = volumes_count_users(df->d);
	json_object_object_foreach (df->volumes, name, size) {
		struct volume *v = volume_find(df->d, name, NULL);
		if (!v)
			continue; /* gone meanwhile */
		json_object *o = volume_view(v), *usage = json_object_new_object();
		json_add_i64(usage, "Size", json_object_get_int64(size));
		json_add_i64(usage, "RefCount", json_i64_or(users, name, 0));
		json_add(o, "UsageData", usage);
		(void)json_object_array_add(list, o);
	}
	return list;
}

/* ---- containers ---- */

static json_object *list_containers(struct isolad *d)
{
	json_object *list = json_object_new_array();
	list_for_each (node, registry_list(d)) {
		struct instance *inst = container_of(node, struct instance, node);
		if (inst->kind == INSTANCE_CONTAINER)
			(void)json_object_array_add(list, view_summary(inst));
	}
	return list;
}

static void end(struct df *df, const struct err *err)
{
	df->done(df->arg, err, err ? NULL : df->result);
	json_object_put(df->layers);
	json_object_put(df->volumes);
	json_object_put(df->result);
	free(df);
}

static void size_next(struct df *df);

static void on_size(void *arg, const struct err *err, json_object *result)
{
	struct df *df = arg;
	json_object *row = json_object_array_get_idx(json_get(df->result, "Containers"), df->at++);
	if (!err) {
		json_add_i64(row, "SizeRw", json_i64_or(result, "SizeRw", 0));
		json_add_i64(row, "SizeRootFs", json_i64_or(result, "SizeRootFs", 0));
	}
	size_next(df);
}

static void size_next(struct df *df)
{
	json_object *list = json_get(df->result, "Containers");
	while (df->at < json_len(list)) {
		const char *id = json_str_or(json_object_array_get_idx(list, df->at), "Id", "");
		struct instance *inst = registry_find(df->d, INSTANCE_CONTAINER, id, NULL);
		if (inst) {
			view_size(inst, on_size, df);
			return;
		}
		df->at++; /* gone meanwhile */
	}
	end(df, NULL);
}

/* ---- the whole ---- */

static void measure_next(struct isolad *d);

static void on_measured(uv_work_t *work, int status)
{
	struct df *df = container_of(work, struct df, work);
	struct isolad *d = df->d;
	struct err err = ERR_INIT;
	list_del(&df->node);
	measure_next(d);
	if (status < 0 || !d->images) {
		(void)err_set(&err, ECANCELED, "isolad is shutting down");
		end(df, &err);
		return;
	}
	if (df->what & DF_IMAGES)
		add_images(df);
	if (df->what & DF_CONTAINERS)
		json_add(df->result, "Containers", list_containers(d));
	if (df->what & DF_VOLUMES)
		json_add(df->result, "Volumes", list_volumes(df));
	if (df->what & DF_BUILD_CACHE)
		json_add(df->result, "BuildCache", json_object_new_array());
	size_next(df);
}

static int begin(struct df *df)
{
	struct isolad *d = df->d;
	if (d->stopping || !d->images)
		return -ECANCELED;
	if (!df->result || !df->layers || !df->volumes)
		return -ENOMEM;
	list_for_each (node, &d->volumes.all) {
		const struct volume *v = container_of(node, struct volume, node);
		if (df->what & DF_VOLUMES && !v->making)
			json_add_i64(df->volumes, v->name, 0);
	}
	for (size_t i = 0; i < d->images->n; i++) {
		json_object *layers = json_get(d->images->items[i]->record, "layers");
		for (size_t k = 0; k < json_len(layers); k++)
			json_add_i64(df->layers, json_item_str(layers, k), 0);
	}
	return uv_queue_work(&d->loop, &df->work, measure, on_measured);
}

/* One at a time: each has a worker thread, and below a dead disk for ever. */
static void measure_next(struct isolad *d)
{
	while (!list_is_empty(&d->measurings)) {
		struct df *df = container_of(d->measurings.next, struct df, node);
		struct err err = ERR_INIT;
		int rc = begin(df);
		if (rc >= 0)
			return;
		list_del(&df->node);
		(void)err_rc(&err, rc, "cannot measure the image store");
		end(df, &err);
	}
}

static void on_first(void *arg)
{
	measure_next(arg);
}

void system_df(struct isolad *d, unsigned int what, op_done_fn *done, void *arg)
{
	struct df *df = calloc(1, sizeof(*df));
	if (!df) {
		struct err err = ERR_INIT;
		(void)err_set(&err, ENOMEM, "cannot measure the image store");
		later_done(d, done, arg, &err, NULL);
		return;
	}
	*df = (struct df){ .d = d, .what = what, .done = done, .arg = arg };
	df->state_fd = d->roots.state_fd;
	df->result = json_object_new_object();
	df->layers = json_object_new_object();
	df->volumes = json_object_new_object();
	if (list_is_empty(&d->measurings))
		later_call(d, on_first, d);
	list_add_tail(&d->measurings, &df->node);
}
