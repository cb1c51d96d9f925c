/* SPDX-License-Identifier: Apache-2.0 */
/* heap - see heap.h. isola-keeper, its only thread. */
#include "heap.h"

#include <malloc.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#ifndef MADV_POPULATE_WRITE
#define MADV_POPULATE_WRITE 23 /* Linux 5.14 */
#endif

#define THRESHOLD  (32 * 1024)
#define EXPECT_MAX ((size_t)512 * 1024)
#define PAGE       ((uintptr_t)4096)

void heap_init(void)
{
	(void)mallopt(M_MMAP_THRESHOLD, THRESHOLD);
	(void)mallopt(M_TRIM_THRESHOLD, THRESHOLD);
	(void)mallopt(M_TOP_PAD, 0);
}

void heap_expect(size_t bytes)
{
	if (bytes > EXPECT_MAX)
		bytes = EXPECT_MAX;
	(void)mallopt(M_TOP_PAD, (int)bytes);
	/* More than is free at the end, less than what would be mapped apart. */
	void *first = malloc(THRESHOLD / 2);
	uintptr_t from = ((uintptr_t)first + PAGE - 1) & ~(PAGE - 1), to = (uintptr_t)sbrk(0);
	if (first && from < to && to - from <= EXPECT_MAX + THRESHOLD)
		(void)madvise((void *)from, to - from, MADV_POPULATE_WRITE);
	free(first);
}

void heap_settle(void)
{
	(void)mallopt(M_TOP_PAD, 0);
}
