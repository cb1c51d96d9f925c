/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_dsdt - the devices that a guest cannot find by itself: serial port, power
 * button, VMGenID, event device, pvpanic, virtio-mmio windows, and those among these whose
 * device comes while the guest runs. */
#include "acpi_dsdt.h"

#include "platform.h"

#include <stdio.h>

#define STA_PRESENT      0xf /* present, enabled, shown, working (ACPI 6.4, 6.3.7) */
#define NOTIFY_BUS_CHECK 0   /* look at what is below (5.6.6) */

static void add_serial(struct aml *aml)
{
	size_t device = aml_device(aml, "COM1");
	aml_name_eisa(aml, "_HID", "PNP0501");
	aml_name_integer(aml, "_UID", 0);
	size_t crs = aml_resources(aml);
	aml_resource_io(aml, PLATFORM_SERIAL_PORT, 8);
	aml_resource_interrupt(aml, PLATFORM_SERIAL_GSI);
	aml_resources_end(aml, crs);
	aml_end(aml, device);
}

static void add_button(struct aml *aml)
{
	size_t device = aml_device(aml, "PWRB");
	aml_name_eisa(aml, "_HID", "PNP0C0C");
	aml_name_integer(aml, "_UID", 0);
	aml_end(aml, device);
}

/* The _CID is what drivers look for (VMGenID specification, 2012). */
static void add_vmgenid(struct aml *aml)
{
	const uint64_t place[] = { ACPI_VMGENID & UINT32_MAX, ACPI_VMGENID >> 32 };
	size_t device = aml_device(aml, "VGEN");
	aml_name_string(aml, "_HID", "ISOL0001");
	aml_name_string(aml, "_CID", "VM_Gen_Counter");
	aml_name_string(aml, "_DDN", "VM_Gen_Counter");
	aml_name_package(aml, "ADDR", place, 2);
	aml_end(aml, device);
}

static void place_name(char ret[8], unsigned int place)
{
	(void)snprintf(ret, 8, "HP%02X", place & 0xff);
}

static unsigned int n_places(const struct acpi_facts *facts)
{
	unsigned int n = 0;
	for (unsigned int i = 0; i < facts->n_windows; i++)
		n += facts->windows[i].place != 0;
	return n;
}

/* Events without a fixed SCI, which hardware-reduced ACPI does not have (5.6.9). */
static void add_events(struct aml *aml, unsigned int places)
{
	size_t device = aml_device(aml, "GED_");
	aml_name_string(aml, "_HID", "ACPI0013");
	aml_name_integer(aml, "_UID", 0);
	size_t crs = aml_resources(aml);
	aml_resource_interrupt(aml, ACPI_GED_GSI);
	aml_resources_end(aml, crs);
	aml_port_field(aml, "EREG", ACPI_PORT_EVENTS, "ESEL");
	size_t method = aml_method(aml, "_EVT", 1, true);
	aml_local0_from(aml, "ESEL");
	size_t power = aml_if_local0(aml, ACPI_EVENT_POWER);
	aml_notify(aml, "PWRB", 0x80);
	aml_end(aml, power);
	size_t vmgenid = aml_if_local0(aml, ACPI_EVENT_VMGENID);
	aml_notify(aml, "VGEN", 0x80);
	aml_end(aml, vmgenid);
	for (unsigned int i = 0; i < places; i++) {
		char name[8];
		place_name(name, i);
		size_t place = aml_if_local0(aml, ACPI_EVENT_PLACE(i));
		aml_notify(aml, name, NOTIFY_BUS_CHECK);
		aml_end(aml, place);
	}
	aml_end(aml, method);
	aml_end(aml, device);
}

/* QEMU's id is the one that Linux' pvpanic-mmio binds to. */
static void add_pvpanic(struct aml *aml)
{
	size_t device = aml_device(aml, "PVPN");
	aml_name_string(aml, "_HID", "QEMU0001");
	aml_name_integer(aml, "_UID", 0);
	size_t crs = aml_resources(aml);
	aml_resource_io(aml, PLATFORM_PVPANIC_PORT, 1);
	aml_resources_end(aml, crs);
	aml_end(aml, device);
}

/* Present once it has a device. */
static void add_status(struct aml *aml, unsigned int place)
{
	size_t method = aml_method(aml, "_STA", 0, false);
	aml_local0_from(aml, "PSEL");
	size_t filled = aml_if_local0(aml, 1U << place);
	aml_return(aml, STA_PRESENT);
	aml_end(aml, filled);
	aml_return(aml, 0);
	aml_end(aml, method);
}

static void add_window(struct aml *aml, const struct vm_window *w, unsigned int index)
{
	char name[8];
	(void)snprintf(name, sizeof(name), "VR%02X", index & 0xff);
	size_t device = aml_device(aml, name);
	if (w->place)
		add_status(aml, w->place - 1);
	aml_name_string(aml, "_HID", "LNRO0005");
	aml_name_integer(aml, "_UID", index);
	aml_name_integer(aml, "_CCA", 1);
	size_t crs = aml_resources(aml);
	aml_resource_memory(aml, (uint32_t)w->start, VM_MMIO_SIZE);
	aml_resource_interrupt(aml, w->gsi);
	aml_resources_end(aml, crs);
	aml_end(aml, device);
}

/* Linux looks again only below devices whose drivers know of hot-plug: a container's does
 * (drivers/acpi/container.c), that of virtio-mmio does not. */
static void add_place(struct aml *aml, const struct vm_window *w, unsigned int index)
{
	char name[8];
	place_name(name, w->place - 1);
	size_t device = aml_device(aml, name);
	aml_name_string(aml, "_HID", "ACPI0004");
	aml_name_integer(aml, "_UID", w->place - 1);
	add_window(aml, w, index);
	aml_end(aml, device);
}

void acpi_dsdt(struct aml *aml, const struct acpi_facts *facts)
{
	static const uint64_t s5[] = { ACPI_SLEEP_S5, 0, 0, 0 };
	size_t scope = aml_scope(aml, "_SB_");
	add_serial(aml);
	add_button(aml);
	add_vmgenid(aml);
	if (n_places(facts))
		aml_port_field(aml, "PREG", ACPI_PORT_PLACES, "PSEL");
	add_events(aml, n_places(facts));
	add_pvpanic(aml);
	for (unsigned int i = 0; i < facts->n_windows; i++) {
		const struct vm_window *w = &facts->windows[i];
		if (w->place)
			add_place(aml, w, i);
		else
			add_window(aml, w, i);
	}
	aml_end(aml, scope);
	aml_name_package(aml, "_S5_", s5, 4);
}
