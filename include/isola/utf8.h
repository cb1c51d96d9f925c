/* SPDX-License-Identifier: Apache-2.0 */
/* utf8 - which bytes are text (RFC 3629; Unicode, table 3-7). Pure. */
#pragma once

#include <stddef.h>

/* Length of the well-formed character that @text begins with, of at most @left
 * bytes; 0 when there is none. */
size_t utf8_len(const char *text, size_t left);
