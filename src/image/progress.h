/* SPDX-License-Identifier: Apache-2.0 */
/* progress - the lines isola-image prints on standard output, in the form of
 * Docker's progress streams (isola/image.h). Texts from an image are made valid
 * UTF-8 first. A reader that went away is no error: the job goes on. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stdint.h>

/* {"status","id","progressDetail":{"current","total"}}; an @id "sha256:..." is
 * shown short. At most ten a second for one @id, but for the last (@current ==
 * @total). @total 0 = not known; both 0 = there is no amount. @id NULL: the status
 * alone, always. */
void progress_status(const char *status, const char *id, uint64_t current, uint64_t total);

/* {"stream": text} */
void progress_stream(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* {"errorDetail":{"message","code"?},"error","errno"} */
void progress_error(const struct err *err);

/* The "code" of the error that will follow: a command's exit status. */
void progress_set_code(int code);

/* @line as it is, with a newline; borrowed. */
void progress_line(json_object *line);

/* {"progressDetail":{},"aux":{...}}: for the client, not the job's result; takes @aux. */
void progress_detail(json_object *aux);

/* {"aux": {...}}; takes @aux. */
void progress_aux(json_object *aux);
