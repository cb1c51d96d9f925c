/* SPDX-License-Identifier: Apache-2.0 */
/* pull - see pull.h.
 *
 *   name -> digest (HEAD) -> known: done
 *     -> manifest -> config -> leases of all layers' blobs, in order of their digests
 *     -> blobs, some at once, into the job's folder as they come (net_pump()), compared
 *     -> layers, some at once, unpacked while they still come (layer_queue.h)
 *     -> image_commit(): one sync, then names (for what another job waits for, before: share.h)
 *
 * A layer's processes are given bytes that were not compared yet; its folder gets a name
 * only when they were. */
#include "pull.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "isola/json.h"
#include "isola/num.h"
#include "blob.h"
#include "cancel.h"
#include "collect.h"
#include "layer_queue.h"
#include "names.h"
#include "progress.h"
#include "share.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AT_ONCE 4
#define LOOK_NS 100000000
/* Of the time, at most so much goes into syncs that other pulls cause: a quarter. */
#define LOOK_FACTOR 4
#define PUMP_SOME   64 /* frames taken before the layers are looked at */

struct part {
	struct pull *p;
	struct part *same; /* the lower one of the same blob, or NULL */
	struct net_get get;
	struct blob_write w;
	int grow_fd; /* tells its layer's processes that more has come; -1 = nobody */
	uint64_t size;
	bool wanted;  /* to be downloaded by this job */
	bool loading; /* and not here yet */
	char digest[DIGEST_SIZE], path[1024];
};

struct pull {
	const struct store *s;
	const struct limits *limits;
	const struct registry *r;
	struct net *net;
	struct job job;
	struct manifest m;
	struct source src;
	struct part *parts;
	struct layer *layers;
	struct layer_queue queue;
	struct part *failed;
	size_t next, running, told;
	size_t shared;   /* the lowest layers, which have their names already */
	int64_t look_ns; /* when it is time to look again */
};

/* ---- downloads ---- */

static int on_data(struct net_get *g, const void *data, size_t size, struct err *err)
{
	struct part *part = g->arg;
	if (part->w.size + size > part->size)
		return err_set(err, EINVAL,
			       "wrong size: blob %s is larger than the %llu bytes of "
			       "its descriptor",
			       part->digest, (unsigned long long)part->size);
	int rc = blob_add(&part->w, data, size, err);
	if (rc == 0)
		progress_status("Downloading", part->digest, part->w.size, part->size);
	/* A full pipe wakes, too. */
	if (part->grow_fd >= 0)
		(void)!write(part->grow_fd, "", 1);
	return rc;
}

static int compare(struct part *part)
{
	struct err err = ERR_INIT;
	progress_status("Verifying Checksum", part->digest, 0, 0);
	int rc = blob_compare(&part->w, part->digest, (int64_t)part->size, &err);
	if (rc < 0) {
		part->get.code = err.code;
		(void)snprintf(part->get.text, sizeof(part->get.text), "%s", err.text);
	}
	return rc;
}

static void on_end(struct net_get *g)
{
	struct part *part = g->arg;
	part->p->running--;
	part->loading = false;
	if (g->code || compare(part) < 0) {
		part->p->failed = part;
		return;
	}
	progress_status("Download complete", part->digest, 0, 0);
	/* The end of the blob; of a failed one the pipe stays open until the layer is
	 * given up. */
	fd_close(&part->grow_fd);
}

static int start_more(struct pull *p, struct err *err)
{
	int rc = 0;
	for (; rc == 0 && p->running < AT_ONCE && p->next < p->m.n; p->next++) {
		struct part *part = &p->parts[p->next];
		if (!part->wanted)
			continue;
		(void)snprintf(part->path, sizeof(part->path), "/v2/%s/blobs/%s", p->r->repo,
			       part->digest);
		part->get = (struct net_get){ .method = "GET",
					      .path = part->path,
					      .data = on_data,
					      .end = on_end,
					      .arg = part };
		rc = blob_begin(&p->job, &part->w, err);
		if (rc == 0)
			rc = net_send(p->net, &part->get, err);
		p->running++;
	}
	return rc;
}

/* ---- layers ---- */

/* A pipe that tells how the part grows: its read end. */
static int watch_part(struct part *part, struct err *err)
{
	int fds[2];
	if (pipe2(fds, O_CLOEXEC) < 0)
		return err_sys(err, "cannot make a pipe");
	(void)fd_set_nonblock(fds[1], true);
	part->grow_fd = fds[1];
	return fds[0];
}

