/* SPDX-License-Identifier: Apache-2.0 */
/* spec_mem - see spec_mem.h. A list of chunks; the newest is filled first. */
#include "spec_mem.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define CHUNK_BYTES 4000

struct chunk {
	struct chunk *next;
	size_t used, size;
	_Alignas(max_align_t) char data[];
};

struct spec_mem {
	struct chunk *chunks;
};

struct spec_mem *spec_mem_new(void)
{
	return calloc(1, sizeof(struct spec_mem));
}

void spec_mem_free(struct spec_mem *mem)
{
	if (!mem)
		return;
	for (struct chunk *c = mem->chunks; c;) {
		struct chunk *next = c->next;
		free(c);
		c = next;
	}
	free(mem);
}

void *spec_mem_alloc(struct spec_mem *mem, size_t n, size_t size)
{
	const size_t align = _Alignof(max_align_t);
	size_t bytes;
	if (__builtin_mul_overflow(n, size, &bytes) || bytes > SIZE_MAX / 2)
		return NULL;
	bytes = (bytes + align) / align * align;
	struct chunk *c = mem->chunks;
	if (!c || c->size - c->used < bytes) {
		size_t room = bytes > CHUNK_BYTES ? bytes : CHUNK_BYTES;
		c = malloc(sizeof(*c) + room);
		if (!c)
			return NULL;
		*c = (struct chunk){ .next = mem->chunks, .size = room };
		mem->chunks = c;
	}
	void *p = c->data + c->used;
	c->used += bytes;
	return memset(p, 0, bytes);
}
