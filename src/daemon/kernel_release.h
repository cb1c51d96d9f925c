/* SPDX-License-Identifier: Apache-2.0 */
/* kernel_release - which Linux a kernel file is, as it says itself. Reads up to
 * KERNEL_RELEASE_LOOK_MAX bytes of a file that is in the page cache when a VM of it runs, and
 * only once for each file. isolad, loop thread. */
#pragma once

#include <stddef.h>

#define KERNEL_RELEASE_MAX      128
#define KERNEL_RELEASE_LOOK_MAX (64UL * 1024 * 1024)

/* "6.12.1-amd64", printable; "" when the file cannot be read, is no Linux, or hides it: a
 * bzImage's header has it (x86/boot.rst, kernel_version), an ELF kernel's banner. */
void kernel_release(const char *path, char ret[KERNEL_RELEASE_MAX]);

/* Pure: what follows "Linux version " in @size bytes at @data, to the next blank. Returns
 * whether it is there, whole. */
int kernel_release_find(const void *data, size_t size, char ret[KERNEL_RELEASE_MAX]);
