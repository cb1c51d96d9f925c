/* SPDX-License-Identifier: Apache-2.0 */
/* test_boot - kernel images, good and evil, in guest memory; zero page, start info,
 * initrd and command line. */
#include "vmm/boot.h"

#include "isola/fd.h"

#include "vmm/boot_priv.h"
#include "vmm/vm.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>

#include <cmocka.h>

#include "boot_images.h"

#define MIB ((uint64_t)1 << 20)
#define GIB ((uint64_t)1 << 30)

#define RSDP 0xe0000

struct fixture {
	struct vm vm;
	struct image image;
	struct boot_entry entry;
	struct err err;
};

static struct fixture *make(uint64_t memory_bytes)
{
	struct fixture *f = calloc(1, sizeof(*f));
	assert_non_null(f);
	const struct memory_args args = { .size_bytes = memory_bytes, .page_bytes = 4096 };
	assert_int_equal(memory_new(&args, &f->vm.memory, &f->err), 0);
	return f;
}

static int setup(void **state)
{
	*state = make(64 * MIB);
	return 0;
}

static int setup_large(void **state)
{
	*state = make(5 * GIB);
	return 0;
}

static int teardown(void **state)
{
	struct fixture *f = *state;
	memory_free(f->vm.memory);
	free(f);
	return 0;
}

static int load_with(struct fixture *f, const void *initrd, size_t initrd_bytes,
		     const char *cmdline)
{
	cleanup_fd int kernel = image_fd(f->image.bytes, f->image.size);
	cleanup_fd int fd = initrd ? image_fd(initrd, initrd_bytes) : -1;
	return boot_load(&f->vm, kernel, fd, cmdline, RSDP, &f->entry, &f->err);
}

static int load(struct fixture *f)
{
	return load_with(f, NULL, 0, "quiet");
}

static void refused(struct fixture *f, int code, const char *text)
{
	int rc = load(f);
	assert_int_equal(rc, -code);
	if (!strstr(f->err.text, text))
		fail_msg("\"%s\" does not say \"%s\"", f->err.text, text);
}

static void peek(struct fixture *f, gpa_t gpa, void *buf, size_t size)
{
	assert_int_equal(memory_read(f->vm.memory, gpa, buf, size), 0);
}

/* ---- bzImage ---- */

static void bzimage__is_entered_in_64_bit_mode(void **state)
{
	struct fixture *f = *state;
	uint8_t code[1025];
	make_bzimage(&f->image);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->entry.kind, BOOT_BZIMAGE);
	assert_string_equal(boot_kind_name(f->entry.kind), "bzImage");
	assert_int_equal(f->entry.rip, 0x1000200);
	peek(f, 0x1000000, code, sizeof(code));
	assert_int_equal(code[0], 0x5a);
	assert_int_equal(code[1023], 0x5a);
	assert_int_equal(code[1024], 0);
}

static void bzimage__gets_a_zero_page(void **state)
{
	struct fixture *f = *state;
	struct boot_params zero;
	char cmdline[16];
	make_bzimage(&f->image);
	assert_int_equal(load_with(f, "initrd", 6, "console=ttyS0"), 0);
	peek(f, f->entry.info, &zero, sizeof(zero));
	assert_int_equal(zero.hdr.type_of_loader, 0xff);
	assert_int_equal(zero.hdr.version, 0x20f);
	assert_int_equal(zero.hdr.init_size, 0x100000);
	assert_int_equal(zero.acpi_rsdp_addr, RSDP);
	peek(f, zero.hdr.cmd_line_ptr, cmdline, 14);
	assert_string_equal(cmdline, "console=ttyS0");
	assert_int_equal(zero.hdr.ramdisk_size, 6);
	assert_int_equal(zero.hdr.ramdisk_image, 64 * MIB - 4096);
	char initrd[7] = "";
	peek(f, zero.hdr.ramdisk_image, initrd, 6);
	assert_string_equal(initrd, "initrd");
}

