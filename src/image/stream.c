/* SPDX-License-Identifier: Apache-2.0 */
/* stream - see stream.h. zlib and libzstd are used directly and not through an
 * archive library, which would ignore what follows the compressed data. Runs
 * in isola-image, behind its jail. */
#include "stream.h"

#include "isola/fd.h"
#include "cancel.h"
#include "inflate.h"

#include <errno.h>
#include <string.h>
#include <zstd.h>

#define BUFFER_BYTES (256 * 1024)

/* 128 MiB, zstd's own default: what a decoder must be ready to hold. */
#define ZSTD_WINDOW_LOG_MAX 27

struct stream {
	int fd;
	struct stream_options opt;
	enum stream_format format;
	bool started, in_end, out_end;
	bool inside; /* of a gzip member or zstd frame */
	unsigned char *in, *out;
	size_t in_len, in_pos;
	uint64_t raw_bytes, plain_bytes;
	const struct inflate_type *inflate;
	void *gzip; /* its state */
	ZSTD_DStream *zstd;
	/* Of an uncompressed stream both digests are one: then plain is NULL. */
	struct hasher *raw, *plain;
	char raw_digest[DIGEST_SIZE], plain_digest[DIGEST_SIZE];
};

static const struct {
	const char *name;
	unsigned char head[6];
	size_t size;
	int format; /* enum stream_format, or -1 = known but not supported */
} magics[] = {
	{ "gzip", { 0x1f, 0x8b }, 2, STREAM_GZIP },
	{ "zstd", { 0x28, 0xb5, 0x2f, 0xfd }, 4, STREAM_ZSTD },
	{ "xz", { 0xfd, '7', 'z', 'X', 'Z', 0 }, 6, -1 },
	{ "bzip2", { 'B', 'Z', 'h' }, 3, -1 },
	{ "lz4", { 0x04, 0x22, 0x4d, 0x18 }, 4, -1 },
};

static int find_magic(const unsigned char *head, size_t size)
{
	for (int i = 0; i < (int)(sizeof(magics) / sizeof(magics[0])); i++)
		if (size >= magics[i].size && !memcmp(head, magics[i].head, magics[i].size))
			return i;
	return -1;
}

enum stream_format stream_format_of(const unsigned char *head, size_t size)
{
	/* A zstd skippable frame may come first (RFC 8878, 3.1.2). */
	if (size >= 4 && (head[0] & 0xf0) == 0x50 && !memcmp(head + 1, "\x2a\x4d\x18", 3))
		return STREAM_ZSTD;
	int i = find_magic(head, size);
	return i >= 0 && magics[i].format >= 0 ? (enum stream_format)magics[i].format
					       : STREAM_PLAIN;
}

int stream_new(int fd, const struct stream_options *options, struct stream **ret, struct err *err)
{
	struct stream *s = calloc(1, sizeof(*s));
	if (!s)
		return err_set(err, ENOMEM, "%s: out of memory", options->what);
	s->fd = fd;
	s->opt = *options;
	s->inflate = options->quick ? &INFLATE_QUICK : &inflate_zlib;
	s->in = malloc(BUFFER_BYTES);
	int rc = s->in ? 0 : err_set(err, ENOMEM, "%s: out of memory", options->what);
	if (rc == 0 && options->hash_raw)
		rc = hasher_new(&s->raw, err);
	if (rc == 0 && options->hash_plain)
		rc = hasher_new(&s->plain, err);
	if (rc < 0) {
		stream_free(s);
		return rc;
	}
	*ret = s;
	return 0;
}

void stream_free(struct stream *s)
{
	if (!s)
		return;
	if (s->gzip)
		s->inflate->release(s->gzip);
	ZSTD_freeDStream(s->zstd);
	hasher_free(s->raw);
	hasher_free(s->plain);
	free(s->in);
	free(s->out);
	free(s);
}

static ssize_t read_some(struct stream *s, void *buf, size_t size, struct err *err)
{
	for (;;) {
		ssize_t n = 0;
		if (!cancel_requested())
			n = s->opt.read ? s->opt.read(s->opt.arg, buf, size, err)
					: read(s->fd, buf, size);
		/* Also behind an end of file: who cancels may close the stream. */
		if (cancel_requested())
			return err_set(err, EINTR, "%s: cancelled", s->opt.what);
		if (n >= 0 || s->opt.read)
			return n;
		if (errno != EINTR)
			return err_sys(err, "cannot read %s", s->opt.what);
	}
}

static int fill(struct stream *s, struct err *err)
{
	if (s->in_pos < s->in_len || s->in_end)
		return 0;
	ssize_t n = read_some(s, s->in, BUFFER_BYTES, err);
	if (n < 0)
		return (int)n;
	s->in_pos = 0;
	s->in_len = (size_t)n;
	s->in_end = n == 0;
	s->raw_bytes += (uint64_t)n;
	if (s->raw && n > 0)
		hasher_add(s->raw, s->in, (size_t)n);
	return 0;
}

/* A short first read (a slow pipe) must not hide the format. */
static int fill_head(struct stream *s, struct err *err)
{
	int rc = fill(s, err);
	while (rc == 0 && !s->in_end && s->in_len < 6) {
		ssize_t n = read_some(s, s->in + s->in_len, BUFFER_BYTES - s->in_len, err);
		if (n < 0)
			return (int)n;
		if (n == 0)
			break;
		if (s->raw)
			hasher_add(s->raw, s->in + s->in_len, (size_t)n);
		s->in_len += (size_t)n;
		s->raw_bytes += (uint64_t)n;
	}
	return rc;
}

