/* SPDX-License-Identifier: Apache-2.0 */
/* routes_vms - what only VMs have: their creation, the buttons of a machine, and
 * consoles beside the serial port. All else of "/vms/..." is shared with containers.
 * isolad, loop thread. */
#include "routes.h"

#include "isola/json.h"

#include <errno.h>

void vms_create(struct exchange *x)
{
	struct err err = ERR_INIT;
	cleanup_json json_object *body = NULL;
	int rc = request_json(x, &body, &err);
	if (rc == 0)
		rc = err_set(&err, EINVAL, "the request has no body that says what VM to create");
	if (rc < 0) {
		reply_err(x, &err);
		return;
	}
	const char *name = query_get(&x->query, "name");
	if (name && *name == '/')
		name++;
	vm_create(x->isolad, name && *name ? name : NULL, body, done_created_json, exchange_ref(x));
}

static void press(struct exchange *x, enum vm_button button)
{
	struct instance *inst = route_instance(x);
	if (inst)
		vm_press(inst, button, done_no_content, exchange_ref(x));
}

void vms_reset(struct exchange *x)
{
	press(x, VM_RESET);
}

void vms_powerdown(struct exchange *x)
{
	press(x, VM_POWERDOWN);
}

void vms_nmi(struct exchange *x)
{
	press(x, VM_NMI);
}

void vms_resize(struct exchange *x)
{
	struct err err = ERR_INIT;
	int64_t h, w;
	struct instance *inst = route_instance(x);
	const char *console = query_get(&x->query, "console");
	if (!inst)
		return;
	if (request_i64(x, "h", 0, UINT16_MAX, 0, &h, &err) < 0 ||
	    request_i64(x, "w", 0, UINT16_MAX, 0, &w, &err) < 0)
		reply_err(x, &err);
	else if (console && *console)
		vm_resize_console(inst, console, (int)h, (int)w, done_ok_empty, exchange_ref(x));
	else
		instance_resize(inst, (int)h, (int)w, done_ok_empty, exchange_ref(x));
}
