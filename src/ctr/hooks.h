/* SPDX-License-Identifier: Apache-2.0 */
/* hooks - the programs that config.json wants run around a container's life
 * (config.md "POSIX-platform Hooks", runtime.md "Lifecycle"). */
#pragma once

#include "spec.h"

/* What a hook reads on its standard input (runtime.md "State"). */
struct hook_state {
	const char *id;
	const char *status; /* "creating", "created", "running", "stopped" */
	pid_t pid;          /* 0: left out */
	const char *bundle;
};

/* Runs the hooks of @kind one after the other in the caller's namespaces, each
 * with its args, env and timeout. Stops at the first failure: -ECHILD with the
 * hook's path, how it ended, and the end of what it printed. */
int hooks_run(const struct ctr_spec *spec, enum ctr_hook_kind kind, const struct hook_state *state,
	      struct err *err);

/* The same where a failure must not stop us (poststart, poststop): runs all. */
void hooks_run_all(const struct ctr_spec *spec, enum ctr_hook_kind kind,
		   const struct hook_state *state);
