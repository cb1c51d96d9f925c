/* SPDX-License-Identifier: Apache-2.0 */
/* disk - the foreign disk that isola-bootdisk reads: bounded reads, and the partitions
 * that its table names (GPT: UEFI 2.10, 5.3; MBR: primary ones). */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define PARTS_MAX 128

struct disk {
	int fd;             /* borrowed */
	const void *memory; /* in place of fd, for tests; borrowed */
	uint64_t size;
};

struct part {
	uint64_t start, size; /* bytes, inside the disk */
	int number;           /* from 1; 0 = the whole disk has no table */
	char uuid[40];        /* PARTUUID, or "" */
};

/* Reads exactly @size bytes; false where the disk ends before, or cannot be read. */
bool disk_read(const struct disk *disk, uint64_t at, void *buf, size_t size);

/* Fills @ret with at most PARTS_MAX partitions; returns how many. A disk without a
 * table is one part. Entries that leave the disk are skipped. */
size_t disk_parts(const struct disk *disk, struct part *ret);
