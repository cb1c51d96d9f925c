/* SPDX-License-Identifier: Apache-2.0 */
/* mount_guard - where a mount may go. An image is hostile: its /proc, /sys or
 * any folder on the way may be a link or a volume (CVE-2019-19921,
 * CVE-2021-30465, CVE-2023-27561, CVE-2025-52881). */
#pragma once

#include "spec.h"

/* Opens the place for @m inside @root_fd, making it where nothing is. /proc and
 * /sys must be real folders; elsewhere links are followed, but never out of the
 * root. Returns an O_PATH fd. */
int mount_guard_target(int root_fd, const struct ctr_mount *m, bool is_dir, struct err *err);

/* Refuses what would put something else than procfs at /proc, or over a file of
 * it that is not harmless. @tree may be -1. */
int mount_guard_check(const struct ctr_mount *m, int tree, int target, struct err *err);

/* Whether /proc in the finished root is the procfs @proc_fd that we mounted;
 * nothing to say when it is -1. */
int mount_guard_verify(int root_fd, int proc_fd, struct err *err);

/* Whether @fd (O_PATH) is on a procfs. */
bool mount_guard_is_proc(int fd);
