/* SPDX-License-Identifier: Apache-2.0 */
/* prune - what the verbs that remove the unused share. Runs in the CLIs. */
#pragma once

#include "cli.h"

#include <stdint.h>

/* Asks on a terminal whether @what may go; elsewhere -f is needed. */
bool prune_confirmed(struct cli *cli, struct args *args, const char *what);

/* POST @path with --filter, and with the filter @wide ("key=value") for --all; NULL:
 * there is no such thing. Returns the status, or -errno; *@ret is owned. */
int prune_call(struct cli *cli, struct args *args, const char *path, const char *wide,
	       json_object **ret, struct err *err);

/* The names in @result's array @list, a line each. */
void prune_print(json_object *result, const char *list);
void prune_print_total(int64_t bytes);
