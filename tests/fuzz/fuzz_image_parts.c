/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_parts - what a reader that was taken over could say of an archive
 * (src/image/parts.h). */
#include "image/parts.h"
#include "image/source.h"
#include "image_job.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

#define BYTES_MAX 65536

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store store;
	struct job job;
	struct err err = ERR_INIT;
	image_job_open(&store, &job);
	{
		cleanup_spool struct spool spool = { 0 };
		cleanup_fd int fd = memfd_create("fuzz", MFD_CLOEXEC);
		const struct reader reader = { .data_fd = fd, .word_fd = -1 };
		uint64_t total = 0;
		if (fd_write_all(fd, data, size) == 0 && lseek(fd, 0, SEEK_SET) == 0)
			(void)spool_take(&job, &reader, BYTES_MAX, &spool, &err);
		for (size_t i = 0; i < spool.n; i++)
			total += spool.files[i].size;
		if (total > BYTES_MAX)
			__builtin_trap();
	}
	image_job_close(&store, &job);
	return 0;
}
