/* SPDX-License-Identifier: Apache-2.0 */
/* spec_mem - the arena of one spec: everything is freed at once. */
#pragma once

#include <stddef.h>

struct spec_mem;

/* NULL when memory is out. */
struct spec_mem *spec_mem_new(void);
void spec_mem_free(struct spec_mem *mem);

/* @n zeroed objects of @size bytes, aligned for any type; valid until
 * spec_mem_free(). NULL when memory is out. @n of 0 gives a valid pointer. */
void *spec_mem_alloc(struct spec_mem *mem, size_t n, size_t size);
