/* SPDX-License-Identifier: Apache-2.0 */
/* gzip - see gzip.h. Runs in isola-image's jail. */
#include "gzip.h"

#include "isola/fd.h"

#include <errno.h>
#include <stdlib.h>
#include <zlib.h>

#define PIECE        (256 * 1024)
#define LEVEL        6
#define WINDOW_GZIP  (15 + 16) /* 32 KiB, in gzip's frame */
#define MEMORY_LEVEL 8

/* All that comes out for what @z was given. */
static int drain(z_stream *z, unsigned char *out, int flush, struct blob_write *to, struct err *err)
{
	int rc = 0;
	do {
		z->next_out = out;
		z->avail_out = PIECE;
		if (deflate(z, flush) == Z_STREAM_ERROR)
			return err_set(err, EIO, "zlib failed");
		rc = blob_add(to, out, PIECE - z->avail_out, err);
	} while (rc == 0 && z->avail_out == 0);
	return rc;
}

int gzip_write(int fd, struct blob_write *to,
	       int (*each)(void *arg, uint64_t done, struct err *err), void *arg, struct err *err)
{
	cleanup_free unsigned char *in = malloc(PIECE), *out = malloc(PIECE);
	z_stream z = { 0 };
	uint64_t done = 0;
	if (!in || !out ||
	    deflateInit2(&z, LEVEL, Z_DEFLATED, WINDOW_GZIP, MEMORY_LEVEL, Z_DEFAULT_STRATEGY))
		return err_set(err, ENOMEM, "out of memory");
	int rc = 0;
	for (ssize_t n = 1; rc == 0 && n > 0;) {
		n = fd_read_all(fd, in, PIECE);
		if (n < 0) {
			rc = err_rc(err, (int)n, "cannot read a blob");
			break;
		}
		z.next_in = in;
		z.avail_in = (unsigned int)n;
		done += (uint64_t)n;
		rc = drain(&z, out, n ? Z_NO_FLUSH : Z_FINISH, to, err);
		if (rc == 0 && each)
			rc = each(arg, done, err);
	}
	(void)deflateEnd(&z);
	return rc;
}
