/* SPDX-License-Identifier: Apache-2.0 */
/* extract - a tar archive becomes files below a folder that may hold others
 * already, and that somebody else may be changing.
 *
 *  1. All happens below the folder's descriptor (openat2 BENEATH, no links): an
 *     entry whose parent is a symbolic link or no folder is an error, whoever
 *     made it. ".." in a name is refused. Missing parents are made, 0755.
 *  2. A file replaces what has its name, by a new inode: nothing is ever written
 *     through a link or into a FIFO or device that was there. Folders are kept and
 *     filled.
 *  3. Owner, mode and time are the entry's, folders' times set last; extended
 *     attributes as in isola/pack.h.
 *
 * Foreign bytes: no name, size or link is believed (tar.h has its own bounds). */
#pragma once

#include "isola/err.h"
#include "isola/tar.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

struct extract_options {
	int root_fd; /* the folder; O_PATH is enough */
	/* A folder never replaces a file, nor a file a folder (-EINVAL). */
	bool keep_kinds;
	enum { EXTRACT_OWNER_ENTRY, EXTRACT_OWNER_FIXED, EXTRACT_OWNER_NONE } owner;
	uid_t uid; /* for FIXED */
	gid_t gid;
	uint32_t ids_end; /* owners from here on are -EINVAL; 0 = any */
	/* Devices are -EINVAL; and whiteouts' 0:0 with them. */
	bool no_devices;
	/* Where no device may be made (EPERM) it is left out, as is an attribute. */
	bool lenient;
	/* The first component of each name becomes @first; a name without one is an
	 * error. NULL = names stay. */
	const char *first;
	uint64_t entries_max;
};

/* Reads all of @tar. -errno; what was made so far stays, but for half a file. */
int extract(struct tar *tar, const struct extract_options *options, struct err *err);

/* The folder @path of the container @name, in a process whose "/" is the container's files:
 * resolved inside, links followed; O_PATH, owned. The sentences are Docker's. -ENOENT,
 * -EINVAL, or -EROFS where nothing may be written. */
int extract_destination(const char *path, const char *name, int *ret_fd, struct err *err);
/* There is no @path: returns -ENOENT. */
int extract_missing(const char *path, const char *name, struct err *err);
