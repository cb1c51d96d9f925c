/* SPDX-License-Identifier: Apache-2.0 */
/* login - credentials of the user for what goes to registries. Runs in ctrctl. */
#pragma once

#include "cli.h"

/* Sends what is stored for the registry of @image with the requests of @c from now on;
 * nothing when nothing is. */
int login_attach(struct cli *cli, struct client *c, const char *image, struct err *err);

/* The same of all that is stored, for a build. */
int login_attach_all(struct client *c, struct err *err);
