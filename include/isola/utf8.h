/* SPDX-License-Identifier: Apache-2.0 */
/* utf8 - which bytes are text (RFC 3629; Unicode, table 3-7). Pure. */
#pragma once

#include <stddef.h>

/* Length of the well-formed character that @text begins with, of at most @left
 * bytes; 0 when there is none. */
size_t utf8_len(const char *text, size_t left);

/* Makes @size bytes of foreign @text, behind which there is room for one, a string that may
 * be shown: NULs at its end go, others become spaces, and what a terminal could obey (C0,
 * DEL, C1) or is no UTF-8 becomes '?', byte by byte. */
void utf8_make_harmless(char *text, size_t size);
