/* SPDX-License-Identifier: Apache-2.0 */
/* confine - what isola-image and its layer processes may still do; the rows
 * for isola/jail.h. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct confine_options {
	const char *state; /* becomes "/" */
	uint64_t bytes_max;
	bool foreign;      /* the job reads an archive */
	unsigned int keep; /* descriptors from 3 on that stay open */
	bool require_landlock;
	int *ret_proc_fd; /* NULL, or gets an O_PATH fd of our own /proc/self/fd */
};

/* Before the first foreign byte: leaves the process with the state folder as
 * its whole file system (no devices to open, no set-id, nothing to execute), no
 * network, the capabilities it needs, and a short list of system calls. */
int confine_job(const struct confine_options *options, struct err *err);

/* For a job on a container's files, behind view_enter(), which set root and network:
 * as confine_job() else. @reads_marks: keeps CAP_SYS_ADMIN, for trusted attributes. @devices:
 * keeps CAP_MKNOD. */
int confine_view(uint64_t bytes_max, bool reads_marks, bool devices, bool require_landlock,
		 struct err *err);

/* In a forked layer process: the folder @root_fd is its root, all descriptors but
 * @keep and standard error are closed (input and output become @keep[0]), and
 * CAP_SYS_ADMIN and CAP_SYS_CHROOT are gone. */
int confine_layer(int root_fd, const int *keep, size_t n, struct err *err);

/* In a forked process that only reads @keep[0] and writes to others of @keep: the same, but
 * no capability at all, and no file has a name. */
int confine_feed(int root_fd, const int *keep, size_t n, struct err *err);

/* In a forked network process (net.h): user and group nobody, no capability, no new
 * privileges; only reads, and only below /etc, /usr, /lib and /run (Landlock); a short
 * list of system calls, of which nothing starts a program. The network is the host's. */
int confine_net(struct err *err);
