/* SPDX-License-Identifier: Apache-2.0 */
/* source_oci - OCI image layouts: index.json names manifests, or indexes of
 * which one manifest fits this host. Runs in isola-image's jail. */
#include "source.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "platform.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Indexes in indexes; two levels are seen in practice. */
#define INDEX_DEPTH_MAX 4
/* What the indexes of one archive may name in all: each may name another one many
 * times, and that the next. */
#define INDEX_ITEMS_MAX 100000

enum media { MEDIA_OTHER, MEDIA_INDEX, MEDIA_MANIFEST, MEDIA_CONFIG, MEDIA_LAYER };

static const struct {
	const char *type;
	enum media media;
} media_rows[] = {
	{ "application/vnd.oci.image.index.v1+json", MEDIA_INDEX },
	{ "application/vnd.docker.distribution.manifest.list.v2+json", MEDIA_INDEX },
	{ "application/vnd.oci.image.manifest.v1+json", MEDIA_MANIFEST },
	{ "application/vnd.docker.distribution.manifest.v2+json", MEDIA_MANIFEST },
	{ "application/vnd.oci.image.config.v1+json", MEDIA_CONFIG },
	{ "application/vnd.docker.container.image.v1+json", MEDIA_CONFIG },
	{ "application/vnd.oci.image.layer.v1.tar", MEDIA_LAYER },
	{ "application/vnd.oci.image.layer.v1.tar+gzip", MEDIA_LAYER },
	{ "application/vnd.oci.image.layer.v1.tar+zstd", MEDIA_LAYER },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar", MEDIA_LAYER },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip", MEDIA_LAYER },
	{ "application/vnd.oci.image.layer.nondistributable.v1.tar+zstd", MEDIA_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar", MEDIA_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar.gzip", MEDIA_LAYER },
	{ "application/vnd.docker.image.rootfs.diff.tar.zstd", MEDIA_LAYER },
	{ "application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", MEDIA_LAYER },
};

/* The row of @type; its text is static. -1 = unknown. */
static int media_find(const char *type)
{
	for (int i = 0; i < (int)(sizeof(media_rows) / sizeof(media_rows[0])); i++)
		if (!strcmp(type, media_rows[i].type))
			return i;
	return -1;
}

static enum media media_of(const char *type)
{
	int i = media_find(type);
	return i < 0 ? MEDIA_OTHER : media_rows[i].media;
}

struct descriptor {
	const char *type, *digest;
	int64_t size;
	json_object *platform; /* or NULL */
};

static int read_descriptor(json_object *o, struct descriptor *ret, struct err *err)
{
	struct descriptor d = { .type = "", .digest = "" };
	if (!json_object_is_type(o, json_type_object))
		return err_set(err, EINVAL, "a descriptor is no object");
	int rc = json_get_str(o, "mediaType", &d.type, err);
	if (rc >= 0)
		rc = json_get_str(o, "digest", &d.digest, err);
	if (rc >= 0)
		rc = json_get_i64(o, "size", &d.size, err);
	if (rc >= 0)
		rc = json_get_obj(o, "platform", &d.platform, err);
	if (rc < 0)
		return err_prefix(err, "descriptor");
	if (!id_is_digest(d.digest))
		return err_set(err, EINVAL,
			       "descriptor: the digest \"%.100s\" is not sha256:<64 hex digits>",
			       d.digest);
	*ret = d;
	return 0;
}

static const struct spool_file *find_blob(const struct spool *spool, const struct descriptor *d)
{
	char name[16 + DIGEST_HEX_SIZE];
	(void)snprintf(name, sizeof(name), "blobs/sha256/%s", digest_hex(d->digest));
	return spool_find(spool, name);
}

static int get_blob(const struct spool *spool, const struct descriptor *d,
		    const struct spool_file **ret, struct err *err)
{
	const struct spool_file *f = find_blob(spool, d);
	if (!f)
		return err_set(err, EINVAL, "the archive lacks blob %s", d->digest);
	if (strcmp(f->digest, d->digest) != 0)
		return err_set(err, EINVAL, "wrong digest: blob %s has the content of %s",
			       d->digest, f->digest);
	if (d->size < 0 || (uint64_t)d->size != f->size)
		return err_set(err, EINVAL, "blob %s has %llu bytes, its descriptor says %lld",
			       d->digest, (unsigned long long)f->size, (long long)d->size);
	*ret = f;
	return 0;
}

