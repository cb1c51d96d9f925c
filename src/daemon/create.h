/* SPDX-License-Identifier: Apache-2.0 */
/* create - checks and normalises Docker's create and update bodies. Pure but
 * for reading the image table: no file, cgroup or process is touched. */
#pragma once

#include "isola/daemon.h"

/* Makes an instance (instance_new() of registry.h) out of @body and fills kind,
 * config, host_config, networking, image, image_ref and, for a private user
 * namespace, userns_base (uidrange_take(), the last step; instance_free() gives
 * it back), and inst->name when @name is not NULL (grammar checked; whether it
 * is free is checked by the caller, who also makes up a missing one). Calls
 * instance_apply_host_config(). Not registered; @ret is owned. @warnings: array
 * of strings to append to. Errors name the field; ENOENT "No such image: x". */
int create_check(struct isolad *d, const char *name, json_object *body, struct instance **ret,
		 json_object *warnings, struct err *err);

/* The same for a VM: @body is a VmConfig (docs/openapi.json); config and host_config
 * become the same object, userns_base the worker's user id. */
int create_vm_check(struct isolad *d, const char *name, json_object *body, struct instance **ret,
		    json_object *warnings, struct err *err);

/* Checks a VmUpdate against @inst: the whole new config, and what the keeper of a
 * running VM is asked ([{"op", "args"}]). Both owned. */
int vm_update_check(struct instance *inst, json_object *body, json_object **ret_config,
		    json_object **ret_calls, struct err *err);

/* Checks a ContainerUpdateRequest against @inst. @warnings: strings are added.
 * @ret_host_config: the whole new HostConfig; @ret_resources: the OCI linux.resources to
 * apply to a running instance, NULL when there is nothing to apply. Both owned. */
int update_check(struct instance *inst, json_object *body, json_object *warnings,
		 json_object **ret_host_config, json_object **ret_resources, struct err *err);
