/* SPDX-License-Identifier: Apache-2.0 */
/* create - how a keeper's life begins: its run folder, the documents in it, and
 * the container they describe, up to the gate before the payload's exec. */
#pragma once

#include "life.h"

/* Opens the run folder and makes keeper.sock and keeper.pid. */
int create_open(struct keeper *k, struct err *err);

/* Reads config.json of the run folder into k->ctr_spec. */
int create_read_config(struct keeper *k, struct err *err);

/* Reads keeper.json and config.json, opens the log, makes the container and its
 * stdio. On failure nothing of the container is left. */
int create_container(struct keeper *k, struct err *err);
