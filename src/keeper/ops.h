/* SPDX-License-Identifier: Apache-2.0 */
/* ops - what isolad may ask for. */
#pragma once

#include "life.h"
#include "request.h"

#include <json-c/json.h>

/* Does @request, for k->asker. -EINPROGRESS: control_answer() will be called.
 * @fd: the descriptor that came with it, or -1; taken. @answer
 * gets members of its own on success, "exit_code" on some failures. */
int ops_run(struct keeper *k, const struct request *request, int fd, json_object *answer,
	    struct err *err);

/* Connection @conn has ended: what it held frozen is thawed, execs it held end. */
void ops_conn_gone(struct keeper *k, uint64_t conn);
