/* SPDX-License-Identifier: Apache-2.0 */
/* pull_manifest - from a name to the one manifest that fits. Foreign JSON: bounded,
 * type-checked, digests compared. Runs in isola-image's jail. */
#include "pull.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "platform.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define DEPTH_MAX 4

#define TYPE_OCI_INDEX       "application/vnd.oci.image.index.v1+json"
#define TYPE_OCI_MANIFEST    "application/vnd.oci.image.manifest.v1+json"
#define TYPE_DOCKER_LIST     "application/vnd.docker.distribution.manifest.list.v2+json"
#define TYPE_DOCKER_MANIFEST "application/vnd.docker.distribution.manifest.v2+json"
#define ACCEPT               TYPE_OCI_INDEX ", " TYPE_OCI_MANIFEST ", " TYPE_DOCKER_LIST ", " TYPE_DOCKER_MANIFEST

static const char *const indexes[] = { TYPE_OCI_INDEX, TYPE_DOCKER_LIST, NULL };
static const char *const manifests[] = { TYPE_OCI_MANIFEST, TYPE_DOCKER_MANIFEST, NULL };
static const char *const configs[] = { "application/vnd.oci.image.config.v1+json",
				       "application/vnd.docker.container.image.v1+json", NULL };
static const char *const layer_types[] = {
	"application/vnd.oci.image.layer.v1.tar",
	"application/vnd.oci.image.layer.v1.tar+gzip",
	"application/vnd.oci.image.layer.v1.tar+zstd",
	"application/vnd.docker.image.rootfs.diff.tar",
	"application/vnd.docker.image.rootfs.diff.tar.gzip",
	"application/vnd.docker.image.rootfs.diff.tar.zstd",
	NULL,
};

static const char *type_in(const char *const *list, const char *type)
{
	for (; *list; list++)
		if (!strcmp(*list, type))
			return *list;
	return NULL;
}

void manifest_fini(struct manifest *m)
{
	free(m->text);
	free(m->layers);
	*m = (struct manifest){ 0 };
}

struct fetched {
	struct strbuf text;
	const char *what;
};

static int on_data(struct net_get *g, const void *data, size_t size, struct err *err)
{
	struct fetched *f = g->arg;
	if (f->text.len + size > STORE_JSON_BYTES_MAX)
		return err_set(err, EFBIG, "%s is larger than %d bytes", f->what,
			       STORE_JSON_BYTES_MAX);
	strbuf_add(&f->text, data, size);
	return strbuf_ok(&f->text) ? 0 : err_set(err, ENOMEM, "out of memory");
}

/* @kind "manifests" or "blobs". @digest "" = nothing to compare with. */
static int fetch(struct net *net, const struct registry *r, const char *kind, const char *name,
		 const char *digest, struct fetched *f, char ret_type[128], struct err *err)
{
	char path[1024], found[DIGEST_SIZE];
	bool is_manifest = *kind == 'm';
	(void)snprintf(path, sizeof(path), "/v2/%s/%s/%s", r->repo, kind, name);
	struct net_get g = { .method = "GET",
			     .path = path,
			     .accept = is_manifest ? ACCEPT : NULL,
			     .data = on_data,
			     .arg = f };
	int rc = net_do(net, &g, err);
	if (rc == -ENOENT && is_manifest)
		return err_set(err, ENOENT, "manifest for %s/%s%s%s not found: %s", r->host,
			       r->repo, *digest ? "@" : ":", name, g.text);
	if (rc == 0)
		rc = digest_of(f->text.text ? f->text.text : "", f->text.len, found, err);
	if (rc == 0 && *digest && strcmp(found, digest) != 0)
		return err_set(err, EINVAL, "wrong digest: %s %s has the content of %s", f->what,
			       digest, found);
	if (rc == 0)
		(void)snprintf(ret_type, 128, "%.*s", (int)strcspn(g.type, "; "), g.type);
	return rc;
}