static void bzimage__gets_a_random_seed(void **state)
{
	struct fixture *f = *state;
	struct boot_params zero;
	struct {
		struct setup_data head;
		uint8_t seed[32];
	} node;
	uint8_t none[32] = { 0 };
	make_bzimage(&f->image);
	assert_int_equal(load(f), 0);
	peek(f, f->entry.info, &zero, sizeof(zero));
	peek(f, zero.hdr.setup_data, &node, sizeof(node));
	assert_int_equal(node.head.type, SETUP_RNG_SEED);
	assert_int_equal(node.head.len, 32);
	assert_int_equal(node.head.next, 0);
	assert_int_not_equal(memcmp(node.seed, none, 32), 0);
}

static void memory_map__goes_around_the_hole(void **state)
{
	struct fixture *f = *state;
	struct boot_params zero;
	const struct boot_e820_entry *e = zero.e820_table;
	make_bzimage(&f->image);
	assert_int_equal(load(f), 0);
	peek(f, f->entry.info, &zero, sizeof(zero));
	assert_int_equal(zero.e820_entries, 5);
	assert_int_equal(e[0].addr, 0);
	assert_int_equal(e[0].type, 1);
	assert_int_equal(e[1].addr, e[0].size);
	assert_int_equal(e[1].type, 2);
	assert_int_equal(e[2].addr, MIB);
	assert_int_equal(e[2].addr + e[2].size, 3 * GIB);
	assert_int_equal(e[2].type, 1);
	assert_int_equal(e[3].type, 2);
	assert_int_equal(e[3].addr + e[3].size, 4 * GIB);
	assert_int_equal(e[4].addr, 4 * GIB);
	assert_int_equal(e[4].size, 2 * GIB);
	assert_int_equal(e[4].type, 1);
}

static void initrd__stays_below_what_the_kernel_allows(void **state)
{
	struct fixture *f = *state;
	struct boot_params zero;
	make_bzimage(&f->image);
	assert_int_equal(load_with(f, "initrd", 6, ""), 0);
	peek(f, f->entry.info, &zero, sizeof(zero));
	assert_int_equal(zero.hdr.ramdisk_image, 2 * GIB - 4096);
}

static void initrd__does_not_overlap_the_kernel(void **state)
{
	struct fixture *f = *state;
	size_t size = 47 * MIB;
	void *initrd = calloc(1, size);
	assert_non_null(initrd);
	make_bzimage(&f->image); /* 16 to 17 MiB of 64 */
	assert_int_equal(load_with(f, initrd, size, ""), 0);
	assert_int_equal(load_with(f, initrd, size - 1, ""), 0);
	bz_header(&f->image)->init_size = 0x100001;
	assert_int_equal(load_with(f, initrd, size, ""), -E2BIG);
	assert_non_null(strstr(f->err.text, "initrd"));
	free(initrd);
}

static void initrd__may_lie_below_a_high_kernel(void **state)
{
	struct fixture *f = *state;
	struct boot_params zero;
	make_bzimage(&f->image);
	bz_header(&f->image)->initrd_addr_max = 0xffffff; /* where the kernel begins */
	assert_int_equal(load_with(f, "initrd", 6, ""), 0);
	peek(f, f->entry.info, &zero, sizeof(zero));
	assert_int_equal(zero.hdr.ramdisk_image, 16 * MIB - 4096);
}

static void initrd__that_is_empty_is_none(void **state)
{
	struct fixture *f = *state;
	struct boot_params zero;
	make_bzimage(&f->image);
	assert_int_equal(load_with(f, "", 0, ""), 0);
	peek(f, f->entry.info, &zero, sizeof(zero));
	assert_int_equal(zero.hdr.ramdisk_image, 0);
}

static void cmdline__is_bounded_by_the_kernel(void **state)
{
	struct fixture *f = *state;
	make_bzimage(&f->image);
	bz_header(&f->image)->cmdline_size = 4;
	assert_int_equal(load_with(f, NULL, 0, "four"), 0);
	assert_int_equal(load_with(f, NULL, 0, "fives"), -E2BIG);
	bz_header(&f->image)->cmdline_size = UINT32_MAX;
	char *large = malloc(70000);
	assert_non_null(large);
	memset(large, 'x', 69999);
	large[69999] = '\0';
	assert_int_equal(load_with(f, NULL, 0, large), -E2BIG);
	large[65535] = '\0';
	assert_int_equal(load_with(f, NULL, 0, large), 0);
	free(large);
}

