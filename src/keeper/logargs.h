/* SPDX-License-Identifier: Apache-2.0 */
/* logargs - the flags of `isola-keeper logs` (isola/keeper.h). */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stdint.h>

struct logargs {
	int fd;
	const char *path, *run_dir;
	bool follow, timestamps, details, want_stdout, want_stderr, mux, chunked;
	int64_t since_ns, until_ns; /* 0 = not given */
	int64_t tail;               /* -1 = all */
};

/* Strings are borrowed from @argv; argv[0] is not looked at. */
int logargs_parse(int argc, char **argv, struct logargs *ret, struct err *err);
