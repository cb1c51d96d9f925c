/* SPDX-License-Identifier: Apache-2.0 */
/* memory - an archive in memory: written by tarw, read by tar. */
#pragma once

#include "isola/strbuf.h"
#include "isola/tarw.h"

struct memory {
	struct strbuf bytes;
	size_t at;
};

static inline int memory_write(void *arg, const void *data, size_t size, struct err *err)
{
	struct memory *m = arg;
	(void)err;
	strbuf_add(&m->bytes, data, size);
	return 0;
}

/* In small pieces, as a socket gives them. */
static inline ssize_t memory_read(void *arg, const unsigned char **ret, struct err *err)
{
	struct memory *m = arg;
	size_t left = m->bytes.len - m->at, n = left < 700 ? left : 700;
	(void)err;
	*ret = (const unsigned char *)m->bytes.text + m->at;
	m->at += n;
	return (ssize_t)n;
}