static void bzimage__refuses_lies(void **state)
{
	struct fixture *f = *state;
	struct setup_header *h = bz_header(&f->image);
	make_bzimage(&f->image);
	h->version = 0x20b;
	refused(f, ENOEXEC, "2.11");
	make_bzimage(&f->image);
	h->boot_flag = 0;
	refused(f, ENOEXEC, "signature");
	make_bzimage(&f->image);
	h->loadflags = 0;
	refused(f, ENOEXEC, "zImage");
	make_bzimage(&f->image);
	h->xloadflags = 0;
	refused(f, ENOEXEC, "32-bit");
	make_bzimage(&f->image);
	h->setup_sects = 255;
	refused(f, ENOEXEC, "no kernel");
	make_bzimage(&f->image);
	h->syssize = 65;
	refused(f, ENOEXEC, "cut off");
	make_bzimage(&f->image);
	h->syssize = UINT32_MAX;
	refused(f, ENOEXEC, "cut off");
	make_bzimage(&f->image);
	h->syssize = 0;
	refused(f, ENOEXEC, "no kernel");
	make_bzimage(&f->image);
	h->pref_address = 0xfffff;
	refused(f, ENOEXEC, "below 1 MiB");
	make_bzimage(&f->image);
	h->pref_address = UINT64_MAX - 100;
	refused(f, E2BIG, "ends at");
	make_bzimage(&f->image);
	h->init_size = UINT32_MAX;
	refused(f, E2BIG, "ends at");
}

static void bzimage__takes_a_short_header(void **state)
{
	struct fixture *f = *state;
	make_bzimage(&f->image);
	/* The header ends before init_size: then the payload's size counts. */
	bz_header(&f->image)->jump = 0x5eeb;
	bz_header(&f->image)->init_size = UINT32_MAX;
	assert_int_equal(load(f), 0);
}

static void every_cut__is_an_error(void **state)
{
	struct fixture *f = *state;
	struct image whole;
	make_bzimage(&whole);
	/* The last 15 bytes may be missing: the header counts in 16s. */
	for (size_t size = 0; size < whole.size - 15; size += 7) {
		f->image = whole;
		f->image.size = size;
		assert_int_equal(load(f), -ENOEXEC);
		assert_int_not_equal(f->err.text[0], '\0');
	}
	make_elf(&whole, 1);
	for (size_t size = 0; size < whole.size; size++) {
		f->image = whole;
		f->image.size = size;
		assert_int_equal(load(f), -ENOEXEC);
	}
}

/* ---- ELF ---- */

static void elf__goes_to_physical_addresses(void **state)
{
	struct fixture *f = *state;
	uint8_t code[257];
	make_elf(&f->image, 0);
	assert_int_equal(load(f), 0);
	assert_int_equal(f->entry.kind, BOOT_ELF);
	assert_int_equal(f->entry.rip, 0x200010);
	assert_int_equal(f->entry.info, BOOT_ZERO_PAGE);
	peek(f, 0x200000, code, sizeof(code));
	assert_int_equal(code[255], 0xa5);
	assert_int_equal(code[256], 0);
}

static void elf__entry_may_be_virtual(void **state)
{
	struct fixture *f = *state;
	make_elf(&f->image, 0);
	elf_header(&f->image)->e_entry = 0xffffffff81000044;
	assert_int_equal(load(f), 0);
	assert_int_equal(f->entry.rip, 0x200044);
	elf_header(&f->image)->e_entry = 0xffffffff81000200;
	refused(f, ENOEXEC, "none of its segments");
}

