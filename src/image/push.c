/* SPDX-License-Identifier: Apache-2.0 */
/* push - see push.h. Runs in isola-image's jail.
 *
 *   names -> image -> leases of its blobs
 *     -> layers, some at once (push_blob.c); plain ones are compressed first, unless an
 *        earlier push tells what comes of that and the registry has it
 *     -> config -> manifest, under the tag -> the digest becomes one of the image's names
 *
 * What a plain layer became stands in the record: "squeezed": { "<digest>": { "digest",
 * "size" } }. Which repository has which layer: what the names with a digest tell. */
#include "push.h"

#include "isola/fd.h"
#include "isola/id.h"
#include "isola/image.h"
#include "isola/json.h"
#include "cancel.h"
#include "collect.h"
#include "gzip.h"
#include "names.h"
#include "progress.h"
#include "stream.h"

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE    4
#define PUMP_SOME  64
#define REF_NAME   "org.opencontainers.image.ref.name"
#define SHOWN_NAME 400

struct push {
	const struct store *s;
	const struct registry *r;
	struct net *net;
	struct job job;
	json_object *index;    /* names; owned */
	json_object *squeezed; /* of all records; owned */
	json_object *origins;  /* digest -> a repository of this registry; owned */
	json_object *images;   /* for the answer: {"ID","Refs"}; owned */
};

/* A layer, and what becomes of it. */
struct part {
	struct push_blob b;
	char source[DIGEST_SIZE]; /* the store's blob */
	bool plain, begun;
};

struct image {
	const char *ref, *tag; /* "host/repo:tag"; "tag" */
	json_object *record;   /* owned */
	struct source src;
	struct part *parts;
	size_t n;
};

/* ---- waiting ---- */

static int pump_ready(struct push *p, struct err *err)
{
	struct pollfd f = { .fd = p->net->data_fd, .events = POLLIN };
	int rc = cancel_requested() ? err_set(err, ECANCELED, "the push was cancelled") : 0;
	for (int i = 0; rc == 0 && i < PUMP_SOME && poll(&f, 1, 0) > 0; i++)
		rc = net_pump(p->net, err);
	return rc;
}

static int blob_result(const struct push_blob *b, struct err *err)
{
	return b->code ? err_set(err, b->code, "%s", b->text) : 0;
}

/* ---- compressing ---- */

struct squeezing {
	struct push *p;
	const struct part *part;
	uint64_t size;
};

static int on_squeezed(void *arg, uint64_t done, struct err *err)
{
	struct squeezing *q = arg;
	progress_status("Compressing", q->part->b.label, done, q->size);
	return pump_ready(q->p, err);
}

/* Makes @part's digest, size and descriptor. */
static int squeeze(struct push *p, struct part *part, struct err *err)
{
	struct squeezing q = { .p = p, .part = part };
	cleanup_blob_write struct blob_write w = BLOB_WRITE_INIT;
	cleanup_fd int fd = blob_open(p->s, part->source, &q.size, err);
	int rc = fd < 0 ? fd : blob_begin(&p->job, &w, err);
	if (rc == 0)
		rc = gzip_write(fd, &w, on_squeezed, &q, err);
	if (rc == 0 && hasher_end(w.hasher, part->b.digest) < 0)
		rc = err_set(err, EIO, "SHA-256 failed");
	if (rc == 0)
		rc = part->b.fd = blob_reopen(&w, err);
	part->b.size = w.size;
	if (rc < 0)
		return rc;
	/* Later pushes need not do it again. */
	json_object *o = json_object_new_object();
	json_add_str(o, "digest", part->b.digest);
	json_add_i64(o, "size", (int64_t)part->b.size);
	json_add(p->squeezed, part->source, o);
	return 0;
}

static int open_part(struct push *p, struct part *part, struct err *err)
{
	if (part->plain)
		return squeeze(p, part, err);
	part->b.fd = blob_open(p->s, part->source, NULL, err);
	return part->b.fd < 0 ? part->b.fd : 0;
}

/* ---- layers ---- */