static int start(struct stream *s, struct err *err)
{
	s->started = true;
	if (s->opt.plain_only)
		return 0;
	int rc = fill_head(s, err);
	if (rc < 0)
		return rc;
	int m = find_magic(s->in, s->in_len);
	if (m >= 0 && magics[m].format < 0)
		return err_set(err, EINVAL,
			       "%s is compressed with %s, which is not supported: use gzip, zstd "
			       "or none",
			       s->opt.what, magics[m].name);
	s->format = stream_format_of(s->in, s->in_len);
	if (s->format == STREAM_PLAIN) {
		if (s->raw) {
			hasher_free(s->plain);
			s->plain = NULL;
		}
		return 0;
	}
	s->out = malloc(BUFFER_BYTES);
	if (s->format == STREAM_GZIP)
		s->gzip = s->inflate->make();
	else
		s->zstd = ZSTD_createDStream();
	if (!s->out || (!s->gzip && !s->zstd))
		return err_set(err, ENOMEM, "%s: out of memory", s->opt.what);
	if (s->zstd)
		(void)ZSTD_DCtx_setParameter(s->zstd, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG_MAX);
	return 0;
}

static int damaged(struct stream *s, struct err *err, const char *why)
{
	return err_set(err, EINVAL, "%s is damaged near byte %llu: %s", s->opt.what,
		       (unsigned long long)(s->raw_bytes - (s->in_len - s->in_pos)), why);
}

/* Feeds what is there; returns the bytes made (0 = wants more input). */
static ssize_t step_gzip(struct stream *s, struct err *err)
{
	const char *why = "gzip state";
	if (!s->inside && s->inflate->begin(s->gzip) < 0)
		return damaged(s, err, why);
	struct inflate_io io = { s->in + s->in_pos, s->in_len - s->in_pos, s->out, BUFFER_BYTES };
	int rc = s->inflate->step(s->gzip, &io, &why);
	s->in_pos = s->in_len - io.in_size;
	s->inside = rc != 1;
	if (rc == -ENOMEM)
		return err_set(err, ENOMEM, "%s: out of memory", s->opt.what);
	return rc < 0 ? damaged(s, err, why) : (ssize_t)(BUFFER_BYTES - io.out_size);
}

static ssize_t step_zstd(struct stream *s, struct err *err)
{
	ZSTD_inBuffer in = { s->in, s->in_len, s->in_pos };
	ZSTD_outBuffer out = { s->out, BUFFER_BYTES, 0 };
	size_t rc = ZSTD_decompressStream(s->zstd, &out, &in);
	s->in_pos = in.pos;
	if (ZSTD_isError(rc))
		return damaged(s, err, ZSTD_getErrorName(rc));
	s->inside = rc != 0;
	return (ssize_t)out.pos;
}

static ssize_t next_compressed(struct stream *s, struct err *err)
{
	for (;;) {
		int rc = fill(s, err);
		if (rc < 0)
			return rc;
		if (s->in_end && !s->inside)
			return 0;
		/* A decoder may still hold output when the input has ended. */
		bool starved = s->in_pos == s->in_len;
		ssize_t n = s->format == STREAM_GZIP ? step_gzip(s, err) : step_zstd(s, err);
		if (n != 0)
			return n;
		if (s->in_end && starved && s->inside)
			return err_set(err, EINVAL, "%s is cut off: its %s data has no end",
				       s->opt.what, s->format == STREAM_GZIP ? "gzip" : "zstd");
	}
}

ssize_t stream_next(struct stream *s, const unsigned char **ret, struct err *err)
{
	if (!s->started) {
		int rc = start(s, err);
		if (rc < 0)
			return rc;
	}
	if (s->out_end)
		return 0;
	ssize_t n;
	if (s->format == STREAM_PLAIN) {
		int rc = fill(s, err);
		if (rc < 0)
			return rc;
		n = (ssize_t)(s->in_len - s->in_pos);
		*ret = s->in + s->in_pos;
		s->in_pos = s->in_len;
	} else {
		n = next_compressed(s, err);
		*ret = s->out;
	}
	if (n < 0)
		return n;
	s->out_end = n == 0;
	s->plain_bytes += (uint64_t)n;
	if (s->plain_bytes > s->opt.plain_max)
		return err_set(err, EFBIG,
			       "%s holds more than %llu bytes when unpacked, the limit "
			       "(--max-bytes)",
			       s->opt.what, (unsigned long long)s->opt.plain_max);
	if (s->plain && n > 0)
		hasher_add(s->plain, *ret, (size_t)n);
	return n;
}

ssize_t stream_read(void *stream, const unsigned char **ret, struct err *err)
{
	return stream_next(stream, ret, err);
}

enum stream_format stream_format(const struct stream *s)
{
	return s->format;
}

uint64_t stream_raw_bytes(const struct stream *s)
{
	return s->raw_bytes;
}

uint64_t stream_plain_bytes(const struct stream *s)
{
	return s->plain_bytes;
}

static int finish(struct hasher *h, char kept[DIGEST_SIZE], char ret[DIGEST_SIZE])
{
	int rc = *kept ? 0 : h ? hasher_end(h, kept) : -EIO;
	if (rc == 0)
		memcpy(ret, kept, DIGEST_SIZE);
	return rc;
}

int stream_raw_digest(struct stream *s, char ret[DIGEST_SIZE])
{
	return finish(s->raw, s->raw_digest, ret);
}

int stream_plain_digest(struct stream *s, char ret[DIGEST_SIZE])
{
	if (s->opt.hash_plain && !s->plain)
		return stream_raw_digest(s, ret);
	return finish(s->plain, s->plain_digest, ret);
}
