/* SPDX-License-Identifier: Apache-2.0 */
/* pull_here - the names that a pull gives, and whether they are given already. Runs in
 * isola-image's jail. */
#include "pull.h"

#include "isola/image.h"
#include "isola/json.h"
#include "names.h"
#include "platform.h"

#include <stdio.h>
#include <string.h>

static void add_ref(json_object *refs, const struct registry *r, char mark, const char *end)
{
	char text[IMAGE_REF_MAX];
	if (*end && snprintf(text, sizeof(text), "%s/%s%c%s", r->host, r->repo, mark, end) <
			    (int)sizeof(text))
		(void)json_object_array_add(refs, json_object_new_string(text));
}

json_object *pull_names(const struct registry *r, const char *top)
{
	json_object *refs = json_object_new_array();
	add_ref(refs, r, ':', *r->digest ? "" : r->tag);
	add_ref(refs, r, '@', top);
	return refs;
}

struct search {
	const char *manifest;
	const char *platform;
	char id[DIGEST_SIZE];
};

static int on_record(json_object *record, void *arg, struct err *err)
{
	struct search *f = arg;
	(void)err;
	if (!strcmp(json_str_or(record, "manifest", ""), f->manifest) &&
	    image_platform_check(f->platform, record, NULL) == 0)
		(void)snprintf(f->id, sizeof(f->id), "%s", json_str_or(record, "id", ""));
	return 0;
}

static const char *manifest_named(json_object *index, const char *ref)
{
	json_object *list = json_get(index, "manifests");
	for (size_t i = 0; i < json_len(list); i++) {
		json_object *d = json_object_array_get_idx(list, i);
		const char *name = json_str_or(json_get(d, "annotations"),
					       "org.opencontainers.image.ref.name", "");
		if (!strcmp(name, ref))
			return json_str_or(d, "digest", "");
	}
	return "";
}

int pull_is_here(const struct store *s, const struct registry *r, const char *platform,
		 const char *top, char ret_id[DIGEST_SIZE], struct err *err)
{
	cleanup_json json_object *index = NULL, *refs = pull_names(r, top);
	const char *manifest = "";
	int rc = names_read(s, &index, err);
	for (size_t i = 0; rc == 0 && i < json_len(refs); i++) {
		const char *m = manifest_named(index, json_item_str(refs, i));
		if (!*m || (*manifest && strcmp(m, manifest) != 0))
			return 0;
		manifest = m;
	}
	struct search f = { .manifest = manifest,
			    .platform = platform ? platform : image_platform_of_host() };
	if (rc == 0)
		rc = record_each(s, on_record, &f, err);
	if (rc < 0)
		return rc;
	strcpy(ret_id, f.id);
	return *f.id ? 1 : 0;
}
