/* SPDX-License-Identifier: Apache-2.0 */
/* vm_rows - what vmctl ps and stats show. */
#pragma once

#include "cli.h"

extern const struct listing vm_ps, vm_stats;
/* A container in a microVM, in the columns of vm_ps. */
void vm_fill_container(json_object *row, json_object *doc, bool trunc);
