/* SPDX-License-Identifier: Apache-2.0 */
/* boot_priv - what the loaders of boot.c share: one job, and where things lie in
 * the first MiB. Only boot*.c include it. */
#pragma once

#include "boot.h"

#include <asm/bootparam.h>
#include <stdint.h>

/* Below 1 MiB lies what we write; kernels and initrds lie above. */
#define BOOT_GDT           0x500ULL
#define BOOT_PVH_INFO      0x6000ULL
#define BOOT_PVH_MODULE    0x6100ULL
#define BOOT_PVH_MAP       0x6200ULL
#define BOOT_ZERO_PAGE     0x7000ULL
#define BOOT_STACK         0x8ff0ULL
#define BOOT_PML4          0x9000ULL
#define BOOT_PDPT          0xa000ULL
#define BOOT_PD            0xb000ULL /* four: 4 GiB in 2 MiB pages */
#define BOOT_SEED          0x10000ULL
#define BOOT_CMDLINE       0x20000ULL
#define BOOT_CMDLINE_BYTES 0x10000ULL
#define BOOT_LOW_END       0x9fc00ULL /* of usable RAM; then PC history and ACPI tables */
#define BOOT_HIGH_START    0x100000ULL

/* Selectors of the GDT (x86 boot protocol: __BOOT_CS and __BOOT_DS). */
#define BOOT_CS 0x10
#define BOOT_DS 0x18
#define BOOT_TR 0x20

/* Of the image's first bytes, enough for every header that is judged. */
#define BOOT_HEAD_BYTES 1024

/* One load. The image is foreign: each length and offset of it is checked against
 * its size and the RAM before it is used. */
struct boot_job {
	const struct memory *memory;
	int fd;
	uint64_t image_bytes;
	uint8_t head[BOOT_HEAD_BYTES]; /* zero behind the end of a shorter image */
	gpa_t rsdp;
	/* what the loader found */
	gpa_t kernel_start, kernel_end; /* RAM it occupies, bss and decompression too */
	gpa_t initrd_limit;             /* the initrd ends at or below */
	size_t cmdline_max;             /* characters */
	struct setup_header setup;      /* of a bzImage, zero else */
	/* what boot.c placed */
	gpa_t initrd;
	uint64_t initrd_bytes;
};

int boot_bzimage_load(struct boot_job *job, struct boot_entry *entry, struct err *err);
/* Also decides between BOOT_ELF and BOOT_PVH (@entry->kind). */
int boot_elf_load(struct boot_job *job, struct boot_entry *entry, struct err *err);
/* The zero page (x86 boot protocol, 64-bit) and the seed for the random pool. */
int boot_linux_describe(struct boot_job *job, struct boot_entry *entry, struct err *err);
int boot_pvh_describe(struct boot_job *job, struct boot_entry *entry, struct err *err);
/* The entry in the notes @notes (of @size bytes): 1 and @ret, 0 without one,
 * -ENOEXEC for one that is not to be read. */
int boot_pvh_note(const uint8_t *notes, size_t size, uint64_t *ret, struct err *err);
/* GDT, and page tables for a 64-bit entry. */
int boot_write_tables(const struct boot_job *job, enum boot_kind kind, struct err *err);

/* Reads @size bytes of the image at @offset. -ENOEXEC when it is shorter. */
int boot_read(const struct boot_job *job, uint64_t offset, void *buf, size_t size, struct err *err);
/* The same into guest RAM. */
int boot_read_to_guest(const struct boot_job *job, uint64_t offset, gpa_t gpa, uint64_t size,
		       struct err *err);
/* [@start, @start + @size) above 1 MiB and within RAM below the hole, or -E2BIG. */
int boot_check_room(const struct boot_job *job, gpa_t start, uint64_t size, struct err *err);

/* The guest's memory map, in order of addresses. Returns the number of ranges. */
struct boot_range {
	gpa_t start;
	uint64_t size;
	uint32_t type; /* E820_RAM, E820_RESERVED */
};
#define BOOT_RANGES_MAX 8
#define BOOT_RAM        1
#define BOOT_RESERVED   2
size_t boot_map(const struct memory *memory, struct boot_range ret[BOOT_RANGES_MAX]);
