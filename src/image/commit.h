/* SPDX-License-Identifier: Apache-2.0 */
/* commit, save - jobs on the store that are told by a JSON text on descriptor 3. */
#pragma once

#include "image.h"

/* @spec: COMMIT_SPEC (commit.c), borrowed. @proc_fd: our own /proc/self/fd. */
int job_commit(const struct store *s, const struct limits *limits, json_object *spec, int proc_fd,
	       json_object **ret_aux, struct err *err);

/* The container's writable layer, folder @path of the store, becomes @d's. */
struct derive;
int commit_upper(struct derive *d, const char *path, bool user_marks, int proc_fd, struct err *err);

/* @spec: { "images": [{ "id", "refs": [full names] }], "oci": bool }. Says
 * {"stat":{}}, then sends the archive to the descriptor it is given (out.h). */
int job_save(const struct store *s, json_object *spec, json_object **ret_aux, struct err *err);
