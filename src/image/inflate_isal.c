/* SPDX-License-Identifier: Apache-2.0 */
/* inflate_isal - see inflate.h: Intel's ISA-L. It chooses its code by CPUID at the first
 * call, through a table in its data: no system call, no memory that is written and
 * executed, so the jail does not show to it. A member's header is read here: ISA-L 2.30
 * takes one with a checksum of its own for damaged when it comes in pieces. Runs in a
 * layer's feed. */
#include "inflate.h"

#include <errno.h>
#include <isa-l/igzip_lib.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <zlib.h>

#define FIXED_BYTES    10
#define FLAGS_RESERVED 0xe0

/* RFC 1952, 2.3: in this order. */
enum field { FIXED, EXTRA_SIZE, EXTRA, NAME, COMMENT, CHECKSUM, BODY };

static const unsigned char flag_of[] = {
	[EXTRA_SIZE] = 4, [EXTRA] = 4, [NAME] = 8, [COMMENT] = 16, [CHECKSUM] = 2,
};

struct member {
	enum field field;
	uint32_t got; /* bytes of it */
	uint32_t extra_size, checksum, crc;
	unsigned char flags;
	struct inflate_state deflated;
};

static void *make(void)
{
	return malloc(sizeof(struct member));
}

static int begin(void *state)
{
	struct member *m = state;
	m->field = FIXED;
	m->got = m->extra_size = m->checksum = m->crc = 0;
	m->flags = 0;
	isal_inflate_init(&m->deflated);
	m->deflated.crc_flag = ISAL_GZIP_NO_HDR_VER;
	return 0;
}

static const char *judge_fixed(struct member *m, unsigned char byte)
{
	static const unsigned char head[] = { 0x1f, 0x8b, Z_DEFLATED };
	if (m->got < sizeof(head) && byte != head[m->got])
		return m->got < 2 ? "incorrect header check" : "unknown compression method";
	if (m->got == sizeof(head)) {
		m->flags = byte;
		if (byte & FLAGS_RESERVED)
			return "unknown header flags set";
	}
	return NULL;
}

/* One byte of the field: NULL, or why it is wrong. *@ret_whole: was it the last one? */
static const char *take(struct member *m, unsigned char byte, bool *ret_whole)
{
	const char *why = NULL;
	switch (m->field) {
	case FIXED:
		why = judge_fixed(m, byte);
		*ret_whole = m->got + 1 == FIXED_BYTES;
		break;
	case EXTRA_SIZE:
		m->extra_size |= (uint32_t)byte << (8 * m->got);
		*ret_whole = m->got == 1;
		break;
	case EXTRA:
		*ret_whole = m->got + 1 == m->extra_size;
		break;
	case NAME:
	case COMMENT:
		*ret_whole = byte == 0;
		break;
	default:
		m->checksum |= (uint32_t)byte << (8 * m->got);
		*ret_whole = m->got == 1;
		if (*ret_whole && m->checksum != (m->crc & 0xffff))
			why = "header crc mismatch";
	}
	m->got++;
	if (m->field != CHECKSUM)
		m->crc = (uint32_t)crc32(m->crc, &byte, 1);
	return why;
}

static bool has(const struct member *m, enum field field)
{
	return (m->flags & flag_of[field]) && (field != EXTRA || m->extra_size > 0);
}

/* 1 = the header is through, 0 = more of it is to come. */
static int read_header(struct member *m, struct inflate_io *io, const char **ret_why)
{
	while (m->field != BODY && io->in_size > 0) {
		bool whole = false;
		const char *why = take(m, *io->in, &whole);
		if (why) {
			*ret_why = why;
			return -EINVAL;
		}
		io->in++;
		io->in_size--;
		if (!whole)
			continue;
		m->got = 0;
		do
			m->field++;
		while (m->field != BODY && !has(m, m->field));
	}
	return m->field == BODY;
}

static const char *reason(int rc)
{
	switch (rc) {
	case ISAL_INVALID_BLOCK:
		return "invalid block";
	case ISAL_INVALID_SYMBOL:
		return "invalid code";
	case ISAL_INVALID_LOOKBACK:
		return "invalid distance too far back";
	case ISAL_INCORRECT_CHECKSUM:
		return "incorrect data check";
	default:
		return "bad gzip data";
	}
}

static int step(void *state, struct inflate_io *io, const char **ret_why)
{
	struct member *m = state;
	struct inflate_state *s = &m->deflated;
	int rc = read_header(m, io, ret_why);
	if (rc <= 0)
		return rc;
	s->next_in = (unsigned char *)io->in;
	s->avail_in = (uint32_t)io->in_size;
	s->next_out = io->out;
	s->avail_out = (uint32_t)io->out_size;
	rc = isal_inflate(s);
	*io = (struct inflate_io){ s->next_in, s->avail_in, s->next_out, s->avail_out };
	/* What is above 0 asks for more, and what it has taken in waits in its state. */
	if (rc < 0 || rc == ISAL_NEED_DICT) {
		*ret_why = reason(rc);
		return -EINVAL;
	}
	return s->block_state == ISAL_BLOCK_FINISH;
}

const struct inflate_type inflate_isal = {
	.name = "ISA-L", .make = make, .release = free, .begin = begin, .step = step
};
