/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_stream - gzip and zstd as they come, with a limit. */
#include "image/stream.h"
#include "isola/fd.h"

#include <stdint.h>
#include <sys/mman.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const struct stream_options options = {
		.what = "it", .hash_raw = true, .hash_plain = true, .plain_max = 1 << 20
	};
	cleanup_fd int fd = memfd_create("fuzz", MFD_CLOEXEC);
	cleanup_stream struct stream *s = NULL;
	const unsigned char *p = NULL;
	struct err err = ERR_INIT;
	if (fd < 0 || fd_write_all(fd, data, size) < 0 || lseek(fd, 0, SEEK_SET) < 0 ||
	    stream_new(fd, &options, &s, &err) < 0)
		return 0;
	ssize_t n;
	while ((n = stream_next(s, &p, &err)) > 0)
		;
	char digest[DIGEST_SIZE];
	if (n == 0)
		(void)stream_plain_digest(s, digest);
	return 0;
}
