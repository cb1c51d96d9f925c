/* SPDX-License-Identifier: Apache-2.0 */
/* fuzz_image_archive - whole image archives: taken apart, all their JSON read. */
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
		if (fd_write_all(fd, fixed, size) == 0 && lseek(fd, 0, SEEK_SET) == 0 &&
		    spool_read(&job, fd, 1 << 22, &spool, &err) == 0)
			(void)source_each(&spool, on_source, NULL, &err);
	}
	image_job_close(&store, &job);
	return 0;
}
