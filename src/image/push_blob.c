/* SPDX-License-Identifier: Apache-2.0 */
/* push_blob - one blob on its way up. Runs in isola-image's jail; the network process
 * does the requests.
 *
 *   HEAD: there ------------------------------------------------> done
 *     | no
 *   POST ?mount=&from=: 201 ------------------------------------> done
 *     | 202, or nothing to mount: POST
 *   PUT of the whole ---- 201 ----------------------------------> done
 *     | cut, stalled, 429, 5xx                                      ^
 *   GET of the upload: how far? -- PATCH of the rest -- PUT, empty -+
 *     | nothing, or it is gone: from HEAD on */
#include "push.h"

#include "isola/fd.h"
#include "isola/image.h"
#include "progress.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define TRIES_MAX     5 /* without progress */
#define TRIES_ALL_MAX 100
#define DELAY_MS      250
#define BYTES_TYPE    "application/octet-stream"

static void tell(const struct push_blob *b, const char *status)
{
	if (*b->label)
		progress_status(status, b->label, 0, 0);
}

static void fail(struct push_blob *b, int code, const char *text)
{
	b->code = code;
	(void)snprintf(b->text, sizeof(b->text), "%s", text);
	b->done = true;
}

static void finish(struct push_blob *b, const char *status)
{
	b->done = true;
	tell(b, status);
}

static void on_sent(struct net_get *g, uint64_t at)
{
	struct push_blob *b = g->arg;
	b->sent = true;
	if (*b->label)
		progress_status("Pushing", b->label, at, b->size);
}

static void on_end(struct net_get *g)
{
	struct push_blob *b = g->arg;
	b->next(b);
}

/* Sends a request that the caller has filled in; @next: who takes its answer. */
static void ask(struct push_blob *b, struct net_get get, void (*next)(struct push_blob *b))
{
	struct err err = ERR_INIT;
	get.sent = on_sent;
	get.end = on_end;
	get.arg = b;
	get.location = b->location;
	b->get = get;
	b->next = next;
	if (net_send(b->net, &b->get, &err) < 0)
		fail(b, err.code, err.text);
}

/* ---- the upload ---- */

static void on_status(struct push_blob *b);

/* Something that passes: the registry is asked how far it came. */
static void recover(struct push_blob *b)
{
	if (++b->tries > TRIES_MAX || ++b->tries_all > TRIES_ALL_MAX) {
		char text[700];
		(void)snprintf(text, sizeof(text), "%s (tried %u times)", b->get.text,
			       b->tries_all);
		fail(b, EIO, text);
		return;
	}
	tell(b, "Retrying");
	ask(b,
	    (struct net_get){ .method = "GET",
			      .url = b->url,
			      .delay_ms = (int64_t)DELAY_MS << (b->tries - 1) },
	    on_status);
}

static bool take_location(struct push_blob *b)
{
	if (*b->location)
		strcpy(b->url, b->location);
	return *b->url;
}

/* A registry that lost the upload, or never took it: from the start. */
static void restart(struct push_blob *b)
{
	b->offset = 0;
	push_blob_begin(b);
}

static void on_put(struct push_blob *b)
{
	char text[400];
	if (b->get.code == EAGAIN) {
		recover(b);
	} else if ((b->get.code == ENOENT || b->get.code == ERANGE) && b->tries < TRIES_MAX) {
		b->tries++;
		b->tries_all++;
		restart(b);
	} else if (b->get.code) {
		fail(b, b->get.code, b->get.text);
	} else if (b->get.status != 201 && b->get.status != 204) {
		(void)snprintf(text, sizeof(text),
			       "%s answers %d (%.100s) to a blob: is this a registry?", b->r->host,
			       b->get.status, b->get.type);
		fail(b, EPROTO, text);
	} else {
		finish(b, "Pushed");
	}
}

/* The last request of an upload: with the bytes, or behind them. */
static void put(struct push_blob *b, bool whole)
{
	char *url = b->last;
	if ((size_t)snprintf(url, NET_URL_MAX, "%s%cdigest=%s", b->url,
			     strchr(b->url, '?') ? '&' : '?', b->digest) >= NET_URL_MAX) {
		fail(b, EPROTO, "the registry gives an address that is too long");
		return;
	}
	ask(b,
	    (struct net_get){ .method = "PUT",
			      .url = url,
			      .content_type = BYTES_TYPE,
			      .once = true,
			      .has_body = whole,
			      .body_fd = b->fd,
			      .body_size = b->size },
	    on_put);
}

static void on_patch(struct push_blob *b)
{
	if (b->get.code || !take_location(b)) {
		on_put(b);
		return;
	}
	b->offset = b->size;
	put(b, false);
}

