/* SPDX-License-Identifier: Apache-2.0 */
/* source_legacy - archives from before Docker 1.10 (image specification v1.0):
 * `repositories` names top layers, each layer is a folder <id> with its JSON
 * (which names its parent) and its tar. The config of today is put together
 * from these. Runs in isola-image's jail. */
#include "source.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/json.h"
#include "isola/strbuf.h"
#include "reader.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct layer {
	char id[DIGEST_HEX_SIZE];
	const struct spool_file *tar;
	char diff_id[DIGEST_SIZE];
	json_object *json; /* owned */
};

struct chain {
	struct layer *layers; /* top first */
	size_t n;
};

static void chain_fini(struct chain *c)
{
	for (size_t i = 0; i < c->n; i++)
		json_object_put(c->layers[i].json);
	free(c->layers);
}

static bool is_layer_id(const char *text)
{
	return strlen(text) == DIGEST_HEX_SIZE - 1 && strspn(text, "0123456789abcdef") == 64;
}

/* In the reader: the digest of what is in the layer. */
static int say_digest(int in_fd, int out_fd, const void *arg, struct err *err)
{
	const struct stream_options options = {
		.what = "a layer", .quick = true, .hash_plain = true, .plain_max = UINT64_MAX
	};
	cleanup_stream struct stream *s = NULL;
	const unsigned char *data = NULL;
	char digest[DIGEST_SIZE];
	(void)arg;
	ssize_t n = stream_new(in_fd, &options, &s, err);
	while (n >= 0 && (n = stream_next(s, &data, err)) > 0)
		;
	if (n < 0)
		return (int)n;
	int rc = stream_plain_digest(s, digest);
	if (rc < 0)
		return err_set(err, -rc, "SHA-256 failed");
	rc = fd_write_all(out_fd, digest, sizeof(digest) - 1);
	return rc < 0 ? err_rc(err, rc, "cannot pass on a digest") : 0;
}

/* For a plain tar it is the file's own. */
static int read_diff_id(const struct spool *spool, const struct spool_file *f,
			char ret[DIGEST_SIZE], struct err *err)
{
	enum stream_format format = STREAM_PLAIN;
	cleanup_reader struct reader reader = READER_INIT;
	char digest[DIGEST_SIZE] = "";
	int rc = spool_format(spool, f, &format, err);
	if (rc < 0)
		return rc;
	if (format == STREAM_PLAIN) {
		strcpy(ret, f->digest);
		return 0;
	}
	cleanup_fd int fd = spool_open(spool, f, err);
	rc = fd < 0 ? fd : reader_start(spool->job, fd, say_digest, NULL, &reader, err);
	ssize_t n = rc < 0 ? rc : reader_data(&reader, digest, sizeof(digest) - 1, err);
	if (n < 0)
		return (int)n;
	rc = reader_end(&reader, "a layer", err);
	if (rc == 0 && !id_is_digest(digest))
		rc = err_set(err, EIO, "the process that reads a layer failed");
	if (rc == 0)
		strcpy(ret, digest);
	return rc;
}

static int read_layer(const struct spool *spool, struct layer *l, struct err *err)
{
	char name[DIGEST_HEX_SIZE + 16];
	cleanup_free char *text = NULL;
	size_t size = 0;
	(void)snprintf(name, sizeof(name), "%s/json", l->id);
	const struct spool_file *json = spool_find(spool, name);
	(void)snprintf(name, sizeof(name), "%s/layer.tar", l->id);
	l->tar = spool_find(spool, name);
	if (!json || !l->tar)
		return err_set(err, EINVAL, "the archive lacks %s of layer %.12s",
			       json ? "layer.tar" : "json", l->id);
	int rc = spool_text(spool, json, &text, &size, err);
	if (rc == 0)
		rc = json_parse_max(text, size, "layer json", SOURCE_VALUES_MAX / 100, &l->json,
				    err);
	return rc < 0 ? rc : read_diff_id(spool, l->tar, l->diff_id, err);
}

static int read_chain(const struct spool *spool, const char *top, struct chain *c, struct err *err)
{
	const char *id = top;
	c->layers = calloc(STORE_LAYERS_MAX, sizeof(*c->layers));
	if (!c->layers)
		return err_set(err, ENOMEM, "out of memory");
	while (*id) {
		if (!is_layer_id(id))
			return err_set(err, EINVAL, "\"%.80s\" is no layer id", id);
		if (c->n == STORE_LAYERS_MAX)
			return err_set(err, EFBIG, "more than %d layers, or a loop of parents",
				       STORE_LAYERS_MAX);
		struct layer *l = &c->layers[c->n++];
		strcpy(l->id, id);
		int rc = read_layer(spool, l, err);
		id = "";
		if (rc == 0)
			rc = json_get_str(l->json, "parent", &id, err);
		if (rc < 0)
			return rc;
	}
	return c->n > 0 ? 0 : err_set(err, EINVAL, "an image has no layers");
}

