/* SPDX-License-Identifier: Apache-2.0 */
/* secrets - files of a container that are in memory only (HostConfig.Secrets, Configs;
 * --secret, --config).
 *
 *   the request   the bytes, base64, in its body
 *   <run>/secrets/<id>/<s|c><n>   0600, on the run folder's tmpfs: for each start until the
 *                 container is removed, and for an isolad that comes later
 *   the container a file on a ramfs of its own, which is never swapped
 *
 * HostConfig, and so the record, inspect and config.json have names, places and modes, and
 * config.json the path above. After a reboot the bytes are gone and a start says so.
 * Loop thread. */
#pragma once

#include "fields.h"
#include "isola/daemon.h"

/* A field's check: the list without the bytes, with all defaults. */
field_fn create_secrets;

/* Writes what @body (a create request that was found good) brings for @inst. -EOPNOTSUPP
 * when the run folder is on a disk. Nothing is left on failure. */
int secrets_store(const struct instance *inst, json_object *body, struct err *err);
void secrets_forget(const struct instance *inst);
/* Removes those of instances that are gone. */
void secrets_sweep(struct isolad *d);

/* Adds their mounts to the "mounts" of config.json. @base: first host id of the container.
 * -ENODATA: the bytes did not survive a reboot. */
int secrets_mounts(const struct instance *inst, uint32_t base, json_object *mounts,
		   struct err *err);
