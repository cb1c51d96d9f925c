/* SPDX-License-Identifier: Apache-2.0 */
/* oci_log - what goes wrong, in runc's two formats: callers such as containerd
 * and conmon read the reason out of the file they gave with --log. */
#pragma once

#include "oci_cli.h"

/* Writes one line of @level ("error", "debug") to --log, if there is one. An
 * error goes to stderr too: as text, or as JSON without --log. */
void oci_log(const struct oci *oci, const char *level, const char *text);

/* Checks --log and --log-format. */
int oci_log_check(const struct oci *oci, struct err *err);