/* What is known before the first byte is read. */
static int begin_part(struct push *p, struct part *part, struct err *err)
{
	json_object *known = part->plain ? json_get(p->squeezed, part->source) : NULL;
	int rc = 0;
	part->begun = true;
	if (known) {
		(void)snprintf(part->b.digest, DIGEST_SIZE, "%s", json_str_or(known, "digest", ""));
		part->b.size = (uint64_t)json_i64_or(known, "size", 0);
	} else if (part->plain) {
		rc = squeeze(p, part, err);
	}
	if (rc < 0)
		return rc;
	part->b.from = json_str_or(p->origins, part->b.digest, NULL);
	push_blob_begin(&part->b);
	return 0;
}

/* A part that the registry turned out to lack. */
static int feed_part(struct push *p, struct part *part, struct err *err)
{
	char expected[DIGEST_SIZE];
	strcpy(expected, part->b.digest);
	int rc = open_part(p, part, err);
	if (rc < 0)
		return rc;
	/* Another zlib than last time gives other bytes: ask again. */
	part->b.wants_fd = false;
	if (strcmp(expected, part->b.digest) != 0)
		push_blob_begin(&part->b);
	else
		push_blob_send(&part->b);
	return 0;
}

/* A layer that the image has twice goes up once. */
static bool waits_for_twin(const struct image *m, size_t i)
{
	for (size_t k = 0; k < i; k++)
		if (!m->parts[k].b.done && !strcmp(m->parts[k].source, m->parts[i].source))
			return true;
	return false;
}

static int advance(struct push *p, struct image *m, bool *ret_all, struct err *err)
{
	size_t running = 0, done = 0;
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < m->n; i++) {
		struct part *part = &m->parts[i];
		if (part->b.done) {
			done++;
			rc = blob_result(&part->b, err);
			fd_close(&part->b.fd);
			continue;
		}
		if (part->begun && part->b.wants_fd)
			rc = feed_part(p, part, err);
		else if (!part->begun && running < AT_ONCE && !waits_for_twin(m, i))
			rc = begin_part(p, part, err);
		running += part->begun;
	}
	*ret_all = done == m->n;
	return rc;
}

static int send_layers(struct push *p, struct image *m, struct err *err)
{
	for (bool all = false;;) {
		int rc = advance(p, m, &all, err);
		if (rc < 0 || all)
			return rc;
		rc = net_pump(p->net, err);
		if (rc == 0)
			rc = pump_ready(p, err);
		if (rc < 0)
			return rc;
	}
}

/* ---- config and manifest ---- */

static int send_config(struct push *p, const struct image *m, struct err *err)
{
	struct push_blob b = PUSH_BLOB_INIT;
	b.net = p->net;
	b.r = p->r;
	strcpy(b.digest, m->src.id);
	b.fd = blob_open(p->s, m->src.id, &b.size, err);
	b.from = json_str_or(p->origins, b.digest, NULL);
	int rc = b.fd < 0 ? b.fd : 0;
	if (rc == 0)
		push_blob_begin(&b);
	while (rc == 0 && !b.done)
		rc = net_pump(p->net, err);
	if (rc == 0)
		rc = blob_result(&b, err);
	push_blob_fini(&b);
	return rc;
}

/* The file that goes up, and its digest. Returns the fd. */
static int make_manifest(struct push *p, const struct image *m, char ret_digest[DIGEST_SIZE],
			 uint64_t *ret_size, struct err *err)
{
	cleanup_free char *text = NULL, *made = NULL;
	cleanup_free char(*digests)[DIGEST_SIZE] = calloc(m->n + 1, DIGEST_SIZE);
	cleanup_free uint64_t *sizes = calloc(m->n + 1, sizeof(*sizes));
	bool any = false;
	size_t size = 0;
	if (!digests || !sizes)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < m->n; i++) {
		const struct part *part = &m->parts[i];
		if (!part->plain)
			continue;
		any = true;
		strcpy(digests[i], part->b.digest);
		sizes[i] = part->b.size;
	}
	strcpy(ret_digest, m->src.manifest);
	if (!any)
		return blob_open(p->s, m->src.manifest, ret_size, err);
	int rc = blob_text(p->s, m->src.manifest, &text, &size, err);
	if (rc == 0)
		rc = push_manifest(text, size, (const char(*)[DIGEST_SIZE])digests, sizes, m->n,
				   &made, err);
	if (rc == 0)
		rc = digest_of(made, strlen(made), ret_digest, err);
	cleanup_fd int fd = rc < 0 ? rc : job_temp(&p->job, err);
	if (fd < 0)
		return fd;
	rc = fd_write_all(fd, made, strlen(made));
	*ret_size = strlen(made);
	return rc < 0 ? err_rc(err, rc, "cannot write a temporary file") : take_fd(&fd);
}

