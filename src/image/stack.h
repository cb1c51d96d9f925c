/* SPDX-License-Identifier: Apache-2.0 */
/* stack - layers that lie on each other, or one folder alone, read as one tree and
 * without a mount: what a build copies from, and where it copies to. Whiteouts and
 * opaque folders hide as overlayfs has it. Links are followed inside the tree only,
 * by us and never by the kernel; nobody changes it meanwhile. */
#pragma once

#include "store.h"

#include <limits.h>
#include <sys/stat.h>

struct stack {
	int *fds; /* topmost first, owned */
	size_t n;
	bool marks; /* they are layers of an image */
};

#define STACK_INIT                                                                                 \
	{                                                                                          \
		.fds = NULL                                                                        \
	}

/* Of the image with IMAGE_RECORD @record. */
int stack_of_image(const struct store *s, json_object *record, struct stack *ret, struct err *err);
/* Of one folder; @fd is taken. */
int stack_of_folder(int fd, struct stack *ret, struct err *err);
void stack_fini(struct stack *s);
#define cleanup_stack __attribute__((cleanup(stack_fini)))

/* Where a path leads. */
struct stack_spot {
	char path[PATH_MAX]; /* without links: "a/b"; "" = the root */
	bool exists;         /* else path is what it would be */
	struct stat st;
};

/* Links are followed, but the last one only with @follow. -ELOOP, -ENAMETOOLONG, or
 * -ENOTDIR when a file is in the way. */
int stack_find(const struct stack *s, const char *path, bool follow, struct stack_spot *ret,
	       struct err *err);

/* One entry: @dir_fd is the folder it lies in (of its layer), borrowed; the root is
 * "" in itself. @path as above. < 0 ends a walk, > 0 does not enter the folder. */
typedef int stack_fn(void *arg, int dir_fd, const char *name, const char *path,
		     const struct stat *st, struct err *err);

/* Calls @each once for what is at @path, which has no links in it (a spot's path). */
int stack_entry(const struct stack *s, const char *path, stack_fn *each, void *arg,
		struct err *err);

/* Calls @each for all that is below the folder @path, a folder before what is in it,
 * in an order that depends on names alone. More than @entries_max is -EFBIG. */
int stack_walk(const struct stack *s, const char *path, uint64_t entries_max, stack_fn *each,
	       void *arg, struct err *err);

/* The content of the regular file at @path (links followed) of at most @max bytes:
 * owned and NUL-terminated; *@ret is NULL when there is none. */
int stack_read(const struct stack *s, const char *path, size_t max, char **ret, size_t *ret_size,
	       struct err *err);
