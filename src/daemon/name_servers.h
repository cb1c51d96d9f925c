/* SPDX-License-Identifier: Apache-2.0 */
/* name_servers - which name servers a file like resolv.conf(5) names. isolad. */
#pragma once

#include "isola/net.h"

#include <stddef.h>

/* Fills @ret with up to @max of them, of both families, in their order; returns how many.
 * None when the file cannot be read, or is longer than 64 KiB. */
size_t name_servers(const char *path, struct net_addr *ret, size_t max);
