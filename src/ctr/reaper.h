/* SPDX-License-Identifier: Apache-2.0 */
/* reaper - the container's PID 1 when the payload is no init itself (--init). */
#pragma once

#include <stdbool.h>
#include <sys/types.h>

/* Forwards signals to @child and reaps whatever ends, until @child does; exits
 * with its status (128+n when a signal ended it). Holds no descriptor. */
void reaper_run(pid_t child) __attribute__((noreturn));

/* In @child's place: its own process group, in the foreground of the terminal. */
void reaper_child_setup(bool terminal);