int manifest_blob(struct net *net, const struct registry *r, const char *digest, char **ret,
		  size_t *ret_size, struct err *err)
{
	struct fetched f = { .what = "config" };
	char type[128];
	int rc = fetch(net, r, "blobs", digest, digest, &f, type, err);
	*ret_size = f.text.len;
	if (rc == 0)
		*ret = strbuf_take(&f.text);
	strbuf_fini(&f.text);
	return rc == 0 && !*ret ? err_set(err, ENOMEM, "out of memory") : rc;
}

int manifest_head(struct net *net, const struct registry *r, char ret[DIGEST_SIZE], struct err *err)
{
	char path[1024];
	(void)snprintf(path, sizeof(path), "/v2/%s/manifests/%s", r->repo, r->tag);
	struct net_get g = { .method = "HEAD", .path = path, .accept = ACCEPT };
	int rc = net_do(net, &g, err);
	if (rc == -ENOENT)
		return err_set(err, ENOENT, "manifest for %s/%s:%s not found", r->host, r->repo,
			       r->tag);
	if (rc == 0)
		(void)snprintf(ret, DIGEST_SIZE, "%s", id_is_digest(g.digest) ? g.digest : "");
	return rc;
}

/* ---- judging ---- */

static int take_descriptor(json_object *o, const char *const *types, const char *what,
			   char ret_digest[DIGEST_SIZE], uint64_t *ret_size, struct err *err)
{
	const char *digest = json_str_or(o, "digest", ""), *type = json_str_or(o, "mediaType", "");
	int64_t size = json_i64_or(o, "size", -1);
	if (!type_in(types, type))
		return err_set(err, EINVAL, "%s is \"%.100s\": this is no container image", what,
			       type);
	if (!id_is_digest(digest))
		return err_set(err, EINVAL, "%s: the digest \"%.100s\" is not sha256:<64 digits>",
			       what, digest);
	if (size < 0)
		return err_set(err, EINVAL, "%s has no size", what);
	strcpy(ret_digest, digest);
	*ret_size = (uint64_t)size;
	return 0;
}

static int take_layers(json_object *list, struct manifest *m, struct err *err)
{
	size_t n = json_len(list);
	int rc = 0;
	if (n > STORE_LAYERS_MAX)
		return err_set(err, E2BIG, "more than %d layers", STORE_LAYERS_MAX);
	m->layers = calloc(n ? n : 1, sizeof(*m->layers));
	if (!m->layers)
		return err_set(err, ENOMEM, "out of memory");
	for (m->n = 0; rc == 0 && m->n < n; m->n++) {
		char what[32];
		(void)snprintf(what, sizeof(what), "layers[%zu]", m->n);
		rc = take_descriptor(json_object_array_get_idx(list, m->n), layer_types, what,
				     m->layers[m->n].digest, &m->layers[m->n].size, err);
	}
	return rc;
}

int manifest_parse(const char *text, size_t size, const char *type, struct manifest *ret,
		   struct err *err)
{
	cleanup_json json_object *o = NULL;
	json_object *list = NULL;
	uint64_t config_size;
	int rc = json_parse_max(text, size, "manifest", MANIFEST_VALUES_MAX, &o, err);
	if (rc == 0 && json_i64_or(o, "schemaVersion", 0) != 2)
		rc = err_set(err, EINVAL,
			     "schemaVersion must be 2 (images of Docker's schema 1 are not read)");
	if (rc == 0 && strcmp(json_str_or(o, "mediaType", type), type) != 0)
		rc = err_set(err, EINVAL, "the manifest calls itself another media type");
	if (rc == 0)
		rc = take_descriptor(json_get(o, "config"), configs, "its config", ret->config,
				     &config_size, err);
	if (rc == 0 && json_get_arr(o, "layers", &list, err) != 1)
		rc = err_set(err, EINVAL, "the manifest has no array \"layers\"");
	return rc < 0 ? rc : take_layers(list, ret, err);
}

struct choice {
	char digest[DIGEST_SIZE];
	int rank;
	char offered[300];
};

