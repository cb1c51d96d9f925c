/* SPDX-License-Identifier: Apache-2.0 */
/* kernel - "vmctl kernel ...", and where the store of kernels is. */
#pragma once

#include "cli.h"

/* The store: --state, else ISOLA_STATE, else below isolad's state folder, else the
 * default one. */
int kernel_store(struct cli *cli, struct args *args, char *ret, size_t size, struct err *err);

int verb_kernel(struct cli *cli, struct args *args);
