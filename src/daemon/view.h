/* SPDX-License-Identifier: Apache-2.0 */
/* view - instances as Docker shows them; the API's side is in
 * include/isola/daemon.h. */
#pragma once

#include "isola/daemon.h"

#include <stddef.h>

/* Parts that both kinds have. */
json_object *view_state(struct instance *inst);
void view_add_time(json_object *o, const char *key, int64_t ns);
void view_add_name(json_object *o, struct instance *inst);

/* view_vm.c: VmInspect and VmSummary of docs/openapi.json. */
json_object *view_vm_inspect(struct instance *inst);
json_object *view_vm_summary(struct instance *inst);

/* "Up 5 minutes (Paused)", "Exited (0) 3 seconds ago"... */
void view_status(const struct instance *inst, int64_t now_ns, char *buf, size_t size);
