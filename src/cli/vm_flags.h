/* SPDX-License-Identifier: Apache-2.0 */
/* vm_flags - the flags of vmctl run, create and update, and the requests they make. */
#pragma once

#include "cli.h"

extern const struct flag flags_vm_create[], flags_vm_live[], flags_vm_update[];

/* The VmConfig of POST /vms/create, but for what vm_boot.h adds; owned, NULL with an
 * error that names the flag. */
json_object *vm_config(struct args *args, struct err *err);
/* The VmUpdate of POST /vms/ID/update; likewise. */
json_object *vm_update(struct args *args, struct err *err);