/* The blob of layer @part: what comes, or came, or is in the store. */
static int open_part(struct pull *p, struct part *part, struct layer_input *input, struct err *err)
{
	struct part *from = part->same ? part->same : part;
	int fd = from->wanted ? blob_reopen(&from->w, err)
			      : blob_open(p->s, part->digest, &input->size, err);
	if (fd < 0 || !from->wanted || from->get.ended)
		return fd;
	input->grows = true;
	input->grow_fd = watch_part(part, err);
	if (input->grow_fd < 0) {
		int rc = input->grow_fd;
		fd_close(&fd);
		return rc;
	}
	return fd;
}

static int unpack(struct pull *p, size_t i, struct err *err)
{
	struct part *part = &p->parts[i];
	char what[64];
	struct layer_input input = { .what = what,
				     .grow_fd = -1,
				     .id = part->digest,
				     .status = "Extracting",
				     .silent = &part->loading,
				     .size = part->size,
				     .bytes_max = p->limits->bytes,
				     .entries_max = p->limits->entries };
	(void)snprintf(what, sizeof(what), "layer %zu (%.12s)", i + 1, digest_hex(part->digest));
	cleanup_fd int fd = open_part(p, part, &input, err);
	if (fd < 0)
		return fd;
	input.fd = fd;
	p->layers[i].number = (unsigned int)i;
	int rc = layer_queue_add(&p->queue, &p->job, &input, err);
	fd_close(&input.grow_fd);
	return rc;
}

static int begin_layer(struct pull *p, struct err *err)
{
	size_t i = p->queue.begun;
	struct layer *l = &p->layers[i];
	strcpy(l->diff_id, p->src.layers[i].diff_id);
	int rc = digest_chain(i ? p->layers[i - 1].chain : NULL, l->diff_id, l->chain, err);
	if (rc == 0)
		rc = layer_claim(p->s, l, err);
	if (rc < 0)
		return rc;
	if (l->present)
		return layer_queue_add(&p->queue, &p->job, NULL, err);
	return unpack(p, i, err);
}

/* Is there anything of the next layer to be read? Of a second one of the same blob: all? */
static bool may_begin(const struct pull *p)
{
	if (!layer_queue_has_room(&p->queue))
		return false;
	const struct part *part = &p->parts[p->queue.begun];
	if (part->same && part->same->wanted)
		return part->same->get.ended;
	return !part->wanted || part->w.fd >= 0;
}

static bool is_complete(const struct pull *p, size_t i)
{
	return i < p->queue.settled && (!p->parts[i].wanted || p->parts[i].get.ended);
}

/* Says of the lowest layers that they are here, in their order. */
static void tell_complete(struct pull *p)
{
	for (; p->told < p->m.n && is_complete(p, p->told); p->told++) {
		const struct part *part = &p->parts[p->told];
		progress_status(!part->wanted && p->layers[p->told].present ? "Already exists"
									    : "Pull complete",
				part->digest, 0, 0);
	}
}

static size_t find_wanted(const struct pull *p)
{
	for (size_t i = p->told; i > p->shared; i--)
		if (p->parts[i - 1].wanted && blob_is_wanted(&p->job, p->parts[i - 1].digest))
			return i;
	return 0;
}

/* Another pull that waits for one of the layers that are here need not wait for the rest. */
static int share_wanted(struct pull *p, struct err *err)
{
	struct blob_write *blobs[STORE_LAYERS_MAX];
	int64_t now = num_now_ns();
	if (now < p->look_ns)
		return 0;
	size_t n = find_wanted(p);
	for (size_t i = 0; i < n; i++)
		blobs[i] = p->parts[i].wanted ? &p->parts[i].w : NULL;
	int rc = n ? share_layers(&p->job, p->layers, blobs, n, err) : 0;
	for (size_t i = 0; rc == 0 && i < n; i++)
		p->parts[i].wanted = false; /* any more */
	p->shared = n ? n : p->shared;
	int64_t end = num_now_ns();
	p->look_ns = end + LOOK_NS + LOOK_FACTOR * (end - now);
	return rc;
}

