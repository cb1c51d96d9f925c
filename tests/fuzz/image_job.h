/* SPDX-License-Identifier: Apache-2.0 */
/* image_job - what the targets that read archives share: a store and a job in
 * memory, and checksums that mutation would never get right. */
#pragma once

#include "image/store.h"
#include "isola/fd.h"

#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static char image_dir[] = "/dev/shm/fuzz-image.XXXXXX";

static inline void image_job_remove(void)
{
	(void)fd_remove_tree(AT_FDCWD, image_dir, NULL);
}

static inline void image_job_open(struct store *s, struct job *job)
{
	static int made;
	struct err err = ERR_INIT;
	if (!made && (!mkdtemp(image_dir) || atexit(image_job_remove) != 0))
		abort();
	made = 1;
	if (store_open(image_dir, s, &err) < 0 || job_open(s, job, &err) < 0)
		abort();
}

static inline void image_job_close(struct store *s, struct job *job)
{
	job_fini(job);
	store_fini(s);
}

/* A copy of @data in which every block that looks like a tar header has the
 * right checksum. Owned. */
static inline uint8_t *image_fix_sums(const uint8_t *data, size_t size)
{
	uint8_t *copy = malloc(size + 1);
	if (!copy)
		abort();
	if (size > 0)
		memcpy(copy, data, size);
	for (size_t at = 0; at + 512 <= size; at += 512) {
		unsigned int sum = 0;
		char text[9];
		if (memcmp(copy + at + 257, "ustar", 5) != 0)
			continue;
		memset(copy + at + 148, ' ', 8);
		for (size_t i = 0; i < 512; i++)
			sum += copy[at + i];
		(void)snprintf(text, sizeof(text), "%06o", sum);
		memcpy(copy + at + 148, text, 7);
	}
	return copy;
}
