/* SPDX-License-Identifier: Apache-2.0 */
/* watchdog - a countdown that the guest's driver feeds, described by the ACPI table
 * WDAT. Of the drivers in Debian's stock kernels, wdat_wdt is the only one that
 * drives a timer without PCI and without a chip's own quirks (the cloud kernel has
 * iTCO_wdt, i6300esb and ib700wdt switched off). */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>

struct vm;
struct watchdog;

/* Checks the machine file's "watchdog". */
int watchdog_check(json_object *conf, struct err *err);
/* NULL in @ret when the machine file has none. */
int watchdog_new(struct vm *vm, struct watchdog **ret, struct err *err);
/* Closes its timer, which needs one more turn of the loop. */
void watchdog_free(struct watchdog *watchdog);
