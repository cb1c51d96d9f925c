/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_stream - gzip and zstd as they come, with a limit; gzip by either of its
 * decoders, whose results must be the same where both take the bytes. */
#include "image/stream.h"
#include "isola/fd.h"

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* The end's result; of a whole stream also its digest. */
static ssize_t read_by(bool quick, int fd, char ret_digest[DIGEST_SIZE])
{
	const struct stream_options options = { .what = "it",
						.quick = quick,
						.hash_raw = true,
						.hash_plain = true,
						.plain_max = 1 << 20 };
	cleanup_stream struct stream *s = NULL;
	const unsigned char *p = NULL;
	struct err err = ERR_INIT;
	if (lseek(fd, 0, SEEK_SET) < 0 || stream_new(fd, &options, &s, &err) < 0)
		return -ENOMEM;
	ssize_t n;
	while ((n = stream_next(s, &p, &err)) > 0)
		;
	if (n == 0 && stream_plain_digest(s, ret_digest) < 0)
		return -EIO;
	return n;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char digest[DIGEST_SIZE], quick_digest[DIGEST_SIZE];
	cleanup_fd int fd = memfd_create("fuzz", MFD_CLOEXEC);
	if (fd < 0 || fd_write_all(fd, data, size) < 0)
		return 0;
	ssize_t n = read_by(true, fd, quick_digest);
	if (read_by(false, fd, digest) == 0 && n == 0 && strcmp(digest, quick_digest) != 0)
		abort();
	return 0;
}