static json_object *history_of(const struct layer *l)
{
	json_object *h = json_object_new_object();
	json_object *cmd = json_get(json_get(l->json, "container_config"), "Cmd");
	cleanup_strbuf struct strbuf b = STRBUF_INIT;
	for (size_t i = 0; i < json_len(cmd); i++)
		strbuf_printf(&b, "%s%s", i ? " " : "", json_item_str(cmd, i));
	static const char *const keys[] = { "created", "author", "comment" };
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (*json_str_or(l->json, keys[i], ""))
			json_add_str(h, keys[i], json_str_or(l->json, keys[i], ""));
	if (b.text)
		json_add_str(h, "created_by", b.text);
	return h;
}

static json_object *config_of(const struct chain *c)
{
	static const char *const keys[] = { "architecture", "author",  "comment",
					    "config",       "created", "os" };
	json_object *top = c->layers[0].json, *o = json_object_new_object();
	json_object *rootfs = json_object_new_object(), *ids = json_object_new_array();
	json_object *history = json_object_new_array();
	for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++)
		if (json_get(top, keys[i]))
			json_add(o, keys[i], json_copy(json_get(top, keys[i])));
	json_add(o, "history", history);
	json_add_str(rootfs, "type", "layers");
	json_add(rootfs, "diff_ids", ids);
	json_add(o, "rootfs", rootfs);
	for (size_t i = c->n; i-- > 0;) {
		(void)json_object_array_add(ids, json_object_new_string(c->layers[i].diff_id));
		(void)json_object_array_add(history, history_of(&c->layers[i]));
	}
	return o;
}

static int fill_source(const struct spool *spool, const struct chain *c, struct source *src,
		       struct err *err)
{
	cleanup_json json_object *config = config_of(c);
	src->config_text = strdup(json_object_to_json_string_ext(
		config, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE));
	if (!src->config_text)
		return err_set(err, ENOMEM, "out of memory");
	size_t size = strlen(src->config_text);
	int rc = source_set_config(src, src->config_text, size, err);
	if (rc < 0)
		return rc;
	for (size_t i = 0; i < src->n_layers; i++)
		source_set_layer(src, i, c->layers[c->n - 1 - i].tar);
	return source_make_manifest(src, spool->job->store, spool, size, err);
}

static int one_image(const struct spool *spool, const char *repo, const char *tag, const char *id,
		     source_fn *each, void *arg, struct err *err)
{
	cleanup_source struct source src = { 0 };
	cleanup_strbuf struct strbuf ref = STRBUF_INIT;
	struct chain c = { 0 };
	strbuf_printf(&ref, "%s:%s", repo, tag);
	int rc = strbuf_ok(&ref) ? read_chain(spool, id, &c, err) : -ENOMEM;
	if (rc == 0)
		rc = fill_source(spool, &c, &src, err);
	chain_fini(&c);
	if (rc == 0)
		rc = source_add_ref(&src, ref.text, err);
	return rc < 0 ? rc : each(&src, arg, err);
}

int source_legacy_each(const struct spool *spool, source_fn *each, void *arg, struct err *err)
{
	cleanup_free char *text = NULL;
	cleanup_json json_object *repos = NULL;
	size_t size = 0, n = 0;
	int rc = spool_text(spool, spool_find(spool, "repositories"), &text, &size, err);
	if (rc == 0)
		rc = json_parse_max(text, size, "repositories", SOURCE_VALUES_MAX, &repos, err);
	if (rc < 0)
		return rc;
	if (!json_object_is_type(repos, json_type_object))
		return err_set(err, EINVAL, "repositories is no JSON object");
	json_object_object_foreach (repos, repo, tags) {
		if (!json_object_is_type(tags, json_type_object))
			return err_set(err, EINVAL, "repositories: \"%.100s\" must hold an object",
				       repo);
		json_object_object_foreach (tags, tag, id) {
			n++;
			if (!json_object_is_type(id, json_type_string))
				return err_set(err, EINVAL, "repositories: ids must be strings");
			rc = one_image(spool, repo, tag, json_object_get_string(id), each, arg,
				       err);
			if (rc < 0)
				return err_prefix(err, "image \"%.100s:%.100s\"", repo, tag);
		}
	}
	return n > 0 ? 0 : err_set(err, EINVAL, "repositories lists no images");
}