static void elf__refuses_lies(void **state)
{
	struct fixture *f = *state;
	Elf64_Ehdr *h = elf_header(&f->image);
	Elf64_Phdr *p = elf_segment(&f->image, 0);
	make_elf(&f->image, 0);
	h->e_ident[EI_CLASS] = ELFCLASS32;
	refused(f, ENOEXEC, "64-bit");
	make_elf(&f->image, 0);
	h->e_machine = EM_AARCH64;
	refused(f, ENOEXEC, "x86-64");
	make_elf(&f->image, 0);
	h->e_type = ET_REL;
	refused(f, ENOEXEC, "executable");
	make_elf(&f->image, 0);
	h->e_phentsize = 1;
	refused(f, ENOEXEC, "program headers");
	make_elf(&f->image, 0);
	h->e_phnum = 0;
	refused(f, ENOEXEC, "0 program headers");
	make_elf(&f->image, 0);
	h->e_phnum = 0xffff;
	refused(f, ENOEXEC, "65535 program headers");
	make_elf(&f->image, 0);
	h->e_phoff = UINT64_MAX - 8;
	refused(f, ENOEXEC, "cut off");
	make_elf(&f->image, 0);
	p->p_offset = UINT64_MAX;
	refused(f, ENOEXEC, "cut off");
	make_elf(&f->image, 0);
	p->p_filesz = UINT64_MAX;
	p->p_memsz = UINT64_MAX;
	refused(f, ENOEXEC, "larger than the file");
	make_elf(&f->image, 0);
	p->p_filesz = 513;
	refused(f, ENOEXEC, "larger than the segment");
	make_elf(&f->image, 0);
	p->p_memsz = UINT64_MAX;
	refused(f, E2BIG, "ends at");
	make_elf(&f->image, 0);
	p->p_paddr = UINT64_MAX;
	refused(f, E2BIG, "ends at");
	make_elf(&f->image, 0);
	p->p_paddr = 0x7000;
	refused(f, ENOEXEC, "below 1 MiB");
	make_elf(&f->image, 0);
	p->p_type = PT_NULL;
	refused(f, ENOEXEC, "no segment");
	make_elf(&f->image, 0);
	p->p_memsz = 0;
	p->p_filesz = 0;
	refused(f, ENOEXEC, "no segment");
}

static void elf__reads_no_byte_twice(void **state)
{
	struct fixture *f = *state;
	make_elf(&f->image, 0);
	elf_header(&f->image)->e_phnum = 4;
	for (int i = 1; i < 4; i++)
		*elf_segment(&f->image, i) = *elf_segment(&f->image, 0);
	refused(f, ENOEXEC, "larger than the file");
}

/* ---- PVH ---- */

static void pvh__gets_its_start_info(void **state)
{
	struct fixture *f = *state;
	uint32_t info[14];
	uint64_t module[2];
	make_elf(&f->image, 1);
	assert_int_equal(load_with(f, "initrd", 6, "a b"), 0);
	assert_int_equal(f->entry.kind, BOOT_PVH);
	assert_int_equal(f->entry.rip, 0x200020);
	peek(f, f->entry.info, info, sizeof(info));
	assert_int_equal(info[0], 0x336ec578);
	assert_int_equal(info[1], 1);
	assert_int_equal(info[3], 1); /* modules */
	assert_int_equal(info[8], RSDP);
	assert_int_equal(info[12], 4); /* ranges: all RAM is low */
	char cmdline[4];
	peek(f, info[6], cmdline, 4);
	assert_string_equal(cmdline, "a b");
	peek(f, info[4], module, sizeof(module));
	assert_int_equal(module[0], 64 * MIB - 4096);
	assert_int_equal(module[1], 6);
}

static void pvh__note_of_8_bytes_is_fine(void **state)
{
	uint64_t entry = 0;
	struct err err = ERR_INIT;
	const struct {
		Elf64_Nhdr other;
		char other_name[8];
		Elf64_Nhdr head;
		char name[4];
		uint64_t entry;
	} __attribute__((packed)) notes = { { 5, 0, 18 }, "GNU!", { 4, 8, 18 }, "Xen", 0x1234567 };
	(void)state;
	assert_int_equal(boot_pvh_note((const uint8_t *)&notes, sizeof(notes), &entry, &err), 1);
	assert_int_equal(entry, 0x1234567);
	for (size_t n = 0; n < sizeof(notes) - 8; n++)
		(void)boot_pvh_note((const uint8_t *)&notes, n, &entry, &err);
}

