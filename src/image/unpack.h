/* SPDX-License-Identifier: Apache-2.0 */
/* unpack - a layer's tar becomes a folder that overlayfs can stack.
 *
 * The folder is new, empty and nobody else's; everything happens below its
 * descriptor, names are resolved without following any link, and nothing is
 * ever opened that another entry made except folders. Rules:
 *
 *  1. What an entry names replaces what an earlier one put there.
 *  2. A name whose folder is a symbolic link or no folder is an error; a
 *     missing folder is made with the attributes it has in the layers below
 *     (0755, root, if there is none), as containerd does.
 *  3. Whiteouts hide only what is below, in whatever order they come
 *     (image-spec layer.md): ".wh.x" becomes the character device 0:0, or, when
 *     the layer has a folder x itself, the mark that this one is opaque. One
 *     below what is no folder here has nothing left to hide. The only such devices are ours: one in the archive, or a hard link to ours,
 *     is an error.
 *  4. Owner, mode (set-id bits too) and time are the archive's, folders' times
 *     set last. Of the extended attributes "user." (not "user.overlay."),
 *     "security.capability" and POSIX ACLs are kept, on files and folders. The
 *     rest is dropped: overlayfs's own ones would steer the host's mount,
 *     labels and signatures belong to the host.
 *  5. Device nodes and FIFOs are made: the store is seen only through mounts
 *     that forbid opening devices. */
#pragma once

#include "isola/err.h"
#include "tar.h"

#include <stddef.h>
#include <stdint.h>

struct unpack_args {
	struct tar *tar;
	int root_fd;          /* the empty folder; O_PATH is enough */
	const int *lower_fds; /* O_PATH folders of the layers below, topmost first */
	size_t n_lower;
	int later_fd, opaque_fd; /* two empty files */
	uint64_t entries_max;    /* made-up parent folders count */
};

struct unpack_result {
	uint64_t entries; /* made, parents included */
	uint64_t bytes;   /* content of files */
};

/* All descriptors are borrowed. The caller's umask must be 0. On failure the
 * folder holds what was made so far. Opaque marks are only noted in @opaque_fd,
 * for unpack_mark_opaque(). */
int unpack_layer(const struct unpack_args *args, struct unpack_result *ret, struct err *err);

/* Sets trusted.overlay.opaque (needs CAP_SYS_ADMIN, which who parses does not
 * have) where @opaque_fd says; its bytes are not trusted, nor is the tree. */
int unpack_mark_opaque(int root_fd, int opaque_fd, struct err *err);

/* Is the layer's root folder marked? Then no layer below it shows. */
bool unpack_is_opaque(int root_fd);
