/* SPDX-License-Identifier: Apache-2.0 */
/* probe - what the conformance cases run where busybox does not reach: each word does one
 * thing in the current folder or to itself, and prints what came of it. */
#pragma once

#include <stddef.h>

struct probe {
	const char *name;
	void (*run)(void);
};

extern const struct probe file_probes[], system_probes[];

/* "ok", or the name of errno. */
const char *outcome(long rc);
void say(const char *what, long rc);
void must(long rc, const char *what);
/* A new file of that name with that text, open. */
int made(const char *name, const char *text);
