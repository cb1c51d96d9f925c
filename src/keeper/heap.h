/* SPDX-License-Identifier: Apache-2.0 */
/* heap - a keeper lives as long as its payload, so its heap is kept small: what a
 * burst needs is mapped for it and unmapped behind it, and a free end goes back to
 * the kernel. glibc's malloc. */
#pragma once

#include <stddef.h>

/* Once, before anything of a payload is read. */
void heap_init(void);

/* The next calls will take about @bytes: gets them from the kernel at once, with
 * their pages, which costs a tenth of a brk and a fault for each. Only advice. */
void heap_expect(size_t bytes);
/* What was expected has been taken: the rest goes back with the next free. */
void heap_settle(void);