/* Waits for what comes from the registry and what the layers' processes say. */
static int wait_some(struct pull *p, struct err *err)
{
	struct pollfd fds[1 + LAYER_QUEUE_FDS];
	size_t n = layer_queue_fds(&p->queue, fds + 1);
	int rc = 0;
	fds[0] = (struct pollfd){ .fd = p->running ? p->net->data_fd : -1, .events = POLLIN };
	(void)poll(fds, (nfds_t)(1 + n), LAYER_WAIT_MS);
	if (cancel_requested())
		return err_set(err, EINTR, "the pull was cancelled");
	for (int i = 0; rc == 0 && i < PUMP_SOME && p->running && poll(fds, 1, 0) > 0; i++)
		rc = net_pump(p->net, err);
	if (rc == 0 && p->failed)
		rc = err_set(err, p->failed->get.code, "%s", p->failed->get.text);
	return rc < 0 ? rc : layer_queue_step(&p->queue, err);
}

static int get_layers(struct pull *p, struct err *err)
{
	int rc = layer_queue_init(&p->queue, p->layers, p->m.n, err);
	while (rc == 0 && p->told < p->m.n) {
		rc = start_more(p, err);
		while (rc == 0 && may_begin(p))
			rc = begin_layer(p, err);
		if (rc == 0)
			rc = layer_queue_step(&p->queue, err);
		tell_complete(p);
		if (rc == 0)
			rc = share_wanted(p, err);
		if (rc == 0 && p->told < p->m.n)
			rc = wait_some(p, err);
	}
	for (size_t i = 0; i < p->m.n; i++)
		p->src.layers[i].blob = p->parts[i].wanted ? &p->parts[i].w : NULL;
	return rc;
}

/* ---- leases ---- */

static int by_digest(const void *a, const void *b)
{
	return strcmp((*(struct part *const *)a)->digest, (*(struct part *const *)b)->digest);
}

/* In order of the digests, so that two pulls cannot wait for each other; the second
 * one finds the first one's work done. */
static int lease_all(struct pull *p, struct err *err)
{
	struct part **sorted = calloc(p->m.n + 1, sizeof(struct part *));
	int rc = sorted ? 0 : err_set(err, ENOMEM, "out of memory");
	for (size_t i = 0; rc == 0 && i < p->m.n; i++)
		sorted[i] = &p->parts[i];
	if (rc == 0)
		qsort(sorted, p->m.n, sizeof(struct part *), by_digest);
	for (size_t i = 0; rc >= 0 && i < p->m.n; i++) {
		bool twice = i && !strcmp(sorted[i]->digest, sorted[i - 1]->digest);
		rc = blob_lease(&p->job, sorted[i]->digest, false, err);
		if (rc == -EAGAIN) {
			progress_status("Waiting for another pull", sorted[i]->digest, 0, 0);
			rc = blob_lease(&p->job, sorted[i]->digest, true, err);
		}
		sorted[i]->wanted = rc == 0 && !twice;
	}
	free(sorted);
	/* The lowest of equal ones is the one that is loaded. */
	for (size_t i = 0; rc >= 0 && i < p->m.n; i++)
		for (size_t k = 0; k < i && !p->parts[i].same; k++)
			if (!strcmp(p->parts[i].digest, p->parts[k].digest)) {
				p->parts[i].same = &p->parts[k];
				p->parts[k].wanted |= p->parts[i].wanted;
				p->parts[i].wanted = false;
			}
	for (size_t i = 0; i < p->m.n; i++)
		p->parts[i].loading = p->parts[i].wanted;
	return rc < 0 ? rc : 0;
}

/* ---- the image ---- */

static int prepare(struct pull *p, struct err *err)
{
	p->layers = calloc(p->m.n + 1, sizeof(*p->layers));
	p->parts = p->layers ? calloc(p->m.n + 1, sizeof(*p->parts)) : NULL;
	if (!p->parts)
		return err_set(err, ENOMEM, "out of memory");
	/* All of them, before anything can fail: pull_fini() looks at all. */
	for (size_t i = 0; i < p->m.n; i++) {
		p->parts[i] = (struct part){ .p = p, .w = BLOB_WRITE_INIT, .grow_fd = -1 };
		p->layers[i] = (struct layer)LAYER_INIT;
	}
	for (size_t i = 0; i < p->m.n; i++) {
		struct part *part = &p->parts[i];
		part->size = p->m.layers[i].size;
		strcpy(part->digest, p->m.layers[i].digest);
		strcpy(p->src.layers[i].digest, part->digest);
		if (part->size > p->limits->bytes)
			return err_set(err, EFBIG,
				       "layer %zu has %llu bytes: more than "
				       "--max-bytes",
				       i + 1, (unsigned long long)part->size);
		progress_status("Pulling fs layer", part->digest, 0, 0);
	}
	return lease_all(p, err);
}

