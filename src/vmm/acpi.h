/* SPDX-License-Identifier: Apache-2.0 */
/* acpi - the platform's description: RSDP, XSDT, FADT (hardware-reduced), MADT,
 * DSDT with the serial port, the virtio-mmio windows (LNRO0005), the event device
 * (power button, VMGenID) (ACPI 6.4). isola-vmm, before the jail. */
#pragma once

#include "isola/err.h"

#include "memory.h"

struct vm;

/* Where acpi_write() puts the root. */
#define ACPI_RSDP 0xe0000ULL

/* Writes all tables below 1 MiB, the root first, for the devices that vm has. */
int acpi_write(struct vm *vm, struct err *err);

/* For devices that want a node of their own in the DSDT (vmgenid, watchdog): appended
 * by the platform, see acpi_aml.h. */
