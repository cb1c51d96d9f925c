/* SPDX-License-Identifier: Apache-2.0 */
/* owner - a container's User ("name", "1000", "name:group") as numbers, by the
 * passwd and group files below "/" of this process, a container's view. */
#pragma once

#include "isola/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* -EINVAL when the files do not know a name; a number needs no file. */
int owner_find(const char *user, uid_t *ret_uid, gid_t *ret_gid, struct err *err);

/* Pure text: of a line of passwd(5) or group(5) that begins with "@name:", or whose
 * third field is @number when @name is NULL, field @n (from 0) as a number. 0, or
 * -ENOENT when no line fits. */
int owner_field(const char *text, const char *name, uint32_t number, unsigned int n, uint32_t *ret);