static int send_manifest(struct push *p, const struct image *m, char ret_digest[DIGEST_SIZE],
			 uint64_t *ret_size, struct err *err)
{
	char path[1024];
	cleanup_fd int fd = make_manifest(p, m, ret_digest, ret_size, err);
	(void)snprintf(path, sizeof(path), "/v2/%s/manifests/%s", p->r->repo, m->tag);
	struct net_get g = { .method = "PUT",
			     .path = path,
			     .content_type = m->src.manifest_type,
			     .has_body = true,
			     .body_fd = fd,
			     .body_size = *ret_size };
	int rc = fd < 0 ? fd : net_do(p->net, &g, err);
	if (rc < 0)
		return rc;
	if (g.status != 201)
		return err_set(err, EPROTO,
			       "%s answers %d (%.100s) to a manifest: is this a registry?",
			       p->r->host, g.status, g.type);
	if (*g.digest && strcmp(g.digest, ret_digest) != 0)
		return err_set(err, EPROTO, "%s took the manifest for %s, but it is %s", p->r->host,
			       g.digest, ret_digest);
	return 0;
}

/* ---- what stays known ---- */

/* The name with the digest, and what plain layers became. The image may be gone. */
static int remember(struct push *p, const struct image *m, const char *digest, struct err *err)
{
	char ref[IMAGE_REF_MAX];
	cleanup_json json_object *record = NULL, *index = NULL, *descriptor = NULL;
	cleanup_fd int lock = store_lock(p->s, err);
	int rc = lock < 0 ? lock : record_read(p->s, m->src.id, &record, err);
	if (rc <= 0 || snprintf(ref, sizeof(ref), "%s/%s@%s", p->r->host, p->r->repo, digest) >=
			       (int)sizeof(ref))
		return rc < 0 ? rc : 0;
	json_object *squeezed = json_object_new_object();
	for (size_t i = 0; i < m->n; i++)
		if (m->parts[i].plain)
			json_add(squeezed, m->parts[i].source,
				 json_copy(json_get(p->squeezed, m->parts[i].source)));
	if (json_object_object_length(squeezed)) {
		json_add(record, "squeezed", squeezed);
		rc = record_write(p->s, record, err);
	} else {
		json_object_put(squeezed);
		rc = 0;
	}
	if (rc == 0)
		rc = names_read(p->s, &index, err);
	if (rc < 0)
		return rc;
	descriptor = names_descriptor(record);
	rc = names_set(index, ref, descriptor, NULL, 0, err);
	return rc < 0 ? rc : names_write(p->s, index, err);
}

static const char *name_of(json_object *descriptor)
{
	return json_str_or(json_get(descriptor, "annotations"), REF_NAME, "");
}

struct learning {
	struct push *p;
	const char *manifest, *repo; /* "" = none; a repository that has it */
};

static void add_origin(struct push *p, const char *digest, const char *repo)
{
	if (!json_get(p->origins, digest))
		json_add_str(p->origins, digest, repo);
}

static int learn_squeezed(json_object *record, void *arg, struct err *err)
{
	struct push *p = arg;
	json_object *all = json_get(record, "squeezed");
	(void)err;
	if (!json_object_is_type(all, json_type_object))
		return 0;
	json_object_object_foreach (all, digest, what)
		if (id_is_digest(json_str_or(what, "digest", "")))
			json_add(p->squeezed, digest, json_copy(what));
	return 0;
}

