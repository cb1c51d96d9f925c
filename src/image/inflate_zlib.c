/* SPDX-License-Identifier: Apache-2.0 */
/* inflate_zlib - see inflate.h: zlib, there on every host. Runs in isola-image. */
#include "inflate.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#define WINDOW_GZIP (15 + 16) /* 32 KiB, in gzip's frame */

static void *make(void)
{
	z_stream *z = calloc(1, sizeof(*z));
	if (z && inflateInit2(z, WINDOW_GZIP) != Z_OK) {
		free(z);
		return NULL;
	}
	return z;
}

static void release(void *state)
{
	if (state)
		(void)inflateEnd(state);
	free(state);
}

static int begin(void *state)
{
	return inflateReset(state) == Z_OK ? 0 : -EINVAL;
}

static int step(void *state, struct inflate_io *io, const char **ret_why)
{
	z_stream *z = state;
	z->next_in = (unsigned char *)io->in;
	z->avail_in = (unsigned int)io->in_size;
	z->next_out = io->out;
	z->avail_out = (unsigned int)io->out_size;
	int rc = inflate(z, Z_NO_FLUSH);
	*io = (struct inflate_io){ z->next_in, z->avail_in, z->next_out, z->avail_out };
	switch (rc) {
	case Z_STREAM_END:
		return 1;
	case Z_OK:
	case Z_BUF_ERROR: /* no progress: more of either is wanted */
		return 0;
	case Z_MEM_ERROR:
		return -ENOMEM;
	default:
		*ret_why = z->msg ? z->msg : "bad gzip data";
		return -EINVAL;
	}
}

const struct inflate_type inflate_zlib = {
	.name = "zlib", .make = make, .release = release, .begin = begin, .step = step
};
