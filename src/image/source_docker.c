/* SPDX-License-Identifier: Apache-2.0 */
/* source_docker - the archives of `docker save`: manifest.json lists images,
 * each with the names of its config and layers in the archive. Runs in
 * isola-image's jail. */
#include "source.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Does @name claim to be a digest ("<hex>.json", "sha256:<hex>",
 * "blobs/sha256/<hex>")? Then it must be the right one. */
static int check_name(const char *name, const char *digest, struct err *err)
{
	char claimed[DIGEST_SIZE + 8];
	const char *slash = strrchr(name, '/'), *last = slash ? slash + 1 : name;
	if (!strncmp(last, "sha256:", 7))
		last += 7;
	size_t n = strcspn(last, ".");
	if (n != DIGEST_HEX_SIZE - 1 || (last[n] && strcmp(last + n, ".json") != 0))
		return 0;
	(void)snprintf(claimed, sizeof(claimed), "sha256:%.64s", last);
	if (id_is_digest(claimed) && strcmp(claimed, digest) != 0)
		return err_set(err, EINVAL, "wrong digest: %.100s has the content of %s", name,
			       digest);
	return 0;
}

static int find_member(const struct spool *spool, const char *name, const char *what,
		       const struct spool_file **ret, struct err *err)
{
	*ret = spool_find(spool, name);
	return *ret ? 0 : err_set(err, EINVAL, "the archive has no %s \"%.200s\"", what, name);
}

static int read_config(const struct spool *spool, json_object *item, struct source *src,
		       size_t *ret_size, struct err *err)
{
	const char *name = "";
	cleanup_free char *text = NULL;
	int rc = json_get_str(item, "Config", &name, err);
	if (rc >= 0)
		rc = find_member(spool, name, "config", &src->config_file, err);
	if (rc == 0)
		rc = check_name(name, src->config_file->digest, err);
	if (rc == 0)
		rc = spool_text(spool, src->config_file, &text, ret_size, err);
	return rc < 0 ? rc : source_set_config(src, text, *ret_size, err);
}

static int read_layers(const struct spool *spool, json_object *item, struct source *src,
		       struct err *err)
{
	json_object *list = NULL;
	int rc = json_get_strv(item, "Layers", &list, err);
	if (rc < 0)
		return rc;
	if (json_len(list) != src->n_layers)
		return err_set(err, EINVAL, "Layers has %zu items, but the config %zu diff_ids",
			       json_len(list), src->n_layers);
	for (size_t i = 0; i < src->n_layers; i++) {
		const char *name = json_item_str(list, i);
		const struct spool_file *file = NULL;
		rc = find_member(spool, name, "layer", &file, err);
		if (rc < 0)
			return rc;
		source_set_layer(src, i, file);
		const char *hex = strstr(name, "blobs/sha256/");
		rc = hex ? check_name(name, file->digest, err) : 0;
		if (rc < 0)
			return rc;
	}
	return 0;
}

static int read_item(const struct spool *spool, json_object *item, struct source *src,
		     struct err *err)
{
	json_object *tags = NULL;
	size_t config_size = 0;
	if (!json_object_is_type(item, json_type_object))
		return err_set(err, EINVAL, "not an object");
	int rc = read_config(spool, item, src, &config_size, err);
	if (rc == 0)
		rc = read_layers(spool, item, src, err);
	if (rc == 0)
		rc = json_get_strv(item, "RepoTags", &tags, err);
	for (size_t i = 0; rc >= 0 && i < json_len(tags); i++)
		rc = source_add_ref(src, json_item_str(tags, i), err);
	return rc < 0 ? rc : source_make_manifest(src, spool->job->store, spool, config_size, err);
}

int source_docker_each(const struct spool *spool, source_fn *each, void *arg, struct err *err)
{
	cleanup_free char *text = NULL;
	cleanup_json json_object *list = NULL;
	size_t size = 0;
	int rc = spool_text(spool, spool_find(spool, "manifest.json"), &text, &size, err);
	if (rc == 0)
		rc = json_parse_max(text, size, "manifest.json", SOURCE_VALUES_MAX, &list, err);
	if (rc < 0)
		return rc;
	if (!json_object_is_type(list, json_type_array) || json_len(list) == 0)
		return err_set(err, EINVAL, "manifest.json lists no images");
	for (size_t i = 0; i < json_len(list); i++) {
		cleanup_source struct source src = { 0 };
		rc = read_item(spool, json_object_array_get_idx(list, i), &src, err);
		if (rc < 0)
			return err_prefix(err, "manifest.json[%zu]", i);
		rc = each(&src, arg, err);
		if (rc < 0)
			return rc;
	}
	return 0;
}
