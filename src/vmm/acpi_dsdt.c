/* SPDX-License-Identifier: Apache-2.0 */
/* acpi_dsdt - the devices that a guest cannot find by itself: serial port, power
 * button, VMGenID, event device, pvpanic, virtio-mmio windows. */
#include "acpi_dsdt.h"

#include "platform.h"

#include <stdio.h>

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

/* Events without a fixed SCI, which hardware-reduced ACPI does not have (5.6.9). */
static void add_events(struct aml *aml)
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

static void add_window(struct aml *aml, const struct vm_window *w, unsigned int index)
{
	char name[8];
	(void)snprintf(name, sizeof(name), "VR%02X", index & 0xff);
	size_t device = aml_device(aml, name);
	aml_name_string(aml, "_HID", "LNRO0005");
	aml_name_integer(aml, "_UID", index);
	aml_name_integer(aml, "_CCA", 1);
	size_t crs = aml_resources(aml);
	aml_resource_memory(aml, (uint32_t)w->start, VM_MMIO_SIZE);
	aml_resource_interrupt(aml, w->gsi);
	aml_resources_end(aml, crs);
	aml_end(aml, device);
}

void acpi_dsdt(struct aml *aml, const struct acpi_facts *facts)
{
	static const uint64_t s5[] = { ACPI_SLEEP_S5, 0, 0, 0 };
	size_t scope = aml_scope(aml, "_SB_");
	add_serial(aml);
	add_button(aml);
	add_vmgenid(aml);
	add_events(aml);
	add_pvpanic(aml);
	for (unsigned int i = 0; i < facts->n_windows; i++)
		add_window(aml, &facts->windows[i], i);
	aml_end(aml, scope);
	aml_name_package(aml, "_S5_", s5, 4);
}
