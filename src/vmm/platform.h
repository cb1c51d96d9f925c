/* SPDX-License-Identifier: Apache-2.0 */
/* platform - what a PC has beside virtio: serial port 0 (stdin and stdout of the
 * worker), i8042 reset, ACPI sleep and reset registers, the event device (GED) with
 * the power button and VMGenID, pvpanic, isa-debug-exit when asked for.
 *
 * Register access comes on vCPU threads; each part says what it guards. */
#pragma once

#include "isola/err.h"

#include "memory.h"

#include <json-c/json.h>

/* Where PC software expects them. */
#define PLATFORM_SERIAL_PORT  0x3f8
#define PLATFORM_SERIAL_GSI   4
#define PLATFORM_PVPANIC_PORT 0x505
#define PLATFORM_DEBUG_PORT   0xf4

struct vm;
struct platform;

/* Checks the machine file's "serial" and "watchdog" (either may be NULL). */
int platform_check(json_object *serial, json_object *watchdog, struct err *err);

int platform_new(struct vm *vm, struct platform **ret, struct err *err);
/* What needs the loop: input of the serial port. Before the jail. */
int platform_start(struct platform *platform, struct err *err);
void platform_free(struct platform *platform);
/* Presses the ACPI power button. Loop thread. */
void platform_powerdown(struct platform *platform);
/* A place of ACPI's (vm_mark_place()) has a device from now on. Loop thread. */
void platform_fill_place(struct platform *platform, unsigned int place);
/* Where VMGenID's 16 bytes are; for the DSDT. */
gpa_t platform_vmgenid(const struct platform *platform);
