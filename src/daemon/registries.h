/* SPDX-License-Identifier: Apache-2.0 */
/* registries - what isolad itself needs of the registries file (docs/registries.md):
 * where names without a host are. isola-image reads the rest, for each job. */
#pragma once

#include "isola/err.h"

/* Takes "default" of the file @path ("" = /etc/isola/registries.json). None, or no such
 * file: Docker's rule stays. Before the loop runs. */
int registries_read_default(const char *path, struct err *err);