static int choose(const char *text, size_t size, const struct platform *p, struct choice *c,
		  struct err *err)
{
	cleanup_json json_object *o = NULL;
	json_object *list = NULL;
	int rc = json_parse_max(text, size, "index", MANIFEST_VALUES_MAX, &o, err);
	if (rc == 0 && json_get_arr(o, "manifests", &list, err) != 1)
		rc = err_set(err, EINVAL, "the index has no array \"manifests\"");
	for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
		json_object *d = json_object_array_get_idx(list, i);
		json_object *platform = json_get(d, "platform");
		const char *digest = json_str_or(d, "digest", "");
		const char *type = json_str_or(d, "mediaType", "");
		int rank = platform_rank(p, platform);
		if (!type_in(indexes, type) && !type_in(manifests, type))
			continue;
		if (rank > c->rank && id_is_digest(digest)) {
			c->rank = rank;
			strcpy(c->digest, digest);
		}
		size_t n = strlen(c->offered);
		char name[100];
		platform_text(platform, name, sizeof(name));
		if (strncmp(name, "unknown", 7) != 0 && n + strlen(name) + 3 < sizeof(c->offered))
			(void)snprintf(c->offered + n, sizeof(c->offered) - n, "%s%s",
				       n ? ", " : "", name);
	}
	if (rc == 0 && c->rank == 0)
		rc = err_set(err, ENOENT, "no image for linux/%s%s%s (but for %s)", p->architecture,
			     *p->variant ? "/" : "", p->variant,
			     *c->offered ? c->offered : "nothing");
	return rc;
}

static int judge_type(const char *type, struct err *err)
{
	if (type_in(indexes, type) || type_in(manifests, type))
		return 0;
	if (strstr(type, "manifest.v1+"))
		return err_set(err, EINVAL,
			       "images of Docker's schema 1 (%.80s) are not read: the image must "
			       "be pushed anew",
			       type);
	return err_set(err, EINVAL, "the registry answers with \"%.100s\" instead of a manifest",
		       type);
}

/* One step: 1 = @ret is filled, 0 = @digest is the next to ask for. */
static int step(struct net *net, const struct registry *r, char digest[DIGEST_SIZE],
		const struct platform *p, struct manifest *ret, struct err *err)
{
	struct fetched f = { .what = "manifest" };
	struct choice c = { 0 };
	char type[128] = "", found[DIGEST_SIZE];
	int rc = fetch(net, r, "manifests", *digest ? digest : r->tag, digest, &f, type, err);
	if (rc == 0)
		rc = judge_type(type, err);
	if (rc == 0)
		rc = digest_of(f.text.text ? f.text.text : "", f.text.len, found, err);
	if (rc == 0 && !*ret->top)
		strcpy(ret->top, found);
	if (rc == 0 && type_in(indexes, type)) {
		rc = choose(f.text.text, f.text.len, p, &c, err);
		if (rc == 0)
			strcpy(digest, c.digest);
	} else if (rc == 0) {
		strcpy(ret->digest, found);
		ret->type = type_in(manifests, type);
		rc = manifest_parse(f.text.text, f.text.len, ret->type, ret, err);
		ret->size = f.text.len;
		ret->text = strbuf_take(&f.text);
		rc = rc < 0 ? rc : 1;
	}
	strbuf_fini(&f.text);
	return rc;
}

int manifest_get(struct net *net, const struct registry *r, const char *digest,
		 const char *platform, struct manifest *ret, struct err *err)
{
	char next[DIGEST_SIZE], arch[64], variant[64];
	struct platform p = platform_of_host();
	int rc = 0;
	if (platform) {
		rc = platform_parse(platform, arch, variant, err);
		p = (struct platform){ arch, variant };
	}
	(void)snprintf(next, sizeof(next), "%s", digest);
	for (int depth = 0; rc == 0; depth++) {
		if (depth > DEPTH_MAX)
			return err_set(err, EINVAL, "indexes are nested deeper than %d", DEPTH_MAX);
		rc = step(net, r, next, &p, ret, err);
	}
	return rc < 0 ? rc : 0;
}
