/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_tables - the bytes of the ACPI tables from plain facts: no VM needed. */
#pragma once

#include "isola/err.h"

#include "vm.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Where tables, and VMGenID, lie: reserved in the memory map, searched for the RSDP. */
#define ACPI_START   0xe0000ULL
#define ACPI_BYTES   0xf000U
#define ACPI_VMGENID 0xef000ULL

/* Ports (ours, within one block) and interrupt of the platform's ACPI devices. */
#define ACPI_PORT_SLEEP    0x600 /* sleep control, status behind it */
#define ACPI_PORT_RESET    0x602
#define ACPI_PORT_EVENTS   0x604 /* 32 bits, cleared by reading */
#define ACPI_PORT_PLACES   0x608 /* 32 bits: which places have a device */
#define ACPI_PORT_WATCHDOG 0x610
/* The watchdog's registers, from its port. */
#define WATCHDOG_RUNS      0 /* 1: runs */
#define WATCHDOG_FEED      1 /* any write starts the countdown anew */
#define WATCHDOG_TIMEOUT   2 /* 16 bits, in periods */
#define WATCHDOG_LEFT      4 /* 16 bits */
#define WATCHDOG_STATUS    6 /* 1: it fired before this boot */
#define WATCHDOG_BYTES     8
#define WATCHDOG_PERIOD_MS 1000
#define ACPI_GED_GSI       9
#define ACPI_SLEEP_S5      5
#define ACPI_RESET_VALUE   1
#define ACPI_EVENT_POWER   1U
#define ACPI_EVENT_VMGENID 2U
/* Places, from 0: a device has come to one. */
#define ACPI_PLACES_MAX     8
#define ACPI_EVENT_PLACE(n) (256U << (n))

struct acpi_facts {
	const uint32_t *apic_ids;
	unsigned int n_cpus;
	const struct vm_window *windows;
	unsigned int n_windows;
	bool watchdog;
};

/* Writes all tables into @buf, which the guest sees at ACPI_START; the root (RSDP)
 * is its first byte. @ret_size: bytes used. -E2BIG when @max is too little. */
int acpi_tables(const struct acpi_facts *facts, uint8_t *buf, size_t max, size_t *ret_size,
		struct err *err);
