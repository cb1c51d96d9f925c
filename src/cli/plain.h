/* SPDX-License-Identifier: Apache-2.0 */
/* plain - texts of strangers (a registry's message, an image's words) on their way to
 * a terminal: nothing in them may move the cursor, change its state or hide. */
#pragma once

#include "isola/strbuf.h"

/* Appends @text with a '?' for each control character (C0, DEL, C1), each sign that
 * changes the direction of writing, each line or paragraph separator, and each byte
 * that is no UTF-8 (RFC 3629). Line feeds stay with @lines. */
void plain_text(struct strbuf *out, const char *text, bool lines);

/* The same for a column: printable ASCII alone stays, so that each byte is one
 * column wide. At most @size - 1 bytes. */
void plain_ascii(char *ret, size_t size, const char *text);
