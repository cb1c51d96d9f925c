/* SPDX-License-Identifier: Apache-2.0 */
/* caps - names and numbers of Linux capabilities (capabilities(7)), as the
 * runtime-spec spells them: "CAP_CHOWN". */
#pragma once

#include <stdint.h>

/* The number of "CAP_X" (upper case, prefix included), or -EINVAL when we or this
 * kernel do not know it. */
int caps_parse(const char *name);

/* Fills @ret with "CAP_X" ("CAP_41" for one without a name); returns @ret. */
char *caps_name(int cap, char *ret, unsigned int size);

/* Highest capability that the running kernel has. Asks the kernel once. */
int caps_last(void);

/* Bits 0 .. caps_last(). */
uint64_t caps_all(void);
