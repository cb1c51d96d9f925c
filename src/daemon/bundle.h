/* SPDX-License-Identifier: Apache-2.0 */
/* bundle - an instance as the files its keeper reads (include/isola/keeper.h). */
#pragma once

#include "isola/instance.h"

/* Writes config.json (OCI), keeper.json, hosts, hostname and resolv.conf into
 * the run folder @run_dir_fd (tmpfs: plain writes, no fsync; the keeper is
 * spawned only afterwards, so none needs to be atomic). The writable layer is
 * <state dir>/upper and /work, which exist. Called before every start. */
int bundle_write(struct instance *inst, int run_dir_fd, struct err *err);

/* Whom @field of HostConfig names by container:X; NULL: nobody, or with @err (may be NULL)
 * one that is gone. */
struct instance *bundle_donor(const struct instance *inst, const char *field, struct err *err);

/* First host id of the user namespace @inst lives in: that of whom it shares processes or
 * network with; 0 = the host's. */
uint32_t bundle_userns_of(const struct instance *inst);

/* A container that runs has joined or left a network: its hosts and resolv.conf follow,
 * unless it has written to them itself. */
void bundle_files_change(const struct instance *inst, int run_dir_fd);

/* The OCI "process" of an exec with Docker's ExecConfig @exec_config (type-
 * checked by exec.c): the container's own process with args, env added, cwd,
 * terminal, user (annotated as for the container itself), and capabilities as
 * the new user or Privileged want them. Owned by the caller. */
int bundle_exec_process(struct instance *inst, json_object *exec_config, json_object **ret_process,
			struct err *err);