static int check_platform(const struct pull *p, const char *platform, struct err *err)
{
	struct err has = ERR_INIT;
	int rc = platform ? image_platform_check(platform, p->src.record, &has) : 0;
	if (rc == -ENOENT)
		return err_set(err, ENOENT, "the image is for %s, not for the wanted %s", has.text,
			       platform);
	return rc < 0 ? err_copy(err, &has) : 0;
}

static int get_config(struct pull *p, const char *platform, struct err *err)
{
	cleanup_free char *text = NULL;
	size_t size = 0;
	int rc = manifest_blob(p->net, p->r, p->m.config, &text, &size, err);
	if (rc == 0)
		rc = source_set_config(&p->src, text, size, err);
	if (rc == 0 && p->src.n_layers != p->m.n)
		rc = err_set(err, EINVAL,
			     "the manifest has %zu layers, but the config %zu diff_ids", p->m.n,
			     p->src.n_layers);
	if (rc == 0)
		rc = check_platform(p, platform, err);
	if (rc < 0)
		return rc;
	p->src.config_text = take_ptr(text);
	p->src.manifest_text = take_ptr(p->m.text);
	p->src.manifest_size = p->m.size;
	p->src.manifest_type = p->m.type;
	strcpy(p->src.manifest, p->m.digest);
	return 0;
}

static int pull_image(struct pull *p, const char *platform, struct err *err)
{
	int rc = get_config(p, platform, err);
	if (rc == 0)
		rc = prepare(p, err);
	if (rc == 0)
		rc = get_layers(p, err);
	if (rc == 0) {
		json_object_put(p->src.refs);
		p->src.refs = pull_names(p->r, p->m.top);
		rc = image_commit(&p->job, NULL, &p->src, p->layers, err);
	}
	return rc;
}

static void pull_fini(struct pull *p)
{
	for (size_t i = 0; p->parts && i < p->m.n; i++)
		fd_close(&p->parts[i].grow_fd);
	layer_queue_fini(&p->queue);
	for (size_t i = 0; p->parts && i < p->m.n; i++)
		blob_write_fini(&p->parts[i].w);
	for (size_t i = p->parts ? p->m.n : 0; i-- > 0;)
		layer_fini(p->s, &p->layers[i]);
	free(p->parts);
	free(p->layers);
	source_fini(&p->src);
	manifest_fini(&p->m);
}

static void set_aux(json_object **ret, const char *id, const struct registry *r, const char *top)
{
	*ret = json_object_new_object();
	json_add_str(*ret, "ID", id);
	json_add(*ret, "Refs", pull_names(r, top));
}

static void tell(const char *top, const char *status, const char *ref)
{
	char text[IMAGE_REF_MAX + 100], shown[IMAGE_REF_MAX];
	image_ref_familiar(ref, shown, sizeof(shown));
	(void)snprintf(text, sizeof(text), "Digest: %s", top);
	progress_status(text, NULL, 0, 0);
	(void)snprintf(text, sizeof(text), "Status: %s for %s", status, shown);
	progress_status(text, NULL, 0, 0);
}

int job_pull(const struct store *s, const struct limits *limits, const struct registry *r,
	     struct net *net, const struct pull_options *options, json_object **ret_aux,
	     struct err *err)
{
	struct pull p = { .s = s, .limits = limits, .r = r, .net = net, .job = JOB_INIT };
	char top[DIGEST_SIZE] = "", id[DIGEST_SIZE] = "", what[300];
	int rc = 0;
	if (*r->digest)
		strcpy(top, r->digest);
	else
		rc = manifest_head(net, r, top, err);
	(void)snprintf(what, sizeof(what), "Pulling from %.250s", r->repo);
	if (rc == 0)
		progress_status(what, *r->digest ? r->digest : r->tag, 0, 0);
	if (rc == 0 && *top)
		rc = pull_is_here(s, r, options->platform, top, id, err);
	if (rc == 1) {
		tell(top, "Image is up to date", options->ref);
		set_aux(ret_aux, id, r, top);
		return 0;
	}
	if (rc == 0)
		rc = job_open(s, &p.job, err);
	if (rc == 0)
		rc = manifest_get(net, r, top, options->platform, &p.m, err);
	if (rc == 0)
		rc = pull_image(&p, options->platform, err);
	if (rc == 0) {
		tell(p.m.top, "Downloaded newer image", options->ref);
		set_aux(ret_aux, p.src.id, r, p.m.top);
	}
	pull_fini(&p);
	if (rc < 0 && p.job.fd >= 0)
		(void)collect_sweep(&p.job, NULL, NULL);
	job_fini(&p.job);
	return rc;
}
