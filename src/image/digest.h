/* SPDX-License-Identifier: Apache-2.0 */
/* digest - SHA-256 in the form "sha256:<hex>" (image-spec descriptor.md), the
 * only algorithm that names anything in the store. */
#pragma once

#include "isola/err.h"

#include <stddef.h>
#include <stdint.h>

#define DIGEST_SIZE     72 /* "sha256:", 64 digits, NUL */
#define DIGEST_HEX_SIZE 65

/* A running SHA-256. */
struct hasher;

int hasher_new(struct hasher **ret, struct err *err);
void hasher_free(struct hasher *h);

/* A failure inside sticks until hasher_end(). */
void hasher_add(struct hasher *h, const void *data, size_t size);

/* The digest of all that was added; @h is fresh again. -EIO when the library
 * failed on the way. */
int hasher_end(struct hasher *h, char ret[DIGEST_SIZE]);

static inline void hasher_cleanup(struct hasher **h)
{
	hasher_free(*h);
	*h = NULL;
}

#define cleanup_hasher __attribute__((cleanup(hasher_cleanup)))

/* Of a file from its offset to its end; *@ret_bytes grows by its size. -EINTR when the job
 * is cancelled. */
int digest_fd(int fd, char ret[DIGEST_SIZE], uint64_t *ret_bytes, struct err *err);

/* Of a whole buffer. */
int digest_of(const void *data, size_t size, char ret[DIGEST_SIZE], struct err *err);

/* The digits alone; @digest must satisfy id_is_digest(). */
static inline const char *digest_hex(const char *digest)
{
	return digest + 7;
}

/* The chain id of a layer with @diff_id on the chain @parent, NULL at the
 * bottom (image-spec config.md, layer ChainID). @ret may be @parent. */
int digest_chain(const char *parent, const char *diff_id, char ret[DIGEST_SIZE], struct err *err);
