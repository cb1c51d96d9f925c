/* SPDX-License-Identifier: Apache-2.0 */
/* vm_seed - --cloud-init, --meta-data and --network-config as one more disk of the VM. */
#pragma once

#include "args.h"

#include <json-c/json.h>

/* Adds the disk "cidata" behind those of @vm when --cloud-init is given. */
int vm_seed(struct args *args, json_object *vm, struct err *err);
