/* SPDX-License-Identifier: Apache-2.0 */
/* view - the files of one container as "/" of this process.
 *
 * What is there is what Docker shows of a container's files: its layers, and the
 * binds and volumes where the container has them; not its proc, sys, dev or
 * tmpfs. Nothing of it can be executed or opened as a device.
 *
 *   stopped   an overlay of layers and upper, only for us; on disk files have the
 *             container's own ids, so that is what we see. To write: a volatile one,
 *             with a work folder of its own, "<work>-copy"
 *             With "user_marks" the upper's marks are user.overlay.*, as those of a microVM
 *             that lays it over an image of its own: also while it runs, to be read
 *   running   the container's own root mount, cloned (two overlays on one upper
 *             folder would not see each other's changes), in its user namespace:
 *             this process is then what the container's root is, no more
 *   guest     nothing at all: the container runs in a microVM, whose guest alone may write
 *             its files, and descriptor 4 leads to it (copy_guest.h)
 *   split     /upper and /lower side by side, both read-only: what changed?
 *   fill      /lower, read-only, and /to, a new volume's folder: it gets what the
 *             image has. clone: the same, "lower" is a volume's folder
 *
 * VIEW_SPEC on descriptor 3, a JSON text, up to its NUL or end:
 *   { "id", "lower": [paths, topmost first], "upper", "work", "write": bool, "user_marks"?: bool,
 *     "split"?: bool, "guest"?: bool, "pid"? (of a running container's init),
 *     "read_only"?: bool, "mapped"?: bool,
 *     "mounts"?: [{ "target", "source", "subpath"?, "read_only", "recursive" }]
 *       (parents first; a subpath is opened without links),
 *     "to"?: the folder of a fill,
 *     "body"?: { "chunked": bool, "length" } }
 * Behind the NUL: bytes of the request's body that isolad has read already. */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <stdbool.h>
#include <stddef.h>

struct view {
	json_object *spec; /* owned */
	char *head;        /* owned; what lies behind the NUL */
	size_t head_size;
	int proc_fd;  /* our own /proc/self/fd */
	int guest_fd; /* -1: our own files */
	bool mapped;  /* we are in the container's user namespace */
};

#define VIEW_INIT                                                                                  \
	{                                                                                          \
		.proc_fd = -1, .guest_fd = -1                                                      \
	}

/* Reads the spec from descriptor 3 and closes it. */
int view_read(struct view *ret, struct err *err);

/* Leaves this process with the view as its root, and no network. */
int view_enter(struct view *v, struct err *err);
void view_fini(struct view *v);
#define cleanup_view __attribute__((cleanup(view_fini)))