static int read_json(const struct spool *spool, const struct spool_file *f, json_object **ret,
		     struct err *err)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int rc = spool_text(spool, f, &text, &size, err);
	return rc < 0 ? rc : json_parse_max(text, size, f->name, SOURCE_VALUES_MAX, ret, err);
}

static int read_config(const struct spool *spool, json_object *manifest, struct source *src,
		       struct err *err)
{
	struct descriptor d = { 0 };
	cleanup_free char *text = NULL;
	size_t size = 0;
	int rc = read_descriptor(json_get(manifest, "config"), &d, err);
	if (rc < 0)
		return err_prefix(err, "config");
	if (media_of(d.type) != MEDIA_CONFIG)
		return err_set(err, EINVAL, "it is no container image: its config is \"%.100s\"",
			       d.type);
	rc = get_blob(spool, &d, &src->config_file, err);
	if (rc == 0)
		rc = spool_text(spool, src->config_file, &text, &size, err);
	return rc < 0 ? rc : source_set_config(src, text, size, err);
}

static int read_layers(const struct spool *spool, json_object *manifest, struct source *src,
		       struct err *err)
{
	json_object *list = NULL;
	int rc = json_get_arr(manifest, "layers", &list, err);
	if (rc < 0)
		return rc;
	if (json_len(list) != src->n_layers)
		return err_set(err, EINVAL,
			       "the manifest has %zu layers, but the config %zu diff_ids",
			       json_len(list), src->n_layers);
	for (size_t i = 0; i < src->n_layers; i++) {
		struct descriptor d = { 0 };
		const struct spool_file *file = NULL;
		rc = read_descriptor(json_object_array_get_idx(list, i), &d, err);
		if (rc == 0 && media_of(d.type) != MEDIA_LAYER)
			rc = err_set(err, EINVAL, "the media type \"%.100s\" is not supported",
				     d.type);
		if (rc == 0)
			rc = get_blob(spool, &d, &file, err);
		if (rc < 0)
			return err_prefix(err, "layers[%zu]", i);
		source_set_layer(src, i, file);
	}
	return 0;
}

static int read_manifest(const struct spool *spool, const struct descriptor *d, struct source *src,
			 struct err *err)
{
	cleanup_json json_object *manifest = NULL;
	int rc = get_blob(spool, d, &src->manifest_file, err);
	if (rc == 0)
		rc = read_json(spool, src->manifest_file, &manifest, err);
	if (rc < 0)
		return rc;
	if (json_i64_or(manifest, "schemaVersion", 0) != 2)
		return err_set(err, EINVAL, "schemaVersion must be 2");
	if (media_of(json_str_or(manifest, "mediaType", d->type)) != MEDIA_MANIFEST)
		return err_set(err, EINVAL, "its mediaType is not that of a manifest");
	strcpy(src->manifest, d->digest);
	src->manifest_type = media_rows[media_find(d->type)].type;
	src->manifest_size = src->manifest_file->size;
	rc = read_config(spool, manifest, src, err);
	return rc < 0 ? rc : read_layers(spool, manifest, src, err);
}

/* What index.json offers for one name. */
struct choice {
	struct descriptor best; /* a manifest; digest points into .keep */
	int rank;               /* 0 = none yet */
	char digest[DIGEST_SIZE];
	const char *type;
	size_t *n_items;   /* named so far, for all names */
	char offered[400]; /* platforms that do not fit, for the error */
};

static void note_offered(struct choice *c, json_object *platform)
{
	char text[100];
	if (!strcmp(json_str_or(platform, "os", ""), "unknown"))
		return; /* attestations */
	platform_text(platform, text, sizeof(text));
	size_t n = strlen(c->offered);
	if (!strstr(c->offered, text) && n + strlen(text) + 3 < sizeof(c->offered))
		(void)snprintf(c->offered + n, sizeof(c->offered) - n, "%s%s", n ? ", " : "", text);
}

static int choose(const struct spool *spool, const struct descriptor *d, json_object *platform,
		  int depth, struct choice *c, struct err *err);

