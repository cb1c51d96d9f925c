/* SPDX-License-Identifier: Apache-2.0 */
/* project - which project of quotas (isola/quota.h) a limited folder gets: volumes with a
 * size, writable layers with one. An id is in the record of its user, and is free for
 * another only when no record has it and the file system counts nothing for it, so that
 * two never share one. isolad, loop thread. */
#pragma once

#include "isola/daemon.h"

/* Ours: "IS" and up; what others use of it is not taken. */
#define PROJECT_FIRST 0x49530000u
#define PROJECT_LAST  0x4953ffffu

/* -EOPNOTSUPP where the state folder has no project quotas; nothing is written yet. */
int project_take(struct isolad *d, uint32_t *ret, struct err *err);

/* "size" of @options (DriverOpts), which has nothing else, in bytes; 0 = none. */
int project_size(json_object *options, int64_t *ret, struct err *err);

/* Both for any folder in the state folder, also in the thread pool. */
int project_begin(int state_fd, int dir_fd, uint32_t project, int64_t bytes, struct err *err);
void project_end(int state_fd, uint32_t project);
