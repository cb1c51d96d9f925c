/* SPDX-License-Identifier: Apache-2.0 */
/* blob - the files of images/blobs/sha256: manifests, configs, layers as they
 * came (plain, gzip or zstd), each under the digest of its bytes and never
 * changed. A blob that has a name is complete and on disk.
 *
 *   lease --- there already -------------------------> shared: it stays
 *     |
 *     +------ absent: exclusive --> begin, add, add... --> commit --> shared
 *
 * Leases belong to the job and end with it. They are locks on a byte of
 * images/.leases, whose number is made of the digest: nothing of them is left
 * after a kill. Removal (collect.h) takes no blob that a job has leased.
 *
 * Who waits for a lease must hold no exclusive one, or have taken all in
 * ascending order of the digests; and no lock of a layer or of the store
 * (store.h). With @wait false nobody waits for anybody. Who waits has a lock on a second
 * byte, so that who makes the blob can see it (share.h). */
#pragma once

#include "store.h"
#include "digest.h"

#include <stdint.h>

/* Is there such a blob? Without a lease only store_lock() makes it stay. */
bool blob_exists(const struct store *s, const char *digest);

/* A read-only fd at its start; -ENOENT (with a text) when there is none. Once
 * open it stays readable, whatever happens to the name. @ret_size may be NULL. */
int blob_open(const struct store *s, const char *digest, uint64_t *ret_size, struct err *err);

/* The whole of a small one (STORE_JSON_BYTES_MAX), compared with its digest:
 * owned, NUL-terminated. */
int blob_text(const struct store *s, const char *digest, char **ret, size_t *ret_size,
	      struct err *err);

/* 1 = it is there and stays for the job's life; 0 = it is not, and this job alone
 * may make it; -EAGAIN (only without @wait) = another job is making it. Again for
 * the same digest is fine. */
int blob_lease(const struct job *job, const char *digest, bool wait, struct err *err);

/* Does another job wait for the lease of @digest, which this one has? */
bool blob_is_wanted(const struct job *job, const char *digest);

/* Lets go of a lease before the job's end: of what could not be made. */
void blob_unlease(const struct job *job, const char *digest);

/* ---- writing one ---- */

struct blob_write {
	const struct job *job;
	struct hasher *hasher;
	int fd;
	unsigned int number;
	uint64_t size;            /* written so far: where a cut-off download goes on */
	char digest[DIGEST_SIZE]; /* once compared, else "" */
};

#define BLOB_WRITE_INIT                                                                            \
	{                                                                                          \
		.fd = -1                                                                           \
	}

/* A file of the job, hashed on the way. @ret must be BLOB_WRITE_INIT. */
int blob_begin(const struct job *job, struct blob_write *ret, struct err *err);
int blob_add(struct blob_write *w, const void *data, size_t size, struct err *err);

/* Another fd, read-only, at the start of what was written so far and grows. */
int blob_reopen(const struct blob_write *w, struct err *err);

/* Ends the writing: -EINVAL unless the content has @want_digest (or NULL) and @want_size
 * (or -1). */
int blob_compare(struct blob_write *w, const char *want_digest, int64_t want_size, struct err *err);

/* Ends the writing: compares if that was not done,
 * puts the content on disk, then the name, and leases it to the job. Makes no
 * second copy of one that is there already. */
int blob_commit(struct blob_write *w, const char *want_digest, int64_t want_size,
		char ret_digest[DIGEST_SIZE], struct err *err);

/* Only the name, of one that was compared and is on disk (store_sync()); the folder's
 * fsync is the caller's, too. */
int blob_place(struct blob_write *w, struct err *err);

/* Forgets what was not committed. */
void blob_write_fini(struct blob_write *w);
#define cleanup_blob_write __attribute__((cleanup(blob_write_fini)))

/* ---- for collect.c ---- */

/* Takes the lease for removal: true when no other job has it. */
bool blob_lease_last(const struct job *job, const char *digest);
