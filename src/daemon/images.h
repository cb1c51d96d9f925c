/* SPDX-License-Identifier: Apache-2.0 */
/* images - isolad's table of the image store (include/isola/image.h). The API's
 * face of it is in include/isola/daemon.h. */
#pragma once

#include "isola/daemon.h"

struct images;

/* Reads index.json and the records (bounded; a bad record is logged and left
 * out) and empties <state>/tmp. Blocks: called before the loop runs. */
int images_open(struct isolad *d, struct images **ret, struct err *err);
/* isolad ends: kills jobs that run and tells who waits for them. NULL is fine. */
void images_stop(struct images *images);
/* After images_stop(); frees the table. NULL is fine. */
void images_close(struct images *images);
