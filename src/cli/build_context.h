/* SPDX-License-Identifier: Apache-2.0 */
/* build_context - the user's side of a build: a folder, an archive or a Dockerfile
 * alone as the tar stream that POST /build takes. */
#pragma once

#include "isola/err.h"

#include <limits.h>
#include <sys/types.h>

struct build_context {
	const char *folder;        /* NULL: standard input, an archive or a Dockerfile */
	char dockerfile[PATH_MAX]; /* its name in the context */
	char *text;                /* of a Dockerfile that lies elsewhere; owned, or NULL */
	size_t text_size;
};

/* @context and @file as on the command line (@file NULL = Dockerfile). Errors name
 * them. */
int build_context_read(const char *context, const char *file, struct build_context *ret,
		       struct err *err);
void build_context_fini(struct build_context *c);

/* Starts a child that writes the archive to a pipe; returns the read end, owned. What a
 * .dockerignore names is left out. */
int build_context_open(const struct build_context *c, pid_t *ret_pid, struct err *err);
/* Waits for it; its error was printed. */
int build_context_close(pid_t pid, struct err *err);
