/* SPDX-License-Identifier: Apache-2.0 */
/* vmgenid - the VM generation id (Microsoft, Virtual Machine Generation ID, 2012):
 * 16 bytes of guest memory that change when the VM is cloned or set back. */
#pragma once

#include "isola/err.h"

#include "memory.h"

/* Parses "12345678-1234-...": 16 bytes in the order that a GUID has in memory.
 * -EINVAL. */
int vmgenid_parse(const char *text, uint8_t ret[16]);
/* Writes @uuid (NULL: a random one) to its place. */
int vmgenid_write(const struct memory *memory, const char *uuid, struct err *err);
