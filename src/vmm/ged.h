/* SPDX-License-Identifier: Apache-2.0 */
/* ged - the generic event device (ACPI 6.4, 5.6.9): events as bits of one register
 * that reading clears, and an interrupt. Our only source of ACPI events. */
#pragma once

#include "isola/err.h"

#include <stdint.h>

struct vm;
struct ged;

int ged_new(struct vm *vm, struct ged **ret, struct err *err);
/* Reports @events (ACPI_EVENT_*) to the guest. Any thread. */
void ged_raise(struct ged *ged, uint32_t events);
void ged_free(struct ged *ged);
