/* SPDX-License-Identifier: Apache-2.0 */
/* source_store - an image that is in the store already, read again from its blobs:
 * what --repair makes records and layers of. Runs in isola-image's jail. */
#include "source.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "blob.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

static int take_digest(json_object *descriptor, char ret[DIGEST_SIZE], struct err *err)
{
	const char *digest = json_str_or(descriptor, "digest", "");
	if (!id_is_digest(digest))
		return err_set(err, EINVAL, "the digest \"%.100s\" is not sha256:<64 hex digits>",
			       digest);
	strcpy(ret, digest);
	return 0;
}

static int read_layers(const struct store *s, json_object *manifest, struct source *src,
		       struct err *err)
{
	json_object *list = NULL;
	int rc = json_get_arr(manifest, "layers", &list, err);
	if (rc >= 0 && json_len(list) != src->n_layers)
		rc = err_set(err, EINVAL,
			     "the manifest has %zu layers, but the config %zu diff_ids",
			     json_len(list), src->n_layers);
	for (size_t i = 0; rc >= 0 && i < src->n_layers; i++) {
		rc = take_digest(json_object_array_get_idx(list, i), src->layers[i].digest, err);
		if (rc == 0 && !blob_exists(s, src->layers[i].digest))
			rc = err_set(err, ENOENT, "the store lacks blob %s", src->layers[i].digest);
	}
	return rc < 0 ? rc : 0;
}

int source_from_store(const struct store *s, const char *manifest, const char *manifest_type,
		      struct source *ret, struct err *err)
{
	cleanup_source struct source src = { .manifest_type = manifest_type };
	cleanup_free char *text = NULL, *config = NULL;
	cleanup_json json_object *o = NULL;
	char id[DIGEST_SIZE];
	size_t config_size = 0;
	int rc = blob_text(s, manifest, &text, &src.manifest_size, err);
	if (rc == 0)
		rc = json_parse_max(text, src.manifest_size, "manifest", SOURCE_VALUES_MAX, &o,
				    err);
	if (rc == 0)
		rc = take_digest(json_get(o, "config"), id, err);
	if (rc == 0)
		rc = blob_text(s, id, &config, &config_size, err);
	if (rc == 0)
		rc = source_set_config(&src, config, config_size, err);
	if (rc == 0)
		rc = read_layers(s, o, &src, err);
	if (rc < 0)
		return err_prefix(err, "manifest %s", manifest);
	strcpy(src.manifest, manifest);
	*ret = src;
	src = (struct source){ NULL };
	return 0;
}