static void pvh__refuses_lies(void **state)
{
	struct fixture *f = *state;
	make_elf(&f->image, 1);
	Elf64_Phdr *p = elf_segment(&f->image, 1);
	Elf64_Nhdr *note = (Elf64_Nhdr *)(f->image.bytes + p->p_offset);
	note->n_descsz = 5;
	refused(f, ENOEXEC, "cut off");
	note->n_descsz = UINT32_MAX;
	refused(f, ENOEXEC, "cut off");
	note->n_descsz = 2;
	refused(f, ENOEXEC, "2 bytes");
	note->n_descsz = 4;
	note->n_namesz = UINT32_MAX;
	refused(f, ENOEXEC, "cut off");
	make_elf(&f->image, 1);
	p->p_filesz = 1 << 20;
	refused(f, ENOEXEC, "notes");
	make_elf(&f->image, 1);
	p->p_offset = UINT64_MAX - 4;
	refused(f, ENOEXEC, "cut off");
	make_elf(&f->image, 1);
	uint32_t *entry = (uint32_t *)(f->image.bytes + p->p_offset + 16);
	*entry = 0x7000;
	refused(f, ENOEXEC, "none of its segments");
}

/* ---- what is no kernel ---- */

static void strangers__are_named(void **state)
{
	struct fixture *f = *state;
	static const struct {
		const char *bytes;
		size_t size;
		const char *says;
	} rows[] = {
		{ "", 0, "empty" },
		{ "\x1f\x8b\x08", 3, "gzip" },
		{ "\x28\xb5\x2f\xfd", 4, "zstd" },
		{ "\xfd"
		  "7zXZ\0",
		  6, "xz" },
		{ "MZ", 2, "EFI" },
		{ "QFI\xfb", 4, "qcow2" },
		{ "070701", 6, "initramfs" },
		{ "#!/bin/sh\n", 10, "neither" },
	};
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		memcpy(f->image.bytes, rows[i].bytes, rows[i].size);
		f->image.size = rows[i].size;
		refused(f, ENOEXEC, rows[i].says);
	}
}

static void kernel__must_be_a_file(void **state)
{
	struct fixture *f = *state;
	int fds[2];
	assert_int_equal(pipe(fds), 0);
	assert_int_equal(boot_load(&f->vm, fds[0], -1, "", RSDP, &f->entry, &f->err), -ENOEXEC);
	make_bzimage(&f->image);
	cleanup_fd int kernel = image_fd(f->image.bytes, f->image.size);
	assert_int_equal(boot_load(&f->vm, kernel, fds[0], "", RSDP, &f->entry, &f->err), -EINVAL);
	close(fds[0]);
	close(fds[1]);
}

int main(void)
{
#define TEST(t)  cmocka_unit_test_setup_teardown(t, setup, teardown)
#define LARGE(t) cmocka_unit_test_setup_teardown(t, setup_large, teardown)
	const struct CMUnitTest tests[] = {
		TEST(bzimage__is_entered_in_64_bit_mode),
		TEST(bzimage__gets_a_zero_page),
		TEST(bzimage__gets_a_random_seed),
		LARGE(memory_map__goes_around_the_hole),
		LARGE(initrd__stays_below_what_the_kernel_allows),
		TEST(initrd__does_not_overlap_the_kernel),
		TEST(initrd__may_lie_below_a_high_kernel),
		TEST(initrd__that_is_empty_is_none),
		TEST(cmdline__is_bounded_by_the_kernel),
		TEST(bzimage__refuses_lies),
		TEST(bzimage__takes_a_short_header),
		TEST(every_cut__is_an_error),
		TEST(elf__goes_to_physical_addresses),
		TEST(elf__entry_may_be_virtual),
		TEST(elf__refuses_lies),
		TEST(elf__reads_no_byte_twice),
		TEST(pvh__gets_its_start_info),
		TEST(pvh__note_of_8_bytes_is_fine),
		TEST(pvh__refuses_lies),
		TEST(strangers__are_named),
		TEST(kernel__must_be_a_file),
	};
	return cmocka_run_group_tests(tests, NULL, NULL);
}
