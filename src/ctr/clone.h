/* SPDX-License-Identifier: Apache-2.0 */
/* clone - the one clone3(2) that makes a container's init, or an exec's process. */
#pragma once

#include "isola/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* An existing namespace, or a pidfd whose namespaces are meant. */
struct clone_join {
	int fd;
	int flags;        /* CLONE_NEW* */
	const char *what; /* for errors: "the pid namespace /proc/1/ns/pid" */
};

struct clone_request {
	uint64_t flags; /* CLONE_NEW* */
	int cgroup_fd;  /* -1 = the caller's */
	/* Entered before the clone, by a helper process, as the caller could not
	 * come back (user) or would have to remember to (pid). The child is still
	 * ours. None: no helper. */
	const struct clone_join *joins;
	size_t n_joins;
	void (*run)(void *arg); /* in the child; never returns */
	void *arg;
};

/* Clones. Returns the pid (in our pid namespace) and the owned pidfd. */
pid_t clone_run(const struct clone_request *req, int *ret_pidfd, struct err *err);

/* SIGKILL and reap. *@pidfd is closed; -1 is fine. */
void clone_kill(int *pidfd);
