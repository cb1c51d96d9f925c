/* SPDX-License-Identifier: Apache-2.0 */
/* err - an error that a person will read: an errno and one sentence.
 *
 * The text is made where the fact is known ("cannot open /x: No such file"),
 * each layer above may add one piece of context in front of it, and only the
 * top of a program prints or sends it. Used by every program. */
#pragma once

#include <stdarg.h>

#define ERR_TEXT_BYTES 1024

/* Zero-initialise with ERR_INIT. @code is a positive errno, 0 = no error. */
struct err {
	int code;
	char text[ERR_TEXT_BYTES];
};

#define ERR_INIT                                                                                   \
	{                                                                                          \
		.code = 0, .text = ""                                                              \
	}

/* Sets @err to @code and the formatted text; overwrites what was there.
 * @code: positive errno. @err may be NULL. Returns -@code. Any thread. */
int err_set(struct err *err, int code, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Like err_set() with the current errno, and ": strerror" behind the text.
 * Returns -errno (never 0: an errno of 0 becomes EIO). */
int err_sys(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Like err_sys() for a call that returned -errno in @rc instead of setting it. */
int err_rc(struct err *err, int rc, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Puts "<context>: " in front of the text that is there. Returns -err->code,
 * or -EIO when @err is NULL. */
int err_prefix(struct err *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/* Copies @src over @dst (either may be NULL). Returns -src->code. */
int err_copy(struct err *dst, const struct err *src);
