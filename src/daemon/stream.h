/* SPDX-License-Identifier: Apache-2.0 */
/* stream - clients' sockets on their way to a keeper; see instance_attach() in
 * include/isola/daemon.h. Loop thread. */
#pragma once

#include "isola/daemon.h"

/* Sends what was attached before the start: to be called before "start". */
void streams_send_pending(struct instance *inst);
/* Closes what was never sent. */
void streams_drop(struct instance *inst);

/* The fields of "attach" in @msg, all but the descriptor. */
void stream_describe(const struct stream_request *req, const char *id, json_object *msg);
