/* SPDX-License-Identifier: Apache-2.0 */
/* boot - a kernel image in guest memory, chosen by its content: bzImage (Linux
 * x86 boot protocol, 64-bit entry), ELF vmlinux (64-bit Linux entry) or, with its
 * note, PVH. No firmware. isola-vmm, before the jail; the image is foreign input. */
#pragma once

#include "isola/err.h"

#include "memory.h"

struct vm;

enum boot_kind { BOOT_BZIMAGE, BOOT_ELF, BOOT_PVH };

/* Where the first vCPU begins. */
struct boot_entry {
	enum boot_kind kind;
	gpa_t rip;
	gpa_t info; /* boot_params (RSI) or hvm_start_info (EBX) */
};

/* Loads kernel and initrd (@initrd_fd -1: none), writes the command line, memory
 * map, page tables, GDT and the start info with @rsdp. -ENOEXEC names what is
 * wrong with the image, -E2BIG what does not fit. Borrows the descriptors. */
int boot_load(struct vm *vm, int kernel_fd, int initrd_fd, const char *cmdline, gpa_t rsdp,
	      struct boot_entry *ret, struct err *err);
/* The registers of the first vCPU for @entry. */
int boot_set_registers(const struct boot_entry *entry, int vcpu_fd, struct err *err);
/* "bzImage", "elf", "pvh". */
const char *boot_kind_name(enum boot_kind kind);
