/* SPDX-License-Identifier: Apache-2.0 */
/* unpack - a layer's tar becomes a folder that overlayfs can stack.
 *
 * Two steps: unpack_layer() makes all entries, in a process that can reach
 * nothing but the folder, and notes what must come last; unpack_settle() does
 * that, in its parent. The folder is new, empty and nobody else's; everything
 * happens below its descriptor, names are resolved without following any link,
 * and nothing is ever opened that another entry made except folders. Rules:
 *
 *  1. What an entry names replaces what an earlier one put there.
 *  2. A name whose folder is a symbolic link or no folder is an error; a
 *     missing folder is made and looks as it does in the layers below (0755,
 *     root, if it is in none), as containerd has it. So does the root.
 *  3. Whiteouts hide only what is below, in whatever order they come
 *     (image-spec layer.md): ".wh.x" becomes the character device 0:0, or, when
 *     the layer has a folder x itself, the mark that this one is opaque. One
 *     below what is no folder here has nothing left to hide. The only
 *     such devices are ours: one in the archive, or a hard link to ours, is an
 *     error.
 *  4. Owner, mode (set-id bits too) and time are the archive's, folders' times
 *     set last. Of the extended attributes "user." (not "user.overlay."),
 *     "security.capability" and POSIX ACLs are kept, on files and folders. The
 *     rest is dropped: overlayfs's own ones would steer the host's mount,
 *     labels and signatures belong to the host.
 *  5. Device nodes and FIFOs are made: the store is seen only through mounts
 *     that forbid opening devices. */
#pragma once

#include "isola/err.h"
#include "isola/tar.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct unpack_args {
	struct tar *tar;
	int root_fd;          /* the empty folder; O_PATH is enough */
	int later_fd;         /* an empty file */
	uint64_t entries_max; /* made-up parent folders count */
};

struct unpack_result {
	uint64_t entries; /* made, parents included */
	uint64_t bytes;   /* content of files */
	/* What a walk of the tree finds: names below the root, and the sizes of the
	 * regular files among them. Not known when an entry replaced another. */
	struct unpack_shape {
		uint64_t names, file_bytes;
		bool unknown;
	} shape;
};

/* All descriptors are borrowed. The caller's umask must be 0. On failure the
 * folder holds what was made so far. */
int unpack_layer(const struct unpack_args *args, struct unpack_result *ret, struct err *err);

/* Finishes the folders as @later_fd says. Neither its bytes nor the tree are
 * trusted; nobody changes the tree meanwhile. @lower_fds: O_PATH folders of the
 * layers below, topmost first. Needs CAP_SYS_ADMIN for trusted.overlay.opaque. */
int unpack_settle(int root_fd, int later_fd, const int *lower_fds, size_t n_lower, struct err *err);

/* Is the layer's root folder marked? Then no layer below it shows. */
bool unpack_is_opaque(int root_fd);
