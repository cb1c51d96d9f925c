/* SPDX-License-Identifier: Apache-2.0 */
/* vm_template - --cpu-template: a name, or a file of one's own (docs/cpu-templates.md),
 * and "vmctl templates", which lists the names. Runs in vmctl. */
#pragma once

#include "cli.h"

#include <json-c/json.h>

/* Adds "Template" to @cpus: "host" as it is, else the template's document, out of the
 * file @text, or of NAME.json in the folders for templates. NULL adds nothing. */
int vm_template(const char *text, json_object *cpus, struct err *err);

extern const struct flag flags_cpu_templates[];
int verb_cpu_templates(struct cli *cli, struct args *args);
