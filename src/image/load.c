/* SPDX-License-Identifier: Apache-2.0 */
/* load - the images of an archive on standard input enter the store. All of
 * the archive's JSON is read and compared first, so that an error there leaves
 * the store as it was; then image after image is added. */
#include "image.h"

#include "isola/fd.h"
#include "isola/json.h"
#include "cancel.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

/* Of one archive: all are told of in one line (LINE_BYTES_MAX in isolad). */
#define LOAD_IMAGES_MAX 4096
#define LOAD_NAMES_MAX  4096

struct loading {
	const struct job *job;
	const struct spool *spool;
	const struct limits *limits;
	json_object *images; /* array for the last line, owned */
	size_t found, names;
};

static int look(struct source *src, void *arg, struct err *err)
{
	struct loading *l = arg;
	if (cancel_requested())
		return err_set(err, EINTR, "cancelled");
	l->names += json_len(src->refs);
	if (++l->found > LOAD_IMAGES_MAX || l->names > LOAD_NAMES_MAX)
		return err_set(err, EFBIG, "the archive holds more than %d images or names",
			       LOAD_IMAGES_MAX);
	return 0;
}

static int load_one(struct source *src, void *arg, struct err *err)
{
	struct loading *l = arg;
	int rc = image_add(l->job, l->spool, l->limits, src, err);
	if (rc < 0)
		return rc;
	json_object *image = json_object_new_object();
	json_add_str(image, "ID", src->id);
	json_add(image, "Refs", json_copy(src->refs));
	(void)json_object_array_add(l->images, image);
	return 0;
}

/* {"ID" (the last one's), "Refs" (all), "Images": [{"ID","Refs"}]} */
static json_object *make_aux(json_object *images)
{
	json_object *aux = json_object_new_object(), *refs = json_object_new_array();
	size_t n = json_len(images);
	for (size_t i = 0; i < n; i++) {
		json_object *of = json_get(json_object_array_get_idx(images, i), "Refs");
		for (size_t k = 0; k < json_len(of); k++)
			(void)json_object_array_add(refs,
						    json_object_new_string(json_item_str(of, k)));
	}
	json_add_str(aux, "ID",
		     n ? json_str_or(json_object_array_get_idx(images, n - 1), "ID", "") : "");
	json_add(aux, "Refs", refs);
	json_add(aux, "Images", json_object_get(images));
	return aux;
}

int job_load(const struct store *s, const struct limits *limits, json_object **ret_aux,
	     struct err *err)
{
	cleanup_job struct job job = JOB_INIT;
	cleanup_spool struct spool spool = { 0 };
	cleanup_json json_object *images = json_object_new_array();
	struct loading l = { .job = &job, .spool = &spool, .limits = limits, .images = images };
	int rc = job_open(s, &job, err);
	if (rc == 0)
		rc = spool_read(&job, STDIN_FILENO, limits->bytes, &spool, err);
	if (rc == 0)
		rc = source_each(&spool, look, &l, err);
	if (rc == 0)
		rc = source_each(&spool, load_one, &l, err);
	if (rc == 0)
		*ret_aux = make_aux(images);
	return rc;
}
