/* SPDX-License-Identifier: Apache-2.0 */
/* find - the block device that root= means, and what is on it. In the guest. */
#pragma once

#include <stddef.h>

/* @root: /dev/NAME, PARTUUID=, UUID= or LABEL=. 0 with the device's path, or -1 when
 * there is none (yet). */
int find_device(const char *root, char *ret, size_t size);
/* The file system's name by its magic number. 0 or -1. */
int find_type(int fd, char *ret, size_t size);
