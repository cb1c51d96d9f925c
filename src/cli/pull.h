/* SPDX-License-Identifier: Apache-2.0 */
/* pull - an image comes from a registry, for the verbs pull, run and create. */
#pragma once

#include "cli.h"

#include <stdio.h>

/* POST /images/create, and its progress to @to (NULL = none). @platform may be NULL. */
int pull_image(struct cli *cli, const char *name, const char *platform, FILE *to, struct err *err);

/* The progress stream of the answer to its end: 0, or -errno with the job's error. */
int pull_show(struct client *c, FILE *to, struct err *err);

/* ---- --pull of run and create ---- */

/* For struct kind.pull: what --pull asks for before a create, and after one that failed
 * for want of the image. */
int pull_for_create(struct cli *cli, struct args *args, int created, struct err *err);
