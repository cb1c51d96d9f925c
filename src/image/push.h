/* SPDX-License-Identifier: Apache-2.0 */
/* push - images of the store go to a registry (OCI distribution-spec, "Push"). */
#pragma once

#include "image.h"
#include "net.h"

struct push_options {
	const char *ref; /* full name: of a tag, or with all_tags of the repository */
	bool all_tags;
};

int job_push(const struct store *s, const struct registry *r, struct net *net,
	     const struct push_options *options, json_object **ret_aux, struct err *err);

/* ---- push_blob.c: one blob on its way up ---- */

struct push_blob {
	struct net *net;
	const struct registry *r;
	char label[DIGEST_SIZE];  /* progress calls it so; "" = silent */
	char digest[DIGEST_SIZE]; /* of what the registry gets */
	uint64_t size;
	int fd;           /* with its bytes, or -1: then push_blob_send() waits for one; owned */
	const char *from; /* a repository of the registry that may have it, or NULL; borrowed */

	bool wants_fd; /* the registry lacks it, and there is no fd */
	bool done;     /* it is there, or @code says why not */
	int code;
	char text[600];
	/* its own */
	void (*next)(struct push_blob *b);
	struct net_get get;
	char path[1024], range[64];
	/* NET_URL_MAX bytes each, owned: of the answer; of the upload; with the digest */
	char *location, *url, *last;
	uint64_t offset; /* how far the registry has it */
	unsigned int tries, tries_all;
	bool sent;
};

#define PUSH_BLOB_INIT                                                                             \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* Is it there? If not, it is mounted or sent. net_pump() does the rest, until @done or
 * @wants_fd. */
void push_blob_begin(struct push_blob *b);
/* For one that wants a descriptor, and has it now. */
void push_blob_send(struct push_blob *b);
void push_blob_fini(struct push_blob *b);

/* Where an upload goes on, by the Range field of the answer about it: "0-99" is 100.
 * 0 when it says nothing of use for a blob of @size. */
uint64_t push_range_end(const char *text, uint64_t size);

/* ---- push_manifest.c ---- */

/* @text, a manifest, with the layers' descriptors as they are pushed: @digests and @sizes
 * of @n layers, those with a "" stay. *@ret: owned text. */
int push_manifest(const char *text, size_t size, const char (*digests)[DIGEST_SIZE],
		  const uint64_t *sizes, size_t n, char **ret, struct err *err);
