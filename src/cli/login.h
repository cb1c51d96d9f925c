/* SPDX-License-Identifier: Apache-2.0 */
/* login - credentials of the user for what goes to registries. Runs in ctrctl. */
#pragma once

#include "cli.h"

/* Sends what is stored for the registry of @image with the requests of @c from now on;
 * nothing when nothing is. */
int login_attach(struct cli *cli, struct client *c, const char *image, struct err *err);
