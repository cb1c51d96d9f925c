/* SPDX-License-Identifier: Apache-2.0 */
/* memory - the guest's RAM, and the only way to it.
 *
 * A guest address becomes a host pointer only here, as a span: checked for
 * overflow, edges of regions and write permission. Nothing but memory.c and
 * virtq.c handles raw guest pointers; devices copy, or hand iovecs of a chain to
 * the kernel. isola-vmm; safe from any thread once built (regions do not change). */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef uint64_t gpa_t;

/* RAM lies below the hole, and what does not fit there above 4 GiB. */
#define MEMORY_HOLE_START 0xc0000000ULL
#define MEMORY_HOLE_END   0x100000000ULL
#define MEMORY_MIN_BYTES  (1ULL << 20)
#define MEMORY_MAX_BYTES  (1ULL << 40)

struct memory_args {
	uint64_t size_bytes; /* a multiple of page_bytes */
	size_t page_bytes;   /* 4096, 2 MiB, 1 GiB (hugetlbfs) */
	bool shared;         /* memfd, to be mapped by others (vhost-user) */
	bool thp, prefault, merge;
};

struct memory_region {
	gpa_t start;
	uint64_t size_bytes;
	uint8_t *host;
	int fd; /* of shared memory or a pmem file, -1 else */
	uint64_t fd_offset;
	bool readonly;
	bool is_ram; /* else a pmem file */
};

struct memory;

/* -EINVAL with what is out of range, or does not go together. */
int memory_check(const struct memory_args *args, struct err *err);
/* -EINVAL as memory_check() does; -ENOMEM also when there are too few huge pages. */
int memory_new(const struct memory_args *args, struct memory **ret, struct err *err);
void memory_free(struct memory *mem);

/* One more region behind the end of RAM, aligned to 2 MiB: a file mapped by the
 * caller (virtio-pmem), always above 4 GiB. @host is taken on success (munmap at the
 * end). Whole pages. Before memory_give_to_kvm(). -ENOSPC, -EINVAL, -E2BIG. */
int memory_add_file(struct memory *mem, uint8_t *host, uint64_t size_bytes, bool readonly,
		    gpa_t *ret_start, struct err *err);

/* KVM_SET_USER_MEMORY_REGION for each region. */
int memory_give_to_kvm(struct memory *mem, int vm_fd, struct err *err);

/* All regions, sorted by address; borrowed. */
size_t memory_regions(const struct memory *mem, const struct memory_region **ret);
/* Bytes of RAM (without pmem); end of RAM below the hole, and above 4 GiB (0: none). */
uint64_t memory_ram_bytes(const struct memory *mem);
gpa_t memory_low_end(const struct memory *mem);
gpa_t memory_high_end(const struct memory *mem);

struct span {
	uint8_t *host;
	size_t size;
};

/* The whole range [@gpa, @gpa + @size) within one region. -EFAULT when it is not,
 * or when @write and the region is read-only. @size 0 is a valid, empty span. */
int memory_span(const struct memory *mem, gpa_t gpa, uint64_t size, bool write, struct span *ret);
/* The longest piece of the range that is in one region: a buffer of the guest may
 * cross from one to the next (CVE-2019-18960). -EFAULT when not even one byte is. */
int memory_piece(const struct memory *mem, gpa_t gpa, uint64_t size, bool write, struct span *ret);

/* Copies, over the edges of regions. 0 or -EFAULT; then nothing was promised. */
int memory_read(const struct memory *mem, gpa_t gpa, void *buf, size_t size);
int memory_write(const struct memory *mem, gpa_t gpa, const void *buf, size_t size);

/* The range is about to be filled, and all of it will be used (a kernel): large pages,
 * if the host has them to spare. Fewer faults for us now, and for the guest later. */
void memory_expect(const struct memory *mem, gpa_t gpa, uint64_t size);

/* The guest needs these pages no more: back to the host, read as zero afterwards.
 * Anonymous: MADV_DONTNEED; memfd: a hole is punched. Whole pages within the range
 * only. RAM only, else -EFAULT. */
int memory_discard(const struct memory *mem, gpa_t gpa, uint64_t size);
