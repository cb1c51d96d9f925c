/* SPDX-License-Identifier: Apache-2.0 */
/* tag - names come and go; no image bytes are touched. */
#include "image.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "names.h"

#include <errno.h>
#include <string.h>

static json_object *make_aux(const char *id, json_object *taken_refs)
{
	json_object *aux = json_object_new_object();
	json_add_str(aux, "ID", id);
	json_add(aux, "Refs", taken_refs);
	return aux;
}

int job_tag(const struct store *s, const char *id, const char *ref, json_object **ret_aux,
	    struct err *err)
{
	char full[IMAGE_REF_MAX];
	cleanup_json json_object *record = NULL, *index = NULL, *descriptor = NULL;
	int rc = image_ref_normalize(ref, full, sizeof(full), err);
	if (rc == 0 && strchr(full, '@'))
		rc = err_set(err, EINVAL,
			     "refusing to create a tag with a digest reference: %.200s", ref);
	cleanup_fd int lock = rc < 0 ? rc : store_lock(s, err);
	if (lock < 0)
		return lock;
	rc = record_read(s, id, &record, err);
	if (rc == 0)
		return err_set(err, ENOENT, "No such image: %s", id);
	if (rc > 0)
		rc = names_read(s, &index, err);
	if (rc < 0)
		return rc;
	descriptor = names_descriptor(record);
	rc = names_set(index, full, descriptor, NULL, 0, err);
	if (rc == 0)
		rc = names_write(s, index, err);
	if (rc == 0)
		*ret_aux = make_aux(id, names_of(index, json_str_or(record, "manifest", "")));
	return rc;
}

struct finding {
	const char *manifest;
	char id[DIGEST_SIZE];
};

static int find_manifest(json_object *record, void *arg, struct err *err)
{
	struct finding *f = arg;
	(void)err;
	if (!strcmp(json_str_or(record, "manifest", ""), f->manifest))
		strcpy(f->id, json_str_or(record, "id", ""));
	return 0;
}

int job_untag(const struct store *s, const char *ref, json_object **ret_aux, struct err *err)
{
	char full[IMAGE_REF_MAX], manifest[256] = "";
	cleanup_json json_object *index = NULL;
	struct finding f = { .manifest = manifest };
	/* Also a digest, which a pull notes beside its tag. */
	int rc = image_ref_normalize(ref, full, sizeof(full), err);
	cleanup_fd int lock = rc < 0 ? rc : store_lock(s, err);
	if (lock < 0)
		return lock;
	rc = names_read(s, &index, err);
	if (rc == 0)
		rc = names_unset(index, full, manifest, sizeof(manifest), err);
	if (rc == 0)
		return err_set(err, ENOENT, "No such image: %s", ref);
	if (rc > 0)
		rc = names_write(s, index, err);
	if (rc == 0)
		rc = record_each(s, find_manifest, &f, err);
	if (rc == 0)
		*ret_aux = make_aux(f.id, names_of(index, manifest));
	return rc;
}