static int learn_origins(json_object *record, void *arg, struct err *err)
{
	struct learning *l = arg;
	json_object *blobs = json_get(record, "blobs");
	(void)err;
	if (strcmp(json_str_or(record, "manifest", ""), l->manifest) != 0)
		return 0;
	for (size_t i = 0; i < json_len(blobs); i++) {
		const char *digest = json_item_str(blobs, i);
		json_object *squeezed = json_get(l->p->squeezed, digest);
		add_origin(l->p, squeezed ? json_str_or(squeezed, "digest", "") : digest, l->repo);
	}
	return 0;
}

/* Names with digests of other repositories at the same registry. */
static int learn(struct push *p, struct err *err)
{
	json_object *list = json_get(p->index, "manifests");
	size_t n = strlen(p->r->host);
	int rc = record_each(p->s, learn_squeezed, p, err);
	for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
		char repo[sizeof(p->r->repo)];
		json_object *d = json_object_array_get_idx(list, i);
		const char *name = name_of(d), *at = strchr(name, '@');
		if (!at || strncmp(name, p->r->host, n) != 0 || name[n] != '/' ||
		    (size_t)(at - name) - n > sizeof(repo))
			continue;
		(void)snprintf(repo, sizeof(repo), "%.*s", (int)(at - name - (ptrdiff_t)n - 1),
			       name + n + 1);
		struct learning l = { p, json_str_or(d, "digest", ""), repo };
		if (strcmp(repo, p->r->repo) != 0)
			rc = record_each(p->s, learn_origins, &l, err);
	}
	return rc;
}

/* ---- an image ---- */

static int is_plain(const struct store *s, const char *digest, uint64_t *ret_size, struct err *err)
{
	unsigned char head[16];
	cleanup_fd int fd = blob_open(s, digest, ret_size, err);
	ssize_t n = fd < 0 ? fd : fd_read_all(fd, head, sizeof(head));
	if (fd < 0)
		return fd;
	if (n < 0)
		return err_rc(err, (int)n, "cannot read blob %s", digest);
	return stream_format_of(head, (size_t)n) == STREAM_PLAIN;
}

static int prepare(struct push *p, struct image *m, struct err *err)
{
	m->n = m->src.n_layers;
	m->parts = calloc(m->n + 1, sizeof(*m->parts));
	if (!m->parts)
		return err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; i < m->n; i++) {
		struct part *part = &m->parts[i];
		part->b = (struct push_blob)PUSH_BLOB_INIT;
		part->b.net = p->net;
		part->b.r = p->r;
		strcpy(part->b.label, m->src.layers[i].diff_id);
		strcpy(part->source, m->src.layers[i].digest);
	}
	for (size_t i = 0; i < m->n; i++) {
		struct part *part = &m->parts[i];
		int plain = is_plain(p->s, part->source, &part->b.size, err);
		if (plain < 0)
			return plain;
		part->plain = plain;
		if (!plain)
			strcpy(part->b.digest, part->source);
		progress_status("Preparing", part->b.label, 0, 0);
	}
	return 0;
}

static void image_fini(struct image *m)
{
	for (size_t i = 0; m->parts && i < m->n; i++)
		push_blob_fini(&m->parts[i].b);
	free(m->parts);
	source_fini(&m->src);
	json_object_put(m->record);
}

/* Docker's last line for a tag. */
static void tell(struct push *p, const struct image *m, const char *digest, uint64_t size)
{
	char text[300];
	json_object *aux = json_object_new_object();
	(void)snprintf(text, sizeof(text), "%s: digest: %s size: %llu", m->tag, digest,
		       (unsigned long long)size);
	progress_status(text, NULL, 0, 0);
	json_add_str(aux, "Tag", m->tag);
	json_add_str(aux, "Digest", digest);
	json_add_i64(aux, "Size", (int64_t)size);
	progress_detail(aux);
	json_object *image = json_object_new_object(), *refs = json_object_new_array();
	(void)json_object_array_add(refs, json_object_new_string(m->ref));
	json_add_str(image, "ID", m->src.id);
	json_add(image, "Refs", refs);
	(void)json_object_array_add(p->images, image);
}

