/* SPDX-License-Identifier: Apache-2.0 */
/* seccomp - an OCI linux.seccomp object as a filter that one system call installs.
 *
 * The parent compiles (or finds the result in a cache) before it clones; the
 * child, which may hardly do more than system calls, installs. runtime-spec
 * 1.2, config-linux.md "Seccomp"; seccomp(2). */
#pragma once

#include "isola/err.h"

#include <json-c/json.h>
#include <linux/filter.h>
#include <stdbool.h>
#include <stddef.h>

struct seccomp_filter {
	struct sock_fprog prog;  /* prog.filter points into @mem */
	unsigned int flags;      /* SECCOMP_FILTER_FLAG_* */
	bool notify;             /* uses SCMP_ACT_NOTIFY: install returns a listener */
	char *listener_path;     /* where the listener goes (Unix socket), or NULL; owned */
	char *listener_metadata; /* passed with it, or NULL; owned */
	void *mem;
	size_t mem_size;
	bool cached; /* it came out of the cache */
};

#define SECCOMP_FILTER_INIT                                                                        \
	{                                                                                          \
		.mem = NULL                                                                        \
	}

/* Makes the filter that @profile (a linux.seccomp object, borrowed) asks for.
 *
 * @cache_fd: a folder only root can write, where compiled filters are kept, or
 * -1. An entry counts only if it is a regular file of root (or of us), not
 * writable by others, and holds the very same profile for the same libseccomp
 * and machine; anything else is compiled anew and replaced. A full or
 * read-only folder is no error. The folder keeps at most some hundred entries.
 *
 * -EINVAL names the property ("syscalls[3].action: unknown action ..."), as do
 * -EOPNOTSUPP for what this kernel lacks. Names of system calls that libseccomp
 * does not know are left out, as runc does. Any thread. */
int seccomp_filter_load(json_object *profile, int cache_fd, struct seccomp_filter *ret,
			struct err *err);
void seccomp_filter_fini(struct seccomp_filter *filter);

/* Installs @filter for the calling thread: one system call, no allocation, so
 * that a clone's child may use it. Needs no_new_privs or CAP_SYS_ADMIN.
 * Returns -errno, or 0; with filter->notify the listener (close-on-exec). */
int seccomp_filter_install(const struct seccomp_filter *filter);

/* Whether this kernel knows an action or flag, by its OCI name
 * ("SCMP_ACT_LOG", "SECCOMP_FILTER_FLAG_TSYNC"). */
bool seccomp_has_action(const char *name);
bool seccomp_has_flag(const char *name);

/* The OCI names of all we take, for the features document: fills @ret with at
 * most @max borrowed names and returns how many. */
enum seccomp_kind { SECCOMP_ACTIONS, SECCOMP_OPERATORS, SECCOMP_ARCHES, SECCOMP_FLAGS };
size_t seccomp_words(enum seccomp_kind kind, const char **ret, size_t max);
