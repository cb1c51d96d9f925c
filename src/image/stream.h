/* SPDX-License-Identifier: Apache-2.0 */
/* stream - bytes from a descriptor, decompressed, counted and hashed on the way.
 *
 * gzip (RFC 1952, any number of members) and zstd (RFC 8878, any number of
 * frames, skippable ones too) are told by their first bytes; all else passes
 * as it is. A cut-off stream and bytes behind its end are errors. */
#pragma once

#include "isola/err.h"
#include "digest.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

enum stream_format { STREAM_PLAIN, STREAM_GZIP, STREAM_ZSTD };

struct stream_options {
	const char *what;   /* names the stream in errors; borrowed until the free */
	bool plain_only;    /* do not look for compression */
	bool quick;         /* gzip by ISA-L: in a process without rights (inflate.h) */
	bool hash_raw;      /* SHA-256 of the bytes as they come */
	bool hash_plain;    /* and of the bytes as they leave */
	uint64_t plain_max; /* more decompressed bytes than this are -EFBIG */
	/* Reads in place of read(2): as it returns, or -errno with @err set. */
	ssize_t (*read)(void *arg, void *buf, size_t size, struct err *err);
	void *arg; /* borrowed until the free */
};

struct stream;

/* @fd is borrowed until the free; read from its present offset on. */
int stream_new(int fd, const struct stream_options *options, struct stream **ret, struct err *err);
void stream_free(struct stream *s);

static inline void stream_cleanup(struct stream **s)
{
	stream_free(*s);
	*s = NULL;
}

#define cleanup_stream __attribute__((cleanup(stream_cleanup)))

/* The next decompressed bytes: their number and *@ret, valid until the next
 * call; 0 at the (proper) end; -EINVAL for damaged data, -EFBIG beyond the
 * limit, else -errno of read(2). */
ssize_t stream_next(struct stream *s, const unsigned char **ret, struct err *err);

/* The same, for tar_new(); @stream: a struct stream. */
ssize_t stream_read(void *stream, const unsigned char **ret, struct err *err);

/* Valid after the first stream_next(). */
enum stream_format stream_format(const struct stream *s);
uint64_t stream_raw_bytes(const struct stream *s);
uint64_t stream_plain_bytes(const struct stream *s);

/* After the end was reached. -EIO when hashing failed or was not asked. */
int stream_raw_digest(struct stream *s, char ret[DIGEST_SIZE]);
int stream_plain_digest(struct stream *s, char ret[DIGEST_SIZE]);

/* Tells the format by the first bytes of a file. */
enum stream_format stream_format_of(const unsigned char *head, size_t size);
