/* SPDX-License-Identifier: Apache-2.0 */
/* ged - see ged.h. The register is one atomic word: no lock. isola-vmm. */
#include "ged.h"

#include "isola/fd.h"

#include "acpi_tables.h"
#include "vm.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct ged {
	int irq_fd;
	uint32_t pending, places; /* atomic */
};

/* Only the whole register clears: the DSDT reads it so. */
static void read_events(void *arg, uint64_t offset, void *data, unsigned int size)
{
	struct ged *ged = arg;
	memset(data, 0, size);
	if (offset != 0 || size != sizeof(ged->pending))
		return;
	uint32_t events = __atomic_exchange_n(&ged->pending, 0, __ATOMIC_ACQ_REL);
	memcpy(data, &events, sizeof(events));
}

static void read_places(void *arg, uint64_t offset, void *data, unsigned int size)
{
	struct ged *ged = arg;
	memset(data, 0, size);
	if (offset != 0 || size != sizeof(ged->places))
		return;
	uint32_t places = __atomic_load_n(&ged->places, __ATOMIC_ACQUIRE);
	memcpy(data, &places, sizeof(places));
}

static void write_nothing(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	(void)arg;
	(void)offset;
	(void)data;
	(void)size;
}

static const struct bus_handler registers = { read_events, write_nothing };
static const struct bus_handler places = { read_places, write_nothing };

void ged_raise(struct ged *ged, uint32_t events)
{
	static const uint64_t one = 1;
	(void)__atomic_fetch_or(&ged->pending, events, __ATOMIC_ACQ_REL);
	(void)!write(ged->irq_fd, &one, sizeof(one));
}

void ged_fill_place(struct ged *ged, unsigned int place)
{
	(void)__atomic_fetch_or(&ged->places, 1U << place, __ATOMIC_ACQ_REL);
	ged_raise(ged, ACPI_EVENT_PLACE(place));
}

int ged_new(struct vm *vm, struct ged **ret, struct err *err)
{
	struct ged *ged = calloc(1, sizeof(*ged));
	if (!ged)
		return err_set(err, ENOMEM, "out of memory");
	ged->irq_fd = vm_irqfd(vm, ACPI_GED_GSI, err);
	int rc = ged->irq_fd;
	if (rc >= 0)
		rc = bus_add(vm->bus, BUS_PIO, ACPI_PORT_EVENTS, sizeof(ged->pending), &registers,
			     ged, err);
	if (rc >= 0)
		rc = bus_add(vm->bus, BUS_PIO, ACPI_PORT_PLACES, sizeof(ged->places), &places, ged,
			     err);
	if (rc < 0) {
		ged_free(ged);
		return rc;
	}
	*ret = ged;
	return 0;
}

void ged_free(struct ged *ged)
{
	if (!ged)
		return;
	fd_close(&ged->irq_fd);
	free(ged);
}
