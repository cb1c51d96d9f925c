/* SPDX-License-Identifier: Apache-2.0 */
/* prune_filter - filters by label, and those of prunes: label, label!, until (Engine API
 * 1.47). Pure but for the clock. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* "key", or "key=value", of a label filter. */
bool labels_have(json_object *labels, const char *want);

/* Whether what has @labels and was created at @created_ns is to go: 1 or 0. All labels must
 * be there, no "label!" may. @filters NULL: it is. -EINVAL names the filter. All borrowed. */
int prune_fits(json_object *labels, int64_t created_ns, json_object *filters, struct err *err);
