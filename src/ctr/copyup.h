/* SPDX-License-Identifier: Apache-2.0 */
/* copyup - a new tmpfs that starts with what the image has at its place
 * (mount option tmpcopyup). */
#pragma once

#include "isola/err.h"

#include <stdbool.h>

/* Copies what is in the folder @from (O_PATH) into the folder @to: files,
 * folders, links, FIFOs, with owner, mode and times; sockets and devices are
 * left out. Neither links nor mounts are followed. Bounded in depth. @to itself
 * gets the attributes of @from, too, unless @keep_own. */
int copyup(int from, int to, bool keep_own, struct err *err);