static int choose_in_index(const struct spool *spool, const struct descriptor *d, int depth,
			   struct choice *c, struct err *err)
{
	cleanup_json json_object *index = NULL;
	json_object *list = NULL;
	const struct spool_file *f = NULL;
	if (depth >= INDEX_DEPTH_MAX)
		return err_set(err, EINVAL, "indexes are nested deeper than %d", INDEX_DEPTH_MAX);
	int rc = get_blob(spool, d, &f, err);
	if (rc == 0)
		rc = read_json(spool, f, &index, err);
	if (rc == 0)
		rc = json_get_arr(index, "manifests", &list, err);
	*c->n_items += json_len(list) + 1;
	if (rc >= 0 && *c->n_items > INDEX_ITEMS_MAX)
		rc = err_set(err, EFBIG, "the indexes name more than %d manifests",
			     INDEX_ITEMS_MAX);
	for (size_t i = 0; rc >= 0 && i < json_len(list); i++) {
		struct descriptor inner = { 0 };
		rc = read_descriptor(json_object_array_get_idx(list, i), &inner, err);
		if (rc == 0)
			rc = choose(spool, &inner, inner.platform, depth + 1, c, err);
	}
	return rc < 0 ? rc : 0;
}

/* Looks whether @d, or the best in it, beats what @c has. */
static int choose(const struct spool *spool, const struct descriptor *d, json_object *platform,
		  int depth, struct choice *c, struct err *err)
{
	struct platform host = platform_of_host();
	enum media media = media_of(d->type);
	int rank = platform_rank(&host, platform);
	if (rank == 0)
		note_offered(c, platform);
	if (rank == 0 || (media != MEDIA_INDEX && media != MEDIA_MANIFEST))
		return 0;
	if (media == MEDIA_INDEX) {
		/* Layouts may leave out what they do not hold. */
		return find_blob(spool, d) ? choose_in_index(spool, d, depth, c, err) : 0;
	}
	if (rank > c->rank) {
		c->rank = rank;
		strcpy(c->digest, d->digest);
		c->type = media_rows[media_find(d->type)].type;
		c->best = (struct descriptor){ .type = c->type,
					       .digest = c->digest,
					       .size = d->size };
	}
	return 0;
}

/* containerd's and Docker's full name, else the layout's own; umoci's and
 * skopeo's "latest" is then a repository. */
static int add_ref(struct source *src, json_object *o, struct err *err)
{
	json_object *a = NULL;
	const char *full = NULL, *name = NULL;
	int rc = json_get_obj(o, "annotations", &a, err);
	if (rc > 0)
		rc = json_get_str(a, "io.containerd.image.name", &full, err);
	if (rc >= 0 && a)
		rc = json_get_str(a, "org.opencontainers.image.ref.name", &name, err);
	if (rc < 0)
		return rc;
	name = full ? full : name;
	return name && *name ? source_add_ref(src, name, err) : 0;
}

static int one_item(const struct spool *spool, json_object *o, const struct choice *c,
		    source_fn *each, void *arg, struct err *err)
{
	cleanup_source struct source src = { 0 };
	int rc = read_manifest(spool, &c->best, &src, err);
	if (rc < 0)
		return err_prefix(err, "manifest %.19s", c->digest);
	rc = add_ref(&src, o, err);
	return rc < 0 ? rc : each(&src, arg, err);
}

int source_oci_each(const struct spool *spool, source_fn *each, void *arg, struct err *err)
{
	cleanup_json json_object *index = NULL;
	json_object *list = NULL;
	struct choice all = { 0 };
	size_t found = 0;
	size_t n_items = 0;
	int rc = read_json(spool, spool_find(spool, "index.json"), &index, err);
	if (rc == 0)
		rc = json_get_arr(index, "manifests", &list, err);
	for (size_t i = 0; rc >= 0 && i < json_len(list); i++) {
		json_object *o = json_object_array_get_idx(list, i);
		struct descriptor d = { 0 };
		struct choice c = { .n_items = &n_items };
		rc = read_descriptor(o, &d, err);
		if (rc == 0)
			rc = choose(spool, &d, d.platform, 0, &c, err);
		if (rc < 0)
			return err_prefix(err, "index.json: manifests[%zu]", i);
		if (c.rank > 0) {
			found++;
			rc = one_item(spool, o, &c, each, arg, err);
		} else if (*c.offered) {
			strcpy(all.offered, c.offered);
		}
	}
	if (rc >= 0 && found == 0) {
		struct platform host = platform_of_host();
		return err_set(err, EINVAL, "the archive holds no image for linux/%s%s%s%s",
			       host.architecture, *all.offered ? " (but for " : "", all.offered,
			       *all.offered ? ")" : "");
	}
	return rc < 0 ? rc : 0;
}
