/* SPDX-License-Identifier: Apache-2.0 */
/* nursery - keepers without an exec each: a process that isolad starts at the
 * first need and asks for all others (isola/keeper.h, "Nursery"). */
#pragma once

#include "child.h"

struct nursery {
	int sock;            /* -1 while there is none */
	struct child *child; /* NULL once it has ended */
	bool refused;        /* the keeper program knows no nursery */
};

void nursery_init(struct nursery *n);
/* Closes the socket, which ends the process. */
void nursery_fini(struct nursery *n);

/* Starts a keeper for @run_dir; @fd3 (borrowed) becomes its control socket. As
 * child_spawn(), which is what happens where no nursery can be had. */
int nursery_spawn(struct isolad *d, const char *run_dir, int fd3, child_exit_fn *on_exit, void *arg,
		  struct child **ret, struct err *err);
