/* SPDX-License-Identifier: Apache-2.0 */
/* notify - hands seccomp's notify descriptor to the agent that the spec names
 * (config-linux.md "Seccomp", listenerPath, "The Container Process State"). */
#pragma once

#include "hooks.h"

/* @listener is borrowed. Connects to @path, a Unix stream socket, and sends the
 * process state with it. */
int notify_send(const char *path, const char *metadata, int listener,
		const struct hook_state *state, struct err *err);
