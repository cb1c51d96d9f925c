/* SPDX-License-Identifier: Apache-2.0 */
/* ged - the generic event device (ACPI 6.4, 5.6.9): events as bits of one register
 * that reading clears, and an interrupt. Our only source of ACPI events. Beside it the
 * register that says in which of the machine's places a device is (acpi_dsdt.c). */
#pragma once

#include "isola/err.h"

#include <stdint.h>

struct vm;
struct ged;

int ged_new(struct vm *vm, struct ged **ret, struct err *err);
/* Reports @events (ACPI_EVENT_*) to the guest. Any thread. */
void ged_raise(struct ged *ged, uint32_t events);
/* Place @place has a device from now on, and the guest is told. Any thread. */
void ged_fill_place(struct ged *ged, unsigned int place);
void ged_free(struct ged *ged);
