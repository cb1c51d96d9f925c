/* SPDX-License-Identifier: Apache-2.0 */
/* ports - the platform's small registers, each a row of one table: i8042 reset, ACPI
 * sleep and reset, pvpanic, isa-debug-exit. Without state: no lock. */
#pragma once

#include "isola/err.h"

struct vm;

/* Puts them on the bus, isa-debug-exit only when the machine file asks for it; and into
 * memory what a guest jumps to for a restart by BIOS. */
int ports_add(struct vm *vm, struct err *err);
