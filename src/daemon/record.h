/* SPDX-License-Identifier: Apache-2.0 */
/* record - an instance as the JSON text of instance.json and back. Pure. */
#pragma once

#include "isola/instance.h"

#define RECORD_FILE      "instance.json"
#define RECORD_BYTES_MAX (4 * 1024 * 1024)

/* Compact text, owned; NULL with memory out. STARTING is written as what it was
 * before. */
char *record_text(const struct instance *inst, size_t *ret_size);

/* A fresh instance (registry.h) with what @doc says; for the folder named @id.
 * Owned, not registered, and its user id range not reserved yet. -EINVAL names
 * what is wrong: somebody may have edited the file. */
int record_load(struct isolad *d, const char *id, json_object *doc, struct instance **ret,
		struct err *err);
