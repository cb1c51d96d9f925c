/* SPDX-License-Identifier: Apache-2.0 */
/* digest - see digest.h. SHA-256 by libcrypto; runs in isola-image. */
#include "digest.h"

#include "isola/fd.h"
#include "cancel.h"

#include <errno.h>
#include <openssl/evp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define READ_BYTES (256 * 1024)

struct hasher {
	EVP_MD_CTX *ctx;
	bool failed;
};

int hasher_new(struct hasher **ret, struct err *err)
{
	struct hasher *h = calloc(1, sizeof(*h));
	if (h)
		h->ctx = EVP_MD_CTX_new();
	if (!h || !h->ctx || EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1) {
		hasher_free(h);
		return err_set(err, ENOMEM, "cannot start a SHA-256: out of memory");
	}
	*ret = h;
	return 0;
}

void hasher_free(struct hasher *h)
{
	if (!h)
		return;
	EVP_MD_CTX_free(h->ctx);
	free(h);
}

void hasher_add(struct hasher *h, const void *data, size_t size)
{
	if (EVP_DigestUpdate(h->ctx, data, size) != 1)
		h->failed = true;
}

int hasher_end(struct hasher *h, char ret[DIGEST_SIZE])
{
	unsigned char md[EVP_MAX_MD_SIZE];
	unsigned int n = 0;
	bool ok = EVP_DigestFinal_ex(h->ctx, md, &n) == 1 && n == 32 && !h->failed;
	h->failed = EVP_DigestInit_ex(h->ctx, EVP_sha256(), NULL) != 1;
	if (!ok)
		return -EIO;
	strcpy(ret, "sha256:");
	for (unsigned int i = 0; i < n; i++)
		(void)snprintf(ret + 7 + 2 * i, 3, "%02x", md[i]);
	return 0;
}

int digest_of(const void *data, size_t size, char ret[DIGEST_SIZE], struct err *err)
{
	cleanup_hasher struct hasher *h = NULL;
	int rc = hasher_new(&h, err);
	if (rc < 0)
		return rc;
	hasher_add(h, data, size);
	rc = hasher_end(h, ret);
	return rc < 0 ? err_set(err, -rc, "SHA-256 failed") : 0;
}

int digest_fd(int fd, char ret[DIGEST_SIZE], uint64_t *ret_bytes, struct err *err)
{
	cleanup_hasher struct hasher *h = NULL;
	cleanup_free char *buf = malloc(READ_BYTES);
	int rc = buf ? hasher_new(&h, err) : err_set(err, ENOMEM, "out of memory");
	if (rc < 0)
		return rc;
	for (;;) {
		ssize_t n = fd_read_all(fd, buf, READ_BYTES);
		if (n < 0)
			return err_rc(err, (int)n, "it cannot be read");
		if (cancel_requested())
			return err_set(err, EINTR, "cancelled");
		hasher_add(h, buf, (size_t)n);
		*ret_bytes += (uint64_t)n;
		if (n < READ_BYTES)
			return hasher_end(h, ret) < 0 ? err_set(err, EIO, "SHA-256 failed") : 0;
	}
}

int digest_chain(const char *parent, const char *diff_id, char ret[DIGEST_SIZE], struct err *err)
{
	if (!parent || !*parent) {
		memmove(ret, diff_id, DIGEST_SIZE);
		return 0;
	}
	char text[2 * DIGEST_SIZE];
	int n = snprintf(text, sizeof(text), "%s %s", parent, diff_id);
	return digest_of(text, (size_t)n, ret, err);
}
