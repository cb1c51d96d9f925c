/* SPDX-License-Identifier: Apache-2.0 */
/* source - see source.h. The choice of the form, and what all forms need. Runs
 * in isola-image's jail. */
#include "source.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/image.h"
#include "isola/json.h"
#include "blob.h"
#include "config.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void source_fini(struct source *src)
{
	json_object_put(src->record);
	json_object_put(src->refs);
	free(src->config_text);
	free(src->manifest_text);
	free(src->layers);
	memset(src, 0, sizeof(*src));
}

int source_set_config(struct source *src, const char *text, size_t size, struct err *err)
{
	int rc = config_parse(text, size, &src->record, err);
	if (rc == 0)
		rc = digest_of(text, size, src->id, err);
	if (rc < 0)
		return rc;
	json_object *ids = json_get(src->record, "diff_ids");
	src->n_layers = json_len(ids);
	src->layers = calloc(src->n_layers ? src->n_layers : 1, sizeof(*src->layers));
	if (!src->refs)
		src->refs = json_object_new_array();
	if (!src->layers || !src->refs)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < src->n_layers; i++)
		strcpy(src->layers[i].diff_id, json_item_str(ids, i));
	return 0;
}

static json_object *new_descriptor(const char *type, const char *digest, uint64_t size)
{
	json_object *d = json_object_new_object();
	json_add_str(d, "mediaType", type);
	json_add_str(d, "digest", digest);
	json_add_i64(d, "size", (int64_t)size);
	return d;
}

void source_set_layer(struct source *src, size_t i, const struct spool_file *file)
{
	src->layers[i].file = file;
	strcpy(src->layers[i].digest, file->digest);
}

int source_open_layer(const struct source *src, size_t i, const struct store *s,
		      const struct spool *spool, uint64_t *ret_size, struct err *err)
{
	const struct source_layer *l = &src->layers[i];
	if (!l->file)
		return blob_open(s, l->digest, ret_size, err);
	if (ret_size)
		*ret_size = l->file->size;
	return spool_open(spool, l->file, err);
}

/* The descriptor of layer @i; NULL with the reason. */
static json_object *describe_layer(const struct source *src, size_t i, const struct store *s,
				   const struct spool *spool, struct err *err)
{
	static const char *const types[] = {
		[STREAM_PLAIN] = "application/vnd.oci.image.layer.v1.tar",
		[STREAM_GZIP] = "application/vnd.oci.image.layer.v1.tar+gzip",
		[STREAM_ZSTD] = "application/vnd.oci.image.layer.v1.tar+zstd",
	};
	unsigned char head[8];
	uint64_t size = 0;
	cleanup_fd int fd = source_open_layer(src, i, s, spool, &size, err);
	if (fd < 0)
		return NULL;
	ssize_t n = fd_read_all(fd, head, sizeof(head));
	if (n < 0) {
		(void)err_rc(err, (int)n, "cannot read layer %zu", i + 1);
		return NULL;
	}
	return new_descriptor(types[stream_format_of(head, (size_t)n)], src->layers[i].digest,
			      size);
}

int source_make_manifest(struct source *src, const struct store *s, const struct spool *spool,
			 size_t config_size, struct err *err)
{
	cleanup_json json_object *m = json_object_new_object();
	json_object *layers = json_object_new_array();
	src->manifest_type = "application/vnd.oci.image.manifest.v1+json";
	json_add_i64(m, "schemaVersion", 2);
	json_add_str(m, "mediaType", src->manifest_type);
	json_add(m, "config",
		 new_descriptor("application/vnd.oci.image.config.v1+json", src->id, config_size));
	json_add(m, "layers", layers);
	for (size_t i = 0; i < src->n_layers; i++) {
		json_object *d = describe_layer(src, i, s, spool, err);
		if (!d)
			return -err->code;
		(void)json_object_array_add(layers, d);
	}
	const char *text = json_object_to_json_string_length(
		m, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE, &src->manifest_size);
	src->manifest_text = text ? strdup(text) : NULL;
	if (!src->manifest_text)
		return err_set(err, ENOMEM, "out of memory");
	return digest_of(src->manifest_text, src->manifest_size, src->manifest, err);
}

int source_add_ref(struct source *src, const char *text, struct err *err)
{
	char full[IMAGE_REF_MAX];
	int rc = image_ref_normalize(text, full, sizeof(full), err);
	if (rc < 0)
		return err_prefix(err, "name of the image");
	if (strchr(full, '@'))
		return err_set(err, EINVAL, "name of the image: \"%.200s\" holds a digest", text);
	for (size_t i = 0; i < json_len(src->refs); i++)
		if (!strcmp(json_item_str(src->refs, i), full))
			return 0;
	if (json_len(src->refs) >= SOURCE_NAMES_MAX)
		return err_set(err, EFBIG, "an image has more than %d names", SOURCE_NAMES_MAX);
	(void)json_object_array_add(src->refs, json_object_new_string(full));
	return 0;
}

int source_each(const struct spool *spool, source_fn *each, void *arg, struct err *err)
{
	static const struct {
		const char *mark;
		int (*each)(const struct spool *spool, source_fn *each, void *arg, struct err *err);
	} forms[] = {
		{ "index.json", source_oci_each },
		{ "manifest.json", source_docker_each },
		{ "repositories", source_legacy_each },
	};
	for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
		if (spool_find(spool, forms[i].mark))
			return forms[i].each(spool, each, arg, err);
	return err_set(err, EINVAL,
		       "this is no image archive: it has no index.json, manifest.json or "
		       "repositories (a root file system is imported)");
}
