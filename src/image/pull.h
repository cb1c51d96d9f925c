/* SPDX-License-Identifier: Apache-2.0 */
/* pull - an image comes from a registry (OCI distribution-spec, "Pull"). */
#pragma once

#include "image.h"
#include "net.h"

struct pull_options {
	const char *ref;      /* full name */
	const char *platform; /* or NULL = this host's */
};

int job_pull(const struct store *s, const struct limits *limits, const struct registry *r,
	     struct net *net, const struct pull_options *options, json_object **ret_aux,
	     struct err *err);

/* ---- pull_here.c ---- */

/* The names an image of digest @top gets: the tag, and one that remembers the digest. */
json_object *pull_names(const struct registry *r, const char *top);

/* 1 = the image of digest @top is here, for the platform (NULL = this host's) and with its
 * names; else 0. */
int pull_is_here(const struct store *s, const struct registry *r, const char *platform,
		 const char *top, char ret_id[DIGEST_SIZE], struct err *err);

/* ---- pull_manifest.c ---- */

struct pull_layer {
	char digest[DIGEST_SIZE];
	uint64_t size;
};

/* What the registry has under a name. */
struct manifest {
	char digest[DIGEST_SIZE], top[DIGEST_SIZE]; /* of the manifest; of what the name says */
	const char *type;                           /* static */
	char *text;
	size_t size;
	char config[DIGEST_SIZE];
	struct pull_layer *layers;
	size_t n;
};

/* In the JSON of a manifest or index: 500 layers with a hundred annotations each. */
#define MANIFEST_VALUES_MAX 50000

void manifest_fini(struct manifest *m);
#define cleanup_manifest __attribute__((cleanup(manifest_fini)))

/* Asks for the digest of the name (HEAD); "" when the registry does not tell. */
int manifest_head(struct net *net, const struct registry *r, char ret[DIGEST_SIZE],
		  struct err *err);
/* Gets it, goes through indexes, judges all of it. @digest "" = by the tag. */
int manifest_get(struct net *net, const struct registry *r, const char *digest,
		 const char *platform, struct manifest *ret, struct err *err);
/* The whole of a blob of JSON, compared with its digest; owned. */
int manifest_blob(struct net *net, const struct registry *r, const char *digest, char **ret,
		  size_t *ret_size, struct err *err);
/* The judging alone, of a manifest's @text: layers and config. For the fuzzer, too. */
int manifest_parse(const char *text, size_t size, const char *type, struct manifest *ret,
		   struct err *err);
