/* SPDX-License-Identifier: Apache-2.0 */
/* base64 - RFC 4648: credentials, what a path in a container is, a small disk. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* Owned text with padding; NULL = no memory. */
char *base64_encode(const void *data, size_t size);

/* Either alphabet, with padding or without. @ret gets at most @size bytes: their number,
 * or -EINVAL, also for what does not fit. */
ssize_t base64_decode(const char *text, void *ret, size_t size);
