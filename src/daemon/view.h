/* SPDX-License-Identifier: Apache-2.0 */
/* view - instances as Docker shows them; the API's side is in
 * include/isola/daemon.h. */
#pragma once

#include "isola/daemon.h"

#include <stddef.h>

/* "Up 5 minutes (Paused)", "Exited (0) 3 seconds ago"... */
void view_status(const struct instance *inst, int64_t now_ns, char *buf, size_t size);
