/* SPDX-License-Identifier: Apache-2.0 */
/* mkfs - mkfs.erofs, a program of the host, makes a file of the merged tree of layers.
 *
 *   isola-image root              mkfs process            mkfs.erofs
 *   has the store, locks   --->   root of the host,  ---> PID 1 of namespaces of its own:
 *   the layers, judges            mounts the layers       reads the tree, writes one file;
 *   what was made          <---   as one read-only        no other folder, no network
 *                                 tree; reads nothing
 *
 * The job cannot mount, being in its jail; so the process in the middle is forked before,
 * and is told by one packet which layers and where to. What mkfs.erofs reads is foreign:
 * names, attributes, sizes. It is another user, that can read every file (CAP_DAC_READ_SEARCH)
 * and write to that folder; Landlock, seccomp and limits are mkfs_jail.c's. */
#pragma once

#include "isola/err.h"

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* What it may use at most. */
struct mkfs_limits {
	uint64_t file_bytes;
	int64_t wait_ms;
};

#define MKFS_FILE "root.erofs" /* its name in the folder */

/* Forks the process for the store in folder @state; before confine_job(), which has to keep
 * descriptor 3: that is it then. -ENOENT when there is no mkfs.erofs. */
int mkfs_start(const char *state, struct err *err);

/* Has MKFS_FILE made in the folder tmp/@job/@out, which must be MKFS_USER's. @chains: digits
 * of the layers, topmost first. -ENOSPC, -EFBIG, -ETIMEDOUT, or -EIO with what it said;
 * -EINTR when the job is cancelled. It has ended when this returns. Once. */
int mkfs_run(const char *job, const char *out, const char (*chains)[65], size_t n,
	     const struct mkfs_limits *limits, struct err *err);

/* ---- mkfs_jail.c ---- */

#define MKFS_USER 65534

/* In the process that becomes mkfs.erofs, whose "/" has the folders "tree", "out" and "usr":
 * gives up all but what it needs. */
int mkfs_confine(const struct mkfs_limits *limits, struct err *err);
