/* SPDX-License-Identifier: Apache-2.0 */
/* http - transfers of the network process: one request of the job each, with the
 * log-in, redirects, mirrors and tries it takes. */
#pragma once

#include "registry.h"
#include "auth.h"
#include "libcurl.h"
#include "trust.h"

#include "isola/strbuf.h"

#include <stdbool.h>
#include <stdint.h>

#define HTTP_SOURCES_MAX 16

struct http {
	const struct registry *r;
	const char *actions; /* of the scope: "pull", "pull,push" */
	CURLM *multi;
	struct trust trust;
	char *authorization; /* header field for the registry, or NULL; owned */
	char *identity;      /* a token for later log-ins that one brought, or NULL; owned */
	char *sources[HTTP_SOURCES_MAX]; /* further repositories to be read: mounts; owned */
	size_t n_sources;
	unsigned int auth_stamp;
	bool plain[REGISTRY_BASES_MAX]; /* this base has no TLS, as far as we know */
	bool plain_known;               /* of the registry's own: it has answered so */
	struct transfer *first;
	int data_fd;
	size_t n;
};

struct transfer {
	struct transfer *next;
	struct http *h;
	uint32_t id;
	char *method, *path, *accept, *range;
	char *start; /* an address that the registry gave the job, in place of path; or NULL */
	char *url;   /* of a redirect, or NULL; owned */
	size_t base;
	CURL *easy;
	struct curl_slist *headers;
	bool running, head_sent;
	bool enough;   /* of the body of an answer that is no success */
	bool once;     /* the job decides about another try */
	bool is_plain; /* begun without TLS */
	unsigned int auth_stamp, auths, redirects, tries, tries_all;
	int64_t again_ns;
	uint64_t got, skip; /* bytes passed on; of this answer to be left out */
	long status;
	char location[4096], challenge[4096], digest[72], type[128], written[64];
	int64_t range_from, length, wait_s;
	struct strbuf text; /* of an answer that is no success */
	/* what is sent: the job's descriptor, owned, or -1 */
	int body_fd;
	char *body_type;
	uint64_t body_from, body_size, body_at;
	int64_t told_ns;
};

/* ---- http_guess.c ---- */

/* Before the first transfer: whether the registry is spoken to with TLS. */
void http_guess(struct http *h);

/* @t ended with @code (its status is set): true = it is to be tried again, the other way. */
bool http_guessed_wrong(struct transfer *t, CURLcode code);

/* ---- http_send.c ---- */

/* Makes the request one that sends, if it is. */
void http_send_setup(struct transfer *t);

/* Where the answer's Location leads to, owned; NULL with @err: nowhere, or from https
 * to another scheme. */
char *http_resolve(const struct transfer *t, struct err *err);

/* Do two addresses have scheme, host and port in common? */
bool http_same_origin(const char *a, const char *b);

/* A frame to the job (net.h). */
void http_say(const struct transfer *t, uint32_t type, const void *data, size_t size);

/* ---- token.c ---- */

/* Gets a header field for @challenge into @h->authorization (token.c). */
int http_authorize(struct http *h, const char *base, const struct auth_challenge *challenge,
		   struct err *err);

/* The next log-in is to allow reading @repo, too. */
void http_add_source(struct http *h, const char *repo);

/* ---- http.c ---- */

/* What all handles have in common: verification, limits, no helpers. */
void http_setup(const struct http *h, CURL *easy);

/* Only letters, digits and marks that a header field or a terminal can take. */
void http_clean(char *text);
