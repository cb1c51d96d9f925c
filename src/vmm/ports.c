/* SPDX-License-Identifier: Apache-2.0 */
/* ports - see ports.h. isola-vmm, vCPU threads. */
#include "ports.h"

#include "acpi_tables.h"
#include "machine.h"
#include "platform.h"
#include "vm.h"

#include <errno.h>
#include <stddef.h>
#include <string.h>

#define BIOS_RESTART      0xffff0 /* F000:FFF0 */
#define I8042_DATA        0x60
#define I8042_COMMAND     0x64
#define I8042_PULSE_RESET 0xfe
#define SLEEP_ENABLE      0x20 /* ACPI 6.4, 4.8.3.7 */
#define SLEEP_TYPE_SHIFT  2
#define SLEEP_TYPE_MASK   7
#define PVPANIC_PANICKED  0x01
#define PVPANIC_LOADED    0x02 /* the guest's own crash kernel takes over */

static void read_zero(void *arg, uint64_t offset, void *data, unsigned int size)
{
	(void)arg;
	(void)offset;
	memset(data, 0, size);
}

static void write_nothing(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	(void)arg;
	(void)offset;
	(void)data;
	(void)size;
}

static uint8_t first_byte(const void *data)
{
	return *(const uint8_t *)data;
}

/* No keyboard; status 0 is "ready for a command", which Linux' reboot waits for. */
static void write_command(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	(void)offset;
	(void)size;
	if (first_byte(data) == I8042_PULSE_RESET)
		vm_end(arg, VM_RESET, -1, "the guest reset by the keyboard controller");
}

static void write_sleep(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	uint8_t value = first_byte(data);
	(void)size;
	if (offset != 0 || !(value & SLEEP_ENABLE))
		return;
	if ((value >> SLEEP_TYPE_SHIFT & SLEEP_TYPE_MASK) == ACPI_SLEEP_S5)
		vm_end(arg, VM_POWEROFF, -1, "the guest powered off");
}

static void write_reset(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	(void)size;
	if (offset == 0 && first_byte(data) == ACPI_RESET_VALUE)
		vm_end(arg, VM_RESET, -1, "the guest reset by ACPI");
}

static void read_pvpanic(void *arg, uint64_t offset, void *data, unsigned int size)
{
	(void)arg;
	(void)offset;
	memset(data, 0, size);
	*(uint8_t *)data = PVPANIC_PANICKED | PVPANIC_LOADED;
}

static void write_pvpanic(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	uint8_t value = first_byte(data);
	(void)offset;
	(void)size;
	if (value & PVPANIC_PANICKED)
		vm_end(arg, VM_PANIC, -1, "the guest's kernel panicked");
	else if (value & PVPANIC_LOADED)
		vm_warn(arg, "the guest's kernel panicked and runs its crash kernel");
}

static void write_debug_exit(void *arg, uint64_t offset, const void *data, unsigned int size)
{
	uint8_t code = first_byte(data);
	(void)size;
	if (offset == 0)
		vm_end(arg, VM_DEBUG_EXIT, code, "the guest ended with %u", code);
}

static const struct port {
	uint16_t start, size;
	bool debug; /* only with "debug_exit" */
	struct bus_handler handler;
} ports[] = {
	{ I8042_DATA, 1, false, { read_zero, write_nothing } },
	{ I8042_COMMAND, 1, false, { read_zero, write_command } },
	{ ACPI_PORT_SLEEP, 2, false, { read_zero, write_sleep } },
	{ ACPI_PORT_RESET, 1, false, { read_zero, write_reset } },
	{ PLATFORM_PVPANIC_PORT, 1, false, { read_pvpanic, write_pvpanic } },
	{ PLATFORM_DEBUG_PORT, 4, true, { read_zero, write_debug_exit } },
};

/* Where a BIOS has its restart: Linux on hardware-reduced ACPI tries EFI, which is not
 * there, then jumps here in real mode (efi_reboot_required(), machine_real_restart()). */
static int write_restart(const struct memory *memory, struct err *err)
{
	static const uint8_t code[] = {
		0xba,
		ACPI_PORT_RESET & 0xff,
		ACPI_PORT_RESET >> 8, /* mov dx, port */
		0xb0,
		ACPI_RESET_VALUE, /* mov al, value */
		0xee,             /* out dx, al */
		0xf4,             /* hlt */
		0xeb,
		0xfd, /* jmp to the hlt */
	};
	if (memory_write(memory, BIOS_RESTART, code, sizeof(code)) < 0)
		return err_set(err, E2BIG, "the VM's memory has no room for the restart code");
	return 0;
}

int ports_add(struct vm *vm, struct err *err)
{
	for (size_t i = 0; i < sizeof(ports) / sizeof(ports[0]); i++) {
		const struct port *p = &ports[i];
		if (p->debug && !vm->machine->debug_exit)
			continue;
		int rc = bus_add(vm->bus, BUS_PIO, p->start, p->size, &p->handler, vm, err);
		if (rc < 0)
			return rc;
	}
	return write_restart(vm->memory, err);
}
