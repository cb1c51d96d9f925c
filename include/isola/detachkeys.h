/* SPDX-License-Identifier: Apache-2.0 */
/* detachkeys - the key sequence that leaves an attached terminal ("ctrl-p,ctrl-q")
 * and the scanner that finds it in typed bytes. Used by the CLIs and the keeper. */
#pragma once

#include "isola/err.h"

#include <stddef.h>

#define DETACHKEYS_MAX     16
#define DETACHKEYS_DEFAULT "ctrl-p,ctrl-q"

struct detachkeys {
	unsigned char keys[DETACHKEYS_MAX];
	size_t n;       /* 0 = nothing detaches */
	size_t matched; /* how many of them the input so far ends with */
};

/* Docker's grammar: comma-separated single characters or ctrl-<a-z @ [ \ ] ^ _>.
 * "" detaches never. -EINVAL names the part that is wrong. */
int detachkeys_parse(const char *text, struct detachkeys *ret, struct err *err);

/* Copies @in to @out without the bytes of a sequence that is not complete yet;
 * those follow with a later call if it breaks off. @out holds @size +
 * DETACHKEYS_MAX bytes. Returns 1 when the sequence was completed (what follows
 * it in @in is dropped), else 0; *@ret_size bytes are to be passed on. */
int detachkeys_scan(struct detachkeys *d, const unsigned char *in, size_t size, unsigned char *out,
		    size_t *ret_size);
