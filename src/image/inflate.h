/* SPDX-License-Identifier: Apache-2.0 */
/* inflate - gzip's members (RFC 1952), by one of two libraries. ISA-L's decoder takes half
 * of zlib's time, but it is assembler, in which no sanitizer looks for mistakes: it is for
 * processes that have no right to lose (layer_feed.h). */
#pragma once

#include <stddef.h>

struct inflate_io {
	const unsigned char *in; /* advanced by what was taken */
	size_t in_size;
	unsigned char *out; /* advanced by what was made */
	size_t out_size;
};

struct inflate_type {
	const char *name;
	void *(*make)(void); /* NULL = out of memory; owned */
	void (*release)(void *state);
	/* Before the first byte of a member: 0, or -EINVAL. */
	int (*begin)(void *state);
	/* Goes on until input or room is used up: 0; 1 = the member has ended, its length and
	 * checksum are right; -ENOMEM; -EINVAL with a static *@ret_why: it is damaged. */
	int (*step)(void *state, struct inflate_io *io, const char **ret_why);
};

extern const struct inflate_type inflate_zlib;

#ifdef ISOLA_ISAL
extern const struct inflate_type inflate_isal;
#define INFLATE_QUICK inflate_isal
#else
#define INFLATE_QUICK inflate_zlib
#endif