static void on_status(struct push_blob *b)
{
	uint64_t offset = push_range_end(b->get.written, b->size);
	if (b->get.code == EIO) {
		fail(b, EIO, b->get.text);
		return;
	}
	if (b->get.code || !take_location(b) || offset == 0) {
		restart(b);
		return;
	}
	if (offset > b->offset)
		b->tries = 0;
	b->offset = offset;
	if (offset == b->size) {
		put(b, false);
		return;
	}
	(void)snprintf(b->range, sizeof(b->range), "%llu-%llu", (unsigned long long)offset,
		       (unsigned long long)b->size - 1);
	ask(b,
	    (struct net_get){ .method = "PATCH",
			      .url = b->url,
			      .range = b->range,
			      .content_type = BYTES_TYPE,
			      .once = true,
			      .has_body = true,
			      .body_fd = b->fd,
			      .body_from = offset,
			      .body_size = b->size - offset },
	    on_patch);
}

/* ---- its beginning ---- */

static void on_post(struct push_blob *b)
{
	char text[400];
	if (b->get.code) {
		fail(b, b->get.code, b->get.text);
	} else if (b->get.status != 202 || !*b->location) {
		(void)snprintf(text, sizeof(text),
			       "%s answers %d (%.100s) to the begin of an upload: is this a "
			       "registry?",
			       b->r->host, b->get.status, b->get.type);
		fail(b, EPROTO, text);
	} else if (take_location(b)) {
		put(b, true);
	}
}

void push_blob_send(struct push_blob *b)
{
	b->wants_fd = false;
	if (!b->sent)
		tell(b, "Pushing");
	(void)snprintf(b->path, sizeof(b->path), "/v2/%s/blobs/uploads/", b->r->repo);
	ask(b, (struct net_get){ .method = "POST", .path = b->path, .content_type = BYTES_TYPE },
	    on_post);
}

static void send_or_wait(struct push_blob *b)
{
	if (b->fd < 0)
		b->wants_fd = true;
	else
		push_blob_send(b);
}

static void on_mount(struct push_blob *b)
{
	char text[IMAGE_REF_MAX];
	(void)snprintf(text, sizeof(text), "Mounted from %.400s", b->from);
	b->from = NULL; /* not asked twice */
	if (!b->get.code && b->get.status == 201)
		finish(b, text);
	else if (!b->get.code && b->get.status == 202 && *b->location && b->fd >= 0)
		on_post(b); /* an upload has begun instead */
	else
		send_or_wait(b);
}

static void mount_or_send(struct push_blob *b)
{
	if (!b->from) {
		send_or_wait(b);
		return;
	}
	(void)snprintf(b->path, sizeof(b->path), "/v2/%s/blobs/uploads/?mount=%s&from=%s",
		       b->r->repo, b->digest, b->from);
	ask(b,
	    (struct net_get){ .method = "POST",
			      .path = b->path,
			      .source = b->from,
			      .content_type = BYTES_TYPE },
	    on_mount);
}

static void on_head(struct push_blob *b)
{
	char text[400];
	const struct net_get *g = &b->get;
	/* Some hide what is not there behind a 403; then the POST tells. */
	if (g->code == ENOENT || g->code == EACCES) {
		mount_or_send(b);
	} else if (g->code) {
		fail(b, g->code, g->text);
	} else if (*g->digest ? !strcmp(g->digest, b->digest)
			      : g->length == (int64_t)b->size && strncmp(g->type, "text/", 5)) {
		finish(b, b->sent ? "Pushed" : "Layer already exists");
	} else {
		(void)snprintf(text, sizeof(text),
			       "%s answers with something else (%.100s) than blob %s: is this a "
			       "registry?",
			       b->r->host, g->type, b->digest);
		fail(b, EPROTO, text);
	}
}

void push_blob_begin(struct push_blob *b)
{
	if (!b->location)
		b->location = calloc(1, NET_URL_MAX);
	if (!b->url)
		b->url = calloc(1, NET_URL_MAX);
	if (!b->last)
		b->last = calloc(1, NET_URL_MAX);
	if (!b->location || !b->url || !b->last) {
		fail(b, ENOMEM, "out of memory");
		return;
	}
	*b->url = '\0';
	(void)snprintf(b->path, sizeof(b->path), "/v2/%s/blobs/%s", b->r->repo, b->digest);
	ask(b, (struct net_get){ .method = "HEAD", .path = b->path }, on_head);
}

void push_blob_fini(struct push_blob *b)
{
	fd_close(&b->fd);
	free(b->location);
	free(b->url);
	free(b->last);
	b->location = b->url = b->last = NULL;
}

uint64_t push_range_end(const char *text, uint64_t size)
{
	uint64_t from = 0, to = 0;
	const char *p = text;
	char *end;
	if (!strncmp(p, "bytes=", 6))
		p += 6;
	if (*p < '0' || *p > '9')
		return 0;
	from = strtoull(p, &end, 10);
	if (*end != '-' || end[1] < '0' || end[1] > '9')
		return 0;
	errno = 0;
	to = strtoull(end + 1, &end, 10);
	/* "0-0" is also how registries say "nothing". */
	return errno || *end || from || to == 0 || to >= size ? 0 : to + 1;
}
