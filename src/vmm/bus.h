/* SPDX-License-Identifier: Apache-2.0 */
/* bus - which device answers at which MMIO address or I/O port.
 *
 * Built before the vCPUs run, then only read: no lock. What nobody answers for
 * reads as all ones and swallows writes, at any width from 1 to 8. Handlers run on
 * the vCPU's thread; see vm_call() for what must be the loop's. isola-vmm. */
#pragma once

#include "isola/err.h"

#include <stdint.h>

enum bus_kind { BUS_MMIO, BUS_PIO };

/* @offset: from the start of the range, @offset + @size within it. @data: little
 * endian, @size bytes (1-8 on MMIO, 1, 2 or 4 on PIO); reads fill all of it. */
struct bus_handler {
	void (*read)(void *arg, uint64_t offset, void *data, unsigned int size);
	void (*write)(void *arg, uint64_t offset, const void *data, unsigned int size);
};

struct bus;

int bus_new(struct bus **ret, struct err *err);
void bus_free(struct bus *bus);
/* -EEXIST when it overlaps another range. @handler is kept. */
int bus_add(struct bus *bus, enum bus_kind kind, uint64_t start, uint64_t size,
	    const struct bus_handler *handler, void *arg, struct err *err);
/* A range that ends beyond the device's is cut: all ones for what is outside. */
void bus_read(const struct bus *bus, enum bus_kind kind, uint64_t addr, void *data,
	      unsigned int size);
void bus_write(const struct bus *bus, enum bus_kind kind, uint64_t addr, const void *data,
	       unsigned int size);
