/* SPDX-License-Identifier: Apache-2.0 */
/* boot_images - small kernel images made by hand, for the loader's tests. */
#pragma once

#include <asm/bootparam.h>
#include <assert.h>
#include <elf.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define IMAGE_MAX 8192

struct image {
	uint8_t bytes[IMAGE_MAX];
	size_t size;
};

/* As a file; -1 never. */
static inline int image_fd(const void *bytes, size_t size)
{
	int fd = memfd_create("image", MFD_CLOEXEC);
	assert(fd >= 0);
	ssize_t n = write(fd, bytes, size);
	assert(n == (ssize_t)size);
	(void)n;
	return fd;
}

#define BZ_SETUP_SECTS 1
#define BZ_PAYLOAD     ((BZ_SETUP_SECTS + 1) * 512)

/* The header of a bzImage, to be spoilt by a test. */
static inline struct setup_header *bz_header(struct image *image)
{
	return (struct setup_header *)(image->bytes + 0x1f1);
}

static inline void make_bzimage(struct image *image)
{
	memset(image, 0, sizeof(*image));
	*bz_header(image) = (struct setup_header){
		.setup_sects = BZ_SETUP_SECTS,
		.syssize = 64, /* in 16s: 1 KiB */
		.boot_flag = 0xaa55,
		.jump = 0x66eb, /* the header is as long as a new one */
		.header = 0x53726448,
		.version = 0x20f,
		.loadflags = LOADED_HIGH,
		.xloadflags = XLF_KERNEL_64,
		.initrd_addr_max = 0x7fffffff,
		.cmdline_size = 2047,
		.pref_address = 0x1000000,
		.init_size = 0x100000,
		.kernel_alignment = 0x200000,
		.relocatable_kernel = 1,
	};
	image->size = BZ_PAYLOAD + 1024;
	memset(image->bytes + BZ_PAYLOAD, 0x5a, 1024);
}

#define ELF_CODE 512

static inline Elf64_Ehdr *elf_header(struct image *image)
{
	return (Elf64_Ehdr *)image->bytes;
}

static inline Elf64_Phdr *elf_segment(struct image *image, int i)
{
	return (Elf64_Phdr *)(image->bytes + sizeof(Elf64_Ehdr)) + i;
}

/* One segment of 256 bytes (and as many of bss) at 2 MiB; with @pvh a note too. */
static inline void make_elf(struct image *image, int pvh)
{
	memset(image, 0, sizeof(*image));
	*elf_header(image) = (Elf64_Ehdr){
		.e_ident = { ELFMAG0, ELFMAG1, ELFMAG2, ELFMAG3, ELFCLASS64, ELFDATA2LSB, 1 },
		.e_type = ET_EXEC,
		.e_machine = EM_X86_64,
		.e_version = 1,
		.e_entry = 0x200010,
		.e_phoff = sizeof(Elf64_Ehdr),
		.e_ehsize = sizeof(Elf64_Ehdr),
		.e_phentsize = sizeof(Elf64_Phdr),
		.e_phnum = pvh ? 2 : 1,
	};
	*elf_segment(image, 0) = (Elf64_Phdr){
		.p_type = PT_LOAD,
		.p_offset = ELF_CODE,
		.p_vaddr = 0xffffffff81000000,
		.p_paddr = 0x200000,
		.p_filesz = 256,
		.p_memsz = 512,
	};
	memset(image->bytes + ELF_CODE, 0xa5, 256);
	image->size = ELF_CODE + 256;
	if (!pvh)
		return;
	const struct {
		Elf64_Nhdr head[1];
		char name[4];
		uint32_t entry;
	} note = { { { 4, 4, 18 } }, "Xen", 0x200020 };
	*elf_segment(image, 1) = (Elf64_Phdr){ .p_type = PT_NOTE,
					       .p_offset = image->size,
					       .p_filesz = sizeof(note) };
	memcpy(image->bytes + image->size, &note, sizeof(note));
	image->size += sizeof(note);
}
