/* SPDX-License-Identifier: Apache-2.0 */
/* exec_ctr - payload_type.exec of a container. */
#pragma once

#include "isola/ctr.h"
#include "isola/err.h"

struct exec;
struct keeper;
struct request;

int exec_ctr_start(struct keeper *k, const struct request *r, const struct ctr_process *process,
		   int *fd, struct exec **ret, struct err *err);
