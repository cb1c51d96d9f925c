/* SPDX-License-Identifier: Apache-2.0 */
/* create - how a keeper's life begins: its run folder, the documents in it, and
 * the payload they describe, up to what its start opens. */
#pragma once

#include "life.h"

/* Opens the run folder and makes keeper.sock and keeper.pid. */
int create_open(struct keeper *k, struct err *err);

/* Reads keeper.json, opens the log, makes the payload and its stdio. On failure
 * nothing of the payload is left. */
int create_payload(struct keeper *k, struct err *err);
