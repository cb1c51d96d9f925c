/* SPDX-License-Identifier: Apache-2.0 */
/* create_flags - the flags of run and create, and the request they make. */
#pragma once

#include "cli.h"

extern const struct flag flags_create[];

/* Builds Docker's ContainerCreateRequest from flags and arguments (IMAGE
 * [COMMAND ARG...]); owned. NULL with an error that names the flag. */
json_object *create_body(struct args *args, struct err *err);

/* The resource flags alone (run, create and update share them), added to the
 * HostConfig object @host. */
extern const struct flag flags_resources[];
int create_resources(struct args *args, json_object *host, struct err *err);

/* --health-... and --no-healthcheck (health_flags.c). */
int health_flags(struct args *args, json_object *config, struct err *err);

/* -v and --mount (mount_flags.c). */
/* --secret and --config (secret_flags.c). */
int secret_flags(struct args *args, json_object *host, struct err *err);
/* --mount-add and --mount-rm of update, and the body of their request: NULL with nothing
 * set in @err when there are none. */
extern const struct flag flags_mounts[];
json_object *mount_changes(struct args *args, struct err *err);
int mount_flags(struct args *args, json_object *config, json_object *host, struct err *err);
