/* SPDX-License-Identifier: Apache-2.0 */
/* cells - fields of a row (format.h) that containers and VMs have alike, from the
 * documents of GET /containers/json, /vms/json and .../stats. */
#pragma once

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

void cell_id(json_object *row, const char *id, bool trunc);      /* ID */
void cell_names(json_object *row, json_object *names);           /* Names */
void cell_ports(json_object *row, json_object *ports);           /* Ports */
void cell_labels(json_object *row, json_object *labels);         /* Labels */
void cell_times(json_object *row, int64_t created);              /* RunningFor, CreatedAt */
void cell_state(json_object *row, json_object *doc);             /* Status, State */
void cell_usage(json_object *row, json_object *doc, bool trunc); /* ID to MemPerc, BlockIO */
/* "1.2kB / 3MB", or "-- / --" with a negative count. */
void cell_pair(json_object *row, const char *field, int64_t in, int64_t out);
