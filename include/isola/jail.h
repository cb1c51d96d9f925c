/* SPDX-License-Identifier: Apache-2.0 */
/* jail - how a process of ours gives up what it does not need, before it reads
 * what strangers wrote.
 *
 * Independent steps, in the order in which they must come: root, capabilities,
 * Landlock, seccomp; limits at any time. None can be taken back. Single-threaded
 * callers only. */
#pragma once

#include "isola/err.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/resource.h>

/* A mount namespace in which the folder @dir is "/" and all there is: without
 * devices, set-id and execution (nodev, nosuid, noexec), mounts below it
 * included. Also a network namespace with nothing in it, if asked for. The
 * working folder is "/" then. Needs CAP_SYS_ADMIN. */
int jail_root(const char *dir, bool no_network, struct err *err);

/* The same with an empty, read-only "/", and the namespaces in @flags (CLONE_NEW*)
 * beside. Nothing on the host can be named afterwards. */
int jail_empty_root(int flags, struct err *err);

/* Keeps only the capabilities in the bit set @keep: permitted and effective;
 * inheritable and ambient are emptied; the bounding set too shrinks while
 * CAP_SETPCAP is there to do it. One that is not held is no error. */
int jail_caps(uint64_t keep, struct err *err);

/* Becomes user and group 65534 of no other group, without any capability, and is no
 * business of others of that user: they cannot trace it. Behind what needs rights. */
int jail_nobody(struct err *err);

struct jail_limit {
	int resource; /* RLIMIT_* */
	rlim_t value;
};

/* Lowers soft and hard limits to the values; a lower hard limit stays. */
int jail_limits(const struct jail_limit *rows, size_t n, struct err *err);

struct jail_path {
	int fd;       /* of a folder; O_PATH will do */
	bool write;   /* make, write, rename, link, remove below it; else read */
	bool execute; /* also start programs from there */
};

/* Landlock: opens, makes and renames happen only below @rows; nothing else can be
 * executed than what a row allows, no socket made in a folder, no TCP used, nothing outside signalled
 * (as far as the kernel's ABI goes; 2, of Linux 5.19, is the least). Sets
 * no_new_privs. -EOPNOTSUPP when the kernel cannot. */
int jail_landlock(const struct jail_path *rows, size_t n, struct err *err);

/* The same, but TCP may be used. */
int jail_landlock_files(const struct jail_path *rows, size_t n, struct err *err);

/* A row of the allow-list. */
struct jail_calls {
	const char *names; /* system calls, separated by spaces; unknown ones are skipped */
	const char *why;   /* for the reader */
	/* Only when argument @arg (from 0) has none of the bits @forbidden. 0 = always. */
	unsigned int arg;
	uint64_t forbidden;
};

/* Kills the process at any system call that no row names. Sets no_new_privs. */
int jail_seccomp(const struct jail_calls *rows, size_t n, struct err *err);

/* The same, but such a call fails with @refuse: for a process that loads the host's own
 * plug-ins, whose calls nobody can list. */
int jail_seccomp_refusing(const struct jail_calls *rows, size_t n, int refuse, struct err *err);
