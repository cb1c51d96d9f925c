/* SPDX-License-Identifier: Apache-2.0 */
/* acpi - gathers what the VM has and puts its tables below 1 MiB; see acpi.h. */
#include "acpi.h"

#include "isola/fd.h"

#include "acpi_tables.h"
#include "cpu.h"
#include "machine.h"
#include "vm.h"

#include <errno.h>
#include <stdlib.h>

_Static_assert(ACPI_RSDP == ACPI_START, "the root is the first table");

int acpi_write(struct vm *vm, struct err *err)
{
	uint32_t apic_ids[MACHINE_CPUS_MAX];
	size_t size = 0;
	cleanup_free uint8_t *buf = calloc(1, ACPI_BYTES);
	if (!buf)
		return err_set(err, ENOMEM, "out of memory");
	for (unsigned int i = 0; i < vm->machine->cpus; i++)
		apic_ids[i] = cpu_apic_id(vm->machine, i);
	const struct acpi_facts facts = {
		.apic_ids = apic_ids,
		.n_cpus = vm->machine->cpus,
		.windows = vm->windows,
		.n_windows = vm->n_windows,
		.watchdog = machine_part(vm->machine, "watchdog") != NULL,
	};
	int rc = acpi_tables(&facts, buf, ACPI_BYTES, &size, err);
	if (rc < 0)
		return rc;
	if (memory_write(vm->memory, ACPI_START, buf, size) < 0)
		return err_set(err, E2BIG, "the VM's memory has no room for the ACPI tables");
	return 0;
}
