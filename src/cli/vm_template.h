/* SPDX-License-Identifier: Apache-2.0 */
/* vm_template - --cpu-template: a name, or a file of one's own (docs/cpu-templates.md).
 * Runs in vmctl. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>

/* Adds "Template" to @cpus: "host" as it is, else the template's document, out of the
 * file @text, or of NAME.json in the folders for templates. NULL adds nothing. */
int vm_template(const char *text, json_object *cpus, struct err *err);
