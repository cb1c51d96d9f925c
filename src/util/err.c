/* SPDX-License-Identifier: Apache-2.0 */
/* err - see include/isola/err.h. Pure text work, used by every program. */
#include "isola/err.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static int set_va(struct err *err, int code, const char *fmt, va_list ap)
{
	if (code <= 0)
		code = EIO;
	if (err) {
		err->code = code;
		(void)vsnprintf(err->text, sizeof(err->text), fmt, ap);
	}
	return -code;
}

static void append_reason(struct err *err, int code)
{
	if (!err)
		return;
	size_t n = strlen(err->text);
#ifdef __GLIBC__
	char buf[128];
	const char *why = strerror_r(code, buf, sizeof(buf));
#else
	const char *why = strerror(code); /* musl's is a table */
#endif
	(void)snprintf(err->text + n, sizeof(err->text) - n, ": %s", why);
}

int err_set(struct err *err, int code, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	int rc = set_va(err, code, fmt, ap);
	va_end(ap);
	return rc;
}

int err_sys(struct err *err, const char *fmt, ...)
{
	int code = errno;
	va_list ap;
	va_start(ap, fmt);
	int rc = set_va(err, code, fmt, ap);
	va_end(ap);
	append_reason(err, -rc);
	return rc;
}

int err_rc(struct err *err, int rc, const char *fmt, ...)
{
	va_list ap;
	va_start(ap, fmt);
	rc = set_va(err, -rc, fmt, ap);
	va_end(ap);
	append_reason(err, -rc);
	return rc;
}

int err_prefix(struct err *err, const char *fmt, ...)
{
	if (!err)
		return -EIO;
	char old[ERR_TEXT_BYTES];
	memcpy(old, err->text, sizeof(old));
	va_list ap;
	va_start(ap, fmt);
	int n = vsnprintf(err->text, sizeof(err->text), fmt, ap);
	va_end(ap);
	if (n < 0)
		n = 0;
	if ((size_t)n < sizeof(err->text))
		(void)snprintf(err->text + n, sizeof(err->text) - (size_t)n, ": %s", old);
	return err->code ? -err->code : -EIO;
}

int err_copy(struct err *dst, const struct err *src)
{
	if (!src)
		return -EIO;
	if (dst)
		*dst = *src;
	return src->code ? -src->code : -EIO;
}
