/* SPDX-License-Identifier: Apache-2.0 */
/* loader - kernel and initrd read into guest memory by a thread of its own, while KVM
 * makes the VM and its devices: both wait for something else, one for the page cache and
 * pages to be cleared, the other for RCU. isola-vmm, before the jail. */
#pragma once

#include "isola/err.h"

#include "boot.h"

struct vm;
struct loader;

/* Opens what the machine file names and begins. @rsdp: where the ACPI tables' root will
 * be. The caller adds no region of RAM until loader_end(). */
int loader_start(struct vm *vm, gpa_t rsdp, struct loader **ret, struct err *err);
/* Waits for the end and frees; NULL is fine. What went wrong while it loaded. */
int loader_end(struct loader *loader, struct boot_entry *ret, struct err *err);
