/* SPDX-License-Identifier: Apache-2.0 */
/* socket - the API's listening Unix socket, when systemd did not open it. */
#pragma once

#include "isola/err.h"

/* Makes the socket @path, 0660 for root and @group ("" = isola if it exists, else
 * root's), and its folder. One that nobody listens on is replaced. Returns the
 * listening descriptor, or -EADDRINUSE, -EEXIST, -ENAMETOOLONG, -ENOENT (group). */
int socket_listen(const char *path, const char *group, struct err *err);
