/* SPDX-License-Identifier: Apache-2.0 */
/* create_vm - the parts of a VmConfig, for the create_vm*.c that check them. Pure. */
#pragma once

#include "create_priv.h"

#define CMDLINE_BYTES_MAX 2047 /* COMMAND_LINE_SIZE of x86 Linux */

/* create_vm_rows.c: @in checked by the rows of @key ("": the whole; "Cpus"..., "Rate",
 * "Bucket"), with their defaults. As fields_check(). */
int create_vm_fields(const char *key, const char *prefix, json_object *in, struct create *c,
		     json_object **ret, struct err *err);
extern const struct field create_vm_affinity_row;

/* create_vm.c: replaces @item's @key by what the rows make of it. */
int create_vm_rate(json_object *item, const char *key, const char *prefix, struct err *err);
int create_vm_limits(struct create *c, json_object *in, json_object **ret, struct err *err);

/* create_vm_agree.c: what several parts must agree on. */
int create_vm_agree(json_object *config, struct err *err);
