/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_archive - whole image archives: taken apart, what is in them passed on as the
 * reader does, all their JSON read. Both halves here, one after the other. */
#include "image/parts.h"
#include "image/source.h"
#include "image_job.h"

#include <stdint.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int on_source(struct source *src, void *arg, struct err *err)
{
	(void)arg;
	(void)err;
	return json_object_to_json_string(src->record) ? 0 : -1;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct store store;
	struct job job;
	struct err err = ERR_INIT;
	image_job_open(&store, &job);
	{
		cleanup_spool struct spool spool = { 0 };
		cleanup_free uint8_t *fixed = image_fix_sums(data, size);
		cleanup_fd int fd = memfd_create("fuzz", MFD_CLOEXEC);
		cleanup_fd int parts_fd = memfd_create("fuzz-parts", MFD_CLOEXEC);
		const struct reader reader = { .data_fd = parts_fd, .word_fd = -1 };
		const uint64_t bytes_max = 1 << 22;
		bool whole = fd_write_all(fd, fixed, size) == 0 && lseek(fd, 0, SEEK_SET) == 0 &&
			     parts_write(fd, parts_fd, &bytes_max, &err) == 0;
		if (lseek(parts_fd, 0, SEEK_SET) == 0 &&
		    spool_take(&job, &reader, bytes_max, &spool, &err) == 0 && whole)
			(void)source_each(&spool, on_source, NULL, &err);
	}
	image_job_close(&store, &job);
	return 0;
}
