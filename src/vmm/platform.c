/* SPDX-License-Identifier: Apache-2.0 */
/* platform - the parts of a PC beside virtio, built and taken down; see platform.h. */
#include "platform.h"

#include "acpi_tables.h"
#include "ged.h"
#include "machine.h"
#include "ports.h"
#include "serial.h"
#include "vm.h"
#include "vmgenid.h"
#include "watchdog.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

struct platform {
	struct serial *serial;
	struct ged *ged;
	struct watchdog *watchdog;
};

int platform_check(json_object *serial, json_object *watchdog, struct err *err)
{
	int rc = serial_check(serial, err);
	return rc < 0 ? rc : watchdog_check(watchdog, err);
}

int platform_new(struct vm *vm, struct platform **ret, struct err *err)
{
	struct platform *p = calloc(1, sizeof(*p));
	if (!p)
		return err_set(err, ENOMEM, "out of memory");
	int rc = serial_new(vm, &p->serial, err);
	if (rc == 0)
		rc = ged_new(vm, &p->ged, err);
	if (rc == 0)
		rc = watchdog_new(vm, &p->watchdog, err);
	if (rc == 0)
		rc = ports_add(vm, err);
	if (rc == 0)
		rc = vmgenid_write(vm->memory, vm->machine->vmgenid, err);
	if (rc < 0) {
		platform_free(p);
		return rc;
	}
	*ret = p;
	return 0;
}

int platform_start(struct platform *p, struct err *err)
{
	return serial_start(p->serial, STDIN_FILENO, STDOUT_FILENO, err);
}

void platform_free(struct platform *p)
{
	if (!p)
		return;
	watchdog_free(p->watchdog);
	ged_free(p->ged);
	serial_free(p->serial);
	free(p);
}

void platform_powerdown(struct platform *p)
{
	ged_raise(p->ged, ACPI_EVENT_POWER);
}

void platform_fill_place(struct platform *p, unsigned int place)
{
	ged_fill_place(p->ged, place);
}

gpa_t platform_vmgenid(const struct platform *p)
{
	(void)p;
	return ACPI_VMGENID;
}
