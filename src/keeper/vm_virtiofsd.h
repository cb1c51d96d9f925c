/* SPDX-License-Identifier: Apache-2.0 */
/* vm_virtiofsd - the program that serves one folder to one VM by virtio-fs: our child,
 * in the VM's cgroup, for one worker. It parses the guest's requests, so it is foreign
 * to us from its first one on. What it may see is made ready by whoever wants it served
 * (vm_share.c, vm_tree.c), in the child, before the exec; the sandbox around that it makes
 * itself.
 *
 * Both programs of that name are known: the C one of QEMU before 8.0, and the Rust
 * one. Each serves one connection and ends with it. */
#pragma once

#include "vm.h"

#include <stdbool.h>

struct virtiofsd {
	const char *source; /* what it serves, as a path once @enter has run */
	/* Without posix_acl: Linux 6.1 would refuse access control lists below a submount, as
	 * each volume is one. So they are kept as the attributes that they are. */
	bool xattr, announce_submounts;
	/* What the guest has read of a file outlives its close; a change made on the host is
	 * seen within a second. Else each open begins anew. */
	bool keep_pages;
	/* In the child: makes @source what it is to be. Ends by virtiofsd_fail(). */
	void (*enter)(const struct virtiofsd *v);
	const void *arg;

	/* Filled by virtiofsd_start(). */
	const char *program;
	bool is_c;
	int listen_fd, error_fd;
};

/* Returns a connected vhost-user socket; @ret_pid (may be NULL): of the child. */
int virtiofsd_start(struct vm *vm, struct virtiofsd *v, pid_t *ret_pid, struct err *err);

/* For @enter: says why to the VM's messages, and ends. */
void virtiofsd_fail(const struct virtiofsd *v, const char *what) __attribute__((noreturn));

/* For @enter: a private mount namespace. */
void virtiofsd_unshare_mounts(const struct virtiofsd *v);
