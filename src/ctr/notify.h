/* SPDX-License-Identifier: Apache-2.0 */
/* notify - hands seccomp's notify descriptor to the agent that the spec names
 * (config-linux.md "Seccomp", listenerPath, "The Container Process State"). */
#pragma once

#include "hooks.h"

/* Hands @listener (borrowed) with the process state to the agent of @spec. */
int notify_forward(const struct ctr_spec *spec, int listener, const struct hook_state *state,
		   struct err *err);