static int push_image(struct push *p, struct image *m, const char *id, struct err *err)
{
	char digest[DIGEST_SIZE] = "";
	uint64_t size = 0;
	int rc = collect_hold(&p->job, id, &m->record, err);
	if (rc == 0)
		rc = source_from_store(p->s, json_str_or(m->record, "manifest", ""),
				       json_str_or(m->record, "manifest_type", ""), &m->src, err);
	if (rc == 0)
		rc = prepare(p, m, err);
	if (rc == 0)
		rc = send_layers(p, m, err);
	if (rc == 0)
		rc = send_config(p, m, err);
	if (rc == 0)
		rc = send_manifest(p, m, digest, &size, err);
	if (rc == 0)
		rc = remember(p, m, digest, err);
	if (rc == 0)
		tell(p, m, digest, size);
	return rc;
}

/* ---- the names ---- */

struct finding {
	const char *manifest;
	char id[DIGEST_SIZE];
};

static int find_record(json_object *record, void *arg, struct err *err)
{
	struct finding *f = arg;
	(void)err;
	if (!strcmp(json_str_or(record, "manifest", ""), f->manifest))
		(void)snprintf(f->id, sizeof(f->id), "%s", json_str_or(record, "id", ""));
	return 0;
}

static bool is_wanted(const struct push_options *o, const char *name)
{
	const char *colon = strrchr(o->ref, ':');
	if (strchr(name, '@'))
		return false;
	if (!o->all_tags)
		return !strcmp(name, o->ref);
	return !strncmp(name, o->ref, (size_t)(colon - o->ref) + 1) &&
	       !strchr(name + (colon - o->ref), '/');
}

static int check_names(const struct push *p, const struct push_options *o, struct err *err)
{
	char shown[IMAGE_REF_MAX];
	json_object *list = json_get(p->index, "manifests");
	for (size_t i = 0; i < json_len(list); i++)
		if (is_wanted(o, name_of(json_object_array_get_idx(list, i))))
			return 0;
	image_ref_familiar(o->ref, shown, sizeof(shown));
	return err_set(err, ENOENT, "An image does not exist locally with the tag: %.*s",
		       o->all_tags ? (int)(strrchr(shown, ':') - shown) : SHOWN_NAME, shown);
}

static int push_named(struct push *p, const struct push_options *o, struct err *err)
{
	json_object *list = json_get(p->index, "manifests");
	int rc = 0;
	for (size_t i = 0; rc == 0 && i < json_len(list); i++) {
		json_object *d = json_object_array_get_idx(list, i);
		struct finding f = { .manifest = json_str_or(d, "digest", "") };
		const char *name = name_of(d);
		if (!is_wanted(o, name))
			continue;
		struct image m = { .ref = name, .tag = strrchr(name, ':') + 1 };
		rc = record_each(p->s, find_record, &f, err);
		if (rc == 0)
			rc = push_image(p, &m, f.id, err);
		image_fini(&m);
	}
	return rc;
}

int job_push(const struct store *s, const struct registry *r, struct net *net,
	     const struct push_options *options, json_object **ret_aux, struct err *err)
{
	struct push p = { .s = s,
			  .r = r,
			  .net = net,
			  .job = JOB_INIT,
			  .squeezed = json_object_new_object(),
			  .origins = json_object_new_object(),
			  .images = json_object_new_array() };
	char text[IMAGE_REF_MAX + 64];
	int rc = *r->digest ? err_set(err, EINVAL, "cannot push a digest reference") : 0;
	(void)snprintf(text, sizeof(text), "The push refers to repository [%s/%s]", r->host,
		       r->repo);
	if (rc == 0)
		rc = names_read(s, &p.index, err);
	if (rc == 0)
		rc = check_names(&p, options, err);
	if (rc == 0)
		progress_status(text, NULL, 0, 0);
	if (rc == 0)
		rc = job_open(s, &p.job, err);
	if (rc == 0)
		rc = learn(&p, err);
	if (rc == 0)
		rc = push_named(&p, options, err);
	if (rc == 0) {
		*ret_aux = json_object_new_object();
		json_add(*ret_aux, "Images", json_object_get(p.images));
	}
	job_fini(&p.job);
	json_object_put(p.index);
	json_object_put(p.squeezed);
	json_object_put(p.origins);
	json_object_put(p.images);
	return rc;
}
