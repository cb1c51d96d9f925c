/* SPDX-License-Identifier: Apache-2.0 */
/* http - transfers of the network process: one request of the job each, with the
 * log-in, redirects, mirrors and tries it takes. */
#pragma once

#include "registry.h"
#include "auth.h"
#include "trust.h"

#include "isola/strbuf.h"

#include <curl/curl.h>
#include <stdint.h>

struct http {
	const struct registry *r;
	const char *actions; /* of the scope: "pull", "pull,push" */
	CURLM *multi;
	struct trust trust;
	char *authorization; /* header field for the registry, or NULL; owned */
	unsigned int auth_stamp;
	bool plain[REGISTRY_BASES_MAX]; /* this base turned out to have no TLS */
	struct transfer *first;
	int data_fd;
	size_t n;
};

/* Gets a header field for @challenge into @h->authorization (token.c). */
int http_authorize(struct http *h, const char *base, const struct auth_challenge *challenge,
		   struct err *err);

/* What all handles have in common: verification, limits, no helpers. */
void http_setup(const struct http *h, CURL *easy);

/* Only letters, digits and marks that a header field or a terminal can take. */
void http_clean(char *text);
